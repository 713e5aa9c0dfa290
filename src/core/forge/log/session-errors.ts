/** What is said of a session that is not there, or not open. */
import { MicError } from "../../base/errors.ts";
import type { Position, SessionId } from "../../base/ids.ts";

export function sessionNotFound(session: SessionId): MicError {
  return new MicError("not-found", `there is no session ${session}`, {
    hint: "list them with `mic session list`",
  });
}

export function sessionExists(session: SessionId): MicError {
  return new MicError("already-exists", `there is another session ${session}`, { hint: "mint a new id" });
}

export function sessionLanded(session: SessionId, position: Position): MicError {
  return new MicError("landed", `session ${session} landed at position ${position}`, {
    hint: "start a new session",
    data: { position },
  });
}

export function sessionAbandoned(session: SessionId): MicError {
  return new MicError("usage", `session ${session} was abandoned`, { hint: "start a new session" });
}
