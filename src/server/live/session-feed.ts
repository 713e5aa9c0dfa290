/**
 * What happens in one session, as events made from the difference between two readings of it. Nothing is queued: a
 * slow reader gets the difference between what it saw and what is there when it comes back.
 *
 * A cursor says how much was seen: `1.<decisions>.<messages>.<operations>.<state>`, where operations is a digest of
 * them (16 hex digits, `-` for none seen) and state is the last one told (`-` for none). Decisions and messages are
 * only ever added, so resuming repeats none and misses none. Of operations the session keeps the last one for each
 * path and not when it came: a cursor with another digest is given all of them again.
 */
import { bytesToHex, utf8 } from "../../core/base/bytes.ts";
import { MicError } from "../../core/base/errors.ts";
import { hashBytes } from "../../core/base/hash.ts";
import type { Operation, Session, SessionState, SessionSummary } from "../../core/forge/forge.ts";
import type { SessionEvent } from "./live-events.ts";
import { NOTHING_SEEN, type Watch } from "./watch.ts";

const CURSOR = /^1\.(\d{1,15})\.(\d{1,15})\.([0-9a-f]{16}|-)\.(open|conflicted|landed|abandoned|-)$/;
const NONE = "-";

export interface SessionView {
  readonly session: Session;
  /** Of its operations: 16 hex digits, `-` when there are none. */
  readonly operationsDigest: string;
}

interface SessionCursor {
  readonly decisions: number;
  readonly messages: number;
  readonly operations: string;
  readonly state: SessionState | typeof NONE;
}

export function viewSession(session: Session): SessionView {
  const { operations } = session;
  if (operations.length === 0) return { session, operationsDigest: NONE };
  const text = operations.map(operationText).join("\n");
  return { session, operationsDigest: bytesToHex(hashBytes(utf8(text)), 0, 8) };
}

/** `previous` itself when the session has not changed. */
export function nextView(previous: SessionView | undefined, session: Session): SessionView {
  const before = previous?.session;
  const isSame =
    before !== undefined &&
    before.updatedAtMs === session.updatedAtMs &&
    before.state === session.state &&
    before.landedAt === session.landedAt &&
    before.decisions.length === session.decisions.length &&
    before.conversation.length === session.conversation.length;
  const view = viewSession(session);
  return isSame && previous!.operationsDigest === view.operationsDigest ? previous! : view;
}

/** Errors: `usage` for a cursor that is none. */
export function parseSessionCursor(text: string): SessionCursor {
  const match = CURSOR.exec(text);
  if (match === null) {
    throw new MicError("usage", `${JSON.stringify(text)} is not a place in a session's events`, {
      hint: "start without one",
    });
  }
  return {
    decisions: Number(match[1]),
    messages: Number(match[2]),
    operations: match[3]!,
    state: match[4] as SessionCursor["state"],
  };
}

/** Ends after `landed` or `abandoned`, and when the signal fires. */
export async function* followSession(
  watch: Watch<SessionView>,
  resumeAt: SessionCursor | undefined,
  signal: AbortSignal,
): AsyncIterable<SessionEvent> {
  let cursor = resumeAt;
  let operations: readonly Operation[] | undefined;
  let seen = NOTHING_SEEN;
  for (;;) {
    const next = await watch.next(seen, signal);
    if (next === undefined) return;
    seen = next.version;
    const { session } = next.value;
    for (const step of stepsTo(next.value, cursor, operations)) {
      if (signal.aborted) return;
      yield step.event;
      cursor = step.cursor;
    }
    operations = session.operations;
    if (isLast(session.state)) return;
  }
}

interface Step {
  readonly event: SessionEvent;
  readonly cursor: SessionCursor;
}

/** Events from a cursor to what is there now. `known`: the operations that the reader has, if that is known. */
function* stepsTo(
  { session, operationsDigest }: SessionView,
  from: SessionCursor | undefined,
  known: readonly Operation[] | undefined,
): Generator<Step> {
  let cursor = from;
  if (cursor === undefined) {
    const state = isLast(session.state) ? NONE : session.state;
    cursor = { decisions: 0, messages: 0, operations: NONE, state };
    yield { cursor, event: { id: cursorText(cursor), kind: "session", session: summaryOf(session) } };
  }
  if (cursor.operations !== operationsDigest) {
    cursor = { ...cursor, operations: operationsDigest };
    const operations = operationsSince(known, session.operations);
    if (operations.length > 0) {
      yield { cursor, event: { id: cursorText(cursor), kind: "operations", operations } };
    }
  }
  while (cursor.decisions < session.decisions.length) {
    const text = session.decisions[cursor.decisions]!;
    cursor = { ...cursor, decisions: cursor.decisions + 1 };
    yield { cursor, event: { id: cursorText(cursor), kind: "decision", text } };
  }
  while (cursor.messages < session.conversation.length) {
    const message = session.conversation[cursor.messages]!;
    cursor = { ...cursor, messages: cursor.messages + 1 };
    yield { cursor, event: { id: cursorText(cursor), kind: "message", message } };
  }
  if (cursor.state === session.state) return;
  cursor = { ...cursor, state: session.state };
  const { state, landedAt } = session;
  const event = { id: cursorText(cursor), kind: "state" as const, state };
  yield { cursor, event: landedAt === undefined ? event : { ...event, landedAt } };
}

function cursorText({ decisions, messages, operations, state }: SessionCursor): string {
  return `1.${decisions}.${messages}.${operations}.${state}`;
}

function isLast(state: SessionState): boolean {
  return state === "landed" || state === "abandoned";
}

function summaryOf(session: Session): SessionSummary {
  const { operations: _operations, decisions: _decisions, conversation: _conversation, ...summary } = session;
  return summary;
}

function operationsSince(
  known: readonly Operation[] | undefined,
  now: readonly Operation[],
): readonly Operation[] {
  if (known === undefined || known.length === 0) return now;
  const before = new Map(known.map((operation) => [operation.path, operationText(operation)]));
  return now.filter((operation) => before.get(operation.path) !== operationText(operation));
}

function operationText(operation: Operation): string {
  if (operation.kind === "delete") return `- ${operation.path}`;
  const { kind, id, chunks, size } = operation.entry;
  return `${kind} ${size} ${id} ${chunks ?? NONE} ${operation.path}`;
}
