import { describe, expect, test } from "vitest";
import { hashBytes, hashObject } from "../../src/core/base/hash.ts";
import { Chunker } from "../../src/core/objects/chunker.ts";
import { GEAR_TABLE } from "../../src/core/objects/gear-table.ts";
import { makeChunkInput } from "../support/chunk-inputs.ts";
import vectors from "./chunk-cuts.json" with { type: "json" };

test("the gear table is what its generator says", () => {
  const seed = Buffer.from("mic chunker gear 1");
  const words = Array.from({ length: 256 }, (_, byte) =>
    Buffer.from(hashBytes(Buffer.concat([seed, Uint8Array.of(byte)]))).readUInt32LE(0),
  );
  expect([...GEAR_TABLE]).toEqual(words);
});

describe.each(vectors)("chunk cuts version $version: $name, $length bytes", (vector) => {
  test("are where they have always been", () => {
    const input = makeChunkInput(vector);
    expect(hashObject(input)).toBe(vector.hash);
    const chunker = new Chunker();
    const lengths = chunker.push(input).map((chunk) => chunk.length);
    const last = chunker.finish();
    if (last !== undefined) lengths.push(last.length);
    expect(lengths).toEqual(vector.lengths);
  });
});
