/** Keeps the workspace's operation log: what is recorded of an operation, and how much of the past is kept. */

import type { Position } from "../../base/ids.ts";
import { sameSide } from "../../codec/content-side.ts";
import { type OperationLog, stepCountOf } from "../../codec/operation-log.ts";
import type { BaseRef, Transition, TransitionStep } from "../../codec/transition.ts";
import type { Workspace } from "../workspace.ts";
import type { PathChange } from "./plan.ts";

/** The oldest operations are forgotten beyond this. */
export const OPERATIONS_MAX = 200;
/** Steps in all operations together; the newest operation is kept whatever its size. */
export const LOGGED_STEPS_MAX = 50_000;
/** The newest moves to another base keep every step, so that going back needs no difference of trees. */
const WHOLE_MOVES_MAX = 3;
export const WHOLE_STEPS_MAX = 2000;

/** Appends an operation, or moves the line between done and undone. Doing it twice does no more than once. */
export function recordOperation(ws: Workspace, transition: Transition): void {
  const log = ws.loadOperations();
  const { number, kind } = transition;
  if (kind === "undo" || kind === "redo") {
    const index = log.operations.findIndex((operation) => operation.number === number);
    if (index === -1) return;
    ws.saveOperations({ ...log, inEffect: kind === "undo" ? index : index + 1 });
    return;
  }
  if (log.operations.some((operation) => operation.number === number)) return;
  const operations = shortened([...log.operations.slice(0, log.inEffect), transition]);
  ws.saveOperations(bounded({ nextNumber: number + 1, operations, inEffect: operations.length }));
}

/** Leaves out of older and larger moves what the two base trees say. */
function shortened(operations: readonly Transition[]): Transition[] {
  let whole = 0;
  return operations
    .toReversed()
    .map((operation) => {
      const moved = operation.from.position !== operation.to.position;
      if (!moved || !operation.complete) return operation;
      if (stepCountOf(operation) <= WHOLE_STEPS_MAX && whole++ < WHOLE_MOVES_MAX) return operation;
      return {
        ...operation,
        complete: false,
        steps: operation.steps.filter((step) => !followsFromBase(step)),
      };
    })
    .reverse();
}

/** What the base changes from one tree to another, when a recent operation of this workspace made that move. */
export function recallChanges(ws: Workspace, from: BaseRef, to: BaseRef): PathChange[] | undefined {
  const same = (a: BaseRef, b: BaseRef): boolean => a.position === b.position && a.root === b.root;
  for (const operation of ws.loadOperations().operations.toReversed()) {
    if (!operation.complete) continue;
    const forward = same(operation.from, from) && same(operation.to, to);
    if (!forward && !(same(operation.from, to) && same(operation.to, from))) continue;
    return operation.steps
      .filter((step) => !sameSide(step.baseBefore, step.baseAfter))
      .map(({ path, baseBefore, baseAfter }) =>
        forward
          ? { path, before: baseBefore, after: baseAfter }
          : { path, before: baseAfter, after: baseBefore },
      );
  }
  return undefined;
}

/** The root of a position that is known from such an operation. */
export function recallRoot(ws: Workspace, from: BaseRef, position: Position): BaseRef | undefined {
  for (const { from: before, to: after } of ws.loadOperations().operations.toReversed()) {
    if (before.root === from.root && before.position === from.position && after.position === position) {
      return after;
    }
    if (after.root === from.root && after.position === from.position && before.position === position) {
      return before;
    }
  }
  return undefined;
}

/** Disk and base agreed before and agree after: the two trees say it all. */
function followsFromBase(step: TransitionStep): boolean {
  return sameSide(step.diskBefore, step.baseBefore) && sameSide(step.diskAfter, step.baseAfter);
}

function bounded(log: OperationLog): OperationLog {
  let first = Math.max(0, log.operations.length - OPERATIONS_MAX);
  let steps = log.operations.slice(first).reduce((sum, operation) => sum + stepCountOf(operation), 0);
  while (steps > LOGGED_STEPS_MAX && first < log.operations.length - 1) {
    steps -= stepCountOf(log.operations[first]!);
    first += 1;
  }
  return { ...log, operations: log.operations.slice(first), inEffect: log.inEffect - first };
}
