/** Decides about tracked files whose stat data say nothing, by reading them. */
import { closeSync, openSync, readlinkSync, readSync } from "node:fs";
import { hashObject, StreamHasher } from "../../base/hash.ts";
import type { ObjectId } from "../../base/ids.ts";
import { trustedStat } from "../disk/stat.ts";
import type { WorkspaceIndex } from "../index/workspace-index.ts";
import { isMissing } from "../layout.ts";
import type { ScanWalk, Suspect } from "./walk.ts";

const BUFFER_BYTES = 1 << 20;
const SYMLINK = 2;

let buffer: Uint8Array | undefined;

/** Turns the walk's suspects into changes and refreshed entries, and empties the list. */
export function compareSuspects(walk: ScanWalk, root: string, index: WorkspaceIndex, stampMs: number): void {
  for (const suspect of walk.suspects) {
    const { file, path, kind, stat } = suspect;
    const id = hashSuspect(suspect, `${root}/${path}`);
    if (id === undefined) {
      walk.batch.change("delete", path, file, -1, undefined);
    } else if (id !== index.idOf(file)) {
      walk.batch.change("modify", path, file, kind, stat, id);
    } else if (kind !== index.columns.kind[file]) {
      walk.batch.change("mode", path, file, kind, stat, id);
    } else if (trustedStat(stat, stampMs) !== undefined) {
      walk.batch.refreshed(file, stat);
    }
  }
  walk.suspects.length = 0;
}

/** Undefined when the file is gone by now. */
function hashSuspect(suspect: Suspect, absolute: string): ObjectId | undefined {
  try {
    return suspect.kind === SYMLINK ? hashObject(readlinkSync(absolute, "buffer")) : hashFile(absolute);
  } catch (error) {
    // EINVAL, ELOOP: no symlink any more, or one now; the next scan sees what it is.
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** BLAKE3 of a file of any size with bounded memory. */
export function hashFile(absolute: string): ObjectId {
  buffer ??= new Uint8Array(BUFFER_BYTES);
  const handle = openSync(absolute, "r");
  try {
    let count = readSync(handle, buffer, 0, BUFFER_BYTES, null);
    if (count < BUFFER_BYTES) {
      // A short read is the end for a regular file, unless it is growing: then there is more.
      const more = readSync(handle, buffer, count, BUFFER_BYTES - count, null);
      if (more === 0) return hashObject(buffer.subarray(0, count));
      count += more;
    }
    const hasher = new StreamHasher();
    while (count > 0) {
      hasher.update(buffer.subarray(0, count));
      count = readSync(handle, buffer, 0, BUFFER_BYTES, null);
    }
    return hasher.digest();
  } finally {
    closeSync(handle);
  }
}
