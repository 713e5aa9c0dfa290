/**
 * What the file system says about a file, and when that may be believed.
 *
 * A file is taken as unchanged without reading it when its stat data equal those in the index. That is only
 * sound when any later change must have changed them: times have a granularity (a tick of the kernel, two
 * seconds on FAT), so a file can be changed twice within one tick and look the same. Hence the rule: stat data
 * are *trusted*, and only then stored, when both times are strictly before a time that the same file system
 * gave out before they were read. A change after that moment gets a time that is not before it, so it shows.
 * Stored times are then only compared for equality: a clock that is set back does no harm.
 *
 * Times are milliseconds as a double: 244 ns apart at today's dates, finer than the ticks of file systems, and
 * rounding is monotonic, so "strictly before" holds for the exact times too.
 */
import { closeSync, fstatSync, lstatSync, openSync, type Stats, writeSync } from "node:fs";
import type { TreeEntry } from "../../codec/tree-entry.ts";
import { errorCode, isMissing, metaPath, STAMP_FILE } from "../layout.ts";

const STAMP_BYTE = new Uint8Array(1);

export interface FileStat {
  /** Unix milliseconds with fraction. */
  readonly mtimeMs: number;
  /** Unix milliseconds with fraction: the time of the last change of content, mode or name. */
  readonly ctimeMs: number;
  /** Bytes. */
  readonly size: number;
  /** As a double: two inodes above 2^53 may share one, which the other fields tell apart. */
  readonly ino: number;
}

export type FileKind = TreeEntry["kind"] | "directory" | "fifo" | "socket" | "device";

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
const S_IFIFO = 0o010000;
const S_IFSOCK = 0o140000;
const OWNER_EXECUTE = 0o100;

/** Only the owner's execute bit counts; set-id bits and the rest are not recorded. */
export function kindOfMode(mode: number): FileKind {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return (mode & OWNER_EXECUTE) === 0 ? "file" : "executable";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFIFO:
      return "fifo";
    case S_IFSOCK:
      return "socket";
    default:
      return "device";
  }
}

export const LSTAT_OPTIONS: { readonly throwIfNoEntry: false } = { throwIfNoEntry: false };

/**
 * `lstat` that answers undefined when nothing is there, also when a parent is not a directory or a circle of
 * symlinks. Other errors of the file system pass through.
 */
export function lstatIfExists(path: string): Stats | undefined {
  try {
    return lstatSync(path, LSTAT_OPTIONS);
  } catch (error) {
    if (isMissing(error) || errorCode(error) === "ELOOP") return undefined;
    throw error;
  }
}

export function fileStatOf(stats: Stats): FileStat {
  return { mtimeMs: stats.mtimeMs, ctimeMs: stats.ctimeMs, size: stats.size, ino: stats.ino };
}

/** Kind and stat data of what is at an absolute path; symlinks are not followed. */
export function readStat(path: string): { readonly kind: FileKind; readonly stat: FileStat } | undefined {
  const stats = lstatIfExists(path);
  return stats && { kind: kindOfMode(stats.mode), stat: fileStatOf(stats) };
}

export function sameStat(a: FileStat, b: FileStat): boolean {
  return a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs && a.size === b.size && a.ino === b.ino;
}

/** `stat` when it may be stored as proof that content is unchanged; undefined: content must be compared. */
export function trustedStat(stat: FileStat, stampMs: number): FileStat | undefined {
  return stat.mtimeMs < stampMs && stat.ctimeMs < stampMs ? stat : undefined;
}

/**
 * The time that the workspace's file system gives to a change made now: what trust is measured against. Take
 * it before the stat data are read. Writes one byte to `.mic/stamp`; two processes that do so at once get times
 * that are both good. -Infinity (nothing is trusted) where the workspace cannot be written.
 */
export function fileSystemTimeMs(root: string): number {
  let file: number;
  try {
    file = openSync(metaPath(root, STAMP_FILE), "w");
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return Number.NEGATIVE_INFINITY;
  }
  try {
    writeSync(file, STAMP_BYTE);
    return fstatSync(file).mtimeMs;
  } catch (error) {
    // A full disk must not keep anyone from seeing the state of the workspace.
    if (errorCode(error) === undefined) throw error;
    return Number.NEGATIVE_INFINITY;
  } finally {
    closeSync(file);
  }
}
