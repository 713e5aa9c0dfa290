import { describe, expect, test } from "vitest";
import type { LandResult, PositionRef } from "../../src/core/forge/forge.ts";
import type { ProjectStore } from "../../src/core/forge/project-store.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import {
  type Changes,
  EMPTY_BASE,
  landNow,
  landRequest,
  makeFixture,
  newest,
  openFixture,
} from "../support/project-fixture.ts";

const START: Changes = { f: "file", "d/x": "x", "d/y": "y" };

/** What landing `ours` on the base says after `theirs` landed one after the other. */
async function landAfter(theirs: readonly Changes[], ours: Changes): Promise<LandResult> {
  const { project } = await makeFixture();
  await landNow(project, START);
  const base = await newest(project);
  for (const changes of theirs) await landNow(project, changes);
  return project.land(landRequest(base, ours));
}

describe("a conflict", () => {
  const cases: readonly [string, readonly Changes[], Changes, readonly string[]][] = [
    ["both set a path to different content", [{ f: "1" }], { f: "2" }, ["f"]],
    ["both add a path with different content", [{ n: "1" }], { n: "2" }, ["n"]],
    ["they changed it and changed it back", [{ f: "1" }, { f: "file" }], { f: "2" }, ["f"]],
    ["they changed it and back, and we set what they had", [{ f: "1" }, { f: "file" }], { f: "1" }, ["f"]],
    ["they deleted what we changed", [{ f: undefined }], { f: "2" }, ["f"]],
    ["they changed what we delete", [{ f: "1" }], { f: undefined }, ["f"]],
    ["they added and deleted what we add", [{ n: "1" }, { n: undefined }], { n: "1" }, ["n"]],
    ["their file is our directory", [{ n: "1" }], { "n/a": "2", "n/b/c": "3", z: "4" }, ["n/a", "n/b/c"]],
    ["their file was our directory for a while", [{ n: "1" }, { n: undefined }], { "n/a": "2" }, ["n/a"]],
    ["their directory is our file", [{ "n/a": "1", "n/b": "2" }], { n: "3" }, ["n"]],
    ["their directory was our file for a while", [{ "n/a": "1" }, { "n/a": undefined }], { n: "3" }, ["n"]],
    [
      "our file replaces a directory into which they put something",
      [{ "d/new": "1" }],
      { d: "2", "d/x": undefined, "d/y": undefined },
      ["d"],
    ],
    [
      "several paths, in path order",
      [{ f: "1" }, { "d/x": "1" }],
      { "d/x": "2", "d-": "2", f: "2" },
      ["d/x", "f"],
    ],
  ];
  test.each(cases)("%s", async (_, theirs, ours, paths) => {
    expect(await landAfter(theirs, ours)).toEqual({ kind: "conflict", paths });
  });

  const harmless: readonly [string, readonly Changes[], Changes][] = [
    ["both set the same content", [{ f: "1" }], { f: "1" }],
    ["both delete it", [{ f: undefined }], { f: undefined }],
    ["neighbours", [{ "d/z": "1", "f-": "1", "d.": "1" }], { "d/x": "2", f: "2", d0: "3" }],
    [
      "they turned the file that we delete into a directory",
      [{ f: undefined, "f/a": "1" }],
      { f: undefined },
    ],
    [
      "they replaced the directory below which we delete",
      [{ "d/x": undefined, "d/y": undefined, d: "1" }],
      { "d/x": undefined },
    ],
  ];
  test.each(harmless)("is not: %s", async (_, theirs, ours) => {
    expect(await landAfter(theirs, ours)).toMatchObject({ kind: "landed" });
  });

  test("stays a conflict through every process, and names more paths as others land", async () => {
    const { project, store, clock } = await makeFixture();
    await landNow(project, START);
    const base = await newest(project);
    const request = landRequest(base, { f: "2", "d/x": "2" });
    await landNow(project, { f: "1" });
    expect(await project.land(request)).toEqual({ kind: "conflict", paths: ["f"] });
    await landNow(project, { f: "file" });
    await landNow(project, { "d/x": "1" });
    const other = openFixture(store, clock);
    expect(await other.land(request)).toEqual({ kind: "conflict", paths: ["d/x", "f"] });
  });

  test("with a base equal to the head nothing is read", async () => {
    let counting: CountingStore | undefined;
    const { project, store, clock } = await makeFixture({
      wrap: (inner) => {
        counting = new CountingStore(inner);
        return counting;
      },
    });
    for (let i = 0; i < 20; i++) await landNow(project, { [`f${i}`]: "x" });
    const other = openFixture(store, clock);
    const base = await newest(other);
    counting!.reset();
    await other.land(landRequest(base, { g: "1" }));
    // The root of the tree is in one pack.
    expect(counting!.reads).toBeLessThanOrEqual(1);
  });
});

describe("a large landing by somebody else", () => {
  const COUNT = 20_000;
  const many: Changes = Object.fromEntries(
    Array.from({ length: COUNT }, (_, i) => [`dir${i % 211}/sub/file${i}`, `content ${i % 10}`]),
  );

  async function prepared(): Promise<{ project: ProjectStore; base: PositionRef; counting: CountingStore }> {
    const { project, store, clock } = await makeFixture();
    await landNow(project, START);
    const base = await newest(project);
    await landNow(project, many);
    const counting = new CountingStore(store);
    return { project: openFixture(counting, clock), base, counting };
  }

  test("is skipped by its filters where it did not touch our paths", async () => {
    const { project, base, counting } = await prepared();
    await project.snapshot();
    counting.reset();
    const ours: Changes = { f: "1", "d/x": "2", "dir0/other": "3", "dir1/sub/other": "4" };
    const result = await project.land(landRequest(base, ours));
    expect(result).toMatchObject({ kind: "landed" });
    // Records and tree nodes; the segments of operations alone would be more than this.
    expect(counting.counts.bytesRead).toBeLessThan(300_000);
  });

  test("conflicts where it did, exactly, on either side of a file and directory", async () => {
    const { project, base } = await prepared();
    const land = (ours: Changes) => project.land(landRequest(base, ours));
    expect(await land({ "dir7/sub/file7": "other", f: "1" })).toEqual({
      kind: "conflict",
      paths: ["dir7/sub/file7"],
    });
    expect(await land({ dir9: "a file" })).toEqual({ kind: "conflict", paths: ["dir9"] });
    expect(await land({ "dir9/sub": "a file" })).toEqual({ kind: "conflict", paths: ["dir9/sub"] });
    expect(await land({ "dir7/sub/file7/below": "1" })).toEqual({
      kind: "conflict",
      paths: ["dir7/sub/file7/below"],
    });
    expect(await land({ "dir7/sub/file7": "content 7" })).toMatchObject({ kind: "landed" });
  });

  test("meets a large landing of ours", async () => {
    const { project } = await prepared();
    const ours = Object.fromEntries(Object.keys(many).map((path) => [path, "ours"]));
    const result = await project.land(landRequest(EMPTY_BASE, ours));
    expect(result.kind === "conflict" && result.paths.length).toBe(COUNT);
  });
});
