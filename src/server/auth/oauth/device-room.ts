/**
 * How many codes of devices there may be: of one address, and of all. Where there are too many, the oldest that waits
 * goes of the network that has the most: one that fills the table stands in its own way.
 *
 * To look through ten thousand takes as long as thirty calls: it is done once in LOOKED_MS, and what comes between is
 * counted.
 */
import type Database from "better-sqlite3";
import { addressBlock } from "../../network/client-address.ts";
import { NetworkShares } from "./network-shares.ts";
import { OAuthError } from "./oauth-error.ts";

export const LIVE_MAX = 10_000;
/** Of one address: an office, or twenty commands in each of some jobs behind one. */
const LIVE_PER_ADDRESS_MAX = 100;
const LOOKED_MS = 1_000;

interface Looked {
  readonly atMs: number;
  /** By block. */
  readonly counts: Map<string, number>;
  /** User codes that waited, the oldest first. */
  readonly waiting: NetworkShares<string>;
}

export class DeviceRoom {
  #looked: Looked | undefined;

  /** For one more, in the transaction that writes it. Errors: `temporarily_unavailable`. */
  take(sql: Database.Database, userCode: string, address: string, nowMs: number): void {
    const { live } = sql
      .prepare<[number], { live: number }>("SELECT count(*) AS live FROM device_codes WHERE expires_at > ?")
      .get(nowMs)!;
    if (live < LIVE_PER_ADDRESS_MAX) {
      this.#looked = undefined;
      return;
    }
    if (this.#looked === undefined || Math.abs(nowMs - this.#looked.atMs) >= LOOKED_MS) {
      this.#looked = look(sql, nowMs);
    }
    const { counts, waiting } = this.#looked;
    const block = addressBlock(address);
    const own = counts.get(block) ?? 0;
    if (own >= LIVE_PER_ADDRESS_MAX) throw tooMany("too many devices are signing in from this address");
    if (live >= LIVE_MAX) giveWay(sql, waiting, address);
    counts.set(block, own + 1);
    waiting.of(address).push(userCode);
  }
}

function look(sql: Database.Database, nowMs: number): Looked {
  const rows = sql
    .prepare<[number], { user_code: string; address: string; state: string }>(
      "SELECT user_code, address, state FROM device_codes WHERE expires_at > ? ORDER BY created_at",
    )
    .all(nowMs);
  const looked: Looked = { atMs: nowMs, counts: new Map(), waiting: new NetworkShares() };
  for (const { user_code, address, state } of rows) {
    const block = addressBlock(address);
    looked.counts.set(block, (looked.counts.get(block) ?? 0) + 1);
    if (state === "pending") looked.waiting.of(address).push(user_code);
  }
  return looked;
}

function giveWay(sql: Database.Database, waiting: NetworkShares<string>, address: string): void {
  const most = waiting.largest();
  const own = waiting.of(address).length;
  const remove = sql.prepare("DELETE FROM device_codes WHERE user_code = ? AND state = 'pending'");
  while (most.length > own + 1) {
    // One that was approved meanwhile stays.
    if (remove.run(most.shift()!).changes > 0) return;
  }
  throw tooMany("too many devices are signing in");
}

function tooMany(what: string): OAuthError {
  return new OAuthError("temporarily_unavailable", what, { retryAfter: 60 });
}
