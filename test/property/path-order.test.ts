import fc from "fast-check";
import { expect, test } from "vitest";
import { compareBytes } from "../../src/core/base/bytes.ts";
import { comparePaths, isTreePath, keyToPath, parseTreePath, pathToKey } from "../../src/core/base/path.ts";

/** Characters around which UTF-16, UTF-8 and the separator's place differ. */
const character = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("a", "b", "/", "/", ".", "-", " ", "\x01", "0", "~") },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "\x7f",
      "\x80",
      "é",
      "\u07ff",
      "\u0800",
      "\ud7ff",
      "\ue000",
      "\uffff",
      "\u{10000}",
      "\u{10ffff}",
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 1 }) },
);
const path = fc
  .array(character, { minLength: 1, maxLength: 8 })
  .map((characters) => characters.join(""))
  .filter(isTreePath);

test("comparePaths() is the order of the keys", () => {
  fc.assert(
    fc.property(path, path, (a, b) => {
      const expected = Math.sign(compareBytes(pathToKey(parseTreePath(a)), pathToKey(parseTreePath(b))));
      expect(Math.sign(comparePaths(a, b))).toBe(expected);
      expect(Math.sign(comparePaths(b, a))).toBe(expected === 0 ? 0 : -expected);
    }),
    { numRuns: 5000 },
  );
});

test("comparePaths() is the order of the keys for paths that share a beginning", () => {
  fc.assert(
    fc.property(path, path, path, (start, a, b) => {
      const left = `${start}${a}`;
      const right = `${start}${b}`;
      fc.pre(isTreePath(left) && isTreePath(right));
      const expected = Math.sign(
        compareBytes(pathToKey(parseTreePath(left)), pathToKey(parseTreePath(right))),
      );
      expect(Math.sign(comparePaths(left, right))).toBe(expected);
    }),
    { numRuns: 3000 },
  );
});

test("keyToPath() undoes pathToKey()", () => {
  fc.assert(
    fc.property(path, (text) => {
      expect(keyToPath(pathToKey(parseTreePath(text)))).toBe(text);
    }),
    { numRuns: 2000 },
  );
});
