/**
 * Who did what, from where, with which token: written once, never changed. Two logs: that of accounts, which is where
 * they are and goes with them, and that of landings, which every server keeps for the calls that came to it.
 */
import type { LandingId, Position, ProjectId } from "../../core/base/ids.ts";
import type { Principal } from "./principal.ts";

export interface AuditEntry {
  /** Nobody: what was tried without signing in. */
  readonly principal: Principal;
  /** Of the caller, as ../network/client-address.ts knows it. */
  readonly address: string;
  /** `noun.verb`, the verb in the past: `token.created`, `user.disabled`, `project.deleted`, `sign-in.refused`. */
  readonly action: string;
  /** `user:NAME`, `token:ID`, `project:ID`, `organization:NAME`, `webhook:ID`. */
  readonly target: string;
  /** Never a secret. */
  readonly detail?: Readonly<Record<string, unknown>>;
}

/** What a call brought into a project; the author that a landing states is anybody's word, its principal is not. */
export interface LandingEntry {
  readonly principal: Principal;
  /** Of the caller. */
  readonly address: string;
  /**
   * `landing.created`, of which there is one record however often the landing is sent; `landing.unknown`, of one whose
   * caller got no answer: its id tells whether it landed; `import.done`, of many landings at once; `session.imported`.
   */
  readonly action: "landing.created" | "landing.unknown" | "import.done" | "session.imported";
  readonly project: ProjectId;
  /** Of the landing, or of the last one of an import. */
  readonly position?: Position;
  readonly landingId?: LandingId;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface LandingLog {
  /** Resolves when the end of this process cannot lose it. Never rejects: the landing is made, whatever happens here. */
  record(entry: LandingEntry): Promise<void>;
}

export interface AuditRecord {
  readonly log: "accounts" | "landings";
  /** In the order of writing, in its log. */
  readonly id: number;
  /** Unix milliseconds. */
  readonly atMs: number;
  /** The user's name then; empty for nobody. */
  readonly account: string;
  readonly userId: string | undefined;
  readonly tokenId: string | undefined;
  readonly address: string;
  readonly action: string;
  readonly target: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface AuditQuery {
  /** Default: both. */
  readonly log?: AuditRecord["log"];
  readonly account?: string;
  /** With a final dot, every action of that noun: `token.`. */
  readonly action?: string;
  readonly target?: string;
  /** Unix milliseconds, inclusive. */
  readonly sinceMs?: number;
  /** Unix milliseconds, exclusive. */
  readonly untilMs?: number;
  /** `next` of the page before. Errors: `usage`. */
  readonly before?: string;
  readonly limit: number;
}

export interface AuditPage {
  readonly records: readonly AuditRecord[];
  /** Undefined on the last page. */
  readonly next: string | undefined;
}

export interface Audit {
  /** Errors: those of the database. On a follower it does nothing: what is audited happens on the primary. */
  record(entry: AuditEntry): void;
  /** Both logs, newest first. */
  list(query: AuditQuery): AuditPage;
}
