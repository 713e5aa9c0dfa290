/**
 * Changes against the base. Waits for no other command, needs no network, and writes nothing but a fresher
 * index where that makes the next scan noticeably cheaper and nobody else holds the lock.
 */

import { findChanges, toStatusChange } from "./changes.ts";
import type { StatusResult } from "./results.ts";
import type { Workspace } from "./workspace.ts";

export async function workspaceStatus(ws: Workspace): Promise<StatusResult> {
  ws.requireComplete();
  const scanned = ws.index;
  const { changes, scan } = await findChanges(ws);
  const { settings } = ws;
  const { base } = scanned;
  const latestKnown = ws.latestKnown;
  if (scan.worthSaving) await ws.saveFindings(scanned, scan.findings);
  return {
    project: settings.projectName,
    position: base.position,
    latestKnown,
    tree: base.root,
    session: settings.session ?? null,
    pending: ws.loadPending()?.landingId ?? null,
    unfinished: ws.loadTransition()?.description ?? null,
    changes: changes.map(toStatusChange),
    conflicts: ws.conflicts.map((conflict) => conflict.path),
    skipped: [...scan.skipped, ...scan.refused],
  };
}
