/**
 * Changes against the base. Waits for no other command, needs no network, and writes nothing but a fresher
 * index where that makes the next scan noticeably cheaper and nobody else holds the lock.
 */

import type { List } from "../../base/list.ts";
import type { SkippedPath, StatusResult } from "../results.ts";
import type { WorkspaceChange } from "../scan/change-columns.ts";
import { findChanges, toStatusChanges } from "../scan/changes.ts";
import type { Workspace } from "../workspace.ts";

export async function workspaceStatus(ws: Workspace): Promise<StatusResult> {
  ws.requireComplete();
  const scanned = ws.index;
  const { changes, scan } = await findChanges(ws);
  const status = statusOf(ws, changes, [...scan.skipped, ...scan.refused]);
  if (scan.worthSaving) await ws.saveFindings(scanned, scan.findings);
  return status;
}

/** What there is to say about a workspace whose changes, and what was passed over, are known. */
export function statusOf(
  ws: Workspace,
  changes: List<WorkspaceChange>,
  skipped: readonly SkippedPath[],
): StatusResult {
  const { settings } = ws;
  const { base } = ws.index;
  return {
    project: settings.projectName,
    position: base.position,
    latestKnown: ws.latestKnown,
    tree: base.root,
    session: settings.session ?? null,
    pending: ws.loadPending()?.landingId ?? null,
    unfinished: ws.loadTransition()?.description ?? null,
    changes: toStatusChanges(changes),
    conflicts: ws.conflicts.map((conflict) => conflict.path),
    skipped,
  };
}
