import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { hasConflictMarkers, parseConflicts, renderResolution } from "../../src/core/merge/markers.ts";
import { isBinary, type MergeTextOptions, mergeText } from "../../src/core/merge/merge3.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const labels = { ours: "ours", base: "base", theirs: "theirs" };

function merge(base: string, ours: string, theirs: string, options: Partial<MergeTextOptions> = {}) {
  const merged = mergeText(utf8(base), utf8(ours), utf8(theirs), { labels, style: "merge", ...options });
  const regions = merged.kind === "conflict" ? merged.regions : [];
  return { kind: merged.kind, text: new TextDecoder().decode(merged.bytes), regions };
}

describe("mergeText()", () => {
  test("marks what both sides changed differently", () => {
    const merged = merge("a\nb\nc\n", "a\nours\nc\n", "a\ntheirs\nc\n");
    expect(merged.text).toBe("a\n<<<<<<< ours\nours\n=======\ntheirs\n>>>>>>> theirs\nc\n");
    const line = { start: 1, end: 2 };
    expect(merged.regions).toEqual([{ base: line, ours: line, theirs: line, merged: { start: 1, end: 6 } }]);
  });

  test("shows the base in the style diff3", () => {
    expect(merge("a\nb\nc\n", "a\nours\nc\n", "a\ntheirs\nc\n", { style: "diff3" }).text).toBe(
      "a\n<<<<<<< ours\nours\n||||||| base\nb\n=======\ntheirs\n>>>>>>> theirs\nc\n",
    );
  });

  test("changes that touch are a conflict, with one line between them they are not", () => {
    expect(merge("a\nb\nc\n", "A\nb\nc\n", "a\nB\nc\n").kind).toBe("conflict");
    expect(merge("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n")).toMatchObject({ kind: "clean", text: "A\nb\nC\n" });
  });

  test("the same change on both sides is clean", () => {
    expect(merge("a\nb\nc\n", "a\nx\nc\n1\n", "a\nx\nc\n")).toMatchObject({
      kind: "clean",
      text: "a\nx\nc\n1\n",
    });
    expect(merge("", "x\n", "x\n")).toMatchObject({ kind: "clean", text: "x\n" });
  });

  test("takes common lines out of a conflict, but not a few between two", () => {
    const ours = "1\n2\n3\n4\n5\nours\n";
    const theirs = "1\n2\n3\n4\n5\ntheirs\n";
    expect(merge("", ours, theirs).text).toBe(
      "1\n2\n3\n4\n5\n<<<<<<< ours\nours\n=======\ntheirs\n>>>>>>> theirs\n",
    );
    expect(merge("", "ours\nsame\nours\n", "theirs\nsame\ntheirs\n").regions).toHaveLength(1);
    expect(merge("", "x\n1\n2\n3\n4\nx\n", "y\n1\n2\n3\n4\ny\n").regions).toHaveLength(2);
  });

  test("union keeps both sides, ours first, and ends a line that had no end", () => {
    expect(merge("a\n", "a\nours", "a\ntheirs", { strategy: "union" })).toMatchObject({
      kind: "clean",
      text: "a\nours\ntheirs",
    });
    expect(merge("a\nb\n", "a\n1\n", "a\n2\n", { strategy: "ours" }).text).toBe("a\n1\n");
    expect(merge("a\nb\n", "a\n1\n", "a\n2\n", { strategy: "theirs" }).text).toBe("a\n2\n");
  });

  test("CRLF files keep CRLF, also in the markers", () => {
    expect(merge("a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n").text).toBe("A\r\nb\r\nC\r\n");
    expect(merge("b\r\n", "1\r\n", "2\r\n").text).toBe(
      "<<<<<<< ours\r\n1\r\n=======\r\n2\r\n>>>>>>> theirs\r\n",
    );
  });

  test("a missing newline at the end is kept, added and removed like any change", () => {
    expect(merge("a\nb\nc", "A\nb\nc", "a\nb\nc").text).toBe("A\nb\nc");
    expect(merge("a\nb\nc\n", "A\nb\nc\n", "a\nb\nc").text).toBe("A\nb\nc");
    expect(merge("a\nb\nc", "A\nb\nc", "a\nb\nc\n").text).toBe("A\nb\nc\n");
    expect(merge("a", "b", "c").text).toBe("<<<<<<< ours\nb\n=======\nc\n>>>>>>> theirs\n");
  });

  test("markers are longer where the text has lines that look like them", () => {
    const merged = merge("title\n=======\nb\n", "title\n=======\nours\n", "title\n=======\ntheirs\n");
    expect(merged.text).toBe(
      `title\n=======\n${"<".repeat(8)} ours\nours\n========\ntheirs\n${">".repeat(8)} theirs\n`,
    );
    const again = merge(
      merged.text,
      merged.text.replace("ours\n=", "1\n="),
      merged.text.replace("ours\n=", "2\n="),
    );
    expect(again.text).toContain(`${"<".repeat(9)} ours\n`);
    // A longer rule is no marker of seven.
    expect(
      merge(`${"=".repeat(40)}\nb\n`, `${"=".repeat(40)}\n1\n`, `${"=".repeat(40)}\n2\n`).text,
    ).toContain("\n<<<<<<< ours\n");
  });

  test("a label with line breaks stays on its line, and an empty one leaves no space", () => {
    const merged = mergeText(utf8("a\n"), utf8("b\n"), utf8("c\n"), {
      labels: { ours: "me\n=======\nx", theirs: "" },
      style: "merge",
    });
    expect(new TextDecoder().decode(merged.bytes)).toBe("<<<<<<< me ======= x\nb\n=======\nc\n>>>>>>>\n");
  });

  test("one side deleted what the other changed: a conflict with an empty side", () => {
    expect(merge("a\nb\nc\n", "a\nc\n", "a\nB\nc\n").text).toBe(
      "a\n<<<<<<< ours\n=======\nB\n>>>>>>> theirs\nc\n",
    );
  });

  test("bytes that are not UTF-8 pass unchanged", () => {
    const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");
    const merged = mergeText(bytes("\xe4\nb\nc\n"), bytes("\xe4\xff\nb\nc\n"), bytes("\xe4\nb\n\xfc\n"), {
      labels,
      style: "merge",
    });
    expect(Buffer.from(merged.bytes).toString("latin1")).toBe("\xe4\xff\nb\n\xfc\n");
  });

  test("isBinary() is NUL near the start", () => {
    expect(isBinary(utf8(""))).toBe(false);
    expect(isBinary(utf8("text \u00e4\r\n"))).toBe(false);
    expect(isBinary(utf8("a\0b"))).toBe(true);
  });
});

describe("conflict markers", () => {
  const text = merge(
    "a\nb\nc\n1\n2\n3\n4\n5\nx\n",
    "a\nours\nc\n1\n2\n3\n4\n5\ny\n",
    "a\ntheirs\nc\n1\n2\n3\n4\n5\nz\n",
  ).text;

  test("parseConflicts() gives back every part of what mergeText() wrote", () => {
    const parts = parseConflicts(utf8(text));
    expect(parts.map(({ kind, line }) => [kind, line])).toEqual([
      ["text", 0],
      ["conflict", 1],
      ["text", 6],
      ["conflict", 12],
    ]);
    expect(Buffer.concat(parts.map(({ bytes }) => bytes)).toString()).toBe(text);
    const conflict = parts[1]!;
    if (conflict.kind !== "conflict") throw new Error("no conflict");
    expect(new TextDecoder().decode(conflict.ours)).toBe("ours\n");
    expect(new TextDecoder().decode(conflict.theirs)).toBe("theirs\n");
    expect(conflict.base).toBeUndefined();
    expect(conflict.labels).toEqual({ ours: "ours", theirs: "theirs" });
  });

  test("parseConflicts() reads the base where it is shown", () => {
    const parts = parseConflicts(utf8(merge("b\n", "1\n", "2\n", { style: "diff3" }).text));
    expect(parts).toHaveLength(1);
    expect(parts[0]).toMatchObject({ kind: "conflict", base: utf8("b\n"), labels });
  });

  test("renderResolution() resolves one by one and leaves the rest", () => {
    const parts = parseConflicts(utf8(text));
    const render = (...resolutions: Parameters<typeof renderResolution>[1]) =>
      new TextDecoder().decode(renderResolution(parts, resolutions));
    expect(render()).toBe(text);
    expect(render("ours", "theirs")).toBe("a\nours\nc\n1\n2\n3\n4\n5\nz\n");
    expect(render("union", { bytes: utf8("mine\n") })).toBe("a\nours\ntheirs\nc\n1\n2\n3\n4\n5\nmine\n");
    expect(hasConflictMarkers(utf8(render("ours")))).toBe(true);
    expect(hasConflictMarkers(utf8(render("ours", "ours")))).toBe(false);
  });

  test("text that only looks like a marker is text", () => {
    for (const plain of [
      "=======\n",
      "<<<<<<\n",
      "<<<<<<<x\n",
      "|||||||\n",
      " <<<<<<< a\n",
      "a <<<<<<< b\n",
      "",
    ]) {
      expect(hasConflictMarkers(utf8(plain)), plain).toBe(false);
    }
    for (const marked of ["<<<<<<< a\n", "x\n<<<<<<<\n", ">>>>>>> b", ">>>>>>>>> b\r\n", "<<<<<<<\r\n"]) {
      expect(hasConflictMarkers(utf8(marked)), marked).toBe(true);
    }
    for (const broken of [
      "<<<<<<< a\n1\n>>>>>>> b\n",
      "<<<<<<< a\n1\n=======\n2\n",
      "<<<<<<< a\n<<<<<<< b\n=======\n>>>>>>> c\n",
    ]) {
      const parts = parseConflicts(utf8(broken));
      expect(Buffer.concat(parts.map(({ bytes }) => bytes)).toString()).toBe(broken);
      expect(parts.filter(({ kind }) => kind === "conflict")).toHaveLength(broken.endsWith("c\n") ? 1 : 0);
    }
  });
});

describe("mergeText() against git merge-file", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "mic-merge-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  function git(base: string, ours: string, theirs: string, flags: string[]): { kind: string; text: string } {
    for (const [name, text] of Object.entries({ base, ours, theirs }))
      writeFileSync(join(directory, name), text);
    const names = ["-L", "ours", "-L", "base", "-L", "theirs", "ours", "base", "theirs"];
    const { status, stdout } = spawnSync("git", ["merge-file", "-p", "-q", ...flags, ...names], {
      cwd: directory,
    });
    return { kind: status === 0 ? "clean" : "conflict", text: stdout.toString() };
  }

  /** `distinct` 0: every line is its own. */
  function corpus(seed: number, distinct: number): [string, string, string] {
    const random = new SeededRandom(seed);
    const line = (): string => (distinct === 0 ? `line ${random.next()}` : `line ${random.below(distinct)}`);
    const lines = (count: number): string[] => Array.from({ length: count }, line);
    const edited = (from: readonly string[]): string => {
      const result = [...from];
      for (let edit = random.below(4); edit > 0; edit--) {
        const at = random.below(result.length + 1);
        const kind = random.below(4);
        const removed = kind === 0 ? [] : result.splice(at, 1 + random.below(3));
        if (kind === 3) result.splice(random.below(result.length + 1), 0, ...removed);
        else if (kind !== 1) result.splice(at, 0, ...lines(1 + random.below(3)));
      }
      return result.join("\n") + (random.below(5) > 0 && result.length > 0 ? "\n" : "");
    };
    const base = lines(random.below(40));
    return [edited(base), edited(base), edited(base)];
  }

  test("the same verdict and the same text where lines are distinct", () => {
    for (let seed = 0; seed < 120; seed++) {
      const [base, ours, theirs] = corpus(seed, 0);
      const { kind, text } = merge(base, ours, theirs);
      expect({ seed, kind, text }).toEqual({ seed, ...git(base, ours, theirs, []) });
    }
  });

  // Where few distinct lines repeat, several shortest diffs exist and either tool may find the luckier one.
  test("nearly always the same where lines repeat", () => {
    let same = 0;
    for (let seed = 0; seed < 150; seed++) {
      const [base, ours, theirs] = corpus(1000 + seed, [3, 6, 20][seed % 3]!);
      if (merge(base, ours, theirs).kind === git(base, ours, theirs, []).kind) same++;
    }
    expect(same).toBeGreaterThanOrEqual(143);
  });

  test("the same text in the style diff3 and for union", () => {
    for (let seed = 0; seed < 60; seed++) {
      const [base, ours, theirs] = corpus(2000 + seed, 0);
      expect(merge(base, ours, theirs, { style: "diff3" }).text).toBe(
        git(base, ours, theirs, ["--diff3"]).text,
      );
      expect(merge(base, ours, theirs, { strategy: "union" }).text).toBe(
        git(base, ours, theirs, ["--union"]).text,
      );
    }
  });
});
