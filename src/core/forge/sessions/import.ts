/** Sessions of another forge, as they are there. */
import { throwIfAborted } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import { hlcFromMs } from "../../base/hlc.ts";
import { type ProjectId, parseSessionId } from "../../base/ids.ts";
import { TEXT_BYTES_MAX } from "../../base/limits.ts";
import { encodeSession, type StoredSession } from "../../codec/session.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions, Session } from "../forge.ts";
import { checkGoal, checkOperations, checkText } from "../landing/check-request.ts";
import { openSnapshot } from "../log/positions.ts";
import { checkedBase, OWNER_BYTES_MAX, swapSession } from "./sessions.ts";

/**
 * Stores a session with the ids, times and texts that it has. A landed one must be landed here too: where it is
 * says the log, so import the landings first. An earlier state of the same session is brought up to date. Errors:
 * `already-exists` for another session under its id, or one that was changed here as well, `history-changed` for a base or a landing that is not in this history, `usage`, `too-large`.
 */
export async function importSession(
  context: ForgeContext,
  project: ProjectId,
  session: Session,
  options: CallOptions = {},
): Promise<void> {
  const { signal } = options;
  throwIfAborted(signal);
  const imported = storedForm(session);
  await context.requireProject(project, signal);
  const snapshot = await openSnapshot(context, project, options);
  await checkedBase(snapshot, session.base);
  const { position } = session.base;
  const landedAt = await snapshot.landingOfSession(session.id, position, options);
  if (session.state === "landed" && landedAt === undefined) {
    throw new MicError("history-changed", `session ${session.id} has not landed in this project`, {
      hint: "import the landings before the sessions",
    });
  }
  await swapSession(context, project, session.id, signal, (current) => {
    if (current === undefined) return imported;
    if (isSame(current, imported)) return current;
    if (goesOn(current, imported)) return imported;
    throw new MicError("already-exists", `there is another session ${session.id}`, {
      hint: "it was changed on one side; keep one of the two",
    });
  });
}

/** The log knows whether it landed, so the object never says so. */
function storedForm(session: Session): StoredSession {
  const { goal, owner, state, base, operations, decisions, conversation } = session;
  checkGoal(goal);
  checkText("owner", owner, OWNER_BYTES_MAX);
  checkOperations(operations);
  for (const text of decisions) checkText("decision", text, TEXT_BYTES_MAX);
  for (const { role, text } of conversation) {
    checkText("role", role, OWNER_BYTES_MAX);
    checkText("message", text, TEXT_BYTES_MAX);
  }
  return {
    id: parseSessionId(session.id),
    state: state === "landed" ? "open" : state,
    basePosition: base.position,
    baseRoot: base.root,
    owner,
    created: hlcFromMs(session.createdAtMs),
    updated: hlcFromMs(session.updatedAtMs),
    goal,
    operations,
    decisions,
    conversation: conversation.map(({ role, text }) => ({ role, text })),
    recentWrites: [],
  };
}

/** The same session later on, with everything that was recorded into it here. */
function goesOn(current: StoredSession, imported: StoredSession): boolean {
  const { created, owner, goal, updated, operations, decisions, conversation } = current;
  if (created !== imported.created || owner !== imported.owner || goal !== imported.goal) return false;
  if (updated >= imported.updated) return false;
  const paths = new Set(imported.operations.map((operation) => operation.path));
  return (
    operations.every((operation) => paths.has(operation.path)) &&
    decisions.every((text, i) => text === imported.decisions[i]) &&
    conversation.every(({ role, text }, i) => {
      const message = imported.conversation[i];
      return role === message?.role && text === message.text;
    })
  );
}

/** Recent writes tell a writer of its own; they are nothing of the session's. */
function isSame(a: StoredSession, b: StoredSession): boolean {
  const [left, right] = [a, b].map((each) => encodeSession({ ...each, recentWrites: [] }));
  return Buffer.compare(left!, right!) === 0;
}
