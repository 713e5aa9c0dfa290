import { describe, expect, test } from "vitest";
import { compileGlob } from "../../src/core/workspace/scan/glob.ts";
import { isPathIgnored } from "../../src/core/workspace/scan/ignore.ts";
import { temporaryWorkspace } from "../support/temporary-workspace.ts";

describe("compileGlob()", () => {
  test.each([
    "((((a*)*)*)*)b",
    "a*a*a*a*a*a*a*a*a*a*a*a*b",
    "**/**/**/**/**/a/**/**/b",
    "*a*a*a*a*a*a*c",
    "[a]*[a]*[a]*b",
  ])("matches %s in time linear in the text", (pattern) => {
    const glob = compileGlob(pattern, { crossSlash: false });
    const time = (length: number): number => {
      const text = "a".repeat(length);
      const startedMs = performance.now();
      for (let i = 0; i < 5; i++) expect(glob.matches(text)).toBe(false);
      return performance.now() - startedMs;
    };
    time(1000);
    // A backtracking matcher does not come back from this at all.
    expect(time(100_000)).toBeLessThan(5000);
  });

  test("stops * at a slash and lets ** pass whole components only", () => {
    const matches = (pattern: string, text: string) =>
      compileGlob(pattern, { crossSlash: false }).matches(text);
    expect(matches("a/*/c", "a/b/c")).toBe(true);
    expect(matches("a/*/c", "a/b/b/c")).toBe(false);
    expect(matches("a/**/c", "a/c")).toBe(true);
    expect(matches("a/**/c", "a/b/b/c")).toBe(true);
    expect(matches("x**/c", "xa/b/c")).toBe(false);
    expect(compileGlob("*c", { crossSlash: true }).matches("a/b/c")).toBe(true);
  });

  test("matches a malformed pattern with nothing", () => {
    for (const pattern of ["[", "[a", "[[:nope:]]", "a\\"]) {
      const glob = compileGlob(pattern, { crossSlash: false });
      for (const text of ["", "[", "a", "[a", "a\\"]) expect(glob.matches(text)).toBe(false);
    }
  });
});

describe("isPathIgnored()", () => {
  test("lets .micignore win over .gitignore in the same directory, and a deeper file over both", () => {
    using ws = temporaryWorkspace();
    ws.write(".gitignore", "*.log\n*.tmp\n");
    ws.write(".micignore", "!keep.log\n*.dat\n");
    ws.write("sub/.gitignore", "!*.dat\nkeep.log\n");
    const ignored = (path: string) => isPathIgnored(ws.root, path, false);
    expect(ignored("a.log")).toBe(true);
    expect(ignored("keep.log")).toBe(false);
    expect(ignored("sub/keep.log")).toBe(true);
    expect(ignored("a.dat")).toBe(true);
    expect(ignored("sub/a.dat")).toBe(false);
    expect(ignored("sub/a.tmp")).toBe(true);
  });

  test("brings nothing back from an ignored directory", () => {
    using ws = temporaryWorkspace();
    ws.write(".micignore", "build/\n");
    ws.write("build/.micignore", "!*\n");
    expect(isPathIgnored(ws.root, "build/a", false)).toBe(true);
    expect(isPathIgnored(ws.root, "build", false)).toBe(false);
  });

  test("takes no rules from a symlink or a directory", () => {
    using ws = temporaryWorkspace();
    ws.write("rules", "*\n");
    ws.link(".gitignore", "rules");
    ws.makeDirectory(".micignore");
    expect(isPathIgnored(ws.root, "a", false)).toBe(false);
  });
});
