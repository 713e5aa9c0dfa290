import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { ObjectId, Position } from "../../src/core/base/ids.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import { encodeWorkspaceIndex } from "../../src/core/codec/workspace-index.ts";
import { type IndexEntry, WorkspaceIndex } from "../../src/core/workspace/index/workspace-index.ts";

const { base, entries, directories, ignoreFiles, hex } = JSON.parse(
  readFileSync(new URL("./workspace-index.json", import.meta.url), "utf8"),
) as {
  base: { position: Position; root: ObjectId };
  entries: (Omit<IndexEntry, "stat"> & { stat: IndexEntry["stat"] | null })[];
  directories: { path: string; stat: NonNullable<IndexEntry["stat"]> }[];
  ignoreFiles: { dir: string; name: number; stat: NonNullable<IndexEntry["stat"]> }[];
  hex: string;
};
const upserts = entries.map(({ stat, ...entry }): IndexEntry => ({ ...entry, stat: stat ?? undefined }));

test("a workspace index of version 1 has always had these bytes", () => {
  const scan = { refreshed: [], directories, ignoreFiles, untracked: [], deleted: [] };
  const index = WorkspaceIndex.empty().update({ base, upserts, scan });
  expect(Buffer.concat(encodeWorkspaceIndex(index.columns)).toString("hex")).toBe(hex);
});

test("these bytes have always been this workspace index", () => {
  const index = WorkspaceIndex.fromBytes(new Uint8Array(Buffer.from(hex, "hex")));
  expect(index.base).toEqual(base);
  expect([...index.entries()]).toEqual(upserts);
  expect(index.find("ü/run" as TreePath)).toEqual(upserts.at(-1));
  const { columns } = index;
  expect([...columns.dirMtime]).toEqual([
    directories[0]!.stat.mtimeMs,
    Number.NaN,
    directories[1]!.stat.mtimeMs,
  ]);
  expect([...columns.ignoreDir]).toEqual([0]);
  expect([...columns.ignoreStat]).toEqual([1.5, 2.5, 10, 3]);
});
