/** Slows down who guesses: after some free failures every further one doubles the time until the next attempt. */
import type { Clock } from "../../../core/base/clock.ts";

export interface ThrottleLimits {
  /** Failures that cost nothing. */
  readonly free: number;
  /** After the first failure that is not free. */
  readonly firstMs: number;
  readonly mostMs: number;
  /** A key without a failure for so long is forgotten. */
  readonly forgetMs: number;
}

interface Failures {
  count: number;
  lastMs: number;
  blockedUntilMs: number;
}

const KEYS_MAX = 50_000;

export class Throttle {
  readonly #limits: ThrottleLimits;
  readonly #clock: Clock;
  /** The one that failed last comes last. */
  readonly #failures = new Map<string, Failures>();

  constructor(limits: ThrottleLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Milliseconds until `key` may try; 0: now. */
  waitMs(key: string): number {
    const known = this.#failures.get(key);
    if (known === undefined) return 0;
    const nowMs = this.#clock.nowMs();
    // A clock that was set back must not lock anybody out for longer.
    if (nowMs < known.lastMs) return 0;
    return Math.max(0, known.blockedUntilMs - nowMs);
  }

  /** An attempt counts as failed from its start, so that many at once are many. */
  failed(key: string): void {
    const nowMs = this.#clock.nowMs();
    const { free, firstMs, mostMs, forgetMs } = this.#limits;
    let known = this.#failures.get(key);
    if (known === undefined || nowMs - known.lastMs > forgetMs)
      known = { count: 0, lastMs: 0, blockedUntilMs: 0 };
    this.#failures.delete(key);
    if (this.#failures.size >= KEYS_MAX) this.#failures.delete(this.#failures.keys().next().value!);
    known.count++;
    known.lastMs = nowMs;
    const beyond = known.count - free;
    if (beyond > 0) known.blockedUntilMs = nowMs + Math.min(mostMs, firstMs * 2 ** Math.min(beyond - 1, 30));
    this.#failures.set(key, known);
  }

  /** Takes one failure back. */
  takeBack(key: string): void {
    const known = this.#failures.get(key);
    if (known === undefined) return;
    known.count--;
    known.blockedUntilMs = 0;
    if (known.count <= 0) this.#failures.delete(key);
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }
}
