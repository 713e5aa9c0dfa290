/** Changes files of the workspace while its base stays: restore, resolve, revert, and `goto --path`. */
import type { Conflict } from "../../codec/conflict-state.ts";
import type { TransitionKind } from "../../codec/transition.ts";
import { baseSide, dirtyError } from "../scan/changes.ts";
import type { Workspace } from "../workspace.ts";
import { type MoveResult, runMove } from "./move.ts";
import { type EditPolicy, type PathChange, planMove } from "./plan.ts";

export interface RewriteRequest {
  readonly kind: TransitionKind;
  readonly description: string;
  /** `before` is what a merge starts from, `after` what the file is to be. In path order. */
  readonly changes: readonly PathChange[];
  readonly policy: EditPolicy;
  /** Name of the `after` side in conflict markers. */
  readonly theirs: string;
  /** Last word on the conflicts that remain. */
  readonly conflicts?: (planned: readonly Conflict[]) => readonly Conflict[];
}

/** Errors: `dirty` with `paths` under the policy `refuse`, or for what cannot be overwritten. */
export async function rewriteFiles(ws: Workspace, request: RewriteRequest): Promise<MoveResult> {
  const labels = { ours: "workspace", base: `before ${request.theirs}`, theirs: request.theirs };
  const plan = await planMove(ws, request.changes, request.policy, labels);
  if (plan.inTheWay.length > 0) throw dirtyError(plan.inTheWay, request.description);
  const steps = plan.steps.map((step) => {
    const base = baseSide(ws, step.path);
    return { ...step, baseBefore: base, baseAfter: base };
  });
  const conflicts = request.conflicts?.(plan.conflicts) ?? plan.conflicts;
  return runMove(ws, {
    kind: request.kind,
    description: request.description,
    to: ws.index.base,
    plan: { ...plan, steps, conflicts },
  });
}
