/** Keeps the workspace's operation log: what is recorded of an operation, and how much of the past is kept. */

import { sameSide } from "../codec/content-side.ts";
import type { OperationLog } from "../codec/operation-log.ts";
import type { Transition, TransitionStep } from "../codec/transition.ts";
import type { Workspace } from "./workspace.ts";

/** The oldest operations are forgotten beyond this. */
export const OPERATIONS_MAX = 200;
/** Steps in all operations together; the newest operation is kept whatever its size. */
export const LOGGED_STEPS_MAX = 50_000;

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
  const moved = transition.from.position !== transition.to.position;
  const steps = moved ? transition.steps.filter((step) => !followsFromBase(step)) : transition.steps;
  const operations = [...log.operations.slice(0, log.inEffect), { ...transition, steps, complete: !moved }];
  ws.saveOperations(bounded({ nextNumber: number + 1, operations, inEffect: operations.length }));
}

/** Disk and base agreed before and agree after: the two trees say it all. */
function followsFromBase(step: TransitionStep): boolean {
  return sameSide(step.diskBefore, step.baseBefore) && sameSide(step.diskAfter, step.baseAfter);
}

function bounded(log: OperationLog): OperationLog {
  let first = Math.max(0, log.operations.length - OPERATIONS_MAX);
  let steps = log.operations.slice(first).reduce((sum, operation) => sum + operation.steps.length, 0);
  while (steps > LOGGED_STEPS_MAX && first < log.operations.length - 1) {
    steps -= log.operations[first]!.steps.length;
    first += 1;
  }
  return { ...log, operations: log.operations.slice(first), inEffect: log.inEffect - first };
}
