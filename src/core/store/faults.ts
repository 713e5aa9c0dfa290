/** The kinds of fault that a store and its callers can have, and the dice that draw them. */
import { type Random, randomFraction } from "../base/random.ts";

/**
 * What goes wrong with a request, named by operation. "Late": the caller is told nothing definite and the request
 * is applied afterwards, perhaps after other operations. "Twice": delivered twice, the second answer is returned.
 * "Partial": of several keys some are deleted, and the answer names those that are not.
 */
export const FAULT_KINDS = [
  "read-slow",
  "read-timeout",
  "read-500",
  "read-503",
  "read-flipped",
  "read-cut",
  "list-timeout",
  "list-503",
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
  "delete-503",
  "delete-answer-lost",
  "delete-late",
  "delete-partial",
  "clock-jump",
  "clock-timeout",
] as const;

/**
 * What befalls whoever calls: stopped for hours or days before a request, dead before or after one, a clock that
 * is wrong, or a swap that the store refuses because its signature is too old.
 */
export const ACTOR_FAULT_KINDS = [
  "actor-paused",
  "actor-died-before",
  "actor-died-after",
  "actor-clock-wrong",
  "actor-too-late",
] as const;

export type StoreFault = (typeof FAULT_KINDS)[number];
export type ActorFault = (typeof ACTOR_FAULT_KINDS)[number];
export type FaultKind = StoreFault | ActorFault;
export type FaultOperation = "read" | "list" | "put" | "swap" | "delete" | "clock";

/** Probability of each kind in each operation that it applies to; absent: never. */
export type FaultRates = Readonly<Partial<Record<StoreFault | "actor-paused", number>>>;

/** Every kind of the store's faults with the same probability per operation. */
export function uniformRates(probability: number): FaultRates {
  return Object.fromEntries(FAULT_KINDS.map((kind) => [kind, probability])) as FaultRates;
}

export function faultsOf(operation: FaultOperation): readonly StoreFault[] {
  return FAULT_KINDS.filter((kind) => kind.startsWith(`${operation}-`));
}

/** Answers that a busy store gives to many requests in a row. */
const BURST_OF: ReadonlySet<FaultKind> = new Set([
  "read-503",
  "list-503",
  "put-503",
  "delete-503",
  "swap-409",
  "swap-412",
  "swap-429",
  "swap-500",
  "swap-503",
]);
const BURST_LENGTH_MAX = 6;

const KINDS: Readonly<Record<FaultOperation, readonly StoreFault[]>> = {
  read: faultsOf("read"),
  list: faultsOf("list"),
  put: faultsOf("put"),
  swap: faultsOf("swap"),
  delete: faultsOf("delete"),
  clock: faultsOf("clock"),
};

export class FaultDice {
  rates: FaultRates;
  readonly #random: Random;
  #burst: { readonly kind: StoreFault; readonly operation: FaultOperation; left: number } | undefined;

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

  /** At least one of them, and not all. */
  someOf<T>(items: readonly T[]): T[] {
    const some = items.filter(() => this.fraction() < 0.5);
    if (some.length === 0) return [items[this.below(items.length)]!];
    if (some.length === items.length) some.splice(this.below(some.length), 1);
    return some;
  }

  /** `weight`: how much likelier each kind is than its rate says. */
  draw(operation: FaultOperation, weight = 1): StoreFault | undefined {
    if (this.#burst?.operation === operation) {
      const { kind } = this.#burst;
      if (--this.#burst.left <= 0) this.#burst = undefined;
      if (this.fraction() < 0.75) return kind;
    }
    let rest = this.fraction();
    for (const kind of KINDS[operation]) {
      rest -= weighted(this.rates[kind], weight);
      if (rest >= 0) continue;
      if (BURST_OF.has(kind)) this.#burst = { kind, operation, left: this.below(BURST_LENGTH_MAX) };
      return kind;
    }
    return undefined;
  }

  /** Whether the caller is stopped before its request. */
  drawPause(weight = 1): boolean {
    const rate = weighted(this.rates["actor-paused"], weight, WEIGHTED_STOPS_MAX);
    return rate > 0 && this.fraction() < rate;
  }

  /** Ends a burst, with the faults. */
  calm(): void {
    this.rates = {};
    this.#burst = undefined;
  }
}

/** However likely: others have their turn. */
const WEIGHTED_RATE_MAX = 0.1;
const WEIGHTED_STOPS_MAX = 0.25;

function weighted(rate = 0, weight = 1, max = WEIGHTED_RATE_MAX): number {
  return weight === 1 ? rate : Math.min(rate * weight, Math.max(rate, max));
}
