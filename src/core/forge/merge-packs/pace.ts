/** How a long job shares the thread: it works for a slice of time and then lets others. */
import { type Clock, throwIfAborted } from "../../base/clock.ts";

/** A landing that arrives meanwhile waits this long. */
const SLICE_MS = 6;

export class Pace {
  readonly #clock: Clock;
  readonly #restShare: number;
  readonly #signal: AbortSignal | undefined;
  #since: number;

  /** `restShare`: time to rest for each unit of time worked; 0 only lets others have their turn. */
  constructor(
    clock: Clock,
    options: { readonly restShare?: number; readonly signal?: AbortSignal | undefined } = {},
  ) {
    this.#clock = clock;
    this.#restShare = options.restShare ?? 0;
    this.#signal = options.signal;
    this.#since = clock.nowMs();
  }

  /** To be called after every piece of work of at most some milliseconds. Throws `aborted`. */
  step(): Promise<void> | undefined {
    const workedMs = this.#clock.nowMs() - this.#since;
    if (workedMs >= 0 && workedMs < SLICE_MS) return undefined;
    return this.#rest(Math.max(0, workedMs));
  }

  async #rest(workedMs: number): Promise<void> {
    throwIfAborted(this.#signal);
    await this.#clock.sleep(workedMs * this.#restShare, this.#signal);
    this.#since = this.#clock.nowMs();
  }
}
