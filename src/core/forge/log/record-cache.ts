/**
 * Decoded landing records by the pack that holds them, as many together as are read together: those of one frame. Packs
 * never change, so nothing here goes stale.
 */
import type { PackId, Position } from "../../base/ids.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";

/** Object overhead of a decoded record, in bytes, beside its texts. */
const RECORD_OVERHEAD_BYTES = 1024;

/** Records of positions that follow each other; at least one. */
interface Stretch {
  readonly pack: PackId;
  readonly first: Position;
  readonly records: readonly LandingRecord[];
  readonly bytes: number;
}

/** Least recently used stretches leave first. */
export class RecordCache {
  readonly #budgetBytes: number;
  /** By first position. */
  readonly #packs = new Map<PackId, Stretch[]>();
  /** Last used last. */
  readonly #used = new Set<Stretch>();
  #bytes = 0;

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  /** Bytes held, roughly. */
  get heldBytes(): number {
    return this.#bytes;
  }

  /** The stretch with a position, in position order. */
  get(pack: PackId, position: Position): readonly LandingRecord[] | undefined {
    const stretches = this.#packs.get(pack);
    const stretch = stretches?.[lastBefore(stretches, position)];
    if (stretch === undefined || position >= stretch.first + stretch.records.length) return undefined;
    this.#used.delete(stretch);
    this.#used.add(stretch);
    return stretch.records;
  }

  /** `storedBytes`: encoded size of the records, which are in position order and without gaps. */
  add(pack: PackId, records: readonly LandingRecord[], storedBytes: number): void {
    const first = records[0]?.position;
    if (first === undefined || this.get(pack, first) !== undefined) return;
    const bytes = storedBytes * 2 + records.length * RECORD_OVERHEAD_BYTES;
    const stretch = { pack, first, records, bytes };
    const stretches = this.#packs.get(pack);
    if (stretches === undefined) this.#packs.set(pack, [stretch]);
    else stretches.splice(lastBefore(stretches, first) + 1, 0, stretch);
    this.#used.add(stretch);
    this.#bytes += bytes;
    for (const oldest of this.#used) {
      if (this.#bytes <= this.#budgetBytes || oldest === stretch) break;
      this.#drop(oldest);
    }
  }

  #drop(stretch: Stretch): void {
    this.#used.delete(stretch);
    this.#bytes -= stretch.bytes;
    const stretches = this.#packs.get(stretch.pack)!;
    if (stretches.length === 1) this.#packs.delete(stretch.pack);
    else stretches.splice(stretches.indexOf(stretch), 1);
  }
}

/** Index of the last stretch that begins at or before a position, -1 when there is none. */
function lastBefore(stretches: readonly Stretch[], position: Position): number {
  let low = 0;
  let high = stretches.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (stretches[middle]!.first <= position) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
