/** What every handler of the server is given: the REST routes, the gRPC services and the content transport. */
import type { Clock } from "../core/base/clock.ts";
import type { Random } from "../core/base/random.ts";
import type { Forge } from "../core/forge/forge.ts";
import type { Accounts } from "./auth/accounts.ts";
import type { Audit, LandingLog } from "./auth/audit.ts";
import type { Authorizer } from "./auth/authorizer.ts";
import type { AccountsDurability } from "./auth/durability.ts";
import type { AuthServices } from "./auth/oauth/auth-call.ts";
import type { OwnedProjects } from "./auth/owned-projects.ts";
import type { Principal } from "./auth/principal.ts";
import type { Forwarder } from "./auth/replica/forwarder.ts";
import type { LiveEvents } from "./live/live-events.ts";
import type { Network } from "./network/network.ts";
import type { Webhooks } from "./webhooks/webhooks.ts";

export interface ServerLog {
  /** One structured line; `fields` are plain JSON values and never hold a token. */
  info(event: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(event: string, fields?: Readonly<Record<string, unknown>>): void;
  error(event: string, fields?: Readonly<Record<string, unknown>>): void;
}

export interface ServerContext {
  /** Tells `events` of every change that passes through it. It lets everybody do everything: see `authorizer`. */
  readonly forge: Forge;
  readonly events: LiveEvents;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
  /**
   * The caller behind an `authorization` header: nobody without one. Errors: `unauthenticated` for a token that is
   * not valid. Every handler calls it first, and only once.
   */
  authenticate(authorization: string | undefined): Principal;
  readonly accounts: Accounts;
  /** What the caller may do: every endpoint asks it, as its `access` says. */
  readonly authorizer: Authorizer;
  /** Lists, and what makes, changes and deletes projects and organizations, for a caller. */
  readonly projects: OwnedProjects;
  readonly audit: Audit;
  /** Who landed what: told of every landing before its answer (./landing-audit.ts). */
  readonly landingLog: LandingLog;
  /** Awaited after something was taken away, before the answer. */
  readonly durability: AccountsDurability;
  /** Where callers are, what they may use up, and the way out to addresses that somebody else wrote. */
  readonly network: Network;
  /** Absent: nobody can sign in here. */
  readonly signIn?: AuthServices;
  /** Absent: there are none. */
  readonly webhooks?: Webhooks;
  /** What passes on to the primary the calls that change accounts. Absent: this is the only server. */
  readonly forwarder?: Forwarder;
  /** Fires when the server drains: live streams end, calls that are running finish. */
  readonly draining: AbortSignal;
  /** mic's version. */
  readonly version: string;
}
