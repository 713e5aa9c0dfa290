/** The end of the chain: the store itself. */
import type { ObjectStore } from "../object-store.ts";
import type { ReadTier, TierRead } from "./tier.ts";
import { TierStats } from "./tier-stats.ts";

export class OriginTier implements ReadTier {
  readonly stats = new TierStats("origin");
  readonly #store: ObjectStore;
  readonly #elapsedMs: () => number;

  constructor(store: ObjectStore, elapsedMs: () => number) {
    this.#store = store;
    this.#elapsedMs = elapsedMs;
  }

  async read(key: string, { range, fresh }: TierRead): Promise<Uint8Array | undefined> {
    const startedMs = this.#elapsedMs();
    try {
      const stored = await this.#store.get(key, {
        ...(range === undefined ? {} : { range }),
        ...(fresh ? { fresh } : {}),
      });
      if (stored === undefined) this.stats.misses++;
      else this.stats.hit(stored.bytes.length, this.#elapsedMs() - startedMs);
      return stored?.bytes;
    } catch (error) {
      this.stats.failures++;
      throw error;
    }
  }
}
