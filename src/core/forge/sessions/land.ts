/** Landing, with what the session recorded. */
import { throwIfAborted } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import { hlcToMs } from "../../base/hlc.ts";
import { POSITION_ZERO, type ProjectId, parseLandingId } from "../../base/ids.ts";
import type { StoredSession } from "../../codec/session.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions, ConversationMessage, LandRequest, LandResult, LandSession } from "../forge.ts";
import { openSnapshot } from "../log/positions.ts";
import { sessionAbandoned, sessionLanded, sessionNotFound } from "../log/session-errors.ts";
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
  const result = await store.land(withRecorded(request, recorded), {
    ...options,
    storedSinceMs: hlcToMs(recorded.created),
  });
  if (result.kind === "conflict") await markConflicted(context, project, session, options);
  return result;
}

/**
 * Lands what a session recorded. Errors besides those of a landing: `not-found`, `landed` for a session that landed
 * under another id, `usage` for an abandoned one, `nothing-to-land` when it recorded no operation.
 */
export async function landSession(
  context: ForgeContext,
  project: ProjectId,
  request: LandSession,
  options: CallOptions = {},
): Promise<LandResult> {
  const { session, landingId } = request;
  parseLandingId(landingId);
  const snapshot = await openSnapshot(context, project, options);
  const recorded = await readSession(context, project, session, options.signal);
  const after = request.base?.position ?? recorded?.basePosition ?? POSITION_ZERO;
  if (recorded === undefined) {
    const position = await snapshot.landingOfSession(session, after, options);
    if (position === undefined) throw sessionNotFound(session);
    throw sessionLanded(session, position);
  }
  if (recorded.operations.length === 0) {
    throw new MicError("nothing-to-land", `session ${session} recorded no operations`, {
      hint: "record what it changes first, or abandon it",
    });
  }
  const { basePosition, baseRoot, operations, decisions, conversation, goal } = recorded;
  const whole: LandRequest = {
    landingId,
    base: request.base ?? { position: basePosition, root: baseRoot },
    goal: request.goal ?? goal,
    author: request.author,
    agent: request.agent,
    operations,
    session,
    decisions,
    conversation,
    packs: request.packs ?? [],
    frames: [],
  };
  const landedAt = await snapshot.landingOfSession(session, basePosition, options);
  if (landedAt !== undefined) {
    const record = await snapshot.record(landedAt);
    if (record.landingId !== landingId) throw sessionLanded(session, landedAt);
  } else if (recorded.state === "abandoned") throw sessionAbandoned(session);
  const store = context.project(project);
  const result = await store.land(whole, {
    ...options,
    storedSinceMs: hlcToMs(recorded.created),
    isOnly: true,
  });
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
  throw sessionAbandoned(request.session!);
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
