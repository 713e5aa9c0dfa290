/** So many at a time; the rest wait in turn. */
import { abortable } from "../../core/base/clock.ts";

export class Places {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Disposing of what it gives makes room for the next. Errors: `aborted`. */
  async enter(signal: AbortSignal): Promise<Disposable> {
    if (this.#free > 0) this.#free--;
    else {
      let grant: () => void = () => undefined;
      const granted = new Promise<void>((resolve) => {
        grant = resolve;
      });
      this.#waiting.push(grant);
      try {
        await abortable(granted, signal);
      } catch (error) {
        const index = this.#waiting.indexOf(grant);
        if (index >= 0) this.#waiting.splice(index, 1);
        // It was given in the same turn.
        else this.#leave();
        throw error;
      }
    }
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (isHeld) this.#leave();
        isHeld = false;
      },
    };
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
