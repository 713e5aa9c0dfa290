/** The workspace's open session: work recorded with its goal, decisions and conversation as it happens. */
import { MicError } from "../../base/errors.ts";
import type { SessionId } from "../../base/ids.ts";
import { mintSessionId } from "../../base/random.ts";
import type { ConversationMessage, ListSessions, Page, Session, SessionSummary } from "../../forge/forge.ts";
import { changeWorkspace } from "../checkout/settle.ts";
import { authorOf, callOptions } from "../context.ts";
import type { LandOptions, LandOutcome } from "../results.ts";
import type { Workspace } from "../workspace.ts";
import { landWorkspace } from "./land.ts";

/** Errors: `already-exists` while a session is open. */
export function startSession(ws: Workspace, goal: string): Promise<Session> {
  return changeWorkspace(ws, async () => {
    const { session } = ws.settings;
    if (session !== undefined) {
      throw new MicError("already-exists", `session ${session} is open in this workspace`, {
        hint: "land it with `mic session land`, or give it up with `mic session abandon`",
        data: { session },
      });
    }
    const forge = await ws.forge();
    const id = mintSessionId(ws.context.random);
    const { position, root } = ws.index.base;
    const request = { id, goal, owner: authorOf(ws), base: { position, root } };
    const started = await forge.startSession(ws.settings.project, request, callOptions(ws));
    ws.saveSession(id);
    return started;
  });
}

/** The given session, or the open one. Errors: `not-found` when there is neither. */
export function sessionOf(ws: Workspace, session?: SessionId): SessionId {
  const id = session ?? ws.settings.session;
  if (id === undefined) {
    throw new MicError("not-found", "no session is open in this workspace", {
      hint: 'start one: mic session start "goal"',
    });
  }
  return id;
}

export async function showSession(ws: Workspace, session?: SessionId): Promise<Session> {
  const forge = await ws.forge();
  return forge.getSession(ws.settings.project, sessionOf(ws, session), callOptions(ws));
}

export async function listSessions(ws: Workspace, request: ListSessions = {}): Promise<Page<SessionSummary>> {
  const forge = await ws.forge();
  return forge.listSessions(ws.settings.project, request, callOptions(ws));
}

export async function recordDecision(ws: Workspace, text: string, session?: SessionId): Promise<Session> {
  const forge = await ws.forge();
  return forge.recordDecision(ws.settings.project, sessionOf(ws, session), text, callOptions(ws));
}

/** A note is a message of the role `note`. */
export function recordNote(ws: Workspace, text: string, session?: SessionId): Promise<Session> {
  return recordMessages(ws, [{ role: "note", text }], session);
}

export async function recordMessages(
  ws: Workspace,
  messages: readonly ConversationMessage[],
  session?: SessionId,
): Promise<Session> {
  const forge = await ws.forge();
  return forge.recordConversation(ws.settings.project, sessionOf(ws, session), messages, callOptions(ws));
}

/** Lands the workspace's changes under the session's goal unless another is given. */
export async function landSession(
  ws: Workspace,
  options: Omit<LandOptions, "goal" | "session"> & { readonly goal?: string; readonly session?: SessionId },
): Promise<LandOutcome> {
  return landWorkspace(ws, { ...options, goal: options.goal ?? "", session: sessionOf(ws, options.session) });
}

/** The workspace's files stay as they are. */
export function abandonSession(ws: Workspace, session?: SessionId): Promise<Session> {
  return changeWorkspace(ws, async () => {
    const id = sessionOf(ws, session);
    const forge = await ws.forge();
    const abandoned = await forge.abandonSession(ws.settings.project, id, callOptions(ws));
    if (ws.settings.session === id) ws.saveSession(undefined);
    return abandoned;
  });
}
