/**
 * Reads of the same thing at the same time are one read. It belongs to none of those who wait for it: one that
 * gives up leaves the others waiting.
 */
import { MicError } from "../../base/errors.ts";

interface Waiter {
  resolve(bytes: Uint8Array | undefined): void;
  reject(error: unknown): void;
}

export class SharedReads {
  readonly #waiting = new Map<string, Set<Waiter>>();

  /** Bytes of one's own, whoever else asked. Errors: those of `read`, `aborted`. */
  get(
    what: string,
    read: () => Promise<Uint8Array | undefined>,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    let waiting = this.#waiting.get(what);
    const isFirst = waiting === undefined;
    waiting ??= new Set();
    const answer = join(waiting, signal);
    if (isFirst) {
      this.#waiting.set(what, waiting);
      this.#run(what, waiting, read);
    }
    return answer;
  }

  #run(what: string, waiting: Set<Waiter>, read: () => Promise<Uint8Array | undefined>): void {
    read().then(
      (bytes) => {
        this.#waiting.delete(what);
        // Every copy is made before anybody runs: the first may give the memory away.
        let left = waiting.size;
        for (const waiter of waiting) waiter.resolve(--left === 0 ? bytes : bytes?.slice());
      },
      (error: unknown) => {
        this.#waiting.delete(what);
        for (const waiter of waiting) waiter.reject(error);
      },
    );
  }
}

function join(waiting: Set<Waiter>, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    if (signal === undefined) {
      waiting.add({ resolve, reject });
      return;
    }
    const leave = (): void => {
      waiting.delete(waiter);
      reject(new MicError("aborted", "interrupted", { cause: signal.reason }));
    };
    const waiter: Waiter = {
      resolve: (bytes) => {
        signal.removeEventListener("abort", leave);
        resolve(bytes);
      },
      reject: (error) => {
        signal.removeEventListener("abort", leave);
        reject(error);
      },
    };
    waiting.add(waiter);
    signal.addEventListener("abort", leave, { once: true });
  });
}
