/** Decoded landing records by the pack that holds them. Packs never change, so nothing here goes stale. */
import type { PackId } from "../base/ids.ts";
import type { LandingRecord } from "../codec/landing-record.ts";

/** Object overhead of a decoded record, in bytes, beside its texts. */
const RECORD_OVERHEAD_BYTES = 1024;

interface Cached {
  readonly records: readonly LandingRecord[];
  readonly bytes: number;
}

/** Least recently used packs leave first. */
export class RecordCache {
  readonly #budgetBytes: number;
  readonly #packs = new Map<PackId, Cached>();
  #bytes = 0;

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  /** Bytes held, roughly. */
  get heldBytes(): number {
    return this.#bytes;
  }

  /** In position order. */
  get(pack: PackId): readonly LandingRecord[] | undefined {
    const cached = this.#packs.get(pack);
    if (cached === undefined) return undefined;
    this.#packs.delete(pack);
    this.#packs.set(pack, cached);
    return cached.records;
  }

  /** `storedBytes`: encoded size of the records. */
  add(pack: PackId, records: readonly LandingRecord[], storedBytes: number): void {
    if (this.#packs.has(pack)) return;
    const bytes = storedBytes * 2 + records.length * RECORD_OVERHEAD_BYTES;
    this.#packs.set(pack, { records, bytes });
    this.#bytes += bytes;
    for (const [oldest, cached] of this.#packs) {
      if (this.#bytes <= this.#budgetBytes || oldest === pack) break;
      this.#packs.delete(oldest);
      this.#bytes -= cached.bytes;
    }
  }
}
