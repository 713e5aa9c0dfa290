/** What befalls agents, and which errors that excuses. Any other error is a bug. */
import { MicError } from "../../src/core/base/errors.ts";
import type { FaultStore } from "../../src/core/store/fault-store.ts";

/** The store's time that a batch begins with is that of whoever joins it later. */
const BATCH_MS_MAX = 3_600_000;

/** What befell an agent so far, in all its processes. */
export interface Troubles {
  /** Stops: what was there before one may be gone after it. */
  readonly pauses: number;
  /** The last answer of the store with a wrong time, in Unix milliseconds. */
  readonly clockJumpMs: number;
  /** Answers that were flipped or cut. */
  readonly damaged: number;
  /** Lists that left out what was new. */
  readonly omitted: number;
}

export const NO_TROUBLES: Troubles = { pauses: 0, clockJumpMs: 0, damaged: 0, omitted: 0 };

/** Those of one more process. */
export function addTroubles(earlier: Troubles, store: FaultStore): Troubles {
  return {
    pauses: earlier.pauses + store.pauses,
    clockJumpMs: Math.max(earlier.clockJumpMs, store.lastMetMs("clock-jump")),
    damaged: earlier.damaged + store.met("read-flipped") + store.met("read-cut"),
    omitted: earlier.omitted + store.met("list-omits-fresh"),
  };
}

export interface TroubledAgent {
  readonly name: string;
  readonly troubles: Troubles;
  /** Its machine shows another time than the world's. */
  readonly isClockWrong: boolean;
}

/** The moment at which an agent is asked for something. */
export class Since {
  readonly #agent: TroubledAgent;
  /** Whoever may have a part in what is asked for. */
  readonly #agents: readonly TroubledAgent[];
  readonly #before: Troubles;
  readonly #wasClockWrong: boolean;
  readonly #atMs: number;

  /** `atMs`: the world's time. */
  constructor(agent: TroubledAgent, atMs: number, agents: readonly TroubledAgent[] = [agent]) {
    this.#agent = agent;
    this.#atMs = atMs;
    this.#agents = agents;
    this.#before = troublesOf(agents);
    this.#wasClockWrong = agent.isClockWrong;
  }

  /** `mayMiss`: what is asked for may be gone, though nobody was stopped. */
  excuses(error: unknown, mayMiss = false): error is MicError {
    if (!(error instanceof MicError)) return false;
    const { troubles, isClockWrong } = this.#agent;
    const before = this.#before;
    const now = troublesOf(this.#agents);
    switch (error.code) {
      case "unreachable":
      case "outcome-unknown":
      case "aborted":
        return true;
      case "corrupt":
        return now.damaged > before.damaged;
      case "unsupported":
        // Of a damaged version: what is read again has to be damaged again.
        return now.damaged > before.damaged + 1;
      case "out-of-range":
        return this.#wasClockWrong || isClockWrong || this.#sawJump(troubles);
      case "not-found":
        // Uploads are looked for in lists, and under the days that the store's clock has just told.
        return mayMiss || now.pauses > before.pauses || now.omitted > before.omitted || this.#sawJump(now);
      default:
        return false;
    }
  }

  #sawJump({ clockJumpMs }: Troubles): boolean {
    return clockJumpMs > this.#atMs - BATCH_MS_MAX;
  }
}

function troublesOf(agents: readonly TroubledAgent[]): Troubles {
  let sum = NO_TROUBLES;
  for (const { troubles } of agents) {
    sum = {
      pauses: sum.pauses + troubles.pauses,
      clockJumpMs: Math.max(sum.clockJumpMs, troubles.clockJumpMs),
      damaged: sum.damaged + troubles.damaged,
      omitted: sum.omitted + troubles.omitted,
    };
  }
  return sum;
}
