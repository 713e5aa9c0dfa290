import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { listConflicts, readConflict } from "../../src/core/workspace/commands/conflicts.ts";
import { resolveConflicts } from "../../src/core/workspace/commands/resolve.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { at, paths, type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

let spaces: TestWorkspaces;
let a: TestWorkspace;
let b: TestWorkspace;
beforeEach(() => {
  spaces = new TestWorkspaces();
});
afterEach(async () => {
  await spaces[Symbol.asyncDispose]();
});

const NINE = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();

async function start(files: Parameters<TestWorkspaces["init"]>[0]): Promise<void> {
  a = await spaces.init(files);
  await a.land("first");
  b = await spaces.clone(a);
}

test("sync takes changes, merges edits of other lines and leaves the rest", async () => {
  await start({ f: NINE, g: "g\n", h: "h\n", gone: "x\n" });
  a.write({ f: NINE.replace("1", "one"), g: "new g\n", "sub/new": "n\n" });
  a.remove("gone");
  await a.land("a");
  b.write({ f: NINE.replace("9", "nine"), own: "mine\n" });
  const result = await syncWorkspace(b.ws);
  expect(result).toEqual({ position: 2, updated: ["g", "gone", "sub/new"], merged: ["f"], conflicts: [] });
  expect(b.files()).toEqual({
    f: NINE.replace("1", "one").replace("9", "nine"),
    g: "new g\n",
    h: "h\n",
    "sub/new": "n\n",
    own: "mine\n",
  });
  expect(await b.changes()).toEqual(["modify f", "add own"]);
  expect(await syncWorkspace(b.ws)).toMatchObject({ position: 2, updated: [] });
});

test("sync goes no further than --to and never back", async () => {
  await start({ f: "1\n" });
  for (const content of ["2\n", "3\n"]) {
    a.write({ f: content });
    await a.land(content);
  }
  expect(await syncWorkspace(b.ws, { to: at(2) })).toMatchObject({ position: 2, updated: ["f"] });
  await expect(syncWorkspace(b.ws, { to: at(1) })).rejects.toMatchObject({ code: "out-of-range" });
  await expect(syncWorkspace(b.ws, { to: at(9) })).rejects.toMatchObject({ code: "out-of-range" });
});

test("the same edit on both sides is no conflict and no change afterwards", async () => {
  await start({ f: "1\n" });
  a.write({ f: "2\n", added: "same\n" });
  await a.land("a");
  b.write({ f: "2\n", added: "same\n" });
  expect(await syncWorkspace(b.ws)).toMatchObject({ position: 2, conflicts: [] });
  expect(await b.changes()).toEqual([]);
});

test("overlapping text is a conflict with markers, and its three versions can be read", async () => {
  await start({ f: NINE });
  a.write({ f: NINE.replace("5", "five") });
  await a.land("a");
  b.write({ f: NINE.replace("5", "FUENF").replace("9", "nine") });
  expect(await syncWorkspace(b.ws)).toMatchObject({ position: 2, conflicts: ["f"] });
  expect(b.position).toBe(2);
  expect(b.read("f")).toContain("<<<<<<< workspace\nFUENF\n=======\nfive\n>>>>>>> @2\n");
  expect(b.read("f")).toContain("nine");
  expect(listConflicts(b.ws)).toMatchObject([{ path: "f", kind: "content" }]);
  const content = await readConflict(b.ws, paths("f")[0]!);
  expect(text(content.base)).toBe(NINE);
  expect(text(content.ours)).toBe(NINE.replace("5", "FUENF").replace("9", "nine"));
  expect(text(content.theirs)).toBe(NINE.replace("5", "five"));
  await expect(b.land("b")).rejects.toMatchObject({ code: "conflict", data: { paths: ["f"] } });
});

test.each([
  ["ours", NINE.replace("5", "FUENF").replace("1", "one")],
  ["theirs", NINE.replace("5", "five").replace("1", "one")],
  ["union", NINE.replace("5", "FUENF\nfive").replace("1", "one")],
] as const)("resolve --%s decides the overlap and keeps what merged", async (strategy, expected) => {
  await start({ f: NINE });
  a.write({ f: NINE.replace("5", "five").replace("1", "one") });
  await a.land("a");
  b.write({ f: NINE.replace("5", "FUENF") });
  await syncWorkspace(b.ws);
  expect(await resolveConflicts(b.ws, paths("f"), strategy)).toEqual({ resolved: ["f"], remaining: [] });
  expect(b.read("f")).toBe(expected);
  if (strategy === "theirs") expect(await b.changes()).toEqual([]);
  else expect(await b.land("b")).toMatchObject({ position: 3 });
});

test("resolve --mark is refused while markers remain and accepts the edited file", async () => {
  await start({ f: "1\n", g: "1\n" });
  a.write({ f: "2\n", g: "2\n" });
  await a.land("a");
  b.write({ f: "3\n", g: "3\n" });
  await syncWorkspace(b.ws);
  await expect(resolveConflicts(b.ws, "all", "mark")).rejects.toMatchObject({ code: "conflict" });
  b.write({ f: "settled\n" });
  expect(await resolveConflicts(b.ws, paths("f"), "mark")).toEqual({ resolved: ["f"], remaining: ["g"] });
  expect(await resolveConflicts(b.ws, "all", { bytes: Buffer.from("given\n") })).toMatchObject({
    remaining: [],
  });
  expect(await b.land("b")).toMatchObject({ position: 3, changes: 2 });
  await syncWorkspace(a.ws);
  expect(a.files()).toEqual({ f: "settled\n", g: "given\n" });
});

test("deletions against changes are conflicts that leave our side in place", async () => {
  await start({ f: "1\n", g: "1\n" });
  a.write({ f: "2\n" });
  a.remove("g");
  await a.land("a");
  b.remove("f");
  b.write({ g: "mine\n" });
  expect(await syncWorkspace(b.ws)).toMatchObject({ conflicts: ["f", "g"] });
  expect(listConflicts(b.ws).map(({ kind }) => kind)).toEqual(["deleted-by-us", "deleted-by-them"]);
  expect(b.files()).toEqual({ g: "mine\n" });
  expect(await b.changes()).toEqual(["delete f", "add g"]);
  await resolveConflicts(b.ws, paths("f"), "theirs");
  await resolveConflicts(b.ws, paths("g"), "theirs");
  expect(b.files()).toEqual({ f: "2\n" });
  expect(await b.changes()).toEqual([]);
});

test("binary files, links and modes: what cannot be merged is a conflict, modes merge", async () => {
  const bytes = (n: number) => Buffer.from([0, 1, 2, n]);
  await start({ bin: bytes(1), link: { link: "a" }, tool: "1\n2\n3\n4\n5\n" });
  a.write({ bin: bytes(2), link: { link: "b" }, tool: { run: "1\n2\n3\n4\n5\n" } });
  await a.land("a");
  b.write({ bin: bytes(3), link: { link: "c" }, tool: "one\n2\n3\n4\n5\n" });
  expect(await syncWorkspace(b.ws)).toMatchObject({ conflicts: ["bin", "link"], merged: ["tool"] });
  expect(b.files()).toMatchObject({ link: "-> c", tool: "* one\n2\n3\n4\n5\n" });
  await resolveConflicts(b.ws, "all", "theirs");
  expect(b.files()).toMatchObject({ link: "-> b", bin: bytes(2).toString() });
});

test("a file of ours where the project has a directory, and the reverse, are conflicts", async () => {
  await start({ keep: "k\n" });
  a.write({ "x/inner": "theirs\n", y: "theirs\n" });
  await a.land("a");
  b.write({ x: "mine\n", "y/inner": "mine\n" });
  expect(await syncWorkspace(b.ws)).toMatchObject({ position: 2, conflicts: ["x/inner", "y"] });
  expect(b.files()).toEqual({ keep: "k\n", x: "mine\n", "y/inner": "mine\n" });
  await resolveConflicts(b.ws, paths("x/inner"), "theirs");
  expect(b.files()).toMatchObject({ "x/inner": "theirs\n" });
  await resolveConflicts(b.ws, paths("y"), "ours");
  expect(b.files()).toMatchObject({ "y/inner": "mine\n" });
  expect(await b.changes()).toEqual(["delete y", "add y/inner"]);
  expect(await b.land("b")).toMatchObject({ position: 3 });
});

test("syncing again over an untouched conflict merges anew; over an edited one keeps the edit", async () => {
  await start({ f: "1\n", g: "1\n" });
  a.write({ f: "2\n", g: "2\n" });
  await a.land("a");
  b.write({ f: "mine\n", g: "mine\n" });
  await syncWorkspace(b.ws);
  b.write({ g: "half resolved\n" });
  a.write({ f: "3\n", g: "3\n" });
  await a.land("a again");
  expect(await syncWorkspace(b.ws)).toMatchObject({ position: 3, conflicts: ["f", "g"] });
  expect(b.read("f")).toContain("mine\n=======\n3\n");
  expect(b.read("f")).not.toContain("2\n=======");
  expect(b.read("g")).toBe("half resolved\n");
  expect(text((await readConflict(b.ws, paths("g")[0]!)).theirs)).toBe("3\n");
});

test("conflict state and its contents survive without the forge", async () => {
  await start({ f: "1\n" });
  a.write({ f: "2\n" });
  await a.land("a");
  b.write({ f: "3\n" });
  await syncWorkspace(b.ws);
  const offline = spaces.open(b.dir, {
    openForge: () => Promise.reject(new Error("the forge was asked")),
  });
  expect(text((await readConflict(offline.ws, paths("f")[0]!)).theirs)).toBe("2\n");
  expect(text((await readConflict(offline.ws, paths("f")[0]!)).ours)).toBe("3\n");
});

test("an ignored file that the project now has is not overwritten", async () => {
  await start({ ".micignore": "build\n" });
  mkdirSync(join(b.dir, "build"));
  writeFileSync(join(b.dir, "build/out"), "local\n");
  a.write({ ".micignore": "", "build/out": "project\n" });
  await a.land("a");
  expect(await syncWorkspace(b.ws)).toMatchObject({ conflicts: ["build/out"] });
  expect(text((await readConflict(b.ws, paths("build/out")[0]!)).ours)).toBe("local\n");
});
