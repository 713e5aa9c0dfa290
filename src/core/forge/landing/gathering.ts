/**
 * When the next batch goes. Those whom a batch answered come back with their next landing a moment later, one after
 * the other: a batch that left with the first of them would carry that one alone, and everybody else a whole swap
 * later. And writers who once fell into two groups would stay so, each group waiting for the other's swap. So the
 * next batch waits, a part of what the swap took at most, for those who are expected while they keep coming.
 */
import type { Clock } from "../../base/clock.ts";
import type { Position } from "../../base/ids.ts";

/** Of what the last swap took. It stretches with the store: with a local one it is nothing. */
const SHARE = 2 / 3;
const MS_MAX = 50;
/** Without anybody coming, the wait is over. */
const PAUSE_MS = 8;

/** A batch that was committed. */
export interface AnsweredBatch {
  readonly first: Position;
  readonly last: Position;
  /** How many wait for its answer: one for each landing, or one who imports many. */
  readonly calls: number;
  /** How many fit into one, as far as this one tells. */
  readonly callsMax: number;
  /** What its swap took. */
  readonly tookMs: number;
}

export class Gathering {
  readonly #clock: Clock;
  #answered: AnsweredBatch = { first: 1 as Position, last: 0 as Position, calls: 0, callsMax: 0, tookMs: 0 };
  /** Landings that came since then and stand on one of its positions: from those who were answered. */
  #returned = 0;
  /** Landings that the next batch waits for, and until when. */
  #wanted = 0;
  #untilMs = 0;
  /** Ends that wait. */
  #enough: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A landing came that was made on `base`. `waiting`: how many wait now. */
  came(base: Position, waiting: number): void {
    const { first, last } = this.#answered;
    if (base >= first && base <= last) this.#returned++;
    if (waiting >= this.#wanted) this.#enough?.();
  }

  /** A batch is answered now, while `waiting` others wait already. */
  answered(batch: AnsweredBatch, waiting: number): void {
    const before = this.#answered.calls;
    const returning = before === 0 ? 0 : Math.min(this.#returned / before, 1);
    this.#answered = batch;
    this.#returned = 0;
    // As many as this time, or, where those who were answered do come back, these and the ones who are here.
    const expected = waiting + Math.round(batch.calls * returning);
    this.#wanted = Math.min(Math.max(batch.calls, expected), batch.callsMax);
    this.#untilMs = this.#clock.nowMs() + Math.min(batch.tookMs * SHARE, MS_MAX);
  }

  /** Waits, for a moment, until as many landings wait as are expected. */
  async wait(waiting: () => number): Promise<void> {
    for (let before = -1; waiting() < this.#wanted && waiting() > before; ) {
      const leftMs = this.#untilMs - this.#clock.nowMs();
      if (leftMs < 1) return;
      before = waiting();
      const enough = new Promise<void>((resolve) => {
        this.#enough = resolve;
      });
      await Promise.race([this.#clock.sleep(Math.min(leftMs, PAUSE_MS)), enough]);
      this.#enough = undefined;
    }
  }
}
