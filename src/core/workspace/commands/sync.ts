/** Brings the base forward, merging local changes three ways. */
import { MicError } from "../../base/errors.ts";
import type { Position } from "../../base/ids.ts";
import { sameSide } from "../../codec/content-side.ts";
import { checkedHead, IncomingChanges, resolveTarget } from "../checkout/base-changes.ts";
import { mergeLabels, runMove } from "../checkout/move.ts";
import { planMove } from "../checkout/plan.ts";
import { changeWorkspace } from "../checkout/settle.ts";
import type { SyncResult } from "../results.ts";
import type { Workspace } from "../workspace.ts";

export interface SyncOptions {
  /** Default: the newest position. */
  readonly to?: Position;
}

/** Errors: `out-of-range` for a position before the base or beyond the head, `history-changed`, `unsafe-path`. */
export function syncWorkspace(ws: Workspace, options: SyncOptions = {}): Promise<SyncResult> {
  return changeWorkspace(ws, () => syncInside(ws, options.to));
}

/** With the lock held and nothing pending. */
export async function syncInside(ws: Workspace, to: Position | undefined): Promise<SyncResult> {
  const forge = await ws.forge();
  const head = await checkedHead(ws, forge);
  const { base } = ws.index;
  if (to !== undefined && to < base.position) {
    throw new MicError("out-of-range", `sync only goes forward and the base is at @${base.position}`, {
      hint: `use \`mic goto ${to}\` to go back`,
    });
  }
  const target = await resolveTarget(ws, forge, head, to ?? head.position);
  const unresolved = ws.conflicts.map((conflict) => conflict.path);
  if (target.position === base.position) {
    return { position: base.position, updated: [], merged: [], conflicts: unresolved };
  }
  await using incoming = await IncomingChanges.open(ws, target);
  const plan = await planMove(ws, incoming.changes, "merge", mergeLabels(base.position, target.position));
  const result = await runMove(ws, {
    kind: "sync",
    description: `sync to @${target.position}`,
    to: target,
    plan,
    ...(incoming.frames === undefined ? {} : { frames: incoming.frames }),
  });
  const updated = plan.steps
    .filter((step) => !sameSide(step.diskBefore, step.diskAfter) && sameSide(step.diskAfter, step.baseAfter))
    .map((step) => step.path);
  return {
    position: target.position,
    updated,
    merged: plan.merged,
    conflicts: result.conflicts.map((conflict) => conflict.path),
  };
}
