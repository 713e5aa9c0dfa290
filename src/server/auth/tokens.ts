/** The table of tokens. What has ended is kept for a month, and of personal ones at most ENDED_MAX of each user. */
import { timingSafeEqual } from "node:crypto";
import { bytesToHex } from "../../core/base/bytes.ts";
import { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import type { NewToken, Token, TokenKind } from "./accounts.ts";
import type { AuthDatabase } from "./database/auth-database.ts";
import type { Scope, UserId } from "./principal.ts";
import { mintSecret, secretDigest } from "./token-secret.ts";
import { noSuchUser } from "./users.ts";

export const TOKEN_NAME_CHARACTERS_MAX = 200;
/** Longer than any refresh token: a replayed one is still known for what it is. */
const KEPT_MS = 31 * 24 * 3_600_000;
/** Whoever makes tokens and lets them end does not fill the disk; removed in one go once there are twice as many. */
const ENDED_MAX = 1_000;

const COLUMNS = `t.id, t.user_id, t.kind, t.token_hash, t.name, t.scope, t.project_id, t.client_id, t.family,
  t.created_at, t.expires_at, t.last_used_at, t.issued_by`;
const VALID =
  "t.revoked_at IS NULL AND u.disabled_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > @nowMs)";

interface TokenRow {
  readonly id: string;
  readonly user_id: string;
  readonly kind: TokenKind;
  readonly token_hash: Uint8Array;
  readonly name: string;
  readonly scope: Scope;
  readonly project_id: string | null;
  readonly client_id: string | null;
  readonly family: string | null;
  readonly created_at: number;
  readonly expires_at: number | null;
  readonly last_used_at: number | null;
  readonly issued_by: string | null;
}

/** A valid bearer token with what its principal needs of its user. */
export interface BearerRow extends TokenRow {
  readonly account: string;
  readonly is_site_admin: number;
}

export class Tokens {
  readonly #database: AuthDatabase;
  readonly #random: Random;

  constructor(database: AuthDatabase, random: Random) {
    this.#database = database;
    this.#random = random;
  }

  /** Errors: `usage`, `not-found` for the user. */
  create(request: NewToken, nowMs: number): { readonly token: Token; readonly secret: string } {
    const secret = mintSecret(this.#random, request.kind);
    return { token: this.insert(request, secretDigest(secret), nowMs), secret };
  }

  /** One whose secret was made elsewhere. */
  insert(request: NewToken, digest: Uint8Array, nowMs: number): Token {
    const { user, kind, name, scope, onlyProject, client, family, expiresAtMs, issuedBy } = request;
    checkTokenName(name);
    if (expiresAtMs !== undefined && !(Number.isSafeInteger(expiresAtMs) && expiresAtMs > nowMs)) {
      throw new MicError("usage", "the token would have expired already");
    }
    const id = bytesToHex(this.#random.bytes(16));
    this.#database.write(() => {
      const known = this.#database
        .prepare("SELECT 1 FROM users WHERE id = ? AND disabled_at IS NULL")
        .get(user);
      if (known === undefined) throw noSuchUser(user);
      if (kind === "personal") this.#removeEnded(user, nowMs);
      this.#database
        .prepare(
          `INSERT INTO tokens (id, user_id, kind, token_hash, name, scope, project_id, client_id, family, created_at,
             expires_at, issued_by)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          id,
          user,
          kind,
          digest,
          name,
          scope,
          onlyProject ?? null,
          client ?? null,
          family ?? null,
          nowMs,
          expiresAtMs ?? null,
          issuedBy ?? null,
        );
    });
    return this.get(id)!;
  }

  /** Of kind `personal` or `access`, valid. */
  findBearer(digest: Uint8Array, nowMs: number): BearerRow | undefined {
    const row = this.#database
      .prepare(
        `SELECT ${COLUMNS}, u.name AS account, u.is_site_admin FROM tokens t JOIN users u ON u.id = t.user_id
         WHERE t.token_hash = @digest AND t.kind IN ('personal', 'access') AND ${VALID}`,
      )
      .get({ digest, nowMs }) as BearerRow | undefined;
    return row !== undefined && timingSafeEqual(row.token_hash, digest) ? row : undefined;
  }

  findValid(secret: string, kind: TokenKind, nowMs: number): Token | undefined {
    const digest = secretDigest(secret);
    const row = this.#database
      .prepare(
        `SELECT ${COLUMNS} FROM tokens t JOIN users u ON u.id = t.user_id
         WHERE t.token_hash = @digest AND t.kind = @kind AND ${VALID}`,
      )
      .get({ digest, kind, nowMs }) as TokenRow | undefined;
    return row !== undefined && timingSafeEqual(row.token_hash, digest) ? toToken(row) : undefined;
  }

  /** One that was not revoked. */
  get(id: string): Token | undefined {
    const row = this.#database
      .prepare(`SELECT ${COLUMNS} FROM tokens t WHERE t.id = ? AND t.revoked_at IS NULL`)
      .get(id) as TokenRow | undefined;
    return row === undefined ? undefined : toToken(row);
  }

  /** Newest first; of those that come from signing in, only what is valid. */
  list(user: UserId, nowMs: number): readonly Token[] {
    const rows = this.#database
      .prepare(
        `SELECT ${COLUMNS} FROM tokens t
         WHERE t.user_id = @user AND t.revoked_at IS NULL AND t.confirmed_at IS NULL
           AND (t.kind = 'personal' OR t.expires_at IS NULL OR t.expires_at > @nowMs)
         ORDER BY t.created_at DESC, t.id`,
      )
      .all({ user, nowMs }) as TokenRow[];
    return rows.map(toToken);
  }

  /** Personal ones of a user that are valid, whether or not the user is disabled. */
  countPersonal(user: UserId, nowMs: number): number {
    return this.#database
      .prepare(
        `SELECT count(*) FROM tokens WHERE user_id = @user AND kind = 'personal' AND revoked_at IS NULL
           AND (expires_at IS NULL OR expires_at > @nowMs)`,
      )
      .pluck()
      .get({ user, nowMs }) as number;
  }

  /** With its family. */
  revoke(id: string, nowMs: number): boolean {
    return this.#database.write(() => {
      const row = this.#database
        .prepare("SELECT family FROM tokens WHERE id = ? AND revoked_at IS NULL")
        .get(id) as { readonly family: string | null } | undefined;
      if (row === undefined) return false;
      this.#database.prepare("UPDATE tokens SET revoked_at = ? WHERE id = ?").run(nowMs, id);
      if (row.family !== null) this.revokeFamily(row.family, nowMs);
      return true;
    });
  }

  revokeFamily(family: string, nowMs: number): void {
    this.#database.write(() => {
      this.#database
        .prepare("UPDATE tokens SET revoked_at = ? WHERE family = ? AND revoked_at IS NULL")
        .run(nowMs, family);
    });
  }

  /** All that come from signing in. */
  revokeSignIns(user: UserId, nowMs: number): void {
    this.#database.write(() => {
      this.#database
        .prepare(
          "UPDATE tokens SET revoked_at = ? WHERE user_id = ? AND kind <> 'personal' AND revoked_at IS NULL",
        )
        .run(nowMs, user);
    });
  }

  revokeAll(user: UserId, nowMs: number): void {
    this.#database.write(() => {
      this.#database
        .prepare("UPDATE tokens SET revoked_at = ? WHERE user_id = ? AND revoked_at IS NULL")
        .run(nowMs, user);
    });
  }

  /** The refresh token that an access token was given for is not needed any more: its holder has the answer. */
  confirm(issuedBy: string, nowMs: number): void {
    const open = this.#database
      .prepare("SELECT 1 FROM tokens WHERE id = ? AND confirmed_at IS NULL")
      .get(issuedBy);
    if (open === undefined) return;
    this.#database.write(() => {
      this.#database
        .prepare("UPDATE tokens SET confirmed_at = ? WHERE id = ? AND confirmed_at IS NULL")
        .run(nowMs, issuedBy);
    });
  }

  /** Times in Unix milliseconds by the token's id. */
  setLastUsed(times: ReadonlyMap<string, number>): void {
    this.#database.write(() => {
      const statement = this.#database.prepare(
        "UPDATE tokens SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)",
      );
      for (const [id, timeMs] of times) statement.run(timeMs, id, timeMs);
    });
  }

  removeOld(nowMs: number): void {
    const beforeMs = nowMs - KEPT_MS;
    const isOld = "expires_at < @beforeMs OR revoked_at < @beforeMs";
    const found = this.#database.prepare(`SELECT 1 FROM tokens WHERE ${isOld} LIMIT 1`).get({ beforeMs });
    if (found === undefined) return;
    this.#database.write(() => this.#database.prepare(`DELETE FROM tokens WHERE ${isOld}`).run({ beforeMs }));
  }

  /** All but the newest ENDED_MAX. */
  #removeEnded(user: UserId, nowMs: number): void {
    const ended = `FROM tokens WHERE user_id = @user AND kind = 'personal'
      AND (revoked_at IS NOT NULL OR expires_at <= @nowMs)`;
    const count = this.#database.prepare(`SELECT count(*) ${ended}`).pluck().get({ user, nowMs }) as number;
    if (count < 2 * ENDED_MAX) return;
    this.#database
      .prepare(
        `DELETE FROM tokens WHERE id IN
         (SELECT id ${ended} ORDER BY created_at DESC, id LIMIT -1 OFFSET ${ENDED_MAX})`,
      )
      .run({ user, nowMs });
  }
}

/** Errors: `usage`. */
export function checkTokenName(name: string): void {
  const isGood = name.trim() !== "" && name.length <= TOKEN_NAME_CHARACTERS_MAX && !/\p{C}/u.test(name);
  if (isGood) return;
  throw new MicError("usage", `a token's name has 1 to ${TOKEN_NAME_CHARACTERS_MAX} visible characters`);
}

function toToken(row: TokenRow): Token {
  return {
    id: row.id,
    user: row.user_id,
    kind: row.kind,
    name: row.name,
    scope: row.scope,
    onlyProject: (row.project_id ?? undefined) as ProjectId | undefined,
    client: row.client_id ?? undefined,
    family: row.family ?? undefined,
    createdAtMs: row.created_at,
    expiresAtMs: row.expires_at ?? undefined,
    lastUsedAtMs: row.last_used_at ?? undefined,
  };
}
