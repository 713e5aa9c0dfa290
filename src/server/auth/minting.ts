/** What a token may make another one of: never more than it is itself. */
import { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { Principal, Scope } from "./principal.ts";

const RANK: Readonly<Record<Scope, number>> = { read: 1, write: 2, admin: 3 };

export interface WantedToken {
  readonly scope: Scope;
  readonly onlyProject: ProjectId | undefined;
  /** Unix milliseconds; undefined: never. */
  readonly expiresAtMs: number | undefined;
}

/**
 * `ownExpiryMs`: of the principal's token. One for a single project ends with the token that made it; others may
 * outlive it, as those that are made after signing in must. Errors: `forbidden`.
 */
export function checkMinting(
  { scope, onlyProject }: Principal,
  ownExpiryMs: number | undefined,
  wanted: WantedToken,
): void {
  if (RANK[wanted.scope] > RANK[scope]) {
    throw new MicError("forbidden", `a token of scope \`${scope}\` makes none of scope \`${wanted.scope}\``);
  }
  if (onlyProject === undefined) return;
  if (wanted.onlyProject !== onlyProject) {
    throw new MicError("forbidden", "a token for one project makes none for another");
  }
  if (ownExpiryMs !== undefined && (wanted.expiresAtMs ?? Number.POSITIVE_INFINITY) > ownExpiryMs) {
    throw new MicError("forbidden", "a token for one project makes none that outlives it");
  }
}
