/** `undo`, `redo` and the list of what can be undone. They change the workspace only, never the project. */
import { MicError } from "../../base/errors.ts";
import type { TreePath } from "../../base/path.ts";
import type { Transition, TransitionStep } from "../../codec/transition.ts";
import { changesBetween } from "../checkout/base-changes.ts";
import { runMove } from "../checkout/move.ts";
import { planMove, sortSteps } from "../checkout/plan.ts";
import { changeWorkspace } from "../checkout/settle.ts";
import type { OperationSummary, UndoResult } from "../results.ts";
import { dirtyError } from "../scan/changes.ts";
import type { Workspace } from "../workspace.ts";

/** Newest first. Takes no lock. */
export function listOperations(ws: Workspace): readonly OperationSummary[] {
  const log = ws.loadOperations();
  return log.operations.map((operation, i) => summaryOf(operation, i >= log.inEffect)).reverse();
}

/**
 * Takes back the newest operation in effect. Errors: `landed` when that is a landing, `not-found` when there is
 * none, `dirty` with `paths` when files were changed since.
 */
export function undo(ws: Workspace): Promise<UndoResult> {
  return changeWorkspace(ws, async () => {
    const log = ws.loadOperations();
    const operation = log.operations[log.inEffect - 1];
    if (operation === undefined) throw new MicError("not-found", "there is nothing to undo");
    if (operation.kind === "land") {
      const { position } = operation.to;
      throw new MicError("landed", `the last operation landed @${position}, which others may build on`, {
        hint: `mic revert ${position}`,
        data: { position },
      });
    }
    return moveAlong(ws, operation, "undo");
  });
}

/** Repeats the operation that was undone last. Errors: `not-found`, `dirty` with `paths`. */
export function redo(ws: Workspace): Promise<UndoResult> {
  return changeWorkspace(ws, async () => {
    const log = ws.loadOperations();
    const operation = log.operations[log.inEffect];
    if (operation === undefined) throw new MicError("not-found", "there is nothing to redo");
    return moveAlong(ws, operation, "redo");
  });
}

async function moveAlong(
  ws: Workspace,
  operation: Transition,
  direction: "undo" | "redo",
): Promise<UndoResult> {
  const back = direction === "undo";
  const here = back ? operation.to : operation.from;
  const there = back ? operation.from : operation.to;
  if (ws.index.base.root !== here.root || ws.index.base.position !== here.position) {
    throw new MicError(
      "dirty",
      `the workspace is not at @${here.position}, where ${operation.description} left it`,
      {
        hint: `run \`mic goto ${here.position}\` first`,
      },
    );
  }
  const known = operation.steps.map((step) => (back ? inverse(step) : step));
  const steps = new Map<TreePath, TransitionStep>(known.map((step) => [step.path, step]));
  if (!operation.complete) {
    for (const { path, before, after } of await changesBetween(ws, here.position, there.position)) {
      if (steps.has(path)) continue;
      steps.set(path, { path, diskBefore: before, baseBefore: before, diskAfter: after, baseAfter: after });
    }
  }
  const expected = sortSteps([...steps.values()]);
  // Planned as "from what the operation left to what was before it": anything else in a file is newer.
  const plan = await planMove(
    ws,
    expected.map((step) => ({ path: step.path, before: step.diskBefore, after: step.diskAfter })),
    "refuse",
    { ours: "workspace", base: "operation", theirs: direction },
    [],
  );
  if (plan.inTheWay.length > 0) {
    const error = dirtyError(plan.inTheWay, `${direction} of ${operation.description}`);
    throw new MicError("dirty", error.message, {
      hint: "land or restore these files first",
      data: { paths: plan.inTheWay },
    });
  }
  const planned = plan.steps.map((step) => {
    const { baseBefore, baseAfter } = steps.get(step.path)!;
    return { ...step, baseBefore, baseAfter };
  });
  const conflicts = back ? operation.conflictsBefore : operation.conflictsAfter;
  const result = await runMove(ws, {
    kind: direction,
    description: `${direction} ${operation.description}`,
    number: operation.number,
    to: there,
    plan: { ...plan, steps: planned, conflicts },
  });
  return {
    operation: summaryOf(operation, back),
    position: there.position,
    files: result.changed.length,
  };
}

function inverse(step: TransitionStep): TransitionStep {
  return {
    path: step.path,
    diskBefore: step.diskAfter,
    baseBefore: step.baseAfter,
    diskAfter: step.diskBefore,
    baseAfter: step.baseBefore,
  };
}

function summaryOf(operation: Transition, undone: boolean): OperationSummary {
  const { number, kind, timeMs, description } = operation;
  return {
    number,
    kind,
    timeMs,
    description,
    from: operation.from.position,
    to: operation.to.position,
    undone,
  };
}
