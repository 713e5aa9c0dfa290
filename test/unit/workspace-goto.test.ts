import { afterEach, beforeEach, expect, test } from "vitest";
import { gotoPosition } from "../../src/core/workspace/commands/goto.ts";
import { listOperations, redo, undo } from "../../src/core/workspace/commands/ops.ts";
import { resolveConflicts } from "../../src/core/workspace/commands/resolve.ts";
import { restorePaths } from "../../src/core/workspace/commands/restore.ts";
import { revertLanding } from "../../src/core/workspace/commands/revert.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { at, paths, type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

let spaces: TestWorkspaces;
let a: TestWorkspace;
beforeEach(async () => {
  spaces = new TestWorkspaces();
  a = await spaces.init({ f: "1\n", g: "g\n", "d/x": "x\n" });
  await a.land("first");
  a.write({ f: "2\n", "n/new": "n\n" });
  a.remove("d");
  await a.land("second");
});
afterEach(async () => {
  await spaces[Symbol.asyncDispose]();
});

const FIRST = { "d/x": "x\n", f: "1\n", g: "g\n" };
const SECOND = { f: "2\n", g: "g\n", "n/new": "n\n" };

test("goto moves files and base, back and forth", async () => {
  expect(await gotoPosition(a.ws, at(1))).toEqual({ position: 1, files: 3, conflicts: [] });
  expect(a.files()).toEqual(FIRST);
  expect(a.position).toBe(1);
  expect(await a.changes()).toEqual([]);
  await gotoPosition(a.ws, at(2));
  expect(a.files()).toEqual(SECOND);
  await expect(gotoPosition(a.ws, at(3))).rejects.toMatchObject({ code: "out-of-range" });
});

test("goto refuses over unlanded changes in its way and keeps others", async () => {
  a.write({ f: "edited\n", "d/x": "in the way\n" });
  await expect(gotoPosition(a.ws, at(1))).rejects.toMatchObject({
    code: "dirty",
    data: { paths: ["d/x", "f"] },
  });
  expect(a.files()).toEqual({ ...SECOND, f: "edited\n", "d/x": "in the way\n" });
  a.write({ f: "2\n", g: "kept\n", "d/x": "x\n" });
  await gotoPosition(a.ws, at(1));
  expect(a.files()).toEqual({ ...FIRST, g: "kept\n" });
  expect(await a.changes()).toEqual(["modify g"]);
});

test("goto --keep merges, --discard drops everything and can be undone", async () => {
  a.write({ f: "mine\n", g: "mine\n", own: "own\n" });
  const edited = a.files();
  expect(await gotoPosition(a.ws, at(1), { keep: true })).toMatchObject({ conflicts: ["f"] });
  expect(a.read("g")).toBe("mine\n");
  await undo(a.ws);
  expect(a.files()).toEqual(edited);
  expect(a.position).toBe(2);
  expect(a.ws.conflicts).toEqual([]);
  await gotoPosition(a.ws, at(1), { discard: true });
  expect(a.files()).toEqual(FIRST);
  expect(await a.changes()).toEqual([]);
  await undo(a.ws);
  expect(a.files()).toEqual(edited);
  expect(a.position).toBe(2);
  expect(await a.changes()).toEqual(["modify f", "modify g", "add own"]);
  await redo(a.ws);
  expect(a.files()).toEqual(FIRST);
});

test("goto --discard at the base drops unlanded changes", async () => {
  a.write({ f: "mine\n", own: "own\n" });
  await gotoPosition(a.ws, at(2), { discard: true });
  expect(a.files()).toEqual(SECOND);
  await undo(a.ws);
  expect(a.files()).toEqual({ ...SECOND, f: "mine\n", own: "own\n" });
});

test("goto --path writes files only; restore brings the base's back", async () => {
  await gotoPosition(a.ws, at(1), { paths: paths("f", "d") });
  expect(a.files()).toEqual({ ...SECOND, f: "1\n", "d/x": "x\n" });
  expect(a.position).toBe(2);
  expect(await a.changes()).toEqual(["add d/x", "modify f"]);
  expect(await restorePaths(a.ws, paths("f"))).toEqual({ restored: ["f"] });
  expect(a.read("f")).toBe("2\n");
  await undo(a.ws);
  expect(a.read("f")).toBe("1\n");
});

test("restore --from brings content of another position, and undo the local edit back", async () => {
  a.write({ f: "edited\n" });
  expect(await restorePaths(a.ws, paths("f", "d/x"), { from: at(1) })).toEqual({ restored: ["d/x", "f"] });
  expect(a.files()).toEqual({ ...SECOND, f: "1\n", "d/x": "x\n" });
  await undo(a.ws);
  expect(a.files()).toEqual({ ...SECOND, f: "edited\n" });
  await expect(restorePaths(a.ws, paths("nowhere"))).rejects.toMatchObject({ code: "not-found" });
});

test("restore takes the whole workspace, from the base or another position, also where there is nothing", async () => {
  a.write({ f: "edited\n" });
  expect(await restorePaths(a.ws, [""])).toEqual({ restored: ["f"] });
  const { restored } = await restorePaths(a.ws, [""], { from: at(1) });
  expect(restored.length).toBeGreaterThan(0);
  const first = a.files();
  await undo(a.ws);
  await gotoPosition(spaces.open(a.dir).ws, at(1));
  expect(a.files()).toEqual(first);
  await restorePaths(spaces.open(a.dir).ws, [""], { from: at(0) });
  expect(a.files()).toEqual({});
  await undo(spaces.open(a.dir).ws);
  await gotoPosition(spaces.open(a.dir).ws, at(0));
  expect(await restorePaths(spaces.open(a.dir).ws, [""])).toEqual({ restored: [] });
  await restorePaths(spaces.open(a.dir).ws, ["", ...paths("f")], { from: at(1) });
  expect(a.files()).toEqual(first);
  const sparse = await spaces.clone(a, { paths: ["f"] });
  await restorePaths(sparse.ws, [""], { from: at(1) });
  expect(Object.keys(sparse.files())).toEqual(["f"]);
});

test("undo after a landing says how to revert it", async () => {
  await expect(undo(a.ws)).rejects.toMatchObject({ code: "landed", hint: "mic revert 2" });
});

test("undo refuses to overwrite what was changed since", async () => {
  await gotoPosition(a.ws, at(1));
  a.write({ f: "newer\n" });
  await expect(undo(a.ws)).rejects.toMatchObject({ code: "dirty", data: { paths: ["f"] } });
  a.write({ f: "1\n" });
  await undo(a.ws);
  expect(a.files()).toEqual(SECOND);
  await expect(redo(a.ws)).resolves.toMatchObject({ position: 1 });
  await undo(a.ws);
  a.write({ g: "changed\n" });
  await restorePaths(a.ws, paths("g"));
  await expect(redo(a.ws)).rejects.toMatchObject({ code: "not-found" });
});

test("the operation log lists what was done, newest first, with what was undone", async () => {
  await gotoPosition(a.ws, at(1));
  await gotoPosition(a.ws, at(2));
  await undo(a.ws);
  expect(
    listOperations(a.ws).map(({ number, kind, from, to, undone }) => [number, kind, from, to, undone]),
  ).toEqual([
    [4, "goto", 1, 2, true],
    [3, "goto", 2, 1, false],
    [2, "land", 1, 2, false],
    [1, "land", 0, 1, false],
  ]);
});

test("undo of a sync brings back the base, the edits and no conflict", async () => {
  const b = await spaces.clone(a, { at: 1 });
  b.write({ f: "mine\n", own: "own\n" });
  const edited = b.files();
  expect(await syncWorkspace(b.ws)).toMatchObject({ conflicts: ["f"] });
  await resolveConflicts(b.ws, "all", "theirs");
  expect(b.read("f")).toBe("2\n");
  await undo(b.ws);
  expect(b.ws.conflicts.map(({ path }) => path)).toEqual(["f"]);
  expect(b.read("f")).toContain("<<<<<<<");
  await undo(b.ws);
  expect(b.files()).toEqual(edited);
  expect(b.position).toBe(1);
  expect(b.ws.conflicts).toEqual([]);
  await expect(undo(b.ws)).rejects.toMatchObject({ code: "not-found" });
});

test("revert lands the inverse and keeps later changes", async () => {
  a.write({ g: "later\n" });
  await a.land("third");
  expect(await revertLanding(a.ws, at(2))).toMatchObject({ position: 4, changes: 3 });
  expect(a.files()).toEqual({ ...FIRST, g: "later\n" });
  await expect(revertLanding(a.ws, at(2))).rejects.toMatchObject({ code: "nothing-to-land" });
  await expect(revertLanding(a.ws, at(0))).rejects.toMatchObject({ code: "out-of-range" });
});

test("a revert that overlaps with later changes leaves conflicts", async () => {
  a.write({ f: "3\n" });
  await a.land("third");
  await expect(revertLanding(a.ws, at(2))).rejects.toMatchObject({
    code: "conflict",
    data: { paths: ["f"] },
  });
  await resolveConflicts(a.ws, "all", "theirs");
  expect(await a.land("settled")).toMatchObject({ position: 4 });
  expect(a.files()).toEqual(FIRST);
});

test("a stale workspace reverts at the newest position", async () => {
  const b = await spaces.clone(a, { at: 1 });
  expect(await revertLanding(b.ws, at(2))).toMatchObject({ position: 3 });
  expect(b.files()).toEqual(FIRST);
});

test("a revert does not land unrelated edits", async () => {
  a.write({ g: "unlanded\n" });
  await revertLanding(a.ws, at(2));
  expect(await a.changes()).toEqual(["modify g"]);
  a.write({ f: "dirty\n" });
  await expect(revertLanding(a.ws, at(3))).rejects.toMatchObject({ code: "dirty" });
});
