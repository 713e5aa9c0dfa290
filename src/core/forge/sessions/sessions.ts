/**
 * Sessions: work recorded with its goal, decisions and conversation. A session object holds what was recorded;
 * whether and where the session landed is read from the log, so that the two can never disagree. A landing
 * without a session writes no session object: then everything about its session is in the log.
 */
import { throwIfAborted } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import { hlcFromMs, hlcToMs, nextHlc } from "../../base/hlc.ts";
import { type Position, type ProjectId, parseSessionId, type SessionId } from "../../base/ids.ts";
import { TEXT_BYTES_MAX } from "../../base/limits.ts";
import { comparePaths } from "../../base/path.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";
import {
  decodeSession,
  encodeSession,
  RECENT_WRITES_MAX,
  type SessionOperation,
  type StoredSession,
} from "../../codec/session.ts";
import { sessionKey } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import type {
  CallOptions,
  ConversationMessage,
  Operation,
  PositionRef,
  Session,
  SessionState,
  SessionSummary,
  StartSession,
} from "../forge.ts";
import { checkGoal, checkOperations, checkText, RECORD_TEXT_BYTES_MAX } from "../landing/check-request.ts";
import { openSnapshot, requirePosition } from "../log/positions.ts";
import { sessionAbandoned, sessionExists, sessionLanded, sessionNotFound } from "../log/session-errors.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { swapLoop } from "../swap-loop.ts";

export const SESSION_OPERATIONS_MAX = 100_000;
/** A session is rewritten with every change, so it stays small enough for that. */
export const SESSION_BYTES_MAX = 8 << 20;
/** With the goal of a landing, the texts of a session fit a landing record. */
export const SESSION_TEXT_BYTES_MAX = RECORD_TEXT_BYTES_MAX - TEXT_BYTES_MAX;
const NONCE_BYTES = 8;
export const OWNER_BYTES_MAX = 1024;

/** The same call again, with the same id, goal and owner, returns the session. */
export async function startSession(
  context: ForgeContext,
  project: ProjectId,
  request: StartSession,
  options: CallOptions = {},
): Promise<Session> {
  const id = parseSessionId(request.id);
  checkGoal(request.goal);
  checkText("owner", request.owner, OWNER_BYTES_MAX);
  const snapshot = await openSnapshot(context, project, options);
  const base = await checkedBase(snapshot, request.base);
  const landed = await snapshot.landingOfSession(id, base.position, options);
  if (landed !== undefined) throw sessionExists(id);
  const now = hlcFromMs(context.clock.nowMs());
  const fresh: StoredSession = {
    id,
    state: "open",
    basePosition: base.position,
    baseRoot: base.root,
    owner: request.owner,
    created: now,
    updated: now,
    goal: request.goal,
    operations: [],
    decisions: [],
    conversation: [],
    recentWrites: [],
  };
  const stored = await swapSession(context, project, id, options.signal, (current) => {
    if (current === undefined) return fresh;
    if (current.goal !== request.goal || current.owner !== request.owner) throw sessionExists(id);
    return current;
  });
  return toSession(stored, undefined);
}

/** Errors: `not-found` when neither an object nor the log knows the session. */
export async function getSession(
  context: ForgeContext,
  project: ProjectId,
  session: SessionId,
  options: CallOptions = {},
): Promise<Session> {
  const snapshot = await openSnapshot(context, project, options);
  const stored = await readSession(context, project, session, options.signal);
  const after = stored?.basePosition ?? (0 as Position);
  const landedAt = await snapshot.landingOfSession(session, after, options);
  if (stored !== undefined) return toSession(stored, landedAt);
  if (landedAt === undefined) throw sessionNotFound(session);
  return sessionOfRecord(await snapshot.record(landedAt), await snapshot.operations(landedAt));
}

export function recordOperations(
  context: ForgeContext,
  project: ProjectId,
  session: SessionId,
  operations: readonly Operation[],
  options: CallOptions = {},
): Promise<Session> {
  return append(context, project, session, options, (current) => {
    const merged = mergeOperations(current.operations, operations);
    if (merged.length > SESSION_OPERATIONS_MAX) {
      throw new MicError("too-large", `a session records at most ${SESSION_OPERATIONS_MAX} operations`, {
        hint: "land what there is and start another session",
      });
    }
    checkOperations(merged);
    return { operations: merged };
  });
}

export function recordDecision(
  context: ForgeContext,
  project: ProjectId,
  session: SessionId,
  text: string,
  options: CallOptions = {},
): Promise<Session> {
  checkText("decision", text, TEXT_BYTES_MAX);
  return append(context, project, session, options, (current) => ({
    decisions: [...current.decisions, text],
  }));
}

export function recordConversation(
  context: ForgeContext,
  project: ProjectId,
  session: SessionId,
  messages: readonly ConversationMessage[],
  options: CallOptions = {},
): Promise<Session> {
  for (const { role, text } of messages) {
    checkText("role", role, OWNER_BYTES_MAX);
    checkText("message", text, TEXT_BYTES_MAX);
  }
  return append(context, project, session, options, (current) => ({
    conversation: [...current.conversation, ...messages.map(({ role, text }) => ({ role, text }))],
  }));
}

/** Abandoning twice is harmless. Errors: `landed`, `not-found`. */
export function abandonSession(
  context: ForgeContext,
  project: ProjectId,
  session: SessionId,
  options: CallOptions = {},
): Promise<Session> {
  return append(context, project, session, options, () => ({ state: "abandoned" }), true);
}

/** Notes that a landing of this session was refused for a conflict; nothing when it has no object. */
export async function markConflicted(
  context: ForgeContext,
  project: ProjectId,
  session: SessionId,
  options: CallOptions = {},
): Promise<void> {
  const stored = await readSession(context, project, session, options.signal);
  if (stored?.state !== "open") return;
  await swapSession(context, project, session, options.signal, (current) => {
    if (current === undefined) throw sessionNotFound(session);
    return current.state === "open" ? touched(context, current, { state: "conflicted" }) : current;
  });
}

export async function readSession(
  context: ForgeContext,
  project: ProjectId,
  session: SessionId,
  signal?: AbortSignal,
): Promise<StoredSession | undefined> {
  const key = sessionKey(project, parseSessionId(session));
  const stored = await context.store.get(key, signal === undefined ? {} : { signal });
  return stored === undefined ? undefined : decodeSessionOf(session, stored.bytes);
}

export function decodeSessionOf(id: SessionId, bytes: Uint8Array): StoredSession {
  const session = decodeSession(bytes);
  if (session.id === id) return session;
  throw new MicError("corrupt", `the object of session ${id} is that of session ${session.id}`);
}

export function toSummary(stored: StoredSession, landedAt: Position | undefined): SessionSummary {
  const state: SessionState = landedAt === undefined ? stored.state : "landed";
  return {
    id: stored.id,
    goal: stored.goal,
    owner: stored.owner,
    state,
    base: { position: stored.basePosition, root: stored.baseRoot },
    createdAtMs: hlcToMs(stored.created),
    updatedAtMs: hlcToMs(stored.updated),
    ...(landedAt === undefined ? {} : { landedAt }),
  };
}

/** A session of which there is no object. */
export function summaryOfRecord(record: LandingRecord): SessionSummary {
  const timeMs = hlcToMs(record.hlc);
  return {
    id: record.session,
    goal: record.goal,
    owner: record.author,
    state: "landed",
    base: record.base,
    createdAtMs: timeMs,
    updatedAtMs: timeMs,
    landedAt: record.position,
  };
}

function sessionOfRecord(record: LandingRecord, operations: readonly Operation[]): Session {
  const { decisions, conversation } = record;
  return { ...summaryOfRecord(record), operations, decisions, conversation };
}

function toSession(stored: StoredSession, landedAt: Position | undefined): Session {
  const { operations, decisions, conversation } = stored;
  return { ...toSummary(stored, landedAt), operations, decisions, conversation };
}

/** One change of an open session, applied exactly once. */
async function append(
  context: ForgeContext,
  project: ProjectId,
  session: SessionId,
  options: CallOptions,
  change: (current: StoredSession) => Partial<StoredSession>,
  abandoning = false,
): Promise<Session> {
  throwIfAborted(options.signal);
  const existing = await getSession(context, project, session, options);
  if (existing.landedAt !== undefined) throw sessionLanded(session, existing.landedAt);
  const nonce = Buffer.from(context.random.bytes(NONCE_BYTES)).toString("hex");
  const stored = await swapSession(context, project, session, options.signal, (current) => {
    if (current === undefined) throw sessionNotFound(session);
    if (current.recentWrites.includes(nonce)) return current;
    if (current.state === "abandoned") {
      if (abandoning) return current;
      throw sessionAbandoned(session);
    }
    const recentWrites = [...current.recentWrites, nonce].slice(-RECENT_WRITES_MAX);
    return touched(context, current, { ...change(current), recentWrites });
  });
  return toSession(stored, undefined);
}

function touched(
  context: ForgeContext,
  current: StoredSession,
  change: Partial<StoredSession>,
): StoredSession {
  return { ...current, ...change, updated: nextHlc(context.clock.nowMs(), current.updated) };
}

export function swapSession(
  context: ForgeContext,
  project: ProjectId,
  session: SessionId,
  signal: AbortSignal | undefined,
  change: (current: StoredSession | undefined) => StoredSession,
): Promise<StoredSession> {
  return swapLoop(context, {
    key: sessionKey(project, session),
    what: `session ${session}`,
    decode: (bytes) => decodeSessionOf(session, bytes),
    encode: (value) => {
      const bytes = encodeSession(value);
      if (bytes.length <= SESSION_BYTES_MAX && textBytes(value) <= SESSION_TEXT_BYTES_MAX) return bytes;
      throw new MicError("too-large", `session ${session} would become too large`, {
        hint: "land what there is and start another session",
      });
    },
    change,
    signal,
  });
}

function textBytes(session: StoredSession): number {
  let bytes = 0;
  for (const text of session.decisions) bytes += Buffer.byteLength(text);
  for (const { role, text } of session.conversation)
    bytes += Buffer.byteLength(role) + Buffer.byteLength(text);
  return bytes;
}

/** Sorted by tree key, one per path: the later of two operations on a path counts. */
function mergeOperations(
  recorded: readonly SessionOperation[],
  added: readonly Operation[],
): readonly SessionOperation[] {
  const byPath = new Map(recorded.map((operation) => [operation.path, operation]));
  for (const operation of added) byPath.set(operation.path, operation);
  return [...byPath.values()].sort((a, b) => comparePaths(a.path, b.path));
}

/** Default: the head. Errors: `history-changed`, `out-of-range`. */
export async function checkedBase(snapshot: Snapshot, base: PositionRef | undefined): Promise<PositionRef> {
  if (base === undefined) return { position: snapshot.head.position, root: snapshot.head.root };
  const known = await requirePosition(snapshot, base.position);
  if (known.root === base.root) return base;
  throw new MicError("history-changed", `position ${base.position} is another tree in this project`, {
    hint: "link the workspace again, or restore the project",
  });
}
