import { expect, test } from "vitest";
import { objectIdFromBytes } from "../../src/core/base/ids.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import { type IndexEntry, WorkspaceIndex } from "../../src/core/workspace/index/workspace-index.ts";
import { matchDirectories } from "../../src/core/workspace/watch/match-directories.ts";

interface Change {
  readonly id?: number;
  readonly size?: number;
  readonly mtimeMs?: number;
  readonly ctimeMs?: number;
  readonly ino?: number;
  readonly hint?: number;
  readonly kind?: "file" | "executable";
  readonly untrusted?: boolean;
}

function entry(path: string, change: Change = {}): IndexEntry {
  const size = change.size ?? 5;
  return {
    path: path as TreePath,
    entry: {
      kind: change.kind ?? "file",
      size,
      id: objectIdFromBytes(new Uint8Array(32).fill(change.id ?? 1), 0),
    },
    hint: change.hint ?? 1,
    stat: change.untrusted
      ? undefined
      : {
          mtimeMs: change.mtimeMs ?? 1000,
          ctimeMs: change.ctimeMs ?? 1000,
          size,
          ino: change.ino ?? 7,
        },
  };
}

const BEFORE = WorkspaceIndex.empty().update({
  upserts: ["a", "d/b", "d/c", "d/e/f", "x/y/z"].map((path) => entry(path)),
});

/** Paths of the directories of `after` that are the same in `BEFORE`. */
function kept(after: WorkspaceIndex): string[] {
  const matches = matchDirectories(BEFORE, after);
  return [...matches]
    .map((old, dir) => ({ old, path: after.directoryPath(dir) }))
    .filter(({ old, path }) => {
      if (old !== -1) expect(BEFORE.directoryPath(old)).toBe(path);
      return old !== -1;
    })
    .map(({ path }) => path);
}

test("matchDirectories() keeps every directory of an equal index", () => {
  expect(kept(WorkspaceIndex.empty().update({ upserts: [...BEFORE.entries()] }))).toEqual([
    "",
    "d",
    "d/e",
    "x",
    "x/y",
  ]);
});

test.each<Change>([
  { id: 2 },
  { size: 6 },
  { mtimeMs: 2 },
  { ctimeMs: 2 },
  { ino: 2 },
  { hint: 2 },
  { kind: "executable" },
  { untrusted: true },
])("matchDirectories() gives up the one directory with a file of other %j", (change) => {
  expect(kept(BEFORE.update({ upserts: [entry("d/c", change)] }))).toEqual(["", "d/e", "x", "x/y"]);
});

test("matchDirectories() keeps the others where files and directories come and go", () => {
  expect(kept(BEFORE.update({ upserts: [entry("d/new")] }))).toEqual(["", "d/e", "x", "x/y"]);
  expect(kept(BEFORE.update({ removes: ["d/b" as TreePath] }))).toEqual(["", "d/e", "x", "x/y"]);
  expect(kept(BEFORE.update({ removes: ["d/b" as TreePath], upserts: [entry("d/bb")] }))).toEqual([
    "",
    "d/e",
    "x",
    "x/y",
  ]);
  expect(kept(BEFORE.update({ upserts: [entry("b/new/deep/f")] }))).toEqual(["", "d", "d/e", "x", "x/y"]);
  expect(kept(BEFORE.update({ removes: ["d/e/f" as TreePath] }))).toEqual(["", "d", "x", "x/y"]);
});
