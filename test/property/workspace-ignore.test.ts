import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isPathIgnored } from "../../src/core/workspace/scan/ignore.ts";

let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "mic-ignore-"));
  expect(git(["init", "-q"], "").status).toBe(0);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function git(args: string[], input: string) {
  const result = spawnSync("git", args, {
    cwd: root,
    input,
    env: { PATH: process.env["PATH"] ?? "", GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_SYSTEM: "/dev/null" },
  });
  if (result.error !== undefined) throw result.error;
  return result;
}

/** Of `paths` (a trailing slash makes a directory), those that git ignores. */
function ignoredByGit(paths: readonly string[]): string[] {
  // Without the slash: with one, git matches the slash itself against the pattern.
  const input = paths.map((path) => `${path.replace(/\/$/, "")}\0`).join("");
  const result = git(["check-ignore", "-z", "--stdin", "--no-index"], input);
  expect([0, 1], result.stderr.toString()).toContain(result.status);
  const ignored = new Set(result.stdout.toString().split("\0"));
  return paths.filter((path) => ignored.has(path.replace(/\/$/, "")));
}

function ignoredByMic(paths: readonly string[]): string[] {
  return paths.filter((path) => isPathIgnored(root, path.replace(/\/$/, ""), path.endsWith("/")));
}

function compare(ignoreFiles: Readonly<Record<string, string>>, paths: readonly string[]): void {
  for (const [name, text] of Object.entries(ignoreFiles)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  // check-ignore looks at the disk to learn what is a directory.
  const made: string[] = [];
  for (const path of paths) {
    const parent = dirname(join(root, path));
    mkdirSync(parent, { recursive: true });
    made.push(path.split("/")[0]!);
    if (path.endsWith("/")) mkdirSync(join(root, path), { recursive: true });
    else writeFileSync(join(root, path), "");
  }
  try {
    expect(ignoredByMic(paths)).toEqual(ignoredByGit(paths));
  } finally {
    for (const name of [...made, ...Object.keys(ignoreFiles).map((file) => file.split("/")[0]!)]) {
      rmSync(join(root, name), { recursive: true, force: true });
    }
  }
}

const piece = fc.constantFrom(
  "a",
  "b",
  "c",
  "ab",
  "*",
  "**",
  "?",
  "[ab]",
  "[!a]",
  "[a-c]",
  "\\a",
  "\\*",
  ".",
  "[[:alpha:]]",
  "[]a]",
  "***",
  "a*b",
  "[^b-]",
  "x.o",
);
const component = fc.array(piece, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(""));
const pattern = fc
  .tuple(
    fc.constantFrom("", "", "", "!", "/", "!/", "**/", " "),
    fc.array(component, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/")),
    fc.constantFrom("", "", "/", "/**", "/*", " ", "\\ ", "\\"),
  )
  .map((parts) => parts.join(""));
const rules = fc
  .array(
    fc.oneof({ weight: 9, arbitrary: pattern }, fc.constantFrom("", "# a", "\\#a", "\\!a", "!", "/", "a\r")),
    { minLength: 1, maxLength: 5 },
  )
  .map((lines) => lines.join("\n"));

const name = fc.constantFrom(
  "a",
  "b",
  "c",
  "ab",
  "ac",
  "abc",
  "x.o",
  "aab",
  "a b",
  "#a",
  "!a",
  "a*",
  "ba",
  "-",
);
const path = fc
  .tuple(fc.array(name, { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([names, directory]) => names.join("/") + (directory ? "/" : ""));

/** One thing per path: no file is another's directory, and a directory is named once. */
function consistent(paths: readonly string[]): string[] {
  const kept: string[] = [];
  const files = new Set<string>();
  const directories = new Set<string>();
  for (const candidate of paths) {
    const plain = candidate.replace(/\/$/, "");
    const parts = plain.split("/");
    const ancestors = parts.slice(0, -1).map((_, i) => parts.slice(0, i + 1).join("/"));
    if (ancestors.some((ancestor) => files.has(ancestor)) || files.has(plain)) continue;
    if (candidate.endsWith("/") ? kept.includes(candidate) : directories.has(plain)) continue;
    for (const ancestor of ancestors) directories.add(ancestor);
    (candidate.endsWith("/") ? directories : files).add(plain);
    kept.push(candidate);
  }
  return kept;
}

test("ignore rules decide as `git check-ignore` does", () => {
  fc.assert(
    fc.property(
      rules,
      fc.option(fc.tuple(fc.constantFrom("a", "ab", "a/b"), rules), { nil: undefined }),
      fc.array(path, { minLength: 4, maxLength: 24 }),
      (top, nested, candidates) => {
        const files: Record<string, string> = { ".gitignore": top };
        const paths = consistent(candidates);
        if (nested !== undefined && !paths.includes(nested[0]) && !paths.includes("a")) {
          files[`${nested[0]}/.gitignore`] = nested[1];
        }
        compare(files, paths);
      },
    ),
    { numRuns: Number(process.env["MIC_TEST_RUNS"] ?? 120) },
  );
});

test("hand-picked rules decide as `git check-ignore` does", () => {
  const paths = [
    "foo/bar/baz",
    "foo/",
    "foobar/x",
    "doc/frotz/",
    "a/doc/frotz/",
    "a/b/c.o",
    "a/x.o",
    "build/",
    "build/keep",
    "fooa/b/bar",
    "foo/a/b/bar",
    "é",
    "日本/語",
  ];
  for (const text of [
    "foo/",
    "/foo",
    "doc/frotz/",
    "**/frotz",
    "foo/**",
    "foo/*",
    "foo/**/bar",
    "foo**/bar",
    "*.o\n!x.o",
    "build/\n!build/keep",
    "build/*\n!build/keep",
    "\ufefffoo/",
    "é",
    "日本/",
    "*/\n!foo/",
    "a/**/c.o",
    "**/a/**",
    "[",
    "[a",
    "a[",
    "foo\\",
  ]) {
    compare({ ".gitignore": text }, paths);
  }
});
