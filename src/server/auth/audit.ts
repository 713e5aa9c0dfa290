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

export interface Audit {
  /** Errors: those of the database. On a follower it does nothing: what is audited happens on the primary. */
  record(entry: AuditEntry): void;
}
