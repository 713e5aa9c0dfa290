/** Changes against the base. Takes no lock, needs no network, and writes nothing. */

import { findChanges, toStatusChange } from "./changes.ts";
import type { StatusResult } from "./results.ts";
import type { Workspace } from "./workspace.ts";

export async function workspaceStatus(ws: Workspace): Promise<StatusResult> {
  ws.requireComplete();
  const { changes, scan } = await findChanges(ws);
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
    changes: changes.map(toStatusChange),
    conflicts: ws.conflicts.map((conflict) => conflict.path),
    skipped: [...scan.skipped, ...scan.refused],
  };
}
