/**
 * Compares the files of a workspace with its index. Every tracked file is lstat'ed; a directory is read only
 * when its own stat data changed. Large trees are shared between this thread and a worker.
 */
import { platform } from "node:os";
import { resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { throwIfAborted } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import type { List } from "../../base/list.ts";
import { comparePaths, type TreePath } from "../../base/path.ts";
import { workerEntry } from "../../base/worker-entry.ts";
import { restoreError } from "../../base/worker-error.ts";
import type { Progress } from "../../forge/forge.ts";
import { type FileStat, fileSystemTimeMs } from "../disk/stat.ts";
import type { ScanFindings, ScannedDirectory, ScannedIgnoreFile } from "../index/scan-findings.ts";
import type { IndexEntry, WorkspaceIndex } from "../index/workspace-index.ts";
import {
  CHANGE_OPS,
  type NamedReason,
  type PackedBatch,
  type ScanBatch,
  statAt,
  unpackPaths,
} from "./batch.ts";
import { changesOf, type FoundChanges, type WorkspaceChange } from "./change-columns.ts";
import type { ScanWorkerData, ScanWorkerMessage } from "./scan-worker.ts";
import { newTaskCounter, runTasks, type ScanTasks, splitDirectories } from "./tasks.ts";
import { ScanWalk } from "./walk.ts";

export interface ScanResult {
  /** In path order. */
  readonly changes: List<WorkspaceChange>;
  /** What cannot be versioned and is passed over: `fifo`, `socket`, `device`. In path order. */
  readonly skipped: readonly NamedReason[];
  /** What must be renamed, made readable or ignored before it can be landed: a land fails and names it. */
  readonly refused: readonly NamedReason[];
  /** Numbers of tracked files with more than one name: they can be changed through one that is elsewhere. */
  readonly linked: readonly number[];
  /** Unchanged content under changed stat data. */
  readonly refreshed: readonly IndexEntry[];
  /** For `WorkspaceIndex.update({ scan })` of the index that was scanned. */
  readonly findings: ScanFindings;
  /** Saving those findings would make the next scan noticeably cheaper. */
  readonly worthSaving: boolean;
  readonly scanned: { readonly files: number; readonly directories: number };
}

export interface ScanOptions {
  readonly root: string;
  readonly index: WorkspaceIndex;
  /** Only at or below these paths; absent or empty: everywhere. */
  readonly sparse?: readonly TreePath[];
  /**
   * Only these tracked directories of the index, each with the untracked names and directories in it: pairs
   * [from, to) of directory numbers, ascending. Absent: all.
   */
  readonly within?: Int32Array;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Worker threads for large trees: 0 or 1, default 1. */
  readonly workers?: number;
  /** Default: of this machine. On `win32` there is no execute bit and tracked files keep theirs. */
  readonly platform?: string;
}

/** Below this many tracked files a worker costs more than it brings. */
const PARALLEL_FILES_MIN = 6000;
/** Untracked directories are opened one level at a time up to this many, then shared out. */
const PENDING_MIN = 128;
const EXPANDED_MAX = 4096;
const TASKS = 32;

/** Errors: `forbidden` (a tracked directory that cannot be read), `aborted`, `too-large` (an ignore file). */
export async function scanWorkspace(options: ScanOptions): Promise<ScanResult> {
  const { index } = options;
  const root = shortest(options.root);
  const sparse = options.sparse?.length ? options.sparse : undefined;
  const stampMs = fileSystemTimeMs(options.root);
  const keepModes = (options.platform ?? platform()) === "win32";
  const walk = new ScanWalk({ root, index, sparse, stampMs, keepModes });
  const scan = new Scan(options, walk, { root, sparse, stampMs, keepModes });
  const batches: (ScanBatch | PackedBatch)[] = [walk.batch];
  const workers = options.workers ?? 1;

  const ranges = options.within ?? splitDirectories(index, TASKS);
  const parallel =
    workers > 0 && countFiles(index, ranges) >= PARALLEL_FILES_MIN && index.sharedBytes !== undefined;
  walk.deferring = !parallel;
  const tracked = { ranges, directories: [] };
  batches.push(...(await scan.run(tracked, parallel)));

  await scan.expandPending();
  if (walk.pending.length > 0) {
    walk.deferring = false;
    const untracked = { ranges: new Int32Array(0), directories: walk.pending };
    batches.push(...(await scan.run(untracked, workers > 0 && walk.pending.length >= PENDING_MIN)));
  }
  return assemble(batches, index, stampMs);
}

/** Tracked files in pairs [from, to) of directories. */
function countFiles(index: WorkspaceIndex, ranges: Int32Array): number {
  const { dirFirst } = index.columns;
  let files = 0;
  for (let i = 0; i < ranges.length; i += 2) files += dirFirst[ranges[i + 1]!]! - dirFirst[ranges[i]!]!;
  return files;
}

/**
 * The root as the system resolves it fastest: from the current directory, the components above it, which every
 * one of a hundred thousand lstats would walk, are a tenth of a scan. Nothing changes the current directory.
 */
function shortest(root: string): string {
  return resolve(".") === root ? "." : root;
}

type SharedSettings = Pick<ScanWorkerData, "root" | "sparse" | "stampMs" | "keepModes">;

/** One scan's threads, progress and cancellation. */
class Scan {
  readonly #options: ScanOptions;
  readonly #walk: ScanWalk;
  readonly #shared: SharedSettings;

  constructor(options: ScanOptions, walk: ScanWalk, shared: SharedSettings) {
    this.#options = options;
    this.#walk = walk;
    this.#shared = shared;
  }

  /** Does the tasks here and, when `parallel`, in a worker, whose batch is returned. */
  async run(tasks: ScanTasks, parallel: boolean): Promise<PackedBatch[]> {
    const counter = newTaskCounter();
    const { index } = this.#options;
    const other = parallel
      ? startWorker({ ...this.#shared, index: index.sharedBytes, tasks, counter })
      : undefined;
    try {
      await runTasks({
        ...this.#shared,
        walk: this.#walk,
        index,
        tasks,
        counter,
        between: () => this.#between(),
      });
      return other === undefined ? [] : [await other];
    } catch (error) {
      Atomics.store(counter, 1, 1);
      // Nothing of it is used, but it must not go on reading behind the caller's back.
      await other?.catch(() => undefined);
      throw error;
    }
  }

  /** Opens untracked directories breadth first, until there are enough to share or none are left. */
  async expandPending(): Promise<void> {
    const walk = this.#walk;
    for (
      let done = 0;
      walk.pending.length > 0 && walk.pending.length < PENDING_MIN && done < EXPANDED_MAX;
    ) {
      const level = walk.pending;
      walk.pending = [];
      for (const directory of level) walk.untrackedDirectory(directory);
      done += level.length;
      await this.#between();
    }
  }

  /** Lets timers and signals run where somebody waits for them. */
  async #between(): Promise<void> {
    const { signal, onProgress, index } = this.#options;
    if (signal === undefined && onProgress === undefined) return;
    onProgress?.({ done: this.#walk.batch.filesSeen, total: index.count, unit: "files" });
    await setImmediate();
    throwIfAborted(signal);
  }
}

async function startWorker(data: ScanWorkerData): Promise<PackedBatch> {
  const worker = new Worker(workerEntry("src/core/workspace/scan/scan-worker.ts"), { workerData: data });
  const message = await new Promise<ScanWorkerMessage>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", (code) => {
      reject(new MicError("internal", `the scan's worker ended with code ${code}`));
    });
  });
  // It has nothing left to do; waiting for its end would cost milliseconds.
  worker.unref();
  if ("error" in message) throw restoreError(message.error);
  return message.batch;
}

/** Savings below these are not worth a new index file. */
const WORTH_FILES = 16;
const WORTH_BYTES = 1 << 20;
const WORTH_DIRECTORIES = 64;

function assemble(
  found: readonly (ScanBatch | PackedBatch)[],
  index: WorkspaceIndex,
  stampMs: number,
): ScanResult {
  const batches = found.map(unpackPaths);
  const changes = changesOf(batches, index, stampMs);
  const refreshed: { file: number; stat: FileStat }[] = [];
  const directories: ScannedDirectory[] = [];
  const ignoreFiles: ScannedIgnoreFile[] = [];
  const skipped: NamedReason[] = [];
  const refused = new Map<string, NamedReason>();
  const untracked: string[] = [];
  const deleted: TreePath[] = [];
  const linked: number[] = [];
  let files = 0;
  let directoriesSeen = 0;
  let bytes = 0;
  for (const batch of batches) {
    collectPaths(batch, untracked, deleted);
    for (let i = 0; i < batch.refreshedFiles.length; i++) {
      const stat = statAt(batch.refreshedStats, i);
      refreshed.push({ file: batch.refreshedFiles[i]!, stat });
      bytes += stat.size;
    }
    for (let i = 0; i < batch.dirPaths.length; i++) {
      const stat = statAt(batch.dirStats, i);
      directories.push({ path: batch.dirPaths[i]!, stat: Number.isNaN(stat.mtimeMs) ? undefined : stat });
    }
    ignoreFiles.push(...batch.ignoreFiles);
    skipped.push(...batch.skipped);
    for (const named of batch.refused) refused.set(named.path, named);
    untracked.push(...batch.unseen);
    for (const file of batch.linked) linked.push(file);
    files += batch.filesSeen;
    directoriesSeen += batch.directoriesSeen;
  }
  keepUnreadIgnoreFiles(index, directories, ignoreFiles);
  const trustedDirectories = directories.filter((directory) => directory.stat !== undefined).length;
  return {
    changes,
    skipped: skipped.sort((a, b) => comparePaths(a.path, b.path)),
    refused: [...refused.values()].sort((a, b) => comparePaths(a.path, b.path)),
    linked,
    refreshed: refreshed.map(({ file, stat }) => ({ ...index.entryOf(file), stat })),
    findings: { refreshed, directories, ignoreFiles, untracked, deleted },
    worthSaving:
      refreshed.length >= WORTH_FILES || bytes >= WORTH_BYTES || trustedDirectories >= WORTH_DIRECTORIES,
    scanned: { files, directories: directoriesSeen },
  };
}

/** Paths of changes that come or go; in no order. */
function collectPaths({ paths, ops }: FoundChanges, untracked: string[], deleted: TreePath[]): void {
  for (let i = 0; i < paths.length; i++) {
    const op = CHANGE_OPS[ops[i]!]!;
    if (op === "add") untracked.push(paths[i]!);
    else if (op === "delete") deleted.push(paths[i] as TreePath);
  }
}

/** Directories that were not read still have the ignore files that the index knows. */
function keepUnreadIgnoreFiles(
  index: WorkspaceIndex,
  read: readonly ScannedDirectory[],
  to: ScannedIgnoreFile[],
): void {
  const { ignoreDir, ignoreName, ignoreStat } = index.columns;
  if (ignoreDir.length === 0) return;
  const seen = new Set(read.map((directory) => directory.path));
  for (let i = 0; i < ignoreDir.length; i++) {
    const dir = index.directoryPath(ignoreDir[i]!);
    if (!seen.has(dir)) to.push({ dir, name: ignoreName[i]!, stat: statAt(ignoreStat, i) });
  }
}
