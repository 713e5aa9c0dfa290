/** A stretch of the log as rollups stand for it, and what of it has to be read from records. */
import type { Position } from "../../base/ids.ts";
import type { Head, RollupRef } from "../../codec/head.ts";
import type { OpenRollup, RollupReader } from "./read.ts";

/** Fronts that are read at once. */
const OPEN_TOGETHER = 16;

/** A log with the rollups that stand for parts of it. */
export interface RolledUpLog {
  readonly head: Pick<Head, "rollups">;
  readonly rollups: RollupReader;
}

/** Landings (after, upTo]. `rollup`: stands for them, and perhaps for others. */
export interface LogSegment {
  readonly after: Position;
  readonly upTo: Position;
  readonly rollup: OpenRollup | undefined;
}

/** Newest first, without gaps. Errors: `unreachable`. */
export async function segmentsOf(
  log: RolledUpLog,
  after: Position,
  upTo: Position,
): Promise<readonly LogSegment[]> {
  if (after >= upTo) return [];
  const refs = rollupsWithin(log.head.rollups, { first: (after + 1) as Position, last: upTo });
  const opened: (OpenRollup | undefined)[] = [];
  for (let from = 0; from < refs.length; from += OPEN_TOGETHER) {
    const together = refs.slice(from, from + OPEN_TOGETHER).map((ref) => log.rollups.open(ref));
    opened.push(...(await Promise.all(together)));
  }
  const segments: LogSegment[] = [];
  const add = (start: number, end: number, rollup: OpenRollup | undefined): void => {
    if (start >= end) return;
    const last = segments.at(-1);
    if (rollup === undefined && last !== undefined && last.rollup === undefined) {
      segments[segments.length - 1] = { ...last, after: start as Position };
      return;
    }
    segments.push({ after: start as Position, upTo: end as Position, rollup });
  };
  let next: number = upTo;
  for (let i = refs.length - 1; i >= 0; i--) {
    const { first, last } = refs[i]!;
    const end = Math.min(last, upTo);
    add(end, next, undefined);
    next = Math.max(after, first - 1);
    add(next, end, opened[i]);
  }
  add(after, next, undefined);
  return segments;
}

/** Up to where rollups stand for the log of a head without a gap. */
export function rolledUpTo(log: RolledUpLog): Position {
  let upTo = 0;
  for (const { first, last } of log.head.rollups) if (first === upTo + 1) upTo = last;
  return upTo as Position;
}

/** Those that have a position in the range. */
export function rollupsWithin(
  rollups: readonly RollupRef[],
  range: { readonly first: Position; readonly last: Position },
): RollupRef[] {
  return rollups.filter(({ first, last }) => first <= range.last && last >= range.first);
}
