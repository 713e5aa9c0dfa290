/**
 * RFC 8628: a device shows a code, somebody who is signed in types it into a page and approves, and the device, which
 * polls all the while, gets its tokens once.
 *
 * How often a device polls is kept in memory only: a poll writes nothing.
 */
import type { Clock } from "../../../core/base/clock.ts";
import type { Random } from "../../../core/base/random.ts";
import type { AuthDatabase } from "../database/auth-database.ts";
import type { Scope, UserId } from "../principal.ts";
import { DeviceRoom, LIVE_MAX } from "./device-room.ts";
import { OAuthError } from "./oauth-error.ts";
import { codeDigest, mintCode, mintFamily } from "./one-time-codes.ts";
import type { TokenPair, TokenPairs } from "./token-pairs.ts";

export const DEVICE_CODE_MS = 600_000;
export const POLL_INTERVAL_MS = 5_000;
const SLOWER_BY_MS = 5_000;
/** Packets are not late by the same every time. */
const POLL_TOLERANCE_MS = 250;
/** How long an expired code is told from one that never was. */
const KEPT_MS = 3_600_000;
/** No vowels, so no words; no letters that pass for others (RFC 8628, 6.1). */
const LETTERS = "BCDFGHJKLMNPQRSTVWXZ";
const USER_CODE_LETTERS = 8;

export interface NewDevice {
  readonly client: string;
  readonly clientName: string;
  readonly scope: Scope;
  /** Of who asked. */
  readonly address: string;
}

/** Somebody's device that waits to be approved. */
export interface Device extends NewDevice {
  /** `XXXX-XXXX`. */
  readonly userCode: string;
  readonly createdAtMs: number;
}

interface Row {
  readonly user_code: string;
  readonly client_id: string;
  readonly client_name: string;
  readonly scope: Scope;
  readonly address: string;
  readonly created_at: number;
  readonly expires_at: number;
  readonly state: "pending" | "approved" | "denied" | "used";
  readonly user_id: string | null;
}

interface Polling {
  atMs: number;
  intervalMs: number;
}

export interface DeviceCodesOptions {
  readonly database: AuthDatabase;
  readonly pairs: TokenPairs;
  readonly clock: Clock;
  readonly random: Random;
}

export class DeviceCodes {
  readonly #database: AuthDatabase;
  readonly #pairs: TokenPairs;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #polling = new Map<string, Polling>();
  readonly #room = new DeviceRoom();

  constructor({ database, pairs, clock, random }: DeviceCodesOptions) {
    this.#database = database;
    this.#pairs = pairs;
    this.#clock = clock;
    this.#random = random;
  }

  /** Errors: `temporarily_unavailable` where too many are waiting, of this address or of all. */
  create({ client, clientName, scope, address }: NewDevice): {
    readonly deviceCode: string;
    readonly userCode: string;
  } {
    const nowMs = this.#clock.nowMs();
    const deviceCode = mintCode("device", this.#random);
    const letters = mintLetters(this.#random);
    this.#database.write((sql) => {
      sql.prepare("DELETE FROM device_codes WHERE expires_at < ?").run(nowMs - KEPT_MS);
      this.#room.take(sql, letters, address, nowMs);
      sql
        .prepare(
          `INSERT INTO device_codes (device_code_hash, user_code, client_id, client_name, scope, address, created_at,
           expires_at, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending')`,
        )
        .run(
          codeDigest(deviceCode),
          letters,
          client,
          clientName,
          scope,
          address,
          nowMs,
          nowMs + DEVICE_CODE_MS,
        );
    });
    return { deviceCode, userCode: withHyphen(letters) };
  }

  /** One that waits. Undefined also for codes that were used or have expired. */
  find(userCode: string): Device | undefined {
    const letters = parseUserCode(userCode);
    if (letters === undefined) return undefined;
    const row = this.#database.sql
      .prepare<[string, number], Row>(
        "SELECT * FROM device_codes WHERE user_code = ? AND expires_at > ? AND state = 'pending'",
      )
      .get(letters, this.#clock.nowMs());
    if (row === undefined) return undefined;
    const { client_id: client, client_name: clientName, scope, address, created_at: createdAtMs } = row;
    return { userCode: withHyphen(row.user_code), client, clientName, scope, address, createdAtMs };
  }

  /** False when it does not wait any more. */
  decide(userCode: string, user: UserId, decision: Scope | "denied"): boolean {
    const letters = parseUserCode(userCode);
    if (letters === undefined) return false;
    const nowMs = this.#clock.nowMs();
    const set = decision === "denied" ? "state = 'denied'" : "state = 'approved', scope = ?";
    const values = decision === "denied" ? [] : [decision];
    return this.#database.write((sql) => {
      const { changes } = sql
        .prepare(
          `UPDATE device_codes SET user_id = ?, ${set} WHERE user_code = ? AND expires_at > ? AND state = 'pending'`,
        )
        .run(user, ...values, letters, nowMs);
      return changes === 1;
    });
  }

  /**
   * What the device polls. Errors: `authorization_pending`, `slow_down`, `access_denied`, `expired_token`, and
   * `invalid_grant` for a code that is not this client's, or was used.
   */
  exchange(deviceCode: string, client: string): TokenPair {
    const hash = codeDigest(deviceCode);
    const nowMs = this.#clock.nowMs();
    const row = this.#read(hash);
    if (row === undefined || row.client_id !== client || row.state === "used") {
      throw new OAuthError("invalid_grant", "the device code is not valid, or was used");
    }
    if (row.expires_at <= nowMs) throw new OAuthError("expired_token", "the device code has expired");
    if (row.state === "denied") throw new OAuthError("access_denied", "the sign-in was denied");
    const intervalMs = this.#requireSlow(hash.toString("base64"), nowMs);
    if (row.state === "pending") {
      throw new OAuthError("authorization_pending", "nobody has approved it yet", {
        interval: intervalMs / 1000,
      });
    }
    const pair = this.#database.write((sql) => {
      const { changes } = sql
        .prepare("UPDATE device_codes SET state = 'used' WHERE device_code_hash = ? AND state = 'approved'")
        .run(hash);
      const user = sql
        .prepare<[string | null], { id: string }>("SELECT id FROM users WHERE id = ? AND disabled_at IS NULL")
        .get(row.user_id);
      if (changes !== 1 || user === undefined) return undefined;
      const family = mintFamily(this.#random);
      return this.#pairs.insert(sql, {
        user: user.id,
        client,
        name: row.client_name,
        scope: row.scope,
        family,
      });
    });
    if (pair === undefined)
      throw new OAuthError("invalid_grant", "the device code is not valid, or was used");
    this.#polling.delete(hash.toString("base64"));
    return pair;
  }

  #read(hash: Buffer): Row | undefined {
    return this.#database.sql
      .prepare<[Buffer], Row>("SELECT * FROM device_codes WHERE device_code_hash = ?")
      .get(hash);
  }

  /** The interval of this device, in milliseconds. Errors: `slow_down`; the interval grows with each. */
  #requireSlow(key: string, nowMs: number): number {
    const before = this.#polling.get(key);
    if (before === undefined) {
      if (this.#polling.size >= LIVE_MAX) this.#forget(nowMs);
      this.#polling.set(key, { atMs: nowMs, intervalMs: POLL_INTERVAL_MS });
      return POLL_INTERVAL_MS;
    }
    const passedMs = nowMs - before.atMs;
    before.atMs = nowMs;
    // A clock that was set back must not stop anybody.
    if (passedMs < 0 || passedMs >= before.intervalMs - POLL_TOLERANCE_MS) {
      return before.intervalMs;
    }
    before.intervalMs += SLOWER_BY_MS;
    throw new OAuthError("slow_down", `ask every ${before.intervalMs / 1000} seconds`, {
      interval: before.intervalMs / 1000,
    });
  }

  #forget(nowMs: number): void {
    for (const [key, { atMs }] of this.#polling) {
      if (nowMs - atMs > DEVICE_CODE_MS) this.#polling.delete(key);
    }
    if (this.#polling.size >= LIVE_MAX) this.#polling.clear();
  }
}

/** Letters alone, in capitals; undefined for what no user code looks like. */
export function parseUserCode(text: string): string | undefined {
  if (text.length > 64) return undefined;
  const letters = text.replace(/[\s\u2010-\u2015_.-]/g, "").toUpperCase();
  return letters.length === USER_CODE_LETTERS && [...letters].every((letter) => LETTERS.includes(letter))
    ? letters
    : undefined;
}

function withHyphen(letters: string): string {
  return `${letters.slice(0, 4)}-${letters.slice(4)}`;
}

/** Each as likely as any other: bytes that would favour some are thrown away. */
function mintLetters(random: Random): string {
  const limit = 256 - (256 % LETTERS.length);
  let text = "";
  while (text.length < USER_CODE_LETTERS) {
    for (const byte of random.bytes(USER_CODE_LETTERS)) {
      if (byte < limit && text.length < USER_CODE_LETTERS) text += LETTERS[byte % LETTERS.length]!;
    }
  }
  return text;
}
