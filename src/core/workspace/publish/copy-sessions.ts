/** Sessions from one forge to another, after the history that they landed in. */
import { isMicError } from "../../base/errors.ts";
import type { Position } from "../../base/ids.ts";
import type { LandingSummary, Operation, Session, SessionSummary } from "../../forge/forge.ts";
import type { CopyContext } from "./copy-content.ts";

/** Returns how many. Those that are only read from the log have come with it. Repeating it is harmless. */
export async function copySessions(context: CopyContext): Promise<number> {
  const { source, project, options } = context;
  let copied = 0;
  let after: string | undefined;
  do {
    const page = await source.listSessions(project, after === undefined ? {} : { after }, options);
    for (const summary of page.items) {
      if (await isOnlyInLog(context, summary)) continue;
      const session = await source.getSession(project, summary.id, options);
      if (session.state !== "landed") await copyRecordedContent(context, session.operations);
      if (await importUnlessNewer(context, session)) copied++;
    }
    after = page.next;
  } while (after !== undefined);
  return copied;
}

/** False where it went on in the target already, after an earlier copy. */
async function importUnlessNewer(context: CopyContext, session: Session): Promise<boolean> {
  const { target, project, options } = context;
  try {
    await target.importSession(project, session, options);
    return true;
  } catch (error) {
    if (!isMicError(error, "already-exists")) throw error;
    const there = await target.getSession(project, session.id, options);
    const isSame = there.createdAtMs === session.createdAtMs && there.owner === session.owner;
    if (!isSame || there.updatedAtMs < session.updatedAtMs) throw error;
    return false;
  }
}

/** It says nothing that its landing does not say. */
async function isOnlyInLog({ source, project, options }: CopyContext, summary: SessionSummary) {
  const { landedAt, owner, createdAtMs, updatedAtMs } = summary;
  if (landedAt === undefined || createdAtMs !== updatedAtMs) return false;
  const range = { after: (landedAt - 1) as Position, upTo: landedAt };
  let landing: LandingSummary | undefined;
  for await (const page of source.listLandings(project, range, options)) landing ??= page[0];
  return landing !== undefined && landing.author === owner && landing.timeMs === createdAtMs;
}

/** What a session has recorded and not landed may be stored by itself, and is then needed there too. */
async function copyRecordedContent(context: CopyContext, operations: readonly Operation[]): Promise<void> {
  const { source, target, project, options } = context;
  for (const operation of operations) {
    if (operation.kind === "delete") continue;
    const { entry, hint } = operation;
    const { id, chunks } = entry;
    const wanted = chunks === undefined ? { id } : { id, chunks };
    if ((await target.findContent(project, wanted, options)) !== undefined) continue;
    // Recorded before it was stored: there is nothing to copy.
    if ((await source.findContent(project, wanted, options)) === undefined) continue;
    await target.putBlob(project, source.readFile(project, { entry, hint }, options), options);
  }
}
