/** Who calls, and with what: made from a token by `Accounts.authenticate`, the same object as long as it is valid. */
import type { ProjectId } from "../../core/base/ids.ts";

/** What a token may be used for, at most. `admin`: everything its user may do. */
export type Scope = "read" | "write" | "admin";

/** What a user may do with a project or an organization, each including those before it. */
export type Role = "read" | "write" | "owner";

/** 32 hex digits. */
export type UserId = string;

export interface Principal {
  /** The user's name, as sessions and landings record it; empty for nobody. */
  readonly account: string;
  /** Undefined: nobody has signed in. */
  readonly userId: UserId | undefined;
  readonly isSiteAdmin: boolean;
  readonly scope: Scope;
  /** The only project that the token is for, beside what is public. */
  readonly onlyProject: ProjectId | undefined;
  readonly tokenId: string | undefined;
  /** Fires when the token is revoked, expires, or its user is disabled: calls that are running end. */
  readonly ended: AbortSignal;
}

export const NOBODY: Principal = Object.freeze({
  account: "",
  userId: undefined,
  isSiteAdmin: false,
  scope: "read",
  onlyProject: undefined,
  tokenId: undefined,
  ended: new AbortController().signal,
});
