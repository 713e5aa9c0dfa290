/**
 * Puts the workspace at another position. Only the paths that differ between the two positions are looked at
 * (all of them with `discard`): an unlanded edit of a file that is the same in both stays, as it would under
 * `git checkout`; an edit of one that differs is refused, merged or dropped.
 */
import { MicError } from "../../base/errors.ts";
import type { Position } from "../../base/ids.ts";
import { comparePaths } from "../../base/path.ts";
import {
  changesBetween,
  checkedHead,
  checkFromBase,
  IncomingChanges,
  resolveTarget,
} from "../checkout/base-changes.ts";
import { mergeLabels, runMove } from "../checkout/move.ts";
import { type EditPolicy, type PathChange, planMove } from "../checkout/plan.ts";
import { rewriteFiles } from "../checkout/rewrite.ts";
import { changeWorkspace } from "../checkout/settle.ts";
import type { GotoOptions, GotoResult } from "../results.ts";
import { baseSide, dirtyError, findChanges } from "../scan/changes.ts";
import type { Workspace } from "../workspace.ts";

/**
 * Errors: `dirty` with `paths`, `conflict` while conflicts are unresolved, `out-of-range`, `history-changed`,
 * `unsafe-path` (nothing is written).
 */
export function gotoPosition(
  ws: Workspace,
  position: Position,
  options: GotoOptions = {},
): Promise<GotoResult> {
  if (options.keep && options.discard) {
    throw new MicError("usage", "--keep and --discard exclude each other");
  }
  return changeWorkspace(ws, async () => {
    if (options.paths !== undefined && options.paths.length > 0) {
      return gotoPaths(ws, position, options);
    }
    return gotoInside(ws, position, options);
  });
}

async function gotoInside(ws: Workspace, position: Position, options: GotoOptions): Promise<GotoResult> {
  const policy: EditPolicy = options.keep ? "merge" : options.discard ? "discard" : "refuse";
  if (policy === "refuse" && ws.conflicts.length > 0) {
    const paths = ws.conflicts.map((conflict) => conflict.path);
    throw new MicError("conflict", `unresolved conflicts: ${paths.join(", ")}`, {
      hint: "run `mic resolve` first, or use --discard",
      data: { paths },
    });
  }
  const forge = await ws.forge();
  const head = await checkedHead(ws, forge);
  const target = await resolveTarget(ws, forge, head, position);
  const from = ws.index.base.position;
  await using incoming = await IncomingChanges.open(ws, target);
  const changes = policy === "discard" ? await withLocalChanges(ws, incoming.changes) : incoming.changes;
  const plan = await planMove(ws, changes, policy, mergeLabels(from, target.position));
  if (plan.inTheWay.length > 0) throw dirtyError(plan.inTheWay, `goto @${position}`);
  if (from === target.position && plan.steps.length === 0 && ws.conflicts.length === 0) {
    return { position, files: 0, conflicts: [] };
  }
  const result = await runMove(ws, {
    kind: "goto",
    description: `goto @${position}`,
    to: target,
    plan: policy === "discard" ? { ...plan, conflicts: [] } : plan,
    ...(incoming.frames === undefined ? {} : { frames: incoming.frames }),
  });
  return {
    position,
    files: result.changed.length,
    conflicts: result.conflicts.map((conflict) => conflict.path),
  };
}

/** With every unlanded change, so that all of them are dropped. */
async function withLocalChanges(ws: Workspace, changes: readonly PathChange[]): Promise<PathChange[]> {
  const byPath = new Map(changes.map((change) => [change.path, change]));
  const local = await findChanges(ws);
  for (const path of [...local.changes, ...ws.conflicts].map((change) => change.path)) {
    if (byPath.has(path)) continue;
    const side = baseSide(ws, path);
    byPath.set(path, { path, before: side, after: side });
  }
  return [...byPath.values()].sort((a, b) => comparePaths(a.path, b.path));
}

/** Files only: the base stays, so what was written shows as changes against it. */
async function gotoPaths(ws: Workspace, position: Position, options: GotoOptions): Promise<GotoResult> {
  const forge = await ws.forge();
  const head = await checkedHead(ws, forge);
  await resolveTarget(ws, forge, head, position);
  const changes = await changesBetween(ws, ws.index.base.position, position, options.paths);
  checkFromBase(ws, changes);
  const result = await rewriteFiles(ws, {
    kind: "goto",
    description: `goto @${position} for ${options.paths!.join(", ")}`,
    changes,
    policy: options.keep ? "merge" : options.discard ? "discard" : "refuse",
    theirs: `@${position}`,
  });
  return { position, files: result.changed.length, conflicts: result.conflicts.map(({ path }) => path) };
}
