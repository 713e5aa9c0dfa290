/** Memory that is given out before it is used. Whoever finds none waits in turn, and so does the sender behind it. */
import { MicError } from "../../core/base/errors.ts";

/** Calls that wait; one more is told to come back. */
const WAITING_MAX = 10_000;

interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

export class ByteBudget {
  readonly #total: number;
  #used = 0;
  readonly #waiting: Waiting[] = [];

  constructor(total: number) {
    this.#total = total;
  }

  /** Bytes that are given out. */
  get used(): number {
    return this.#used;
  }

  /**
   * Waits for `bytes`; more than there is altogether is given out alone. The result gives them back. Errors:
   * `aborted`, `unreachable` where too many wait.
   */
  async take(bytes: number, signal: AbortSignal): Promise<Disposable> {
    const wanted = Math.min(bytes, this.#total);
    if (this.#waiting.length > 0 || this.#used + wanted > this.#total) await this.#wait(wanted, signal);
    else this.#used += wanted;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#used -= wanted;
        this.#startWaiting();
      },
    };
  }

  #wait(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX) throw tooBusy();
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        bytes,
        start: () => {
          signal.removeEventListener("abort", giveUp);
          resolve();
        },
      };
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(new MicError("aborted", "interrupted", { cause: signal.reason }));
        // The one behind it may fit where this one did not.
        this.#startWaiting();
      };
      if (signal.aborted) {
        reject(new MicError("aborted", "interrupted", { cause: signal.reason }));
        return;
      }
      this.#waiting.push(waiting);
      signal.addEventListener("abort", giveUp, { once: true });
    });
  }

  #startWaiting(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (this.#used + next.bytes > this.#total) return;
      this.#waiting.shift();
      this.#used += next.bytes;
      next.start();
    }
  }
}

export function tooBusy(): MicError {
  return new MicError("unreachable", "the server is busy", { hint: "try again in a moment" });
}
