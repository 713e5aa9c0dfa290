/** Pauses of a loop that others cut short when there is something to do. */
import type { Clock } from "../../../core/base/clock.ts";

export class Pauses {
  readonly #clock: Clock;
  readonly #stopping: AbortSignal;
  #end: (() => void) | undefined;

  /** `stopping`: from then on there are none. */
  constructor(clock: Clock, stopping: AbortSignal) {
    this.#clock = clock;
    this.#stopping = stopping;
    stopping.addEventListener("abort", () => this.end());
  }

  get areOver(): boolean {
    return this.#stopping.aborted;
  }

  async wait(durationMs: number): Promise<void> {
    if (this.#stopping.aborted) return;
    const woken = new AbortController();
    this.#end = () => woken.abort();
    await this.#clock.sleep(durationMs, woken.signal).catch(() => undefined);
    this.#end = undefined;
  }

  /** The one that is under way, if there is one. */
  end(): void {
    this.#end?.();
  }
}
