/** Landing, with what the session recorded. */
import { throwIfAborted } from "../base/clock.ts";
import { MicError } from "../base/errors.ts";
import type { ProjectId } from "../base/ids.ts";
import type { StoredSession } from "../codec/session.ts";
import type { ForgeContext } from "./context.ts";
import type { CallOptions, ConversationMessage, LandRequest, LandResult } from "./forge.ts";
import { openSnapshot } from "./positions.ts";
import { markConflicted, readSession } from "./sessions.ts";

/**
 * Decisions and conversation of the session are copied into the landing record, before those of the request.
 * Errors besides those of a landing: `usage` for an abandoned session.
 */
export async function land(
  context: ForgeContext,
  project: ProjectId,
  request: LandRequest,
  options: CallOptions = {},
): Promise<LandResult> {
  throwIfAborted(options.signal);
  await context.requireProject(project, options.signal);
  const store = context.project(project);
  const { session } = request;
  const recorded =
    session === undefined ? undefined : await readSession(context, project, session, options.signal);
  if (session === undefined || recorded === undefined) return await store.land(request, options);
  if (recorded.state === "abandoned") return await landedBefore(context, project, request, options);
  const result = await store.land(withRecorded(request, recorded), options);
  if (result.kind === "conflict") await markConflicted(context, project, session, options);
  return result;
}

/** An abandoned session lands nothing new, but what it landed stays landed. */
async function landedBefore(
  context: ForgeContext,
  project: ProjectId,
  request: LandRequest,
  options: CallOptions,
): Promise<LandResult> {
  const snapshot = await openSnapshot(context, project, options);
  const found = await snapshot.findLanding(request.landingId, request.base.position, options);
  if (found !== undefined) return await context.project(project).land(request, options);
  throw new MicError("usage", `session ${request.session} was abandoned`, { hint: "start a new session" });
}

function withRecorded(request: LandRequest, recorded: StoredSession): LandRequest {
  return {
    ...request,
    decisions: joined(recorded.decisions, request.decisions, (a, b) => a === b),
    conversation: joined(recorded.conversation, request.conversation, sameMessage),
  };
}

/** A caller that sends along what it recorded before does not get it twice. */
function joined<T>(recorded: readonly T[], sent: readonly T[], same: (a: T, b: T) => boolean): readonly T[] {
  const repeats = sent.length >= recorded.length && recorded.every((item, i) => same(item, sent[i]!));
  return repeats ? sent : [...recorded, ...sent];
}

function sameMessage(a: ConversationMessage, b: ConversationMessage): boolean {
  return a.role === b.role && a.text === b.text;
}
