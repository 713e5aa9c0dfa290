/** The store's clock, learned from the `Date` of its answers. */
import type { Clock } from "../../base/clock.ts";

/** A second of drift in this time would be a broken clock. */
const FRESH_MS = 60_000;
/** `Date` has whole seconds. */
const DATE_RESOLUTION_MS = 1_000;

export class StoreTime {
  readonly #clock: Clock;
  /** Store minus local. */
  #offsetMs = 0;
  #learnedAtMs: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The best guess, without asking. */
  nowMs(): number {
    return this.#clock.nowMs() + this.#offsetMs;
  }

  /** An answer came recently, and the local clock has not been set back since. */
  get isFresh(): boolean {
    if (this.#learnedAtMs === undefined) return false;
    const ageMs = this.#clock.nowMs() - this.#learnedAtMs;
    return ageMs >= 0 && ageMs <= FRESH_MS;
  }

  /**
   * `dateMs`: what an answer said that came between `askedAtMs` and now (local). The store's clock then lay in
   * [dateMs, dateMs + 1 s), which bounds the offset; the nearest value within the bounds is kept, so that many
   * answers narrow it down to the delay of the quickest.
   */
  learn(dateMs: number, askedAtMs: number): void {
    const nowMs = this.#clock.nowMs();
    const low = dateMs - nowMs;
    const high = dateMs + DATE_RESOLUTION_MS - Math.min(askedAtMs, nowMs);
    this.#offsetMs = Math.min(high, Math.max(low, this.#offsetMs));
    this.#learnedAtMs = nowMs;
  }
}

/** `undefined` where there is no date, or where the answer is a cache's and its date is an old one. */
export function dateOfAnswer(header: (name: string) => string | undefined): number | undefined {
  const age = header("age");
  if (age !== undefined && age !== "0") return undefined;
  const dateMs = Date.parse(header("date") ?? "");
  return Number.isNaN(dateMs) ? undefined : dateMs;
}
