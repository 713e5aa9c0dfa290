/** What one thread found: columns that cross to the main thread without an object per file. */

import type { FileStat } from "../disk/stat.ts";
import type { ScannedIgnoreFile } from "../index/scan-findings.ts";

export const CHANGE_OPS = ["add", "modify", "delete", "mode", "type"] as const;
export type ChangeOp = (typeof CHANGE_OPS)[number];

/** mtime, ctime, size, inode. */
const STAT_NUMBERS = 4;

export interface NamedReason {
  readonly path: string;
  readonly reason: string;
}

export class ScanBatch {
  readonly paths: string[] = [];
  /** Index into CHANGE_OPS. */
  readonly ops: number[] = [];
  /** Number of the tracked file in the index, or -1. */
  readonly files: number[] = [];
  /** Index into the kinds of the index: what is there now; -1 when nothing is. */
  readonly kinds: number[] = [];
  /** Four numbers each, zeros where nothing is there now. */
  readonly stats: number[] = [];
  /** Number of a change, and the id of its content, where that had to be hashed. */
  readonly ids: [number, string][] = [];
  readonly refreshedFiles: number[] = [];
  readonly refreshedStats: number[] = [];
  /** Tracked files with more than one name, or something else with several links in their place. */
  readonly linked: number[] = [];

  readonly dirPaths: string[] = [];
  /** Four numbers each; a NaN mtime means that it must be read again. */
  readonly dirStats: number[] = [];
  readonly ignoreFiles: ScannedIgnoreFile[] = [];

  /** On disk, neither tracked nor added nor ignored: empty directories and what follows. */
  readonly unseen: string[] = [];
  readonly skipped: NamedReason[] = [];
  readonly refused: NamedReason[] = [];
  filesSeen = 0;
  directoriesSeen = 0;

  get length(): number {
    return this.paths.length;
  }

  change(
    op: ChangeOp,
    path: string,
    file: number,
    kind: number,
    stat: FileStat | undefined,
    id?: string,
  ): void {
    if (id !== undefined) this.ids.push([this.paths.length, id]);
    this.paths.push(path);
    this.ops.push(CHANGE_OPS.indexOf(op));
    this.files.push(file);
    this.kinds.push(kind);
    pushStat(this.stats, stat);
  }

  refreshed(file: number, stat: FileStat): void {
    this.refreshedFiles.push(file);
    pushStat(this.refreshedStats, stat);
  }

  directory(path: string, stat: FileStat | undefined): void {
    this.dirPaths.push(path);
    pushStat(this.dirStats, stat);
    if (stat === undefined) this.dirStats[this.dirStats.length - STAT_NUMBERS] = Number.NaN;
  }
}

function pushStat(to: number[], stat: FileStat | undefined): void {
  if (stat === undefined) to.push(0, 0, 0, 0);
  else to.push(stat.mtimeMs, stat.ctimeMs, stat.size, stat.ino);
}

export function statAt(stats: ArrayLike<number>, i: number): FileStat {
  const at = i * STAT_NUMBERS;
  return { mtimeMs: stats[at]!, ctimeMs: stats[at + 1]!, size: stats[at + 2]!, ino: stats[at + 3]! };
}

/** A batch as it crosses threads: strings joined, numbers in transferred arrays. */
export interface PackedBatch {
  readonly paths: string;
  readonly ops: Uint8Array;
  readonly files: Int32Array;
  readonly kinds: Int8Array;
  readonly stats: Float64Array;
  readonly ids: readonly (readonly [number, string])[];
  readonly refreshedFiles: Int32Array;
  readonly refreshedStats: Float64Array;
  readonly linked: Int32Array;
  readonly dirPaths: string;
  readonly dirStats: Float64Array;
  readonly ignoreFiles: readonly ScannedIgnoreFile[];
  readonly unseen: readonly string[];
  readonly skipped: readonly NamedReason[];
  readonly refused: readonly NamedReason[];
  readonly filesSeen: number;
  readonly directoriesSeen: number;
}

/** Paths hold no NUL, so it separates them; one more at the end tells no path from one empty path. */
export function packBatch(batch: ScanBatch): { message: PackedBatch; transfer: ArrayBuffer[] } {
  const message = {
    paths: batch.paths.join("\0"),
    ops: Uint8Array.from(batch.ops),
    files: Int32Array.from(batch.files),
    kinds: Int8Array.from(batch.kinds),
    stats: Float64Array.from(batch.stats),
    ids: batch.ids,
    refreshedFiles: Int32Array.from(batch.refreshedFiles),
    refreshedStats: Float64Array.from(batch.refreshedStats),
    linked: Int32Array.from(batch.linked),
    dirPaths: batch.dirPaths.join("\0"),
    dirStats: Float64Array.from(batch.dirStats),
    ignoreFiles: batch.ignoreFiles,
    unseen: batch.unseen,
    skipped: batch.skipped,
    refused: batch.refused,
    filesSeen: batch.filesSeen,
    directoriesSeen: batch.directoriesSeen,
  };
  const arrays = [
    message.ops,
    message.files,
    message.kinds,
    message.stats,
    message.refreshedFiles,
    message.refreshedStats,
    message.linked,
    message.dirStats,
  ];
  return { message, transfer: arrays.map((array) => array.buffer) };
}

/** A batch with its paths apart, whichever thread it is from. */
export function unpackPaths(batch: ScanBatch | PackedBatch) {
  if (batch instanceof ScanBatch) return batch;
  const paths = splitPaths(batch.paths, batch.ops.length);
  const dirPaths = splitPaths(batch.dirPaths, batch.dirStats.length / STAT_NUMBERS);
  return { ...batch, paths, dirPaths };
}

function splitPaths(paths: string, count: number): readonly string[] {
  return count === 0 ? [] : paths.split("\0");
}
