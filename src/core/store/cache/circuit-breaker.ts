/**
 * Stops asking a helper that does not help: after a few failures in a row it is left alone, twice as long each time;
 * then one question is tried.
 */
import type { Clock } from "../../base/clock.ts";

const FAILURES_MAX = 5;
const PAUSE_MS_MIN = 10_000;
const PAUSE_MS_MAX = 300_000;

export class CircuitBreaker {
  readonly #clock: Clock;
  #failures = 0;
  #pauseMs = PAUSE_MS_MIN;
  #openUntilMs: number | undefined;
  #isTrying = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Nothing is asked at the moment. */
  get isOpen(): boolean {
    return this.#openUntilMs !== undefined;
  }

  /** Whether to ask now. Whoever does must say how it went. */
  allows(): boolean {
    if (this.#openUntilMs === undefined) return true;
    if (this.#isTrying || this.#clock.nowMs() < this.#openUntilMs) return false;
    this.#isTrying = true;
    return true;
  }

  /** It works, which says nothing yet of whether it helps. */
  answered(): void {
    this.#isTrying = false;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pauseMs = PAUSE_MS_MIN;
    this.#openUntilMs = undefined;
    this.#isTrying = false;
  }

  failed(): void {
    this.#failures++;
    const wasTrying = this.#isTrying;
    this.#isTrying = false;
    if (!wasTrying && this.#failures < FAILURES_MAX) return;
    // Questions that were under way when it opened fail too, and say nothing new.
    if (!wasTrying && this.#openUntilMs !== undefined) return;
    this.#openUntilMs = this.#clock.nowMs() + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MS_MAX);
  }
}
