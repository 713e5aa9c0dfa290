/** Time that moves only when everything waits: sleeps end in order, at once, and always the same way. */
import type { Clock } from "../../src/core/base/clock.ts";
import { throwIfAborted } from "../../src/core/base/clock.ts";
import { MicError } from "../../src/core/base/errors.ts";

interface Sleeper {
  readonly atMs: number;
  readonly order: number;
  readonly wake: () => void;
}

/** Turns of the event loop without anybody asleep after which a run is stuck. */
const IDLE_TURNS_MAX = 1_000_000;

export class VirtualClock implements Clock {
  #nowMs: number;
  #order = 0;
  readonly #sleepers: Sleeper[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  async sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => reject(new MicError("aborted", "interrupted"));
      signal?.addEventListener("abort", abort, { once: true });
      const wake = (): void => {
        signal?.removeEventListener("abort", abort);
        resolve();
      };
      this.#sleepers.push({ atMs: this.#nowMs + Math.max(0, durationMs), order: this.#order++, wake });
    });
  }

  /** Runs until `task` is settled, moving time whenever nothing else is left to do. */
  async run<T>(task: Promise<T>): Promise<T> {
    let isSettled = false;
    const settled = task.finally(() => {
      isSettled = true;
    });
    settled.catch(() => undefined);
    for (
      let idleTurns = 0;
      idleTurns < IDLE_TURNS_MAX;
      idleTurns = this.#sleepers.length > 0 ? 0 : idleTurns + 1
    ) {
      // A turn of the event loop lets every promise that can go on do so.
      await new Promise((resolve) => setImmediate(resolve));
      if (isSettled) return settled;
      this.#advance();
    }
    throw new Error("everything waits for something that never comes");
  }

  #advance(): void {
    let next = 0;
    for (let i = 1; i < this.#sleepers.length; i++) {
      const a = this.#sleepers[i]!;
      const b = this.#sleepers[next]!;
      if (a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)) next = i;
    }
    const sleeper = this.#sleepers[next];
    if (sleeper === undefined) return;
    this.#sleepers.splice(next, 1);
    this.#nowMs = Math.max(this.#nowMs, sleeper.atMs);
    sleeper.wake();
  }
}
