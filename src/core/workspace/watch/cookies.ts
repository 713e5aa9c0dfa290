/** Files that are made to learn that the events of everything earlier have been heard. */
import { closeSync, openSync, readdirSync, rmSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { metaPath } from "../layout.ts";
import { COOKIE_PREFIX } from "./protocol.ts";

export class Cookies {
  readonly #root: string;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #waiting = new Map<string, (heard: boolean) => void>();
  #last = 0;

  constructor(root: string, clock: Clock, timeoutMs: number) {
    this.#root = root;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** Removes those of a watcher that was killed. */
  removeLeftOver(): void {
    for (const name of readdirSync(metaPath(this.#root))) {
      if (name.startsWith(COOKIE_PREFIX)) rmSync(metaPath(this.#root, name), { force: true });
    }
  }

  /** The event of a name below `.mic`; false when it is no cookie's. */
  heard(name: string): boolean {
    if (!name.startsWith(COOKIE_PREFIX)) return false;
    this.#waiting.get(name)?.(true);
    return true;
  }

  /** Nobody will hear of those that are waited for. */
  lose(): void {
    for (const heard of this.#waiting.values()) heard(false);
  }

  /** True once the event of a new cookie was heard; false when that takes too long, or they are lost. */
  async wait(): Promise<boolean> {
    const name = `${COOKIE_PREFIX}${++this.#last}`;
    const path = metaPath(this.#root, name);
    const timeout = new AbortController();
    try {
      const heard = new Promise<boolean>((resolve) => this.#waiting.set(name, resolve));
      closeSync(openSync(path, "w", 0o600));
      const late = this.#clock.sleep(this.#timeoutMs, timeout.signal).then(
        () => false,
        () => false,
      );
      return await Promise.race([heard, late]);
    } finally {
      timeout.abort();
      this.#waiting.delete(name);
      rmSync(path, { force: true });
    }
  }
}
