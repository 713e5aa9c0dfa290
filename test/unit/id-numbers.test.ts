import { expect, test } from "vitest";
import { hashBytes } from "../../src/core/base/hash.ts";
import { IdNumbers } from "../../src/core/objects/id-numbers.ts";

const idOf = (i: number): Uint8Array => hashBytes(Buffer.from(`${i}`));

test("IdNumbers numbers ids in the order in which they first come, however many there are", () => {
  const numbers = new IdNumbers();
  for (let i = 0; i < 5000; i++) expect(numbers.add(idOf(i))).toBe(i);
  for (let i = 0; i < 5000; i += 7) expect(numbers.add(idOf(i))).toBe(i);
  expect(numbers.count).toBe(5000);
  expect(numbers.find(idOf(4999))).toBe(4999);
  expect(numbers.find(idOf(5000))).toBe(-1);
  expect(Buffer.from(numbers.bytesOf(1234)).equals(idOf(1234))).toBe(true);
});

test("IdNumbers tells ids apart that begin alike, and reads them anywhere in a buffer", () => {
  const numbers = new IdNumbers(2);
  const bytes = new Uint8Array(3 + 3 * 32).fill(7);
  bytes[3 + 31] = 1;
  bytes[3 + 63] = 2;
  expect([numbers.add(bytes, 3), numbers.add(bytes, 3 + 32), numbers.add(bytes, 3 + 64)]).toEqual([0, 1, 2]);
  expect([numbers.find(bytes, 3), numbers.find(bytes, 3 + 32)]).toEqual([0, 1]);
});
