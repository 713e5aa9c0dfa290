/**
 * Live streams of what happens in a project: its landings, and the events of one session. A stream starts from a
 * cursor, so that a reader that was cut off misses nothing and sees nothing twice.
 */
import type { Position, ProjectId, SessionId } from "../../core/base/ids.ts";
import type {
  ConversationMessage,
  LandingSummary,
  Operation,
  SessionState,
  SessionSummary,
} from "../../core/forge/forge.ts";

/** `id` is the cursor after the event: printable ASCII without spaces. */
export type SessionEvent =
  | { readonly id: string; readonly kind: "session"; readonly session: SessionSummary }
  /** Recorded since the event before; after a cursor that does not tell, all of them. */
  | { readonly id: string; readonly kind: "operations"; readonly operations: readonly Operation[] }
  | { readonly id: string; readonly kind: "decision"; readonly text: string }
  | { readonly id: string; readonly kind: "message"; readonly message: ConversationMessage }
  /** The last event of a stream when the session landed or was abandoned. */
  | {
      readonly id: string;
      readonly kind: "state";
      readonly state: SessionState;
      readonly landedAt?: Position;
    };

export interface LiveEvents extends AsyncDisposable {
  /** Every landing after a position, oldest first; those of other processes within about a second. */
  landings(project: ProjectId, after: Position, signal: AbortSignal): AsyncIterable<LandingSummary>;
  /** Without a cursor: everything that the session recorded so far, then what follows. Errors: `not-found`, `usage` for a cursor that is none. */
  session(
    project: ProjectId,
    session: SessionId,
    cursor: string | undefined,
    signal: AbortSignal,
  ): AsyncIterable<SessionEvent>;
}
