/** The changes that a scan found, as the threads' columns say them: an object is made for a change when it is asked for. */
import type { ObjectId } from "../../base/ids.ts";
import { LAZY_ITEMS_MIN, LazyList, type List, listOf } from "../../base/list.ts";
import { comparePaths, type TreePath } from "../../base/path.ts";
import type { EntryKind } from "../../codec/tree-entry.ts";
import { type FileStat, trustedStat } from "../disk/stat.ts";
import type { IndexEntry, WorkspaceIndex } from "../index/workspace-index.ts";
import type { StatusChange } from "../results.ts";
import { CHANGE_OPS, type ChangeOp, statAt } from "./batch.ts";

export interface WorkspaceChange {
  /** `type`: a file became a symlink or the reverse. A file that became a directory is a delete and adds. */
  readonly op: ChangeOp;
  readonly path: TreePath;
  readonly before?: IndexEntry;
  readonly after?: {
    readonly kind: EntryKind;
    /** Bytes. */
    readonly size: number;
    /** Trusted stat data (see stat.ts) or undefined: may be stored in the index as it is. */
    readonly stat: FileStat | undefined;
    /** Known when the content had to be hashed. */
    readonly id?: ObjectId;
  };
}

const KINDS: readonly EntryKind[] = ["file", "executable", "symlink"];
const STAT_NUMBERS = 4;

/** What one thread found, in columns: see ScanBatch. */
export interface FoundChanges {
  readonly paths: readonly string[];
  readonly ops: ArrayLike<number>;
  readonly files: ArrayLike<number>;
  readonly kinds: ArrayLike<number>;
  readonly stats: ArrayLike<number>;
  readonly ids: readonly (readonly [number, string])[];
}

/** In path order. */
export class ChangeColumns extends LazyList<WorkspaceChange> {
  readonly #columns: Columns;

  constructor(columns: Columns, change: (i: number) => WorkspaceChange) {
    super(columns.paths.length, change);
    this.#columns = columns;
  }

  /** Without what it takes to compare: neither the index nor stat data are needed for it any more. */
  status(): List<StatusChange> {
    const { paths, ops, kinds, stats } = this.#columns;
    const sizes = new Float64Array(paths.length);
    for (let i = 0; i < sizes.length; i++) sizes[i] = stats[i * STAT_NUMBERS + 2]!;
    return new LazyList(paths.length, (i) => {
      const op = CHANGE_OPS[ops[i]!]!;
      const kind = KINDS[kinds[i]!];
      return kind === undefined ? { op, path: paths[i]! } : { op, path: paths[i]!, kind, size: sizes[i]! };
    });
  }
}

interface Columns {
  readonly paths: readonly TreePath[];
  /** Index into CHANGE_OPS. */
  readonly ops: Uint8Array;
  /** Index into KINDS, -1 when nothing is there now. */
  readonly kinds: Int8Array;
  /** Four numbers each: see ScanBatch. */
  readonly stats: Float64Array;
}

/**
 * In path order: an array, or columns where there are very many. `index`: the one that was scanned, which must not
 * be written over while the list is used.
 */
export function changesOf(
  batches: readonly FoundChanges[],
  index: WorkspaceIndex,
  stampMs: number,
): List<WorkspaceChange> {
  let count = 0;
  for (const { ops } of batches) count += ops.length;
  const found: TreePath[] = [];
  for (const batch of batches) {
    for (const path of batch.paths) found.push(path as TreePath);
  }
  const order = sortedOrder(found);
  const paths = order === undefined ? found : Array.from(order, (i) => found[i]!);
  const placeOf = order === undefined ? undefined : inverse(order);
  const ops = new Uint8Array(count);
  const files = new Int32Array(count);
  const kinds = new Int8Array(count);
  const stats = new Float64Array(count * STAT_NUMBERS);
  const ids = new Map<number, string>();
  let first = 0;
  for (const batch of batches) {
    for (let i = 0; i < batch.ops.length; i++) {
      const to = placeOf === undefined ? first + i : placeOf[first + i]!;
      ops[to] = batch.ops[i]!;
      files[to] = batch.files[i]!;
      kinds[to] = batch.kinds[i]!;
      for (let k = 0; k < STAT_NUMBERS; k++)
        stats[to * STAT_NUMBERS + k] = batch.stats[i * STAT_NUMBERS + k]!;
    }
    for (const [i, id] of batch.ids) ids.set(placeOf === undefined ? first + i : placeOf[first + i]!, id);
    first += batch.ops.length;
  }
  const change = (i: number): WorkspaceChange => {
    const path = paths[i]!;
    const op = CHANGE_OPS[ops[i]!]!;
    const file = files[i]!;
    const before = file === -1 ? undefined : index.entryOf(file);
    const kind = KINDS[kinds[i]!];
    if (kind === undefined) return before === undefined ? { op, path } : { op, path, before };
    const stat = statAt(stats, i);
    const id = ids.get(i) as ObjectId | undefined;
    const base = { kind, size: stat.size, stat: trustedStat(stat, stampMs) };
    const after = id === undefined ? base : { ...base, id };
    return before === undefined ? { op, path, after } : { op, path, before, after };
  };
  if (count < LAZY_ITEMS_MIN) return listOf(count, change);
  return new ChangeColumns({ paths, ops, kinds, stats }, change);
}

/** The numbers of the paths in path order; undefined when they are in it already. */
function sortedOrder(paths: readonly TreePath[]): Uint32Array | undefined {
  for (let i = 1; i < paths.length; i++) {
    if (comparePaths(paths[i - 1]!, paths[i]!) > 0) {
      const order = Uint32Array.from(paths, (_, number) => number);
      return order.sort((a, b) => comparePaths(paths[a]!, paths[b]!));
    }
  }
  return undefined;
}

function inverse(order: Uint32Array): Uint32Array {
  const places = new Uint32Array(order.length);
  for (let i = 0; i < order.length; i++) places[order[i]!] = i;
  return places;
}
