/** Waiting for the write lock of a local store. */
import type { Clock } from "../base/clock.ts";
import { MicError } from "../base/errors.ts";
import { isBusy, translateStoreError } from "./local-database.ts";

const LOCK_POLL_MS_MAX = 16;

/**
 * Runs a synchronous step again while another process holds the lock it needs. The event loop stays free
 * between attempts, which SQLite's own busy handler would block.
 */
export class LockWait {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  #attempts = 0;

  constructor(directory: string, clock: Clock, timeoutMs: number) {
    this.#directory = directory;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  async run<T>(step: () => T, signal?: AbortSignal): Promise<T> {
    for (let waitedMs = 0, pollMs = 1; ; ) {
      try {
        return step();
      } catch (error) {
        if (!isBusy(error)) throw translateStoreError(error, this.#directory);
        if (waitedMs >= this.#timeoutMs) {
          throw new MicError(
            "unreachable",
            `another process has held ${this.#directory} for ${Math.round(waitedMs / 1000)} s`,
            { hint: "wait for it to finish, then try again", cause: error },
          );
        }
      }
      // Uneven steps, so that waiting processes do not stay in lockstep.
      this.#attempts = (this.#attempts * 5 + 3) % 16;
      const delayMs = pollMs + (this.#attempts % pollMs);
      await this.#clock.sleep(delayMs, signal);
      waitedMs += delayMs;
      pollMs = Math.min(LOCK_POLL_MS_MAX, pollMs * 2);
    }
  }
}
