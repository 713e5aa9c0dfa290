/** The parts of a scan, and the loop by which each thread takes the next part until none is left. */
import type { WorkspaceIndex } from "../index/workspace-index.ts";
import type { ScanWalk } from "./walk.ts";

export interface ScanTasks {
  /** Pairs [from, to) of tracked directories. */
  readonly ranges: Int32Array;
  /** Untracked directories, with everything below. */
  readonly directories: readonly string[];
}

/** Shared between the threads: [0] the next task, [1] nonzero to stop early. */
export type TaskCounter = Int32Array;

export function newTaskCounter(): TaskCounter {
  return new Int32Array(new SharedArrayBuffer(8));
}

export interface RunOptions {
  readonly walk: ScanWalk;
  readonly root: string;
  readonly index: WorkspaceIndex;
  readonly stampMs: number;
  readonly tasks: ScanTasks;
  readonly counter: TaskCounter;
  /** Called between tasks; may throw. */
  readonly between?: () => Promise<void> | void;
}

export async function runTasks(options: RunOptions): Promise<void> {
  const { walk, tasks, counter } = options;
  const ranges = tasks.ranges.length / 2;
  for (;;) {
    const task = Atomics.add(counter, 0, 1);
    if (task >= ranges + tasks.directories.length || Atomics.load(counter, 1) !== 0) return;
    if (task < ranges) walk.tracked(tasks.ranges[task * 2]!, tasks.ranges[task * 2 + 1]!);
    else walk.untrackedDirectory(tasks.directories[task - ranges]!);
    if (walk.suspects.length > 0) {
      // The hash is loaded only when something has to be hashed.
      const { compareSuspects } = await import("./read-content.ts");
      compareSuspects(walk, options.root, options.index, options.stampMs);
    }
    await options.between?.();
  }
}

/** A directory costs about as much as three files. */
const DIRECTORY_WEIGHT = 3;

/** Splits the tracked directories into about `parts` ranges of equal weight. */
export function splitDirectories(index: WorkspaceIndex, parts: number): Int32Array {
  const { dirFirst } = index.columns;
  const dirs = index.directoryCount;
  const total = index.count + dirs * DIRECTORY_WEIGHT;
  const target = Math.max(1, total / parts);
  const ranges: number[] = [];
  let from = 0;
  for (let dir = 1; dir <= dirs; dir++) {
    const weight = dirFirst[dir]! - dirFirst[from]! + (dir - from) * DIRECTORY_WEIGHT;
    if (weight < target && dir < dirs) continue;
    ranges.push(from, dir);
    from = dir;
  }
  return Int32Array.from(ranges);
}

/** Pairs [from, to) that cover the numbers of directories, ascending. */
export function coverDirectories(numbers: readonly number[]): Int32Array {
  const sorted = Int32Array.from(numbers).sort();
  const ranges: number[] = [];
  for (const number of sorted) {
    if (ranges.length > 0 && number <= ranges[ranges.length - 1]!) {
      ranges[ranges.length - 1] = Math.max(ranges[ranges.length - 1]!, number + 1);
    } else {
      ranges.push(number, number + 1);
    }
  }
  return Int32Array.from(ranges);
}
