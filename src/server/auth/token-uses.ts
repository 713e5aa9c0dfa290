/** When tokens were last used: kept in memory, written at most once a minute, and when the server stops. */
import type { AuthDatabase } from "./database/auth-database.ts";
import type { Tokens } from "./tokens.ts";

const WRITE_EVERY_MS = 60_000;
/** In one transaction: it holds up everything else. */
const WRITTEN_MAX = 1_000;

export class TokenUses {
  readonly #database: AuthDatabase;
  readonly #tokens: Tokens;
  readonly #times = new Map<string, number>();
  #writtenAtMs: number;

  constructor(database: AuthDatabase, tokens: Tokens, nowMs: number) {
    this.#database = database;
    this.#tokens = tokens;
    this.#writtenAtMs = nowMs;
  }

  used(token: string, nowMs: number): void {
    this.#times.set(token, nowMs);
  }

  /** Not yet written, in Unix milliseconds. */
  timeOf(token: string): number | undefined {
    return this.#times.get(token);
  }

  /** Errors: those of the database; what was not written is written the next time. */
  writeWhenDue(nowMs: number): void {
    if (Math.abs(nowMs - this.#writtenAtMs) < WRITE_EVERY_MS) return;
    // A follower's calls are not told to the primary.
    if (this.#database.isReadOnly) this.#times.clear();
    if (this.#times.size <= WRITTEN_MAX) this.#writtenAtMs = nowMs;
    this.#write(WRITTEN_MAX);
  }

  writeAll(): void {
    if (!this.#database.isReadOnly) this.#write(Number.POSITIVE_INFINITY);
  }

  #write(limit: number): void {
    if (this.#times.size === 0) return;
    const times = new Map([...this.#times].slice(0, limit));
    this.#tokens.setLastUsed(times);
    for (const id of times.keys()) this.#times.delete(id);
  }
}
