/** Those who wait until what they wrote is in the replica. */
interface Waiter {
  readonly since: number;
  resolve(): void;
  reject(error: unknown): void;
}

export class FlushQueue {
  readonly #elapsedMs: () => number;
  #waiters: Waiter[] = [];

  constructor(elapsedMs: () => number) {
    this.#elapsedMs = elapsedMs;
  }

  get isEmpty(): boolean {
    return this.#waiters.length === 0;
  }

  add(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ since: this.#elapsedMs(), resolve, reject });
    });
  }

  /** Those who wait now. What is returned resolves the ones among them who were not told otherwise meanwhile. */
  mark(): () => void {
    const marked = new Set(this.#waiters);
    return () => {
      const done = this.#waiters.filter((waiter) => marked.has(waiter));
      this.#waiters = this.#waiters.filter((waiter) => !marked.has(waiter));
      for (const { resolve } of done) resolve();
    };
  }

  /** Those who have waited for as long as this, or longer. */
  reject(error: unknown, leastMs = 0): void {
    const now = this.#elapsedMs();
    const late = this.#waiters.filter(({ since }) => now - since >= leastMs);
    this.#waiters = this.#waiters.filter((waiter) => !late.includes(waiter));
    for (const { reject } of late) reject(error);
  }
}
