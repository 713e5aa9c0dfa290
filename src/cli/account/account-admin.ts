/**
 * Users, their tokens and the audit log, for administrators: over a server (./account-client.ts), or in the data directory of one
 * (the server's own program), for the first start and for who is locked out.
 */
import type { AuditDocument, PageOf, TokenDocument, UserDocument } from "./documents.ts";

export interface NewUser {
  readonly name: string;
  readonly email?: string;
  /** Absent: signs in with tokens only. */
  readonly password?: string;
  readonly siteAdmin?: boolean;
}

export interface UserChange {
  readonly disabled?: boolean;
  readonly siteAdmin?: boolean;
  readonly password?: string;
  /** All of them, those made for scripts too. */
  readonly revokeTokens?: true;
}

export interface AuditFilter {
  /** Only what landed through the server that is asked: the rest is at the one that keeps the accounts. */
  readonly log?: "landings";
  readonly account?: string;
  readonly action?: string;
  readonly target?: string;
  /** RFC 3339; `until` is not included. */
  readonly since?: string;
  readonly until?: string;
  /** Newest first; `next` of the page before. */
  readonly before?: string;
  readonly limit: number;
}

/** Errors: `forbidden`, `not-found`, `already-exists`, `usage`, and those of the way there. */
export interface AccountAdmin extends AsyncDisposable {
  /** An origin or a directory, for people. */
  readonly where: string;
  createUser(user: NewUser): Promise<UserDocument>;
  listUsers(after: string | undefined): Promise<PageOf<UserDocument>>;
  /** `user`: name, address or id. */
  updateUser(user: string, change: UserChange): Promise<UserDocument>;
  listUserTokens(user: string): Promise<PageOf<TokenDocument>>;
  /** `id`: one of that user's. */
  revokeUserToken(user: string, id: string): Promise<void>;
  listAudit(filter: AuditFilter): Promise<PageOf<AuditDocument>>;
}

/** With the directory at hand more can be done than any token allows. */
export interface LocalAccountAdmin extends AccountAdmin {
  /** Removes from the audit log what was written before a time in RFC 3339; returns how many entries. */
  pruneAudit(before: string): Promise<number>;
}

/** What the composition root brings in for `--data`. */
export interface OfflineAccounts {
  /** Errors: `not-found` when the directory has no accounts yet and `create` is not set. */
  openAccountAdmin(options: {
    readonly dataDirectory: string;
    readonly create: boolean;
  }): Promise<LocalAccountAdmin>;
}
