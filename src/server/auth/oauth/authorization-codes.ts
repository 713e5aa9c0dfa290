/** Codes that a browser carries from the consent page to a client (RFC 6749, 4.1; RFC 7636): 60 seconds, once. */
import type { Clock } from "../../../core/base/clock.ts";
import type { Random } from "../../../core/base/random.ts";
import type { AuthDatabase } from "../database/auth-database.ts";
import type { Scope, UserId } from "../principal.ts";
import { codeDigest, mintCode, mintFamily } from "./one-time-codes.ts";
import { fitsChallenge } from "./pkce.ts";
import { endFamily, type TokenPair, type TokenPairs } from "./token-pairs.ts";

export const AUTHORIZATION_CODE_MS = 60_000;
/** How long a second use is noticed: as long as the tokens of the first one last, if they are not refreshed. */
const KEPT_MS = 31 * 24 * 3_600_000;

export interface NewAuthorization {
  readonly client: string;
  readonly clientName: string;
  readonly redirectUri: string;
  readonly challenge: string;
  readonly scope: Scope;
  readonly user: UserId;
}

export interface ExchangeCode {
  readonly code: string;
  readonly client: string;
  readonly redirectUri: string;
  readonly verifier: string;
}

export type Exchanged =
  | { readonly kind: "exchanged"; readonly pair: TokenPair }
  | { readonly kind: "refused" }
  /** It was used before: whoever has the tokens of that use may not be who asked for them, and they have ended. */
  | { readonly kind: "replayed"; readonly user: UserId; readonly family: string };

interface Row {
  readonly client_id: string;
  readonly client_name: string;
  readonly redirect_uri: string;
  readonly code_challenge: string;
  readonly scope: Scope;
  readonly user_id: string;
  readonly family: string;
  readonly expires_at: number;
  readonly used_at: number | null;
  readonly disabled_at: number | null;
}

export interface AuthorizationCodesOptions {
  readonly database: AuthDatabase;
  readonly pairs: TokenPairs;
  readonly clock: Clock;
  readonly random: Random;
}

export class AuthorizationCodes {
  readonly #options: AuthorizationCodesOptions;

  constructor(options: AuthorizationCodesOptions) {
    this.#options = options;
  }

  create({ client, clientName, redirectUri, challenge, scope, user }: NewAuthorization): string {
    const { database, clock, random } = this.#options;
    const code = mintCode("authorization", random);
    const nowMs = clock.nowMs();
    database.write((sql) => {
      sql.prepare("DELETE FROM authorization_codes WHERE expires_at < ?").run(nowMs - KEPT_MS);
      sql
        .prepare(
          `INSERT INTO authorization_codes (code_hash, client_id, client_name, redirect_uri, code_challenge, scope,
           user_id, family, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          codeDigest(code),
          client,
          clientName,
          redirectUri,
          challenge,
          scope,
          user,
          mintFamily(random),
          nowMs,
          nowMs + AUTHORIZATION_CODE_MS,
        );
    });
    return code;
  }

  /** Only the whole of code, client, redirect and verifier uses it up. */
  exchange({ code, client, redirectUri, verifier }: ExchangeCode): Exchanged {
    const { database, pairs, clock } = this.#options;
    const hash = codeDigest(code);
    const nowMs = clock.nowMs();
    return database.write((sql) => {
      const row = sql
        .prepare<[Buffer], Row>(
          `SELECT c.*, u.disabled_at FROM authorization_codes c JOIN users u ON u.id = c.user_id
           WHERE c.code_hash = ?`,
        )
        .get(hash);
      if (row === undefined || row.client_id !== client) return { kind: "refused" };
      if (row.used_at !== null) {
        endFamily(sql, row.family, nowMs);
        return { kind: "replayed", user: row.user_id, family: row.family };
      }
      const isGood =
        row.expires_at > nowMs &&
        row.disabled_at === null &&
        row.redirect_uri === redirectUri &&
        fitsChallenge(verifier, row.code_challenge);
      if (!isGood) return { kind: "refused" };
      sql.prepare("UPDATE authorization_codes SET used_at = ? WHERE code_hash = ?").run(nowMs, hash);
      const { user_id: user, client_name: name, scope, family } = row;
      return { kind: "exchanged", pair: pairs.insert(sql, { user, client, name, scope, family }) };
    });
  }
}
