import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { parseTreePath, type TreePath } from "../../src/core/base/path.ts";
import type { FetchItem, Forge } from "../../src/core/forge/forge.ts";
import {
  checkCollisions,
  checkTreePaths,
  foldName,
  NO_FOLDING,
} from "../../src/core/workspace/checkout/guard.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { gotoPosition } from "../../src/core/workspace/commands/goto.ts";
import { linkWorkspace } from "../../src/core/workspace/commands/link.ts";
import { restorePaths } from "../../src/core/workspace/commands/restore.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { trackPaths, untrackPaths } from "../../src/core/workspace/commands/track.ts";
import { fileError } from "../../src/core/workspace/disk/file-error.ts";
import { SafePaths } from "../../src/core/workspace/disk/safe-paths.ts";
import { at, paths, TestWorkspaces } from "../support/workspaces.ts";

let spaces: TestWorkspaces;
beforeEach(() => {
  spaces = new TestWorkspaces();
});
afterEach(async () => {
  await spaces[Symbol.asyncDispose]();
});

/** A forge that slips one more path into every list of changes. */
function smuggling(forge: Forge, path: string): Forge {
  const entry = { kind: "file", size: 5, id: hashObject(Buffer.from("evil\n")) } as const;
  const change = { path: path as TreePath, before: undefined, after: { entry, hint: 1 } };
  return new Proxy(forge, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      if (key === "fetch") {
        return async function* (...args: Parameters<Forge["fetch"]>): AsyncIterable<FetchItem> {
          let isDone = false;
          for await (const item of target.fetch(...args)) {
            if (item.kind !== "changes" && !isDone) {
              isDone = true;
              yield { kind: "changes", changes: [change] };
            }
            yield item;
          }
        };
      }
      if (key === "diff") {
        return async function* (...args: Parameters<Forge["diff"]>) {
          yield* target.diff(...args);
          yield [change];
        };
      }
      return value.bind(target);
    },
  });
}

describe("a tree with a path that must not be written", () => {
  test.each([
    "../x",
    "/etc/x",
    "a/../b",
    "a//b",
    "./a",
    ".mic/x",
    ".git/hooks/post-checkout",
    "sub/.GIT/config",
    ".g\u200cit/x",
    "git~1/x",
    ".git./x",
    "a\\b",
    "c:x",
    "x 4099",
  ])("clone, goto and sync of %j write nothing", async (name) => {
    const path = name === "x 4099" ? `${"d/".repeat(2049)}x` : name;
    const a = await spaces.init({ f: "1\n" });
    await a.land("first");
    const b = await spaces.clone(a);
    a.write({ f: "2\n", z: "2\n" });
    await a.land("second");
    const forge = await spaces.openForge(a.ws.forgeAddress, false);
    const evil = { openForge: async () => smuggling(forge, path) };
    const refused = { code: expect.stringMatching(/unsafe-path|too-large|corrupt/) };
    const dir = spaces.newDir();
    const options = { address: a.ws.forgeAddress, projectName: a.ws.settings.projectName, dir };
    await expect(cloneWorkspace(options, spaces.context(evil))).rejects.toMatchObject(refused);
    expect(readdirSync(dir)).toEqual([".mic"]);
    expect(existsSync(join(dir, ".mic/staging"))).toBe(false);
    await expect(gotoPosition(spaces.open(b.dir, evil).ws, at(2))).rejects.toMatchObject(refused);
    await expect(syncWorkspace(spaces.open(b.dir, evil).ws)).rejects.toMatchObject(refused);
    expect(b.files()).toEqual({ f: "1\n" });
    expect(b.position).toBe(1);
    await syncWorkspace(spaces.open(b.dir).ws);
    expect(b.files()).toEqual(a.files());
  });
});

describe("checkTreePaths()", () => {
  const rules = { folding: NO_FOLDING, windows: false };
  test("refuses a file that is also a directory, and paths out of order", () => {
    expect(() => checkTreePaths(paths("a", "a/b"), rules)).toThrow(/both a file and a directory/);
    expect(() => checkTreePaths(paths("b", "a"), rules)).toThrow(/not in order/);
    expect(() => checkTreePaths(paths("a", "a"), rules)).toThrow(/not in order/);
    checkTreePaths(paths("a/b", "a.b", "ab"), rules);
  });

  test.each(["CON", "nul.txt", "x/aux.c", "com1", "ab:c", "dot.", "space ", "q?"])(
    "refuses %j on Windows only",
    (name) => {
      checkTreePaths(paths(name), rules);
      expect(() => checkTreePaths(paths(name), { ...rules, windows: true })).toThrow(/Windows/);
    },
  );
});

describe("checkCollisions()", () => {
  const folds = { folding: { case: true, normalization: true }, windows: false };
  test.each([[["README", "readme"]], [["caf\u00e9", "cafe\u0301"]], [["Dir/a", "dir/b"]], [["A", "a/hook"]]])(
    "refuses %j where the file system folds them",
    (names) => {
      const tree = names.map(parseTreePath);
      expect(() => checkCollisions(tree, folds)).toThrow(MicError);
      checkCollisions(tree, { folding: NO_FOLDING, windows: false });
    },
  );

  test("accepts names that only look alike", () => {
    checkCollisions(paths("a", "b", "dir/a", "dir/b", "dir.a"), folds);
    expect(foldName("STRASSE", folds.folding)).toBe(foldName("straße", folds.folding));
  });
});

test("a clone to a folding file system refuses README beside readme", async () => {
  const a = await spaces.init({ README: "1\n", x: "x\n" });
  await a.land("first");
  const b = await spaces.clone(a);
  b.ws.saveSettings({ ...b.ws.settings, folding: { case: true, normalization: true } });
  a.write({ readme: "2\n" });
  await a.land("second");
  await expect(syncWorkspace(b.ws)).rejects.toMatchObject({ code: "unsafe-path" });
  expect(b.files()).toEqual({ README: "1\n", x: "x\n" });
  a.remove("README");
  await a.land("renamed");
  expect(await syncWorkspace(b.ws)).toMatchObject({ position: 3 });
});

describe("links are never followed", () => {
  test("a directory that the user replaced by a link is in the way", async () => {
    const a = await spaces.init({ "d/f": "1\n", g: "1\n" });
    await a.land("first");
    const b = await spaces.clone(a);
    a.write({ "d/f": "2\n", "d/new": "2\n" });
    await a.land("second");
    const outside = spaces.newDir();
    b.remove("d");
    symlinkSync(outside, join(b.dir, "d"));
    await expect(gotoPosition(b.ws, at(2))).rejects.toMatchObject({ code: "dirty", data: { paths: ["d"] } });
    expect(await syncWorkspace(b.ws)).toMatchObject({ conflicts: ["d/f", "d/new"] });
    expect(readdirSync(outside)).toEqual([]);
  });

  test.each([true, false])(
    "a directory swapped for a link under our hands leads nowhere (handles: %s)",
    (handles) => {
      const root = spaces.newDir();
      const outside = spaces.newDir();
      mkdirSync(join(root, "d/e"), { recursive: true });
      using safe = new SafePaths(root, handles);
      expect(safe.locate("d/e/f", false)).toBeDefined();
      renameSync(join(root, "d"), join(root, "old"));
      symlinkSync(outside, join(root, "d"));
      mkdirSync(join(outside, "e"));
      if (handles) {
        mkdirSync(safe.locate("d/e/made", false)!);
        expect(readdirSync(join(outside, "e"))).toEqual([]);
        expect(readdirSync(join(root, "old/e"))).toEqual(["made"]);
      } else {
        expect(() => safe.locate("d/e/f", false)).toThrow(MicError);
      }
      using fresh = new SafePaths(root, handles);
      expect(() => fresh.locate("d/e/f", true)).toThrow(/not a directory/);
      expect(fresh.locate("missing/f", false)).toBeUndefined();
      expect(fresh.locate("made/deep/f", true)).toBeDefined();
      expect(existsSync(join(root, "made/deep"))).toBe(true);
    },
  );
});

test("untracked files in the way are refused and listed, identical ones taken", async () => {
  const a = await spaces.init({ keep: "1\n" });
  await a.land("first");
  const b = await spaces.clone(a);
  a.write({ "d/x": "x\n", "e/f": "f\n", same: "same\n" });
  await a.land("second");
  b.write({ d: "in the way\n", "e/f/g": "in the way\n", same: "same\n" });
  await expect(gotoPosition(b.ws, at(2))).rejects.toMatchObject({
    code: "dirty",
    data: { paths: ["d", "e/f/g"] },
  });
  expect(b.files()).toEqual({ keep: "1\n", d: "in the way\n", "e/f/g": "in the way\n", same: "same\n" });
  await gotoPosition(b.ws, at(2), { discard: true });
  expect(b.files()).toEqual(a.files());
});

test("a clone needs an empty directory, and link takes one with files", async () => {
  const a = await spaces.init({ f: "1\n", g: "1\n" });
  await a.land("first");
  const dir = spaces.newDir();
  const linked = spaces.open(a.dir);
  const options = { address: a.ws.forgeAddress, projectName: a.ws.settings.projectName, dir };
  await cloneWorkspace({ ...options, paths: paths("f") }, spaces.context());
  expect(spaces.open(dir).files()).toEqual({ f: "1\n" });
  await expect(linkWorkspace(options, spaces.context())).rejects.toMatchObject({ code: "already-exists" });
  rmSync(join(dir, ".mic"), { recursive: true });
  await expect(cloneWorkspace(options, spaces.context())).rejects.toMatchObject({ code: "already-exists" });
  await linkWorkspace(options, spaces.context());
  expect(await spaces.open(dir).changes()).toEqual(["delete g"]);
  await restorePaths(spaces.open(dir).ws, paths("g"));
  expect(spaces.open(dir).files()).toEqual(linked.files());
});

test("a sparse clone sees, syncs and lands only its paths", async () => {
  const a = await spaces.init({ "x/a": "1\n", "y/b": "1\n", top: "1\n" });
  await a.land("first");
  const b = await spaces.clone(a, { paths: ["x"] });
  expect(b.files()).toEqual({ "x/a": "1\n" });
  expect(await b.changes()).toEqual([]);
  a.write({ "x/a": "2\n", "y/b": "2\n" });
  await a.land("second");
  await syncWorkspace(b.ws);
  expect(b.files()).toEqual({ "x/a": "2\n" });
  b.write({ "x/c": "3\n" });
  await b.land("third");
  await syncWorkspace(a.ws);
  expect(a.files()).toEqual({ "x/a": "2\n", "x/c": "3\n", "y/b": "2\n", top: "1\n" });
});

test("untrack deletes from the project and leaves the file; track brings an ignored one in", async () => {
  const a = await spaces.init({ "out/log": "1\n", f: "1\n" });
  await a.land("first");
  expect(await untrackPaths(a.ws, paths("out/log"))).toEqual({
    paths: ["out/log"],
    ignoreFiles: [".micignore"],
  });
  expect(await a.changes()).toEqual(["add .micignore", "delete out/log"]);
  await a.land("untracked");
  expect(await a.changes()).toEqual([]);
  expect(a.read("out/log")).toBe("1\n");
  expect((await spaces.clone(a)).files()).toEqual({ ".micignore": "/out/log\n", f: "1\n" });
  await trackPaths(a.ws, paths("out"));
  expect(await a.changes()).toEqual(["add out/log"]);
  await a.land("tracked");
  a.write({ "out/log": "2\n" });
  expect(await a.changes()).toEqual(["modify out/log"]);
  await expect(untrackPaths(a.ws, paths("nope"))).rejects.toMatchObject({ code: "not-found" });
});

test("files keep their content when a move is refused by the system, and the move is finished later", async () => {
  const a = await spaces.init({ "d/f": "1\n", g: "1\n" });
  await a.land("first");
  a.write({ "d/f": "2\n", g: "2\n" });
  await a.land("second");
  const error = fileError(
    Object.assign(new Error("x"), { code: "ENOSPC" }),
    "goto stopped",
    "free some space",
  );
  expect(error).toMatchObject({
    code: "internal",
    kind: "retry",
    message: /no space is left/,
    hint: "free some space",
  });
  const readOnly = () => {
    throw Object.assign(new Error("EROFS"), { code: "EROFS" });
  };
  const failing = spaces.open(a.dir, {
    onProgress: ({ task }) => (task === "writing" ? readOnly() : undefined),
  });
  await expect(gotoPosition(failing.ws, at(1))).rejects.toMatchObject({
    message: /read-only/,
    kind: "retry",
  });
  await gotoPosition(spaces.open(a.dir).ws, at(1));
  expect(a.files()).toEqual({ "d/f": "1\n", g: "1\n" });
});

test("a special file is skipped and said, setuid bits are not landed", async () => {
  const a = await spaces.init({ f: { run: "x\n" } });
  chmodSync(join(a.dir, "f"), 0o4755);
  const { execFileSync } = await import("node:child_process");
  execFileSync("mkfifo", [join(a.dir, "pipe")]);
  await a.land("first");
  expect(spaces.warnings.join()).toContain("pipe");
  const b = await spaces.clone(a);
  expect(b.files()).toEqual({ f: "* x\n" });
  expect(readFileSync(join(b.dir, "f"), "utf8")).toBe("x\n");
});
