/**
 * Which stretches of a log rollups stand for. Level n covers 10^(n + 1) positions: 1 to 100, 101 to 200, … on level
 * 1, 1 to 1,000, … on level 2. A parent replaces its ten children, so a log is covered by at most nine rollups of
 * each level and a tail of fewer than a hundred landings.
 */
import type { Position } from "../../base/ids.ts";
import type { Head, RollupRef } from "../../codec/head.ts";
import { ROLLUP_LEVEL_MAX, rollupSpan } from "../../codec/rollup.ts";

/** Children of a rollup above level 1. */
export const ROLLUP_FANOUT = 10;

export interface DueRollup {
  readonly level: number;
  readonly first: Position;
}

/** Of a long log that has none, so many are named at once. */
const DUE_MAX = 64;

/**
 * Rollups that can be built from what a head names, oldest first. Each of them fits by itself; once one is attached
 * the list changes. A stretch is due as soon as it is complete: positions never change.
 */
export function dueRollups(head: Pick<Head, "position" | "rollups">): readonly DueRollup[] {
  const due: DueRollup[] = [];
  const span = rollupSpan(1);
  for (const [after, upTo] of uncovered(head.rollups, head.position)) {
    let first = Math.ceil(after / span) * span + 1;
    for (; first + span - 1 <= upTo && due.length < DUE_MAX; first += span) {
      due.push({ level: 1, first: first as Position });
    }
  }
  for (const [level, present] of childrenPresent(head.rollups)) {
    for (const [first, count] of present) if (count === ROLLUP_FANOUT) due.push({ level, first });
  }
  return due.sort((a, b) => a.first - b.first || a.level - b.level);
}

/** Of each level above 1: how many children of each possible rollup there are. */
function childrenPresent(rollups: readonly RollupRef[]): Map<number, Map<Position, number>> {
  const levels = new Map<number, Map<Position, number>>();
  for (const { level, first } of rollups) {
    if (level >= ROLLUP_LEVEL_MAX) continue;
    const parents = levels.get(level + 1) ?? new Map<Position, number>();
    levels.set(level + 1, parents);
    const parent = firstOfRollup(level + 1, first);
    parents.set(parent, (parents.get(parent) ?? 0) + 1);
  }
  return levels;
}

/** First position of the rollup of a level that holds a position. */
export function firstOfRollup(level: number, position: Position): Position {
  const span = rollupSpan(level);
  return (Math.floor((position - 1) / span) * span + 1) as Position;
}

/** The stretches (after, upTo] of the log up to `position` that no rollup stands for, oldest first. */
export function* uncovered(
  rollups: readonly RollupRef[],
  position: Position,
): Generator<readonly [after: number, upTo: number], void, undefined> {
  let after = 0;
  for (const { first, last } of rollups) {
    if (first - 1 > after) yield [after, first - 1];
    after = Math.max(after, last);
  }
  if (position > after) yield [after, position];
}
