/**
 * The next version of an index. A hundred changes among a hundred thousand files cost a few copies of columns,
 * and building from nothing is one pass.
 */
import type { IndexColumns } from "../../codec/workspace-index.ts";
import { patchColumns, patchDirectories } from "./patch.ts";
import { type DirectoryEdits, rebuildColumns } from "./rebuild.ts";
import { pathsOf } from "./rows.ts";
import type { IndexChange, WorkspaceIndex } from "./workspace-index.ts";

/** `reuse`: the old index is not needed any more, and its columns may be written over. */
export function updateColumns(index: WorkspaceIndex, change: IndexChange, reuse = false): IndexColumns {
  const old = index.columns;
  const { position, root } = change.base ?? old;
  const refreshed = withRefreshedStats(old, change);
  const edits = groupEdits(change);
  if (edits.size === 0 && change.scan === undefined) return { ...refreshed, position, root };
  const patched = patchColumns(index, refreshed, change, reuse);
  if (patched !== undefined) {
    return { ...patched, ...patchDirectories(index, change), position, root };
  }
  return { ...rebuildColumns(index, refreshed, change, edits), position, root };
}

function withRefreshedStats(old: IndexColumns, change: IndexChange): IndexColumns {
  const refreshed = change.scan?.refreshed ?? [];
  if (refreshed.length === 0) return old;
  const mtime = old.mtime.slice();
  const ctime = old.ctime.slice();
  const ino = old.ino.slice();
  for (const { file, stat } of refreshed) {
    mtime[file] = stat.mtimeMs;
    ctime[file] = stat.ctimeMs;
    ino[file] = stat.ino;
  }
  return { ...old, mtime, ctime, ino };
}

/** The edits of each directory, in the order given. */
function groupEdits(change: IndexChange): Map<string, DirectoryEdits> {
  const edits = new Map<string, number[]>();
  let dir: string | undefined;
  let numbers: number[] = [];
  const add = (path: string, number: number): void => {
    const slash = path.lastIndexOf("/");
    const parent = slash === -1 ? "" : path.slice(0, slash);
    if (parent !== dir) {
      dir = parent;
      numbers = edits.get(dir) ?? [];
      edits.set(dir, numbers);
    }
    numbers.push(number);
  };
  let removed = 0;
  for (const path of change.removes ?? []) add(path, ~removed++);
  let upserted = 0;
  for (const path of pathsOf(change.upserts ?? [])) add(path, upserted++);
  return edits;
}
