/** What a tier of a cache did, and how long its answers took. */

export type TierName = "memory" | "disk" | "cdn" | "origin";

export interface TierFigures {
  readonly tier: TierName;
  /** Reads that the tier answered. */
  readonly hits: number;
  /** Reads that it passed on: it had nothing. */
  readonly misses: number;
  /** Of what it answered. */
  readonly bytes: number;
  /** Answers that its reader proved wrong, and damage that it found itself. */
  readonly poisoned: number;
  /** Reads that it could not answer in time or in form. */
  readonly failures: number;
  /** Bytes held; absent where that is not known. */
  readonly heldBytes?: number;
  /** Of its hits, in seconds; NaN without any. */
  readonly p50: number;
  readonly p99: number;
  /** Seconds of all hits together. */
  readonly seconds: number;
}

/** Cells for each doubling: a percentile is right within 9 %. */
const CELLS_PER_DOUBLING = 4;
const LEAST_SECONDS = 1e-6;
/** Up to 2²⁷ µs, two minutes. */
const CELLS = 27 * CELLS_PER_DOUBLING;

export class TierStats {
  readonly tier: TierName;
  hits = 0;
  misses = 0;
  bytes = 0;
  poisoned = 0;
  failures = 0;
  #seconds = 0;
  readonly #cells = new Float64Array(CELLS);
  readonly #heldBytes: (() => number | undefined) | undefined;

  constructor(tier: TierName, heldBytes?: () => number | undefined) {
    this.tier = tier;
    this.#heldBytes = heldBytes;
  }

  hit(bytes: number, ms: number): void {
    this.hits++;
    this.bytes += bytes;
    const seconds = ms / 1000;
    this.#seconds += seconds;
    const cell = Math.ceil(Math.log2(Math.max(seconds / LEAST_SECONDS, 1)) * CELLS_PER_DOUBLING);
    this.#cells[Math.min(cell, CELLS - 1)]!++;
  }

  /** Upper bound in seconds of the cell below which `part` of all hits are; NaN without any. */
  percentile(part: number): number {
    if (this.hits === 0) return Number.NaN;
    let left = Math.ceil(this.hits * part);
    for (let cell = 0; cell < CELLS; cell++) {
      left -= this.#cells[cell]!;
      if (left <= 0) return LEAST_SECONDS * 2 ** (cell / CELLS_PER_DOUBLING);
    }
    return Number.NaN;
  }

  figures(): TierFigures {
    const { tier, hits, misses, bytes, poisoned, failures } = this;
    const heldBytes = this.#heldBytes?.();
    return {
      tier,
      hits,
      misses,
      bytes,
      poisoned,
      failures,
      ...(heldBytes === undefined ? {} : { heldBytes }),
      p50: this.percentile(0.5),
      p99: this.percentile(0.99),
      seconds: this.#seconds,
    };
  }
}
