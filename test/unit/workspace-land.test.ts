import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { gotoPosition } from "../../src/core/workspace/commands/goto.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { at, paths, TestWorkspaces } from "../support/workspaces.ts";

let spaces: TestWorkspaces;
beforeEach(() => {
  spaces = new TestWorkspaces();
});
afterEach(async () => {
  await spaces[Symbol.asyncDispose]();
});

const TREE = {
  "a.txt": "one\n",
  "dir/b.txt": "two\n",
  "dir/deep/c.txt": "three\n",
  "dir/deep/empty": "",
  tool: { run: "#!/bin/sh\n" },
  link: { link: "dir/b.txt" },
  "é 日本.txt": "unicode\n",
} as const;

test("a landing takes every change and leaves the workspace clean at its position", async () => {
  const a = await spaces.init(TREE);
  const result = await a.land("first");
  expect(result).toMatchObject({ position: 1, changes: 7, conflicts: [], dryRun: false });
  expect(a.position).toBe(1);
  expect(await a.changes()).toEqual([]);
  const clone = await spaces.clone(a);
  expect(clone.files()).toEqual(a.files());
  expect(await clone.changes()).toEqual([]);
});

test("landing without changes is refused unless it is allowed", async () => {
  const a = await spaces.init();
  await expect(a.land("nothing")).rejects.toMatchObject({ code: "nothing-to-land" });
  expect(await a.land("nothing", { allowEmpty: true })).toMatchObject({ position: 1, changes: 0 });
});

test("a dry run lands nothing", async () => {
  const a = await spaces.init({ f: "x" });
  expect(await a.land("try", { dryRun: true })).toMatchObject({ position: 0, changes: 1, dryRun: true });
  expect(await a.changes()).toEqual(["add f"]);
});

test("--path lands only what is below the path", async () => {
  const a = await spaces.init({ "x/a": "1", "y/b": "2" });
  await a.land("x only", { paths: paths("x") });
  expect(await a.changes()).toEqual(["add y/b"]);
});

test("two workspaces that change the same path: the second conflicts and nothing of it changes", async () => {
  const a = await spaces.init({ f: "base\n", g: "base\n" });
  await a.land("first");
  const b = await spaces.clone(a);
  a.write({ f: "from a\n" });
  await a.land("a");
  b.write({ f: "from b\n", g: "also b\n" });
  const before = b.files();
  await expect(b.land("b")).rejects.toMatchObject({ code: "conflict", data: { paths: ["f"] } });
  expect(b.files()).toEqual(before);
  expect(b.position).toBe(1);
  expect(b.ws.loadPending()).toBeUndefined();
});

test("a landing brings in what others landed meanwhile, and the next landing does not revert it", async () => {
  const a = await spaces.init({ f: "base\n", g: "base\n", h: "base\n" });
  await a.land("first");
  const b = await spaces.clone(a);
  a.write({ f: "from a\n" });
  a.remove("h");
  await a.land("a");
  b.write({ g: "from b\n" });
  expect(await b.land("b")).toMatchObject({ position: 3, changes: 1, conflicts: [] });
  expect(b.files()).toEqual({ f: "from a\n", g: "from b\n" });
  expect(await b.changes()).toEqual([]);
  await syncWorkspace(a.ws);
  expect(a.files()).toEqual(b.files());
});

test("edits left out by --path are merged with what others landed", async () => {
  const lines = (first: string, last: string) => `${first}\n2\n3\n4\n5\n6\n7\n8\n${last}\n`;
  const a = await spaces.init({ f: lines("1", "9"), g: "base\n", k: "base\n" });
  await a.land("first");
  const b = await spaces.clone(a);
  a.write({ f: lines("one", "9"), k: "from a\n" });
  await a.land("a");
  b.write({ f: lines("1", "nine"), k: "from b\n", g: "from b\n" });
  const result = await b.land("only g", { paths: paths("g") });
  expect(result).toMatchObject({ position: 3, changes: 1, conflicts: ["k"] });
  expect(b.read("f")).toBe(lines("one", "nine"));
  expect(b.read("k")).toContain("<<<<<<<");
  expect(await b.changes()).toEqual(["modify f", "modify k"]);
  await expect(b.land("all")).rejects.toMatchObject({ code: "conflict", data: { paths: ["k"] } });
  expect(await b.land("f", { paths: paths("f") })).toMatchObject({ position: 4 });
});

test("--sync merges and retries; it stops where hunks overlap", async () => {
  const a = await spaces.init({ f: "1\n2\n3\n4\n5\n6\n7\n" });
  await a.land("first");
  const b = await spaces.clone(a);
  const c = await spaces.clone(a);
  a.write({ f: "one\n2\n3\n4\n5\n6\n7\n" });
  await a.land("a");
  b.write({ f: "1\n2\n3\n4\n5\n6\nseven\n" });
  expect(await b.land("b", { syncAttempts: 3 })).toMatchObject({ position: 3 });
  expect(b.read("f")).toBe("one\n2\n3\n4\n5\n6\nseven\n");
  c.write({ f: "uno\n2\n3\n4\n5\n6\n7\n" });
  await expect(c.land("c", { syncAttempts: 3 })).rejects.toMatchObject({
    code: "conflict",
    data: { paths: ["f"] },
  });
  expect(c.position).toBe(3);
  expect(c.ws.conflicts.map((conflict) => conflict.path)).toEqual(["f"]);
});

test("file and directory swaps, mode flips and renames land and come back", async () => {
  const a = await spaces.init(TREE);
  await a.land("first");
  const first = a.files();
  a.remove("dir", "link", "tool");
  a.write({ dir: "a file now\n", "link/x": "a directory now\n", tool: "#!/bin/sh\n", "moved.txt": "one\n" });
  a.remove("a.txt");
  await a.land("second");
  const second = a.files();
  const clone = await spaces.clone(a, { at: 1 });
  expect(clone.files()).toEqual(first);
  await gotoPosition(clone.ws, at(2));
  expect(clone.files()).toEqual(second);
  expect(await clone.changes()).toEqual([]);
  await gotoPosition(clone.ws, at(1));
  expect(clone.files()).toEqual(first);
  expect(await clone.changes()).toEqual([]);
  await gotoPosition(clone.ws, at(0));
  expect(clone.files()).toEqual({});
});

test("a large new file is refused unless it is allowed; a chunked one lands, changes and comes back", async () => {
  const big = Buffer.alloc(3_000_000, "0123456789abcdef\n");
  for (let i = 0; i < big.length; i += 97) big[i] = i % 251;
  const a = await spaces.init({ big });
  await a.land("big");
  const b = await spaces.clone(a);
  expect(b.read("big") === big.toString("utf8")).toBe(true);
  big[1_500_000] = 1;
  a.write({ big });
  await a.land("bigger");
  await syncWorkspace(b.ws);
  expect(b.read("big") === big.toString("utf8")).toBe(true);
  expect(await b.changes()).toEqual([]);
});

test("the workspace can be moved: its forge goes with it", async () => {
  const a = await spaces.init({ f: "x" });
  await a.land("first");
  const dir = spaces.newDir();
  rmSync(dir, { recursive: true });
  const { renameSync } = await import("node:fs");
  renameSync(a.dir, dir);
  const moved = spaces.open(dir);
  moved.write({ f: "y" });
  expect(await moved.land("second")).toMatchObject({ position: 2 });
});

test("nothing is left in .mic but its own files", async () => {
  const a = await spaces.init(TREE);
  await a.land("first");
  const b = await spaces.clone(a);
  b.write({ "a.txt": "changed" });
  await b.land("second");
  await gotoPosition(b.ws, at(1));
  const names = readdirSync(join(b.dir, ".mic")).sort();
  expect(names).toEqual([
    "index",
    "latest-known",
    "lock",
    "objects",
    "operations",
    "settings",
    "stamp",
    "tmp",
  ]);
  expect(readdirSync(join(b.dir, ".mic/tmp"))).toEqual([]);
  expect(existsSync(join(a.dir, ".mic/objects"))).toBe(false);
});
