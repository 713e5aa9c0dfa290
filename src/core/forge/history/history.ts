/** The log of landings, newest first, and single landings. */
import { throwIfAborted } from "../../base/clock.ts";
import { hlcToMs } from "../../base/hlc.ts";
import type { Position, ProjectId } from "../../base/ids.ts";
import { isWithin, parseTreePath, type TreePath } from "../../base/path.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";
import { diffTrees } from "../../prolly/diff.ts";
import { rangesOfPaths } from "../../prolly/path-ranges.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions, Landing, LandingSummary, ListLandings } from "../forge.ts";
import { openSnapshot, requireReached, snapshotAt } from "../log/positions.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { positionsTouching } from "../rollup/lookup.ts";
import { type LogSegment, segmentsOf } from "../rollup/segments.ts";

/** Of landings that are far apart. */
const RECORDS_TOGETHER = 16;

/** Errors: `out-of-range` for an `upTo` beyond the head. */
export async function* listLandings(
  context: ForgeContext,
  project: ProjectId,
  request: ListLandings,
  options: CallOptions = {},
): AsyncIterable<readonly LandingSummary[]> {
  const snapshot = await openSnapshot(context, project, options);
  for await (const page of recordsMatching(snapshot, request, options)) yield page.map(toLandingSummary);
}

/** Errors: `out-of-range` beyond the head, `not-found` for position 0, which no landing made. */
export async function getLanding(
  context: ForgeContext,
  project: ProjectId,
  position: Position,
  options: CallOptions = {},
): Promise<Landing> {
  const snapshot = await snapshotAt(context, project, position, options);
  const record = await snapshot.record(position);
  const { hlc, base, decisions, conversation } = record;
  const operations = await snapshot.operations(record);
  return { ...toLandingSummary(record), hlc, base, decisions, conversation, operations };
}

export function toLandingSummary(record: LandingRecord): LandingSummary {
  return {
    position: record.position,
    landingId: record.landingId,
    session: record.session,
    root: record.root,
    parentRoot: record.parentRoot,
    goal: record.goal,
    author: record.author,
    agent: record.agent,
    timeMs: hlcToMs(record.hlc),
    changes: record.operationCount,
  };
}

/** Records in (after, upTo] that match, newest first, in pages without empty ones. */
export async function* recordsMatching(
  snapshot: Snapshot,
  request: ListLandings,
  options: CallOptions = {},
): AsyncIterable<readonly LandingRecord[]> {
  const upTo = request.upTo ?? snapshot.head.position;
  const after = request.after ?? (0 as Position);
  requireReached(snapshot, upTo);
  if (after >= upTo) return;
  const paths = request.paths?.map((path) => parseTreePath(path));
  const author = request.author?.toLowerCase();
  const pages =
    paths === undefined
      ? snapshot.records(after, upTo, options)
      : landingsTouching(snapshot, paths, after, upTo, options);
  for await (const page of pages) {
    throwIfAborted(options.signal);
    const matching =
      author === undefined ? page : page.filter((record) => record.author.toLowerCase().includes(author));
    if (matching.length > 0) yield matching;
  }
}

/**
 * Landings in (after, upTo] that touched one of the paths or something below them, newest first, in pages that may
 * be empty. Rollups tell which; where there are none, every record is looked at.
 */
export async function* landingsTouching(
  snapshot: Snapshot,
  paths: readonly TreePath[],
  after: Position,
  upTo: Position,
  options: CallOptions = {},
): AsyncIterable<readonly LandingRecord[]> {
  for (const segment of await segmentsOf(snapshot, after, upTo)) {
    const positions = await positionsIn(snapshot, paths, segment);
    if (positions === undefined) {
      for await (const page of snapshot.records(segment.after, segment.upTo, options)) {
        yield await filterTouching(snapshot, page, paths);
        throwIfAborted(options.signal);
      }
      continue;
    }
    for (let from = 0; from < positions.length; from += RECORDS_TOGETHER) {
      throwIfAborted(options.signal);
      const together = positions.slice(from, from + RECORDS_TOGETHER);
      const records = await Promise.all(together.map((position) => snapshot.record(position)));
      yield await filterTouching(snapshot, records, paths);
    }
  }
}

/** Undefined: no rollup can tell. */
async function positionsIn(
  snapshot: Snapshot,
  paths: readonly TreePath[],
  { after, upTo, rollup }: LogSegment,
): Promise<readonly Position[] | undefined> {
  if (rollup === undefined) return undefined;
  const found = await snapshot.rollups.ask(() => positionsTouching(rollup, paths, after, upTo));
  return found === "damaged" ? undefined : found;
}

async function filterTouching(
  snapshot: Snapshot,
  records: readonly LandingRecord[],
  paths: readonly TreePath[],
): Promise<readonly LandingRecord[]> {
  const touching: LandingRecord[] = [];
  for (const record of records) if (await touches(snapshot, record, paths)) touching.push(record);
  return touching;
}

/**
 * Whether a landing touched one of the paths or something below them. A small landing's operations are at
 * hand; of a large one only the key ranges in question are compared, which reads O(log n) nodes when nothing
 * there changed. (Where a file became a directory or the reverse, the paths on both sides have operations of
 * their own.)
 */
export async function touches(
  snapshot: Snapshot,
  record: LandingRecord,
  paths: readonly TreePath[],
): Promise<boolean> {
  if (record.operations.kind === "inline") {
    const operations = await snapshot.operations(record);
    return operations.some((operation) => paths.some((path) => isWithin(operation.path, path)));
  }
  const before = await snapshot.treeAt((record.position - 1) as Position);
  const after = await snapshot.treeAt(record.position);
  for (const range of rangesOfPaths(paths)) {
    for await (const page of diffTrees(before, after, range)) if (page.length > 0) return true;
  }
  return false;
}
