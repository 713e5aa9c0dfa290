/** Who did what, from where, with which token: written once, never changed. */
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

export interface AuditRecord {
  /** In the order of writing. */
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
  readonly account?: string;
  /** With a final dot, every action of that noun: `token.`. */
  readonly action?: string;
  readonly target?: string;
  /** Unix milliseconds, inclusive. */
  readonly sinceMs?: number;
  /** Unix milliseconds, exclusive. */
  readonly untilMs?: number;
  /** Only records with a smaller id. */
  readonly beforeId?: number;
  readonly limit: number;
}

export interface Audit {
  /** Errors: those of the database. On a follower it does nothing: what is audited happens on the primary. */
  record(entry: AuditEntry): void;
  /** Newest first. */
  list(query: AuditQuery): readonly AuditRecord[];
}
