/** Sessions, between the forge's form and `mic.v1.SessionService`. */
import { hexToBytes } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { LandingId, PackId, SessionId } from "../base/ids.ts";
import type { LandSession, Session, SessionState, SessionSummary, StartSession } from "../forge/forge.ts";
import {
  conversationFromWire,
  HASH_BYTES,
  ID_BYTES,
  idFromWire,
  numberFromWire,
  operationFromWire,
  operationToWire,
  optionalId,
  positionFromWire,
  positionRefFromWire,
  positionRefToWire,
} from "./common.ts";
import {
  type LandSessionRequest,
  type StartSessionRequest,
  type Session as WireSession,
  SessionState as WireSessionState,
  type SessionSummary as WireSessionSummary,
} from "./gen/mic/v1/sessions.ts";

const STATE_TO_WIRE: Readonly<Record<SessionState, WireSessionState>> = {
  open: WireSessionState.OPEN,
  landed: WireSessionState.LANDED,
  abandoned: WireSessionState.ABANDONED,
  conflicted: WireSessionState.CONFLICTED,
};
const STATE_FROM_WIRE: ReadonlyMap<number, SessionState> = new Map<number, SessionState>([
  [WireSessionState.OPEN, "open"],
  [WireSessionState.LANDED, "landed"],
  [WireSessionState.ABANDONED, "abandoned"],
  [WireSessionState.CONFLICTED, "conflicted"],
]);

export function stateToWire(state: SessionState | undefined): WireSessionState {
  return state === undefined ? WireSessionState.UNSPECIFIED : STATE_TO_WIRE[state];
}

/** Undefined where it is not given. */
export function stateFromWire(value: WireSessionState): SessionState | undefined {
  if (value === WireSessionState.UNSPECIFIED) return undefined;
  const state = STATE_FROM_WIRE.get(value);
  if (state === undefined) throw new MicError("usage", `session state ${value} is not known`);
  return state;
}

export function sessionIdFromWire(bytes: Uint8Array): SessionId {
  return idFromWire<SessionId>(bytes, ID_BYTES, "a session id");
}

export function sessionSummaryToWire(session: SessionSummary): WireSessionSummary {
  return {
    id: hexToBytes(session.id),
    goal: session.goal,
    owner: session.owner,
    state: STATE_TO_WIRE[session.state],
    base: positionRefToWire(session.base),
    createdAtMs: BigInt(session.createdAtMs),
    updatedAtMs: BigInt(session.updatedAtMs),
    landedAt: session.landedAt === undefined ? undefined : BigInt(session.landedAt),
  };
}

export function sessionSummaryFromWire(message: WireSessionSummary | undefined): SessionSummary {
  if (message === undefined) throw new MicError("usage", "a session without its summary");
  const state = stateFromWire(message.state);
  if (state === undefined) throw new MicError("usage", "a session without a state");
  return {
    id: sessionIdFromWire(message.id),
    goal: message.goal,
    owner: message.owner,
    state,
    base: positionRefFromWire(message.base, "the session's base"),
    createdAtMs: numberFromWire(message.createdAtMs, "time"),
    updatedAtMs: numberFromWire(message.updatedAtMs, "time"),
    ...(message.landedAt === undefined ? {} : { landedAt: positionFromWire(message.landedAt) }),
  };
}

export function sessionToWire(session: Session): WireSession {
  return {
    summary: sessionSummaryToWire(session),
    operations: session.operations.map(operationToWire),
    decisions: session.decisions,
    conversation: session.conversation,
  };
}

export function sessionFromWire(message: WireSession): Session {
  return {
    ...sessionSummaryFromWire(message.summary),
    operations: message.operations.map(operationFromWire),
    decisions: message.decisions,
    conversation: conversationFromWire(message.conversation),
  };
}

export function startSessionToWire(project: string, request: StartSession): StartSessionRequest {
  return {
    project,
    id: hexToBytes(request.id),
    goal: request.goal,
    owner: request.owner,
    base: request.base === undefined ? undefined : positionRefToWire(request.base),
  };
}

/** `defaults` for a caller that gave no id or owner. */
export function startSessionFromWire(
  message: StartSessionRequest,
  defaults: { readonly mintId: () => SessionId; readonly owner: string },
): StartSession {
  return {
    id: optionalId<SessionId>(message.id, ID_BYTES, "a session id") ?? defaults.mintId(),
    goal: message.goal,
    owner: message.owner === "" ? defaults.owner : message.owner,
    ...(message.base === undefined ? {} : { base: positionRefFromWire(message.base, "the base") }),
  };
}

export function landSessionToWire(project: string, request: LandSession): LandSessionRequest {
  return {
    project,
    session: hexToBytes(request.session),
    landingId: hexToBytes(request.landingId),
    goal: request.goal ?? "",
    author: request.author,
    agent: request.agent,
    packs: (request.packs ?? []).map(hexToBytes),
    base: request.base === undefined ? undefined : positionRefToWire(request.base),
  };
}

/** `defaults` for a caller that gave no landing id or author. */
export function landSessionFromWire(
  message: LandSessionRequest,
  defaults: { readonly mintLandingId: () => LandingId; readonly author: string },
): LandSession {
  return {
    session: sessionIdFromWire(message.session),
    landingId: optionalId<LandingId>(message.landingId, ID_BYTES, "a landing id") ?? defaults.mintLandingId(),
    ...(message.goal === "" ? {} : { goal: message.goal }),
    author: message.author === "" ? defaults.author : message.author,
    agent: message.agent,
    packs: packsFromWire(message.packs),
    ...(message.base === undefined ? {} : { base: positionRefFromWire(message.base, "the base") }),
  };
}

export function packsFromWire(packs: readonly Uint8Array[]): PackId[] {
  return packs.map((pack) => idFromWire<PackId>(pack, HASH_BYTES, "a pack id"));
}
