import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { concatBytes, utf8 } from "../../src/core/base/bytes.ts";
import type { EntryKind } from "../../src/core/codec/tree-entry.ts";
import { quotePath } from "../../src/core/merge/quote-path.ts";
import { diffStat, type FileChange, unifiedDiff, unifiedLines } from "../../src/core/merge/unified.ts";
import { SeededRandom } from "../support/seeded-random.ts";

interface File {
  readonly kind: EntryKind;
  readonly text: string;
}
type Files = Readonly<Record<string, File | string>>;

const many = (count: number, from = 0): string =>
  Array.from({ length: count }, (_, i) => `line ${i + from}\n`).join("");

function change(
  oldPath: string,
  before: File | string | undefined,
  newPath = oldPath,
  after: File | string | undefined = undefined,
): FileChange {
  const file = (value: File | string | undefined): File | undefined =>
    typeof value === "string" ? { kind: "file", text: value } : value;
  return {
    oldPath,
    newPath,
    oldMode: file(before)?.kind,
    newMode: file(after)?.kind,
    before: utf8(file(before)?.text ?? ""),
    after: utf8(file(after)?.text ?? ""),
  };
}

/** What a diff is made of: files before and after, and the renames among them. */
type Case = [string, Files, Files, Readonly<Record<string, string>>?];
const CASES: readonly Case[] = [
  ["a modified file", { a: many(30) }, { a: many(30).replace("line 15\n", "changed\nmore\n") }],
  [
    "hunks far apart and close together",
    { a: many(60) },
    { a: many(60).replace(/line (3|9|16|40|59)\n/g, "x$1\n") },
  ],
  ["a change at the first and at the last line", { a: many(9) }, { a: `x\n${many(7, 1)}y\n` }],
  ["a new file", {}, { "dir/new": many(3) }],
  ["a new file without a newline at its end", {}, { new: "a\nb" }],
  ["a deleted file", { old: many(3), keep: "k\n" }, { keep: "k\n" }],
  ["a deleted file without a newline at its end", { old: "x" }, {}],
  ["a new empty file", {}, { empty: "" }],
  ["a deleted empty file", { empty: "" }, {}],
  ["a file that becomes empty", { a: "x\ny\n" }, { a: "" }],
  ["an empty file that gets content", { a: "" }, { a: "x\n" }],
  ["a newline added at the end", { a: "x\ny" }, { a: "x\ny\n" }],
  ["a newline removed at the end", { a: "x\ny\n" }, { a: "x\ny" }],
  ["no newline at the end on both sides", { a: "x\ny" }, { a: "z\ny" }],
  ["a changed last line without a newline", { a: "x\ny" }, { a: "x\nz" }],
  ["CRLF and lone CR", { a: "x\r\ny\rz\r\n" }, { a: "x\r\ny\rZ\r\n" }],
  ["a mode change", { a: "x\n" }, { a: { kind: "executable", text: "x\n" } }],
  ["a mode and content change", { a: { kind: "executable", text: "x\n" } }, { a: "y\n" }],
  ["a new executable", {}, { run: { kind: "executable", text: "#!/bin/sh\n" } }],
  ["a rename", { "old/a": many(5) }, { "new/b": many(5) }, { "old/a": "new/b" }],
  [
    "a rename with edits and a mode change",
    { a: many(20) },
    { b: { kind: "executable", text: many(20).replace("line 7", "seven") } },
    { a: "b" },
  ],
  ["a rename of an empty file", { a: "" }, { b: "" }, { a: "b" }],
  ["names with spaces", { "a b": "x\n" }, { "a b": "y\n", "c d/e f": "z\n" }],
  ["a rename of names with spaces", { "a b": many(9) }, { "c d": many(8) }, { "a b": "c d" }],
  ["quotes and backslashes in names", { 'a"b': "x\n" }, { 'a"b': "y\n", "tab\there": "z\n" }],
  ["a rename to a quoted name", { plain: many(9) }, { 'new"name': many(8) }, { plain: 'new"name' }],
  ["names beyond ASCII", { "naïve/日本語": "x\n" }, { "naïve/日本語": "y\n", "нова 🎉": "z\n" }],
  ["invisible characters in names", { "a\u200bb": "x\n" }, { "a\u200bb": "y\n" }],
  [
    "content that looks like a diff",
    { a: "--- a/x\n+++ b/x\n@@ -1 +1 @@\n" },
    { a: "--- a/y\n@@ -1 +1 @@\n-- \n" },
  ],
];

const SYMLINKS: readonly Case[] = [
  ["a new symlink", {}, { link: { kind: "symlink", text: "target/file" } }],
  ["a changed symlink", { link: { kind: "symlink", text: "a" } }, { link: { kind: "symlink", text: "b" } }],
  ["a deleted symlink", { link: { kind: "symlink", text: "a" }, k: "" }, { k: "" }],
  ["a file that becomes a symlink", { a: "x\n" }, { a: { kind: "symlink", text: "b" } }],
  ["a symlink that becomes a file", { a: { kind: "symlink", text: "b" } }, { a: "x\n" }],
];

describe("unifiedDiff()", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "mic-diff-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function diffOf(before: Files, after: Files, renames: Readonly<Record<string, string>> = {}): Uint8Array {
    const renamed = new Set(Object.values(renames));
    const paths = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
      (path) => !renamed.has(path),
    );
    return concatBytes(
      paths.sort().map((path) => {
        const to = renames[path] ?? path;
        return unifiedDiff(change(path, before[path], to, after[to]));
      }),
    );
  }

  function write(files: Files): void {
    for (const [path, value] of Object.entries(files)) {
      const { kind, text } = typeof value === "string" ? { kind: "file", text: value } : value;
      const full = join(directory, path);
      mkdirSync(dirname(full), { recursive: true });
      if (kind === "symlink") symlinkSync(text, full);
      else writeFileSync(full, text);
      if (kind === "executable") chmodSync(full, 0o755);
    }
  }

  function read(): Record<string, File> {
    const files: Record<string, File> = {};
    const walk = (dir: string): void => {
      for (const name of readdirSync(join(directory, dir)).sort()) {
        if (name === ".git") continue;
        const path = dir === "" ? name : `${dir}/${name}`;
        const stat = lstatSync(join(directory, path));
        if (stat.isDirectory()) walk(path);
        else if (stat.isSymbolicLink())
          files[path] = { kind: "symlink", text: readlinkSync(join(directory, path)) };
        else {
          const kind = stat.mode & 0o100 ? "executable" : "file";
          files[path] = { kind, text: readFileSync(join(directory, path), "utf8") };
        }
      }
    };
    walk("");
    return files;
  }

  function expected(files: Files): Record<string, File> {
    return Object.fromEntries(
      Object.entries(files).map(([path, value]) => [
        path,
        typeof value === "string" ? { kind: "file" as const, text: value } : value,
      ]),
    );
  }

  test.each<Case>([...CASES, ...SYMLINKS])("git apply takes %s", (_, before, after, renames) => {
    write(before);
    const patch = diffOf(before, after, renames);
    execFileSync("git", ["apply", "--whitespace=nowarn", "-"], { cwd: directory, input: patch });
    expect(read()).toEqual(expected(after));
    // And back again.
    execFileSync("git", ["apply", "-R", "--whitespace=nowarn", "-"], { cwd: directory, input: patch });
    expect(read()).toEqual(expected(before));
  });

  test.each<Case>([...CASES, ...SYMLINKS.slice(0, 3)])("patch -p1 takes %s", (_, before, after, renames) => {
    write(before);
    const patch = diffOf(before, after, renames);
    const result = spawnSync("patch", ["-p1", "--binary", "--no-backup-if-mismatch", "-s"], {
      cwd: directory,
      input: patch,
    });
    expect(`${result.stdout}${result.stderr}`).toBe("");
    const found = read();
    // patch only ever adds what it finds in the modes of new files.
    expect(Object.keys(found).sort()).toEqual(Object.keys(after).sort());
    for (const [path, file] of Object.entries(expected(after))) expect(found[path]!.text).toBe(file.text);
  });

  test("random edits survive the way through git apply", () => {
    const random = new SeededRandom(3);
    for (let round = 0; round < 25; round++) {
      const line = (): string => ["", "  x", "a", "b", `n${random.below(9)}`][random.below(5)]!;
      const before = Array.from({ length: random.below(60) }, line);
      const after = [...before];
      for (let edit = random.below(8); edit > 0; edit--)
        after.splice(random.below(after.length + 1), random.below(4), line(), line());
      const text = (lines: string[]): string => lines.join("\n") + (random.below(3) > 0 ? "\n" : "");
      const files = { a: text(before) };
      const wanted = { a: text(after) };
      if (files.a === wanted.a) continue;
      write(files);
      const context = [0, 1, 3, 10][round % 4]!;
      const patch = unifiedDiff({ ...change("a", files.a, "a", wanted.a), context });
      execFileSync("git", ["apply", "--unidiff-zero", "--whitespace=nowarn", "-"], {
        cwd: directory,
        input: patch,
      });
      expect(readFileSync(join(directory, "a"), "utf8")).toBe(wanted.a);
    }
  });

  test("reads like git's own diff", () => {
    const before = `function one() {\n  return 1;\n}\n\n${many(6)}\nfunction two() {\n  return 2;\n}\n`;
    const patch = unifiedDiff(change("a b", before, "a b", before.replace("return 2", "return 3")));
    expect(new TextDecoder().decode(patch)).toBe(
      [
        "diff --git a/a b b/a b",
        "index 0cfa5c8472..b78c0abe5b 100644",
        "--- a/a b\t",
        "+++ b/a b\t",
        "@@ -10,5 +10,5 @@ line 4",
        " line 5",
        " ",
        " function two() {",
        "-  return 2;",
        "+  return 3;",
        " }",
        "",
      ].join("\n"),
    );
  });

  test("of equal files is empty, of a pure rename has no hunks, and says how similar", () => {
    expect(unifiedDiff(change("a", "x\n", "a", "x\n"))).toHaveLength(0);
    const renamed = { ...change("a", "x\ny\n", "b", "x\nz\n"), similarity: 52.9 };
    expect(new TextDecoder().decode(unifiedDiff(renamed))).toContain(
      "diff --git a/a b/b\nsimilarity index 52%\nrename from a\nrename to b\nindex b77b4eb1d9..206b37888d 100644\n--- a/a\n+++ b/b\n",
    );
    expect(new TextDecoder().decode(unifiedDiff(change("a", "x\n", "b", "x\n")))).toBe(
      "diff --git a/a b/b\nsimilarity index 100%\nrename from a\nrename to b\n",
    );
  });

  test("says that binary files differ", () => {
    const text = (changed: FileChange): string => new TextDecoder().decode(unifiedDiff(changed));
    expect(text(change("a b", "x\0", "a b", "y\0"))).toBe(
      "diff --git a/a b b/a b\nindex 7a002a81f2..aa4936c4ae 100644\nBinary files a/a b and b/a b differ\n",
    );
    expect(text(change("n", undefined, "n", "y\0"))).toBe(
      "diff --git a/n b/n\nnew file mode 100644\nindex 0000000000..aa4936c4ae\nBinary files /dev/null and b/n differ\n",
    );
  });

  test("passes bytes that are not UTF-8, and gives every line its kind", () => {
    const lines = [
      ...unifiedLines({
        ...change("a", "", "a", ""),
        before: Buffer.from([0xff, 0x0a]),
        after: Buffer.from([0xfe]),
      }),
    ];
    expect(lines.map(({ kind }) => kind)).toEqual([
      "header",
      "header",
      "header",
      "header",
      "hunk",
      "removed",
      "added",
      "note",
    ]);
    expect(lines[5]!.bytes).toEqual(new Uint8Array([0x2d, 0xff, 0x0a]));
    expect(lines[6]!.bytes).toEqual(new Uint8Array([0x2b, 0xfe, 0x0a]));
  });

  test("diffStat() counts lines", () => {
    expect(diffStat(utf8("a\nb\n"), utf8("a\nc\nd"))).toEqual({ added: 2, removed: 1, isBinary: false });
    expect(diffStat(utf8("a\0"), utf8("b"))).toEqual({ added: 0, removed: 0, isBinary: true });
  });

  test("names contents as git does", () => {
    execFileSync("git", ["init", "-q"], { cwd: directory });
    for (const text of ["", "x\n", "naïve\n"]) {
      const id = execFileSync("git", ["hash-object", "--stdin"], {
        cwd: directory,
        input: text,
        encoding: "utf8",
      });
      const patch = new TextDecoder().decode(unifiedDiff(change("a", undefined, "a", text)));
      expect(patch).toContain(`index 0000000000..${id.slice(0, 10)}\n`);
    }
  });
});

describe("quotePath()", () => {
  test.each([
    ["plain/path.txt", "plain/path.txt"],
    ["a b", "a b"],
    ["naïve 日本 🎉", "naïve 日本 🎉"],
    ['a"b', '"a\\"b"'],
    ["a\\b", '"a\\\\b"'],
    ["a\tb\nc", '"a\\tb\\nc"'],
    ["a\x1b[31mb", '"a\\033[31mb"'],
    ["a\x7f", '"a\\177"'],
    ["a\u202eb", '"a\\342\\200\\256b"'],
    ["\u00a0", '"\\302\\240"'],
    ['日"本', '"日\\"本"'],
  ])("%j becomes %s", (path, quoted) => {
    expect(quotePath(path)).toBe(quoted);
  });
});
