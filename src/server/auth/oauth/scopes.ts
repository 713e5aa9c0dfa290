/** Scopes as OAuth writes them: words with spaces between. Ours include each other, so the greatest one counts. */
import type { Scope } from "../principal.ts";
import { OAuthError } from "./oauth-error.ts";

/** From the least to the greatest. */
export const SCOPES: readonly Scope[] = ["read", "write", "admin"];
const SCOPE_DEFAULT: Scope = "write";

/** Errors: `invalid_scope`. */
export function parseScope(text: string | undefined): Scope {
  let rank = -1;
  for (const word of (text ?? "").split(" ")) {
    if (word === "") continue;
    const found = SCOPES.indexOf(word as Scope);
    if (found === -1) throw new OAuthError("invalid_scope", `the scopes are ${SCOPES.join(", ")}`);
    rank = Math.max(rank, found);
  }
  return SCOPES[rank] ?? SCOPE_DEFAULT;
}

export function isWithin(scope: Scope, limit: Scope): boolean {
  return SCOPES.indexOf(scope) <= SCOPES.indexOf(limit);
}

export function scopesUpTo(limit: Scope): readonly Scope[] {
  return SCOPES.slice(0, SCOPES.indexOf(limit) + 1);
}
