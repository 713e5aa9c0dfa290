/**
 * Answers kept in memory as they were asked for, the least recently used forgotten first. Small ones only: what is
 * read in large pieces is read once from front to back, and would push out everything else.
 */
import { equalBytes } from "../../base/bytes.ts";
import type { ReadTier, TierRead } from "./tier.ts";
import { TierStats } from "./tier-stats.ts";

/** As much as a pack that is read whole. */
export const MEMORY_ANSWER_BYTES_MAX = 256 << 10;
/** What an answer costs beside its bytes. */
const OVERHEAD_BYTES = 400;

export class MemoryTier implements ReadTier {
  readonly stats: TierStats;
  readonly #next: ReadTier;
  readonly #bytesMax: number;
  readonly #elapsedMs: () => number;
  /** Last used last. */
  readonly #answers = new Map<string, Uint8Array>();
  #heldBytes = 0;

  constructor(next: ReadTier, options: { readonly bytesMax: number; readonly elapsedMs: () => number }) {
    this.#next = next;
    this.#bytesMax = options.bytesMax;
    this.#elapsedMs = options.elapsedMs;
    this.stats = new TierStats("memory", () => this.#heldBytes);
  }

  async read(key: string, read: TierRead): Promise<Uint8Array | undefined> {
    const { range } = read;
    if (range !== undefined && range.length > MEMORY_ANSWER_BYTES_MAX) return this.#next.read(key, read);
    const what = range === undefined ? `${key} ` : `${key} ${range.offset} ${range.length}`;
    const distrusted = read.fresh ? this.#answers.get(what) : undefined;
    if (read.fresh) this.#forget(key);
    else {
      const startedMs = this.#elapsedMs();
      const kept = this.#answers.get(what);
      if (kept !== undefined) {
        this.#answers.delete(what);
        this.#answers.set(what, kept);
        const bytes = kept.slice();
        this.stats.hit(bytes.length, this.#elapsedMs() - startedMs);
        return bytes;
      }
      this.stats.misses++;
    }
    const bytes = await this.#next.read(key, read);
    if (distrusted !== undefined && bytes !== undefined && !equalBytes(distrusted, bytes)) {
      this.stats.poisoned++;
    }
    if (bytes !== undefined && bytes.length <= MEMORY_ANSWER_BYTES_MAX) this.#keep(what, bytes.slice());
    return bytes;
  }

  #keep(what: string, bytes: Uint8Array): void {
    this.#drop(what);
    this.#answers.set(what, bytes);
    this.#heldBytes += bytes.length + OVERHEAD_BYTES;
    for (const oldest of this.#answers.keys()) {
      if (this.#heldBytes <= this.#bytesMax) break;
      this.#drop(oldest);
    }
  }

  /** Everything of one key: rare, so nothing is kept to find it faster. */
  #forget(key: string): void {
    for (const what of this.#answers.keys()) if (what.startsWith(`${key} `)) this.#drop(what);
  }

  #drop(what: string): void {
    const bytes = this.#answers.get(what);
    if (bytes === undefined) return;
    this.#answers.delete(what);
    this.#heldBytes -= bytes.length + OVERHEAD_BYTES;
  }
}
