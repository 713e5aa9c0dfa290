/** What every handler of the server is given: the REST routes, the gRPC services and the content transport. */
import type { Clock } from "../core/base/clock.ts";
import type { Random } from "../core/base/random.ts";
import type { Forge } from "../core/forge/forge.ts";
import type { LiveEvents } from "./live/live-events.ts";

/** Who calls. */
export interface Principal {
  readonly account: string;
}

export interface ServerLog {
  /** One structured line; `fields` are plain JSON values and never hold a token. */
  info(event: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(event: string, fields?: Readonly<Record<string, unknown>>): void;
  error(event: string, fields?: Readonly<Record<string, unknown>>): void;
}

export interface ServerContext {
  /** Tells `events` of every change that passes through it. */
  readonly forge: Forge;
  readonly events: LiveEvents;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
  /**
   * The caller behind an `authorization` header. Errors: `unauthenticated` without a token or for one that is not
   * known. Every handler that is not public calls it first, and only once.
   */
  authenticate(authorization: string | undefined): Principal;
  /** Fires when the server drains: live streams end, calls that are running finish. */
  readonly draining: AbortSignal;
  /** mic's version. */
  readonly version: string;
}
