/**
 * Which of our paths a landing since our base touched. A path is in conflict once some landing set it to an
 * entry other than ours, even if it was changed back since: once true, always true, so that a retry through
 * another agent gets the same answer. A path is also in conflict when one side's file is the other's
 * directory.
 */
import { throwIfAborted } from "../../base/clock.ts";
import type { Position } from "../../base/ids.ts";
import type { List } from "../../base/list.ts";
import { ancestorsOf, comparePaths, isWithin, pathToKey, type TreePath } from "../../base/path.ts";
import type { LandingRecord, OperationSegment } from "../../codec/landing-record.ts";
import { mayContain } from "../../codec/path-filter.ts";
import { sameEntry } from "../../codec/tree-entry.ts";
import type { Operation } from "../forge.ts";
import { WALKED_MAX } from "../log/recent-log.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { ClashQueries } from "../rollup/clashes.ts";
import { type LogSegment, segmentsOf } from "../rollup/segments.ts";

/** With more operations than this of our own, asking filters path by path costs more than reading. */
const FILTERED_OPERATIONS_MAX = 4096;
/** Of ours, looked for together in rollups. */
const OPERATIONS_TOGETHER = 4096;
/** Rollups that are searched at the same time. */
const ROLLUPS_TOGETHER = 8;

/** Our paths that conflict with a landing in (base, head], sorted. Empty: none. */
export async function findConflicts(
  snapshot: Snapshot,
  operations: List<Operation>,
  base: Position,
  signal?: AbortSignal,
): Promise<TreePath[]> {
  if (operations.length === 0) return [];
  const found = new Set<TreePath>();
  const report = (ours: TreePath): void => {
    found.add(ours);
  };
  const { position: head } = snapshot.head;
  if (base >= head) return [];
  const isFar = head - base > WALKED_MAX;
  const recent = isFar ? await snapshot.recentLog(base) : undefined;
  const isRecentClear = recent !== undefined && !recent.mayClash(operations, base);
  const upTo = isRecentClear ? recent.low! : head;
  if (upTo <= base) return [];
  if (isFar) await searchRolledUp(snapshot, operations, { base, upTo, report, signal });
  else await searchRecords(snapshot, operations, { base, upTo, report, signal });
  return [...found].sort(comparePaths);
}

/** Landings in (base, upTo]. */
interface Stretch {
  readonly base: Position;
  readonly upTo: Position;
  readonly report: (ours: TreePath) => void;
  readonly signal: AbortSignal | undefined;
}

/** Through rollups, as far as there are any; the records of the rest are read. */
async function searchRolledUp(
  snapshot: Snapshot,
  operations: List<Operation>,
  { base, upTo, report, signal }: Stretch,
): Promise<void> {
  const segments = await segmentsOf(snapshot, base, upTo);
  const unknown = new Set(segments.filter(({ rollup }) => rollup === undefined));
  const rolledUp = new Set(segments.filter(({ rollup }) => rollup !== undefined));
  for (let from = 0; from < operations.length && rolledUp.size > 0; from += OPERATIONS_TOGETHER) {
    const queries = new ClashQueries(operations.slice(from, from + OPERATIONS_TOGETHER));
    const search = async (segment: LogSegment): Promise<void> => {
      const { rollup, after } = segment;
      const answer = await snapshot.rollups.ask(() => queries.search(rollup!, after, report, signal));
      if (answer !== "damaged") return;
      rolledUp.delete(segment);
      unknown.add(segment);
    };
    const together = [...rolledUp];
    for (let next = 0; next < together.length; next += ROLLUPS_TOGETHER) {
      await Promise.all(together.slice(next, next + ROLLUPS_TOGETHER).map(search));
    }
  }
  for (const { after, upTo: end } of unknown) {
    await searchRecords(snapshot, operations, { base: after, upTo: end, report, signal });
  }
}

async function searchRecords(
  snapshot: Snapshot,
  operations: List<Operation>,
  { base, upTo, report, signal }: Stretch,
): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  for await (const page of snapshot.records(base, upTo, options)) {
    for (const record of page) {
      const { operations: their } = record;
      if (their.kind === "inline") findClashes(operations, snapshot.inlineOperations(record), report);
      else await searchSegments(snapshot, record, their.segments, operations, report);
    }
    throwIfAborted(signal);
  }
}

async function searchSegments(
  snapshot: Snapshot,
  record: LandingRecord,
  segments: readonly OperationSegment[],
  operations: List<Operation>,
  report: (ours: TreePath) => void,
): Promise<void> {
  const queries = operations.length > FILTERED_OPERATIONS_MAX ? undefined : filterQueries(operations);
  for (const segment of segments) {
    if (queries !== undefined && !mayClash(segment.filter, queries)) continue;
    findClashes(operations, await snapshot.segment(segment, record.position), report);
  }
}

interface FilterQueries {
  /** Our paths and the ancestors of our puts: a clash when they touched one. */
  readonly touched: readonly Uint8Array[];
  /** Our puts: a clash when they need one as a directory. */
  readonly asDirectory: readonly Uint8Array[];
}

function filterQueries(operations: List<Operation>): FilterQueries {
  const touched: Uint8Array[] = [];
  const asDirectory: Uint8Array[] = [];
  const directories = new Set<TreePath>();
  for (const { kind, path } of operations) {
    const key = pathToKey(path);
    touched.push(key);
    if (kind === "delete") continue;
    asDirectory.push(key);
    for (const ancestor of ancestorsOf(path)) directories.add(ancestor);
  }
  for (const directory of directories) touched.push(pathToKey(directory));
  return { touched, asDirectory };
}

/** Our paths and their ancestors are asked one by one: the intersection of two filters is almost never empty. */
function mayClash(filter: Uint8Array, queries: FilterQueries): boolean {
  return (
    queries.touched.some((key) => mayContain(filter, "touched", key)) ||
    queries.asDirectory.some((key) => mayContain(filter, "ancestor", key))
  );
}

/**
 * Reports every path of `ours` that clashes with `theirs`; both sorted, one operation per path. Walks the
 * shorter list and searches the longer one.
 */
export function findClashes(
  ours: List<Operation>,
  theirs: List<Operation>,
  report: (ours: TreePath) => void,
): void {
  if (ours.length <= theirs.length) {
    for (const own of ours) if (clashesWithAny(own, theirs)) report(own.path);
    return;
  }
  for (const their of theirs) forEachClash(their, ours, report);
}

/** True when two landings may not both be applied to one base in any order. */
export function doClash(a: List<Operation>, b: List<Operation>): boolean {
  const [short, long] = a.length <= b.length ? [a, b] : [b, a];
  for (const operation of short) if (clashesWithAny(operation, long)) return true;
  return false;
}

function clashesWithAny(operation: Operation, others: List<Operation>): boolean {
  let clashes = false;
  forEachClash(operation, others, () => {
    clashes = true;
  });
  return clashes;
}

/** Calls `report` with the path of every one of `others` that clashes with `operation`. */
function forEachClash(
  operation: Operation,
  others: List<Operation>,
  report: (other: TreePath) => void,
): void {
  const { path } = operation;
  let at = lowerBound(others, path);
  const same = others.at(at);
  if (same !== undefined && same.path === path) {
    if (!setsSameEntry(operation, same)) report(path);
    at++;
  }
  if (operation.kind === "delete") return;
  for (; at < others.length; at++) {
    const below = others.at(at)!;
    if (!isWithin(below.path, path)) break;
    if (below.kind === "put") report(below.path);
  }
  for (const ancestor of ancestorsOf(path)) {
    const other = others.at(lowerBound(others, ancestor));
    if (other !== undefined && other.kind === "put" && other.path === ancestor) report(ancestor);
  }
}

function setsSameEntry(a: Operation, b: Operation): boolean {
  if (a.kind === "delete" || b.kind === "delete") return a.kind === b.kind;
  return sameEntry(a.entry, b.entry);
}

/** Index of the first operation whose path is not below `path`'s place in key order. */
function lowerBound(operations: List<Operation>, path: TreePath): number {
  let low = 0;
  let high = operations.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (comparePaths(operations.at(middle)!.path, path) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
