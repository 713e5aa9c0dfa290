import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concatBytes, utf8 } from "../../src/core/base/bytes.ts";
import { diffInterned, diffLines } from "../../src/core/merge/diff.ts";
import type { Hunk } from "../../src/core/merge/hunk.ts";
import { indexLines, LineInterner, linesBetween, splitLines } from "../../src/core/merge/lines.ts";
import { hasConflictMarkers, parseConflicts, renderResolution } from "../../src/core/merge/markers.ts";
import { mergeText } from "../../src/core/merge/merge3.ts";
import { SeededRandom } from "../support/seeded-random.ts";

/** Texts over few distinct lines, so that much is ambiguous; with blank and indented ones. */
const text = fc
  .array(fc.constantFrom("a", "b", "c", "", " ", "  x", "\tx", "}", "a\r"), { maxLength: 30 })
  .chain((lines) =>
    fc.boolean().map((isEnded) => utf8(lines.join("\n") + (isEnded && lines.length > 0 ? "\n" : ""))),
  );
const options = { labels: { ours: "ours", base: "base", theirs: "theirs" }, style: "merge" } as const;

function applied(a: Uint8Array, b: Uint8Array, hunks: readonly Hunk[]): Uint8Array {
  const aLines = indexLines(a);
  const bLines = indexLines(b);
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const { aStart, aEnd, bStart, bEnd } of hunks) {
    parts.push(linesBetween(aLines, at, aStart), linesBetween(bLines, bStart, bEnd));
    at = aEnd;
  }
  parts.push(linesBetween(aLines, at, aLines.count));
  return concatBytes(parts);
}

function expectInOrder(hunks: readonly Hunk[]): void {
  for (const [i, hunk] of hunks.entries()) {
    expect(hunk.aEnd - hunk.aStart + hunk.bEnd - hunk.bStart).toBeGreaterThan(0);
    const previous = hunks[i - 1];
    if (previous === undefined) continue;
    expect(hunk.aStart).toBeGreaterThan(previous.aEnd);
    expect(hunk.bStart - previous.bEnd).toBe(hunk.aStart - previous.aEnd);
  }
}

function changedLines(hunks: readonly Hunk[]): number {
  return hunks.reduce((sum, { aStart, aEnd, bStart, bEnd }) => sum + aEnd - aStart + bEnd - bStart, 0);
}

/** Textbook dynamic programming: the least number of removed and added lines. */
function leastChanges(a: Int32Array, b: Int32Array): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = a[i - 1] === b[j - 1] ? row[j - 1]! : 1 + Math.min(row[j]!, next[j - 1]!);
    }
    row = next;
  }
  return row[b.length]!;
}

describe("splitLines()", () => {
  test("lines together are the text, and each but the last ends with LF", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat(199)), (bytes, breaks) => {
        for (const at of breaks) if (at < bytes.length) bytes[at] = 0x0a;
        const lines = splitLines(bytes);
        expect(concatBytes(lines)).toEqual(Buffer.from(bytes));
        for (const [i, line] of lines.entries()) {
          const at = line.indexOf(0x0a);
          expect(i < lines.length - 1 ? at : at === -1 ? line.length - 1 : at).toBe(line.length - 1);
        }
      }),
    );
  });

  test("counts lines as people do", () => {
    expect(splitLines(utf8(""))).toHaveLength(0);
    expect(splitLines(utf8("\n"))).toHaveLength(1);
    expect(splitLines(utf8("a"))).toHaveLength(1);
    expect(splitLines(utf8("a\nb"))).toHaveLength(2);
    expect(splitLines(utf8("a\r\nb\r\n")).map((line) => line.length)).toEqual([3, 3]);
    expect(indexLines(utf8("x\n".repeat(5000))).count).toBe(5000);
  });
});

describe("LineInterner", () => {
  test("equal lines have equal numbers, over several texts and thousands of lines", () => {
    const interner = new LineInterner();
    const a = interner.intern(
      indexLines(utf8(Array.from({ length: 9000 }, (_, i) => `${i % 4000}\n`).join(""))),
    );
    const b = interner.intern(indexLines(utf8("17\n5000\n17")));
    expect(interner.size).toBe(4002);
    for (let i = 0; i < 5000; i++) expect(a[i + 4000]).toBe(a[i]);
    expect(new Set(a).size).toBe(4000);
    expect(b[0]).toBe(a[17]);
    expect(new Set(b).size).toBe(3);
  });
});

describe("diffLines()", () => {
  test("hunks turn a into b, in order, with unchanged lines between them", () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        const hunks = diffLines(a, b);
        expectInOrder(hunks);
        expect(applied(a, b, hunks)).toEqual(Buffer.from(b));
      }),
      { numRuns: 2000 },
    );
  });

  test("of equal texts is empty, and of a text and nothing is one hunk", () => {
    fc.assert(
      fc.property(text, (a) => {
        expect(diffLines(a, a)).toEqual([]);
        const count = splitLines(a).length;
        const whole = count === 0 ? [] : [{ aStart: 0, aEnd: count, bStart: 0, bEnd: 0 }];
        expect(diffLines(a, utf8(""))).toEqual(whole);
      }),
    );
  });

  test("is as short as can be where no anchors stand in the way, and nearly so otherwise", () => {
    let changed = 0;
    let least = 0;
    fc.assert(
      fc.property(text, text, (a, b) => {
        const interner = new LineInterner();
        const aNumbers = interner.intern(indexLines(a));
        const bNumbers = interner.intern(indexLines(b));
        const found = changedLines(diffInterned(aNumbers, bNumbers, interner.size));
        const best = leastChanges(aNumbers, bNumbers);
        expect(found).toBeGreaterThanOrEqual(best);
        changed += found;
        least += best;
      }),
      { numRuns: 1000, seed: 1 },
    );
    expect(changed / least).toBeLessThan(1.03);
  });

  test("is exact on large random edits", () => {
    const random = new SeededRandom(5);
    for (let round = 0; round < 30; round++) {
      const a = new Int32Array(300).map(() => random.below(40));
      const b = Int32Array.from(a)
        .filter(() => random.below(10) > 0)
        .map((x) => (random.below(10) === 0 ? random.below(40) : x));
      const best = leastChanges(a, b);
      expect(changedLines(diffInterned(a, b, 40))).toBeLessThanOrEqual(Math.ceil(best * 1.1));
    }
  });

  test("keeps an inserted function whole instead of sharing its closing brace", () => {
    const a = utf8("int f() {\n\treturn 1;\n}\n\nint h() {\n\treturn 3;\n}\n");
    const b = utf8("int f() {\n\treturn 1;\n}\n\nint g() {\n\treturn 2;\n}\n\nint h() {\n\treturn 3;\n}\n");
    expect(diffLines(a, b)).toEqual([{ aStart: 4, aEnd: 4, bStart: 4, bEnd: 8 }]);
  });

  test("takes bounded time on large texts with nothing, little or everything in common", () => {
    const random = new SeededRandom(9);
    const numbers = (count: number, line: (i: number) => number): Int32Array =>
      Int32Array.from({ length: count }, (_, i) => line(i));
    const count = 60_000;
    const cases: [Int32Array, Int32Array, number][] = [
      [numbers(count, (i) => i), numbers(count, (i) => count + i), 2 * count],
      [numbers(count, (i) => i), numbers(count, (i) => count - 1 - i), count],
      [numbers(count, () => random.below(2)), numbers(count, () => random.below(2)), 2],
      [numbers(count, () => random.below(300)), numbers(count, () => random.below(300)), 300],
      [numbers(count, (i) => i), numbers(count, (i) => (i * 7919) % count), count],
      [numbers(count, () => 0), numbers(count + 1000, () => 0), 1],
    ];
    for (const [a, b, distinct] of cases) {
      const start = performance.now();
      const hunks = diffInterned(a, b, distinct);
      expect(performance.now() - start).toBeLessThan(20_000);
      expectInOrder(hunks);
      let at = 0;
      const result: number[] = [];
      for (const { aStart, aEnd, bStart, bEnd } of hunks) {
        for (; at < aStart; at++) result.push(a[at]!);
        for (let i = bStart; i < bEnd; i++) result.push(b[i]!);
        at = aEnd;
      }
      for (; at < a.length; at++) result.push(a[at]!);
      expect(result.length).toBe(b.length);
      expect(result.every((number, i) => number === b[i])).toBe(true);
    }
  });
});

describe("mergeText()", () => {
  test("takes the only side that changed, and what both changed alike", () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        for (const [base, ours, theirs, expected] of [
          [a, a, b, b],
          [a, b, a, b],
          [a, b, b, b],
        ] as const) {
          expect(mergeText(base, ours, theirs, options)).toEqual({ kind: "clean", bytes: expected });
        }
      }),
    );
  });

  test("is symmetric: the same verdict, and the same text where it is clean", () => {
    fc.assert(
      fc.property(text, text, text, (base, ours, theirs) => {
        const one = mergeText(base, ours, theirs, options);
        const two = mergeText(base, theirs, ours, options);
        expect(two.kind).toBe(one.kind);
        if (one.kind === "clean") expect(Buffer.compare(one.bytes, two.bytes)).toBe(0);
      }),
      { numRuns: 1000 },
    );
  });

  test("edits far apart merge clean and both are there", () => {
    fc.assert(
      fc.property(fc.nat(20), fc.nat(20), (i, j) => {
        const lines = Array.from({ length: 60 }, (_, line) => `line ${line}`);
        const ours = lines.with(i, "ours");
        const theirs = lines.with(30 + j, "theirs");
        const both = ours.with(30 + j, "theirs");
        const merged = mergeText(
          utf8(lines.join("\n")),
          utf8(ours.join("\n")),
          utf8(theirs.join("\n")),
          options,
        );
        expect(merged.kind).toBe("clean");
        expect(new TextDecoder().decode(merged.bytes)).toBe(both.join("\n"));
      }),
    );
  });

  test("a side taken for every conflict leaves none, and of unchanged lines none is lost", () => {
    fc.assert(
      fc.property(text, text, text, (base, ours, theirs) => {
        for (const strategy of ["ours", "theirs", "union"] as const) {
          expect(mergeText(base, ours, theirs, { ...options, strategy }).kind).toBe("clean");
        }
      }),
    );
  });
});

describe("parseConflicts()", () => {
  const markers = [
    "<<<<<<< a",
    "<<<<<<<<",
    "||||||| b",
    "=======",
    "========",
    ">>>>>>> c",
    ">>>>>>>>",
    "x",
    "",
    "=======\r",
  ];

  test("parts of any text are the text, and unresolved conflicts render as they were", () => {
    const marked = fc
      .array(fc.constantFrom(...markers), { maxLength: 25 })
      .map((lines) => utf8(lines.join("\n")));
    fc.assert(
      fc.property(marked, (bytes) => {
        const parts = parseConflicts(bytes);
        expect(Buffer.compare(concatBytes(parts.map((part) => part.bytes)), bytes)).toBe(0);
        expect(Buffer.compare(renderResolution(parts, []), bytes)).toBe(0);
        if (parts.some(({ kind }) => kind === "conflict")) expect(hasConflictMarkers(bytes)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test("finds every conflict that mergeText() wrote, whatever the texts hold, and resolves it to either side", () => {
    const line = fc.oneof(fc.constantFrom(...markers), fc.constantFrom("1", "2", "3", "4", "5", "6"));
    const content = fc
      .array(line, { maxLength: 16 })
      .map((lines) => utf8(lines.map((text) => `${text}\n`).join("")));
    fc.assert(
      fc.property(
        content,
        content,
        content,
        fc.constantFrom("merge", "diff3"),
        (base, ours, theirs, style) => {
          const merged = mergeText(base, ours, theirs, { ...options, style });
          if (merged.kind === "clean") return;
          const parts = parseConflicts(merged.bytes);
          const conflicts = parts.filter((part) => part.kind === "conflict" && part.labels.ours === "ours");
          expect(conflicts.map((part) => part.line)).toEqual(
            merged.regions.map((region) => region.merged.start),
          );
          for (const side of ["ours", "theirs"] as const) {
            const taken = parts.map((part) =>
              part.kind === "conflict" && part.labels.ours === "ours" ? side : "unresolved",
            );
            const resolutions = taken.filter((_, i) => parts[i]!.kind === "conflict");
            const wanted = mergeText(base, ours, theirs, { ...options, style, strategy: side });
            expect(Buffer.compare(renderResolution(parts, resolutions), wanted.bytes)).toBe(0);
          }
        },
      ),
      { numRuns: 1500 },
    );
  });
});
