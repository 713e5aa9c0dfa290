import fc from "fast-check";
import { expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { keyToPath } from "../../src/core/base/path.ts";
import { PathDecoder } from "../../src/core/prolly/path-decoder.ts";

function outcome(decode: () => string): string {
  try {
    return decode();
  } catch (error) {
    return `refused: ${(error as { code: string }).code}`;
  }
}

const name = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("a", "b", "ab", "lib", "x.ts", "ü", "日本", "Ab.c") },
  fc.constantFrom(
    "",
    ".",
    "..",
    ".git",
    "GIT~1",
    "C:",
    "a\\b",
    "a/b",
    ".g\u200cit",
    "n".repeat(60),
    "\ufeffb",
    "\ufffd",
  ),
  fc.string({ unit: "binary", maxLength: 4 }),
);
const key = fc.oneof(
  { weight: 8, arbitrary: fc.array(name, { maxLength: 4 }).map((names) => utf8(names.join("\0"))) },
  fc.uint8Array({ maxLength: 8 }),
  fc.constant(utf8(`a\0${"long".repeat(1100)}`)),
);

test("decodes any sequence of keys to the paths and refusals of keyToPath()", () => {
  fc.assert(
    fc.property(fc.array(key, { maxLength: 12 }), (keys) => {
      const decoder = new PathDecoder();
      for (const each of keys) {
        expect(outcome(() => decoder.decode(each))).toBe(outcome(() => keyToPath(each)));
      }
    }),
    { numRuns: 3000 },
  );
});
