/**
 * One value that many wait for: read again after every notice, and once in a while without one, because another
 * process may have changed it. However many wait, there is one reader at a time.
 */
import type { Clock } from "../../core/base/clock.ts";
import { isMicError } from "../../core/base/errors.ts";

export interface WatchOptions<T> {
  readonly clock: Clock;
  /** Milliseconds between reads without a notice. */
  readonly pollMs: number;
  /** Reads the value. Returns `previous` itself when nothing changed. Errors of the kind `retry` are met by waiting. */
  read(previous: T | undefined, signal: AbortSignal): Promise<T>;
  /** Nobody waits any more. */
  onIdle(): void;
}

export interface Seen<T> {
  readonly version: number;
  readonly value: T;
}

/** Before the first value. */
export const NOTHING_SEEN = 0;

export class Watch<T> {
  readonly #options: WatchOptions<T>;
  readonly #stop = new AbortController();
  readonly #waiters = new Set<() => void>();
  #users = 0;
  #latest: Seen<T> | undefined;
  #failure: { readonly error: unknown } | undefined;
  /** Something may have changed since the read that is under way began. */
  #isStale = true;
  #pause: AbortController | undefined;

  constructor(options: WatchOptions<T>) {
    this.#options = options;
  }

  /** Reads from here on until it is disposed of. What is seen first is not older than this call. */
  use(): Disposable {
    this.#users++;
    this.notice();
    if (this.#users === 1) void this.#run();
    return {
      [Symbol.dispose]: () => {
        if (--this.#users > 0) return;
        this.#stop.abort();
        this.#options.onIdle();
      },
    };
  }

  notice(): void {
    this.#isStale = true;
    this.#pause?.abort();
  }

  /** Ends every wait. */
  close(): void {
    this.#stop.abort();
    this.#wake();
  }

  /** The newest value once it is newer than what was seen; undefined when the signal fires. */
  async next(seen: number, signal: AbortSignal): Promise<Seen<T> | undefined> {
    while (!signal.aborted && !this.#stop.signal.aborted) {
      if (this.#failure !== undefined) throw this.#failure.error;
      const latest = this.#latest;
      if (latest !== undefined && latest.version > seen) return latest;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiters.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        this.#waiters.add(wake);
        signal.addEventListener("abort", wake, { once: true });
      });
    }
    return undefined;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#isStale = false;
      try {
        await this.#readOnce(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!isMicError(error) || error.kind !== "retry") {
          this.#failure = { error };
          this.#wake();
          this.#options.onIdle();
          return;
        }
      }
      if (!this.#isStale) await this.#wait(signal);
    }
  }

  async #readOnce(signal: AbortSignal): Promise<void> {
    const before = this.#latest;
    const value = await this.#options.read(before?.value, signal);
    if (before !== undefined && value === before.value) return;
    this.#latest = { version: (before?.version ?? NOTHING_SEEN) + 1, value };
    this.#wake();
  }

  async #wait(stop: AbortSignal): Promise<void> {
    const pause = new AbortController();
    this.#pause = pause;
    const onStop = (): void => pause.abort();
    stop.addEventListener("abort", onStop, { once: true });
    try {
      await this.#options.clock.sleep(this.#options.pollMs, pause.signal);
    } catch (error) {
      if (!isMicError(error, "aborted")) throw error;
    } finally {
      stop.removeEventListener("abort", onStop);
      this.#pause = undefined;
    }
  }

  #wake(): void {
    for (const wake of [...this.#waiters]) wake();
  }
}
