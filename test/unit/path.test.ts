import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import {
  ancestorsOf,
  comparePaths,
  findComponentProblem,
  isForbiddenName,
  isTreePath,
  isWithin,
  keyToPath,
  parseTreePath,
  pathToKey,
  type TreePath,
} from "../../src/core/base/path.ts";

const DIRECTORIES = [".mic", ".git", ".hg", ".jj"];
/** Hostile input 4: what HFS+ and terminals do not show. */
const INVISIBLE = [
  "\u200b",
  "\u200c",
  "\u200d",
  "\u200e",
  "\u200f",
  "\u202a",
  "\u202b",
  "\u202c",
  "\u202d",
  "\u202e",
  "\u2060",
  "\u206a",
  "\u206b",
  "\u206c",
  "\u206d",
  "\u206e",
  "\u206f",
  "\ufeff",
  "\u00ad",
  "\ufe0f",
];

function expectRefused(paths: readonly string[]): void {
  for (const path of paths) {
    expect(isTreePath(path), JSON.stringify(path)).toBe(false);
    expect(() => parseTreePath(path)).toThrowError(expect.objectContaining({ code: "unsafe-path" }));
  }
}

/** At the root, below a directory, as a directory, and deep. */
function places(name: string): string[] {
  return [name, `${name}/x`, `a/${name}`, `a/b/${name}/c`];
}

describe("parseTreePath() refuses", () => {
  test("1: paths that leave the tree or have empty or dot components", () => {
    expectRefused([
      "",
      "/",
      "../x",
      "..",
      "a/..",
      "a/../b",
      "/etc/x",
      "//etc",
      "a//b",
      "a/",
      "./a",
      ".",
      "a/.",
      "a/./b",
    ]);
  });

  test("2: the directories of version control systems, at any depth", () => {
    expectRefused(DIRECTORIES.flatMap(places));
  });

  test("3: their case variants, on every platform", () => {
    expectRefused([".Mic", ".MIC", ".GIT", ".gIt", ".HG", ".Hg", ".JJ", ".jJ"].flatMap(places));
    // Letters that some file systems fold to ASCII ones.
    expectRefused([".\uff47it", ".g\uff49t", ".\uff4dic", "\u2024git", ".\u210eg"].flatMap(places));
  });

  test("4: invisible characters in them", () => {
    const disguised = INVISIBLE.flatMap((mark) =>
      DIRECTORIES.flatMap((name) => [
        `${mark}${name}`,
        `${name}${mark}`,
        `${name.slice(0, 2)}${mark}${name.slice(2)}`,
      ]),
    );
    expectRefused(disguised.flatMap(places));
    expectRefused([".g\u200cit", ".\u200d\u200cgi\ufefft"].flatMap(places));
  });

  test("5: the short names of Windows", () => {
    expectRefused(["GIT~1", "git~1", "MIC~1", "mic~2", "HG~1", "JJ~1", "Git~15"].flatMap(places));
  });

  test("6: endings that Windows drops, and streams", () => {
    const endings = [
      ".",
      " ",
      "..",
      ". .",
      " . ",
      "::$INDEX_ALLOCATION",
      ":$I30:$INDEX_ALLOCATION",
      ":x",
      ". ::$DATA",
    ];
    expectRefused(endings.flatMap((ending) => DIRECTORIES.flatMap((name) => places(`${name}${ending}`))));
    expectRefused(["GIT~1.", "git~1 ", "GIT~1::$INDEX_ALLOCATION"].flatMap(places));
  });

  test("7: backslashes and drive letters", () => {
    expectRefused(["a\\b", "\\", "..\\x", "C:x", "C:/x", "c:\\x", "Z:"]);
  });

  test("10: everything below a name that could be a link to a reserved directory, by that name", () => {
    // `s → .mic` with `s/x` is the workspace's to refuse; by path it is an ordinary name.
    expect(isTreePath("s/x")).toBe(true);
    expectRefused([".mic/forge/store.sqlite", "a/.git/hooks/post-checkout", ".git/config"]);
  });

  test("13: NUL, and text that is not Unicode", () => {
    expectRefused(["a\0b", "\0", "a/\0", "\ud800", "a\udc00b", "\udc00\ud800"]);
  });

  test("14: long paths with their own code, at once, and without repeating them", () => {
    const long = "a".repeat(70_000);
    const deep = Array(10_000).fill("d").join("/");
    const wide = "é".repeat(2049);
    for (const path of [long, deep, wide, "x".repeat(4097)]) {
      const start = performance.now();
      expect(() => parseTreePath(path)).toThrowError(expect.objectContaining({ code: "too-large" }));
      expect(performance.now() - start).toBeLessThan(10_000);
      try {
        parseTreePath(path);
      } catch (error) {
        expect((error as Error).message.length).toBeLessThan(500);
      }
    }
    expect(isTreePath("x".repeat(4096))).toBe(true);
    expect(isTreePath("é".repeat(2048))).toBe(true);
    expect(isTreePath(Array(2000).fill("d").join("/"))).toBe(true);
  });
});

describe("parseTreePath() takes", () => {
  test.each([
    "a",
    "README.md",
    "a/b/c.txt",
    ".gitignore",
    ".micignore",
    ".github/workflows/ci.yml",
    ".git2",
    ".gitx/y",
    "x.git",
    "git",
    "mic",
    "git~",
    "git~x",
    "xgit~1",
    "..a",
    "a..",
    "...",
    "a b/ c ",
    "-rf",
    "naïve/日本語/🎉",
    "e\u0301",
    "CON",
    "aux.txt",
    "ab:c",
    "line\nbreak",
    "\x1b[31m",
    "\u202eevil",
    "~/x",
    "$HOME",
    "*?<>|\"'",
  ])("%j as it is", (path) => {
    expect(parseTreePath(path)).toBe(path);
    expect(keyToPath(pathToKey(path as TreePath))).toBe(path);
    expect(findComponentProblem(path.split("/")[0]!)).toBeUndefined();
  });
});

describe("keyToPath()", () => {
  test("refuses keys of hostile trees by the same rules", () => {
    for (const key of ["", "a\0", "\0a", "a\0\0b", "..\0x", ".git\0x", "a\0.MIC", "a\\b", "a/b", "/"]) {
      expect(() => keyToPath(utf8(key)), JSON.stringify(key)).toThrowError(
        expect.objectContaining({ code: "unsafe-path" }),
      );
    }
    expect(() => keyToPath(new Uint8Array([0xff, 0x61]))).toThrowError(
      expect.objectContaining({ code: "corrupt" }),
    );
    expect(() => keyToPath(new Uint8Array([0xc0, 0xae]))).toThrowError(
      expect.objectContaining({ code: "corrupt" }),
    );
    expect(() => keyToPath(new Uint8Array(5000).fill(0x61))).toThrowError(
      expect.objectContaining({ code: "too-large" }),
    );
  });
});

describe("isForbiddenName()", () => {
  test("is about whole names", () => {
    for (const name of [".git", ".GIT ", "GIT~1", ".m\u200dic", ".hg."])
      expect(isForbiddenName(name)).toBe(true);
    for (const name of ["git", ".gi", ".gitt", "a.git", "~1", "", ".", "..."])
      expect(isForbiddenName(name)).toBe(false);
  });
});

describe("path helpers", () => {
  test("ancestorsOf() lists every directory above, outermost first", () => {
    expect(ancestorsOf("a" as TreePath)).toEqual([]);
    expect(ancestorsOf("a/b/c" as TreePath)).toEqual(["a", "a/b"]);
  });

  test("isWithin() knows a directory from a name that begins like it", () => {
    for (const [path, dir, expected] of [
      ["a/b", "a", true],
      ["a", "a", true],
      ["ab", "a", false],
      ["a", "a/b", false],
      ["a/bc", "a/b", false],
      ["x", "", true],
    ] as const) {
      expect(isWithin(path, dir), `${path} in ${dir}`).toBe(expected);
    }
  });

  test("comparePaths() puts a directory's entries right after it, before names that go on otherwise", () => {
    const sorted = [
      "a",
      "a/b",
      "a/b/c",
      "a/c",
      "a b",
      "a-b",
      "a.b",
      "a0",
      "ab",
      "\ud7ff",
      "\ue000",
      "\uffff",
      "\u{10000}",
    ];
    expect([...sorted].reverse().sort(comparePaths)).toEqual(sorted);
  });
});
