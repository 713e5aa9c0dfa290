/** Ends a call that stands still. Counts what passes instead of reading the time, which may jump. */
import type { Clock } from "../base/clock.ts";

/** Looks per time limit: it is kept to within a quarter. */
const LOOKS = 4;

export class Watchdog implements Disposable {
  readonly #stopping = new AbortController();
  readonly #onExpired: () => void;
  #looksWithoutProgress = 0;
  #isPaused = false;
  expired = false;

  constructor(clock: Clock, timeoutMs: number, onExpired: () => void) {
    this.#onExpired = onExpired;
    void this.#watch(clock, timeoutMs);
  }

  progress(): void {
    this.#looksWithoutProgress = 0;
  }

  /** While the caller is busy with what it got. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#looksWithoutProgress = 0;
  }

  async #watch(clock: Clock, timeoutMs: number): Promise<void> {
    const { signal } = this.#stopping;
    while (!this.expired) {
      try {
        await clock.sleep(timeoutMs / LOOKS, signal);
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      if (this.#isPaused || ++this.#looksWithoutProgress < LOOKS) continue;
      this.expired = true;
      this.#onExpired();
    }
  }

  [Symbol.dispose](): void {
    this.#stopping.abort();
  }
}
