/**
 * Access and refresh tokens of a sign-in. All that came from one sign-in are a *family*.
 *
 * Refreshing gives a new pair. The old refresh token works until one of the pair is used for the first time
 * (*confirmed*), so that a client that was killed before it stored the pair is not locked out; a second refresh
 * replaces the pair of the first, so that at most one unconfirmed pair is valid. Using a refresh token after its
 * successors were confirmed means that somebody else has a copy: the family ends (RFC 9700, 4.14.2).
 */
import type Database from "better-sqlite3";
import { bytesToHex } from "../../../core/base/bytes.ts";
import type { Clock } from "../../../core/base/clock.ts";
import type { Random } from "../../../core/base/random.ts";
import type { AuthDatabase } from "../database/auth-database.ts";
import type { Scope, UserId } from "../principal.ts";
import { mintSecret, secretDigest } from "../token-secret.ts";

export const ACCESS_TOKEN_MS = 3_600_000;
export const REFRESH_TOKEN_MS = 30 * 24 * 3_600_000;
const ID_BYTES = 16;

export interface NewPair {
  readonly user: UserId;
  readonly client: string;
  /** Of the client, as its user saw it. */
  readonly name: string;
  readonly scope: Scope;
  readonly family: string;
}

export interface TokenPair extends NewPair {
  readonly access: string;
  readonly accessId: string;
  readonly refresh: string;
}

export type Refreshed =
  | { readonly kind: "refreshed"; readonly pair: TokenPair }
  /** Not a refresh token of this client, expired, revoked, or its user is disabled. */
  | { readonly kind: "unknown" }
  | { readonly kind: "scope" }
  /** A copy was used; the family has ended. */
  | { readonly kind: "reused"; readonly user: UserId; readonly family: string };

export interface Revoked {
  readonly user: UserId;
  readonly tokenId: string;
  readonly client: string | undefined;
}

interface Row {
  readonly id: string;
  readonly user_id: string;
  readonly kind: string;
  readonly name: string;
  readonly scope: Scope;
  readonly client_id: string | null;
  readonly family: string | null;
  readonly expires_at: number | null;
  readonly revoked_at: number | null;
  readonly issued_by: string | null;
  readonly confirmed_at: number | null;
  readonly disabled_at: number | null;
}

const ROW = `SELECT t.id, t.user_id, t.kind, t.name, t.scope, t.client_id, t.family, t.expires_at, t.revoked_at,
  t.issued_by, t.confirmed_at, u.disabled_at FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.token_hash = ?`;

export class TokenPairs {
  readonly #database: AuthDatabase;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor({ database, clock, random }: TokenPairsOptions) {
    this.#database = database;
    this.#clock = clock;
    this.#random = random;
  }

  /** Inside `AuthDatabase.write`. `issuedBy`: the refresh token that these take the place of. */
  insert(sql: Database.Database, request: NewPair, issuedBy?: string, accessScope?: Scope): TokenPair {
    const nowMs = this.#clock.nowMs();
    const add = (
      kind: "access" | "refresh",
      scope: Scope,
      livesMs: number,
    ): { id: string; secret: string } => {
      const [id, secret] = [bytesToHex(this.#random.bytes(ID_BYTES)), mintSecret(this.#random, kind)];
      sql
        .prepare(
          `INSERT INTO tokens (id, user_id, kind, token_hash, name, scope, client_id, family, created_at, expires_at,
           issued_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          id,
          request.user,
          kind,
          secretDigest(secret),
          request.name,
          scope,
          request.client,
          request.family,
          nowMs,
          nowMs + livesMs,
          issuedBy ?? null,
        );
      return { id, secret };
    };
    const access = add("access", accessScope ?? request.scope, ACCESS_TOKEN_MS);
    const refresh = add("refresh", request.scope, REFRESH_TOKEN_MS);
    return {
      ...request,
      scope: accessScope ?? request.scope,
      access: access.secret,
      accessId: access.id,
      refresh: refresh.secret,
    };
  }

  /** `narrow` chooses the scope of the new access token, or says that what was asked for is too much. */
  refresh(secret: string, client: string, narrow: (granted: Scope) => Scope | undefined): Refreshed {
    const nowMs = this.#clock.nowMs();
    return this.#database.write((sql) => {
      const row = sql.prepare<[Buffer], Row>(ROW).get(secretDigest(secret));
      if (row === undefined || row.kind !== "refresh" || row.client_id !== client || row.family === null) {
        return { kind: "unknown" };
      }
      if (row.revoked_at !== null || row.disabled_at !== null) return { kind: "unknown" };
      if (row.expires_at !== null && row.expires_at <= nowMs) return { kind: "unknown" };
      if (row.confirmed_at !== null) {
        endFamily(sql, row.family, nowMs);
        return { kind: "reused", user: row.user_id, family: row.family };
      }
      const scope = narrow(row.scope);
      if (scope === undefined) return { kind: "scope" };
      sql
        .prepare("UPDATE tokens SET revoked_at = ? WHERE issued_by = ? AND revoked_at IS NULL")
        .run(nowMs, row.id);
      sql.prepare("UPDATE tokens SET last_used_at = ? WHERE id = ?").run(nowMs, row.id);
      if (row.issued_by !== null) confirm(sql, row.issued_by, nowMs);
      const { user_id: user, name, family } = row;
      return {
        kind: "refreshed",
        pair: this.insert(sql, { user, client, name, scope: row.scope, family }, row.id, scope),
      };
    });
  }

  /**
   * RFC 7009: a token with its whole family. Undefined where there is no such token; `other-client` where another
   * client has it.
   */
  revoke(secret: string, client: string | undefined): Revoked | "other-client" | undefined {
    const row = this.#database.sql.prepare<[Buffer], Row>(ROW).get(secretDigest(secret));
    if (row === undefined || row.kind === "session" || row.revoked_at !== null) return undefined;
    if (client !== undefined && row.client_id !== null && row.client_id !== client) return "other-client";
    const nowMs = this.#clock.nowMs();
    this.#database.write((sql) => {
      if (row.family !== null) endFamily(sql, row.family, nowMs);
      sql.prepare("UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL").run(nowMs, row.id);
    });
    return { user: row.user_id, tokenId: row.id, client: row.client_id ?? undefined };
  }
}

export interface TokenPairsOptions {
  readonly database: AuthDatabase;
  readonly clock: Clock;
  readonly random: Random;
}

/** Inside `AuthDatabase.write`. */
export function endFamily(sql: Database.Database, family: string, nowMs: number): void {
  sql.prepare("UPDATE tokens SET revoked_at = ? WHERE family = ? AND revoked_at IS NULL").run(nowMs, family);
}

/**
 * Inside `AuthDatabase.write`, when a token with this `issued_by` is used for the first time: the refresh token that
 * it was given for is spent.
 */
export function confirm(sql: Database.Database, issuedBy: string, nowMs: number): void {
  sql
    .prepare("UPDATE tokens SET confirmed_at = ? WHERE id = ? AND confirmed_at IS NULL")
    .run(nowMs, issuedBy);
}
