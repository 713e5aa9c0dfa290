/** Which tracked directories are the same in two indexes of one workspace. */
import { comparePaths } from "../../base/path.ts";
import type { WorkspaceIndex } from "../index/workspace-index.ts";

const ID_BYTES = 32;

/**
 * For each directory of `after`: its number in `before` when both hold the same files there, with the same
 * content and trusted stat data; else -1. Directories in them are compared by themselves.
 */
export function matchDirectories(before: WorkspaceIndex, after: WorkspaceIndex): Int32Array {
  const matches = new Int32Array(after.directoryCount).fill(-1);
  const sameTree =
    before.columns.dirText === after.columns.dirText && before.directoryCount === after.directoryCount;
  let old = 0;
  for (let dir = 0; dir < matches.length; dir++) {
    if (sameTree) {
      old = dir;
    } else {
      const path = after.directoryPath(dir);
      let order = -1;
      for (; old < before.directoryCount; old++) {
        order = comparePaths(before.directoryPath(old), path);
        if (order >= 0) break;
      }
      if (order !== 0) continue;
    }
    if (isSame(before, old, after, dir)) matches[dir] = old;
  }
  return matches;
}

function isSame(before: WorkspaceIndex, old: number, after: WorkspaceIndex, dir: number): boolean {
  const a = before.columns;
  const b = after.columns;
  const from = a.dirFirst[old]!;
  const to = b.dirFirst[dir]!;
  const count = a.dirFirst[old + 1]! - from;
  if (count !== b.dirFirst[dir + 1]! - to) return false;
  if (namesOf(before, from, count) !== namesOf(after, to, count)) return false;
  const nameStart = from === 0 ? 0 : a.nameEnd[from - 1]!;
  const otherStart = to === 0 ? 0 : b.nameEnd[to - 1]!;
  for (let i = 0; i < count; i++) {
    const x = from + i;
    const y = to + i;
    // Times that are not trusted are NaN and equal nothing: such a file is looked at again.
    if (
      a.mtime[x] !== b.mtime[y] ||
      a.ctime[x] !== b.ctime[y] ||
      a.size[x] !== b.size[y] ||
      a.ino[x] !== b.ino[y] ||
      a.kind[x] !== b.kind[y] ||
      a.hint[x] !== b.hint[y] ||
      a.nameEnd[x]! - nameStart !== b.nameEnd[y]! - otherStart
    ) {
      return false;
    }
  }
  return sameBytes(a.ids, from * ID_BYTES, b.ids, to * ID_BYTES, count * ID_BYTES);
}

function namesOf(index: WorkspaceIndex, first: number, count: number): string {
  const { nameText, nameEnd } = index.columns;
  if (count === 0) return "";
  return nameText.slice(first === 0 ? 0 : nameEnd[first - 1]!, nameEnd[first + count - 1]!);
}

function sameBytes(a: Uint8Array, from: number, b: Uint8Array, to: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[from + i] !== b[to + i]) return false;
  return true;
}
