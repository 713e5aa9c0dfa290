/** The kinds of fault that a store can have, and the dice that draw them. */
import { type Random, randomFraction } from "../base/random.ts";

/**
 * What goes wrong, named by operation. "Late": the caller is told nothing definite and the request is applied
 * afterwards, perhaps after other operations. "Twice": delivered twice, the second answer is returned.
 */
export const FAULT_KINDS = [
  "read-slow",
  "read-timeout",
  "read-500",
  "read-503",
  "read-flipped",
  "read-cut",
  "list-timeout",
  "list-omits-fresh",
  "put-slow",
  "put-500",
  "put-503",
  "put-answer-lost",
  "put-late",
  "put-twice",
  "put-full",
  "swap-slow",
  "swap-answer-slow",
  "swap-answer-lost",
  "swap-late",
  "swap-twice",
  "swap-repeated-late",
  "swap-timeout",
  "swap-409",
  "swap-412",
  "swap-429",
  "swap-500",
  "swap-503",
  "delete-timeout",
  "delete-answer-lost",
  "delete-late",
  "clock-jump",
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];
export type FaultOperation = "read" | "list" | "put" | "swap" | "delete" | "clock";

/** Probability of each kind in each operation that it applies to; absent: never. */
export type FaultRates = Readonly<Partial<Record<FaultKind, number>>>;

/** Every kind with the same probability per operation. */
export function uniformRates(probability: number): FaultRates {
  return Object.fromEntries(FAULT_KINDS.map((kind) => [kind, probability])) as FaultRates;
}

/** Answers that a busy store gives to many requests in a row. */
const BURST_OF: ReadonlySet<FaultKind> = new Set([
  "read-503",
  "put-503",
  "swap-409",
  "swap-412",
  "swap-429",
  "swap-500",
  "swap-503",
]);
const BURST_LENGTH_MAX = 6;

export class FaultDice {
  rates: FaultRates;
  readonly #random: Random;
  #burst: { readonly kind: FaultKind; left: number } | undefined;

  constructor(random: Random, rates: FaultRates) {
    this.#random = random;
    this.rates = rates;
  }

  /** Uniform in [0, 1). */
  fraction(): number {
    return randomFraction(this.#random);
  }

  /** An integer in [0, count). */
  below(count: number): number {
    return Math.floor(this.fraction() * count);
  }

  draw(operation: FaultOperation): FaultKind | undefined {
    const prefix = `${operation}-`;
    if (this.#burst?.kind.startsWith(prefix)) {
      const { kind } = this.#burst;
      if (--this.#burst.left <= 0) this.#burst = undefined;
      if (this.fraction() < 0.75) return kind;
    }
    let rest = this.fraction();
    for (const kind of FAULT_KINDS) {
      if (!kind.startsWith(prefix)) continue;
      rest -= this.rates[kind] ?? 0;
      if (rest >= 0) continue;
      if (BURST_OF.has(kind)) this.#burst = { kind, left: this.below(BURST_LENGTH_MAX) };
      return kind;
    }
    return undefined;
  }

  /** Ends a burst, with the faults. */
  calm(): void {
    this.rates = {};
    this.#burst = undefined;
  }
}
