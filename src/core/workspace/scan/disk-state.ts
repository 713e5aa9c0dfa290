/**
 * What stands at a path of the workspace now, and the care with which paths are followed: no component but the
 * last may be anything other than a real directory, so that a symlink never leads a read or a write elsewhere.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { join } from "node:path";
import { utf8 } from "../../base/bytes.ts";
import { MicError } from "../../base/errors.ts";
import { hashObject, StreamHasher } from "../../base/hash.ts";
import type { TreePath } from "../../base/path.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import { type FileStat, lstatIfExists, readStat, sameStat } from "../disk/stat.ts";
import type { IndexEntry } from "../index/workspace-index.ts";
import { errorCode } from "../layout.ts";

export type DiskState =
  | { readonly kind: "absent" }
  | { readonly kind: "content"; readonly side: ContentSide; readonly stat: FileStat }
  | { readonly kind: "directory" }
  /** A fifo, socket or device. */
  | { readonly kind: "special"; readonly what: string }
  /** Nothing can be there because a parent is no directory. */
  | { readonly kind: "blocked"; readonly by: TreePath };

const READ_BLOCK_BYTES = 1 << 20;
/** Absent on Windows, where opening does not follow links of directories in our way either. */
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;

/** Knows which directories of a workspace are real directories. */
export class DirectoryGuard {
  readonly #root: string;
  /** Directories that were looked at and are real. Renewed by `forget` when something may have changed. */
  readonly #real = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  /** The nearest ancestor of `path` that is there and is no directory, or undefined. */
  findBlocker(path: TreePath): TreePath | undefined {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (parent === "" || this.#real.has(parent)) return undefined;
    for (let end = path.indexOf("/"); end !== -1; end = path.indexOf("/", end + 1)) {
      const dir = path.slice(0, end);
      if (this.#real.has(dir)) continue;
      const stats = lstatIfExists(join(this.#root, dir));
      if (stats === undefined) return undefined;
      if (!stats.isDirectory()) return dir as TreePath;
      this.#real.add(dir);
    }
    return undefined;
  }

  forget(): void {
    this.#real.clear();
  }
}

/**
 * Reads no content where the index's stat data vouch for it. Content that has to be read is hashed in blocks.
 * A file that changes meanwhile gives one or the other content, as with any reader.
 */
export function inspectPath(
  root: string,
  path: TreePath,
  indexed: IndexEntry | undefined,
  guard: DirectoryGuard,
): DiskState {
  const by = guard.findBlocker(path);
  if (by !== undefined) return { kind: "blocked", by };
  const absolute = join(root, path);
  const found = readStat(absolute);
  if (found === undefined) return { kind: "absent" };
  const { kind, stat } = found;
  switch (kind) {
    case "directory":
      return { kind: "directory" };
    case "file":
    case "executable":
    case "symlink":
      break;
    default:
      return { kind: "special", what: kind };
  }
  if (indexed?.stat !== undefined && indexed.entry.kind === kind && sameStat(indexed.stat, stat)) {
    return { kind: "content", side: { entry: indexed.entry, hint: indexed.hint }, stat };
  }
  if (kind === "symlink") {
    const target = utf8(readlinkSync(absolute));
    return {
      kind: "content",
      side: { entry: { kind, size: target.length, id: hashObject(target) }, hint: 0 },
      stat,
    };
  }
  const hashed = hashFile(absolute);
  if (hashed === undefined) return { kind: "absent" };
  // The same content as in the base keeps the base's chunk list and hint.
  if (indexed !== undefined && indexed.entry.id === hashed.id) {
    return { kind: "content", side: { entry: { ...indexed.entry, kind }, hint: indexed.hint }, stat };
  }
  return { kind: "content", side: { entry: { kind, size: hashed.size, id: hashed.id }, hint: 0 }, stat };
}

function hashFile(absolute: string) {
  let file: number;
  try {
    file = openSync(absolute, constants.O_RDONLY | NO_FOLLOW);
  } catch (error) {
    if (errorCode(error) === "ENOENT" || errorCode(error) === "ELOOP") return undefined;
    throw error;
  }
  try {
    const size = fstatSync(file).size;
    const hasher = new StreamHasher();
    const block = new Uint8Array(Math.min(READ_BLOCK_BYTES, Math.max(1, size)));
    let total = 0;
    for (;;) {
      const count = readSync(file, block, 0, block.length, null);
      if (count === 0) break;
      hasher.update(block.subarray(0, count));
      total += count;
    }
    return { id: hasher.digest(), size: total };
  } finally {
    closeSync(file);
  }
}

/** Content of a regular file or the target of a symlink. `too-large` above `bytesMax`. */
export function readWorkspaceFile(root: string, path: TreePath, bytesMax: number): Uint8Array {
  const absolute = join(root, path);
  const found = readStat(absolute);
  if (found === undefined) throw new MicError("not-found", `${path} is gone`);
  if (found.kind === "symlink") return utf8(readlinkSync(absolute));
  if (found.kind !== "file" && found.kind !== "executable") {
    throw new MicError("not-found", `${path} is a ${found.kind}, not a file`);
  }
  if (found.stat.size > bytesMax) {
    throw new MicError("too-large", `${path} has ${found.stat.size} bytes, more than ${bytesMax}`);
  }
  const file = openSync(absolute, constants.O_RDONLY | NO_FOLLOW);
  try {
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}
