/**
 * The rollups of a project, as far as they were read: fronts, pages and blocks under one budget of bytes. What is
 * asked for twice at once is read once. A rollup that is missing or damaged is reported here and then left alone:
 * whoever asked reads the log instead.
 */
import type { RollupRef } from "../../codec/head.ts";
import type { RollupExtent, RollupFront, RollupTable, RollupTableName } from "../../codec/rollup.ts";
import { decodeIdBlock, type IdBlock } from "../../codec/rollup-ids.ts";
import { decodeIndexPage, type IndexPage } from "../../codec/rollup-index.ts";
import { decodeTouchedBlock, type TouchedBlock } from "../../codec/rollup-touched.ts";
import { type LruEntry, WeightedLru } from "../../objects/weighted-lru.ts";
import { DamagedRollupError, decoding, type RollupPlace, readExtents, readFront } from "./extents.ts";

/** Object overhead of what is decoded, in bytes. */
const OVERHEAD_BYTES = 512;
const BLOCK_REF_BYTES = 160;
const DAMAGED_MAX = 256;

/** What fsck and metrics can say of rollups. */
export interface RollupDamage {
  readonly ref: RollupRef;
  readonly detail: string;
  /** Newer code wrote it, and can read it: it is not built again. */
  readonly isNewer: boolean;
}

interface Decoded {
  /** Bytes in memory. */
  readonly weight: number;
}

export class RollupReader {
  readonly #place: RollupPlace;
  readonly #lru: WeightedLru;
  readonly #open = new Map<string, OpenRollup>();
  readonly #opening = new Map<string, Promise<OpenRollup | undefined>>();
  readonly #damaged = new Map<string, RollupDamage>();
  #fallbacks = 0;

  constructor(place: RollupPlace, budgetBytes: number) {
    this.#place = place;
    this.#lru = new WeightedLru(budgetBytes);
  }

  /** Bytes held, roughly. */
  get heldBytes(): number {
    return this.#lru.used;
  }

  /** Rollups that were found missing or damaged, each once. */
  get damaged(): readonly RollupDamage[] {
    return [...this.#damaged.values()];
  }

  /** How often the log was read because a rollup could not be. */
  get fallbacks(): number {
    return this.#fallbacks;
  }

  /** `undefined`: read the log instead. Errors: `unreachable`. */
  open(ref: RollupRef): OpenRollup | Promise<OpenRollup | undefined> | undefined {
    const name = nameOf(ref);
    const known = this.#open.get(name);
    if (known !== undefined) {
      this.#lru.touch(known);
      return known;
    }
    if (this.#damaged.has(name)) {
      this.#fallbacks++;
      return undefined;
    }
    const opening = this.#opening.get(name) ?? this.#load(ref, name);
    this.#opening.set(name, opening);
    return opening;
  }

  async #load(ref: RollupRef, name: string): Promise<OpenRollup | undefined> {
    try {
      const { front, bytes } = await readFront(this.#place, ref);
      const forget = (): void => {
        this.#open.delete(name);
      };
      const rollup = new OpenRollup(this.#place, ref, front, bytes + OVERHEAD_BYTES, this.#lru, forget);
      this.#open.set(name, rollup);
      this.#lru.add(rollup);
      return rollup;
    } catch (error) {
      if (!(error instanceof DamagedRollupError)) throw error;
      this.report(error);
      return undefined;
    } finally {
      this.#opening.delete(name);
    }
  }

  /** Runs a question to a rollup. `damaged`: it was reported, and the log has the answer. */
  async ask<Answer>(question: () => Promise<Answer>): Promise<Answer | "damaged"> {
    try {
      return await question();
    } catch (error) {
      if (!(error instanceof DamagedRollupError)) throw error;
      this.report(error);
      return "damaged";
    }
  }

  /** It was repaired under its old name: it is read again. */
  forgive(ref: RollupRef): void {
    this.#damaged.delete(nameOf(ref));
  }

  /** Takes note of damage that was found while a rollup was used, which is not used again. */
  report(error: DamagedRollupError): void {
    const name = nameOf(error.ref);
    const open = this.#open.get(name);
    if (open !== undefined) {
      this.#lru.remove(open);
      open.evicted();
    }
    this.#fallbacks++;
    if (this.#damaged.has(name)) return;
    if (this.#damaged.size >= DAMAGED_MAX) {
      const [oldest] = this.#damaged.keys();
      this.#damaged.delete(oldest!);
    }
    this.#damaged.set(name, { ref: error.ref, detail: error.message, isNewer: error.isNewer });
  }
}

/** One that is built again from the log may have the same content, but then another day. */
function nameOf({ epoch, hash }: RollupRef): string {
  return `${epoch}/${hash}`;
}

interface Slot extends LruEntry {
  readonly value: unknown;
}

export class OpenRollup implements LruEntry {
  readonly ref: RollupRef;
  readonly front: RollupFront;
  readonly weight: number;
  older: LruEntry | undefined;
  newer: LruEntry | undefined;
  readonly #place: RollupPlace;
  readonly #lru: WeightedLru;
  readonly #forget: () => void;
  /** Pages and blocks by their offset. */
  readonly #slots = new Map<number, Slot>();
  readonly #loading = new Map<number, Promise<unknown>>();
  #isEvicted = false;

  constructor(
    place: RollupPlace,
    ref: RollupRef,
    front: RollupFront,
    weight: number,
    lru: WeightedLru,
    forget: () => void,
  ) {
    this.#place = place;
    this.ref = ref;
    this.front = front;
    this.weight = weight;
    this.#lru = lru;
    this.#forget = forget;
  }

  evicted(): void {
    this.#isEvicted = true;
    for (const slot of this.#slots.values()) this.#lru.remove(slot);
    this.#slots.clear();
    this.#forget();
  }

  table(name: RollupTableName): RollupTable {
    return this.front.tables[name];
  }

  /** Pages of a table's index by number. Errors, as for all that reads: DamagedRollupError, `unreachable`. */
  pages(table: RollupTableName, numbers: readonly number[]): Promise<readonly IndexPage[]> {
    const { pages } = this.front.tables[table];
    return this.#load(
      numbers.map((number) => pages[number]!),
      decodePage,
    );
  }

  touchedBlocks(extents: readonly RollupExtent[]): Promise<readonly TouchedBlock[]> {
    return this.#load(extents, decodeTouchedBlock);
  }

  idBlocks(extents: readonly RollupExtent[]): Promise<readonly IdBlock[]> {
    return this.#load(extents, decodeIds);
  }

  async #load<Value extends Decoded>(
    extents: readonly RollupExtent[],
    decode: (bytes: Uint8Array) => Value,
  ): Promise<readonly Value[]> {
    const found: (Value | Promise<Value>)[] = [];
    const missing: RollupExtent[] = [];
    for (const extent of extents) {
      const slot = this.#slots.get(extent.offset);
      if (slot !== undefined) this.#lru.touch(slot);
      else if (!this.#loading.has(extent.offset)) missing.push(extent);
    }
    if (missing.length > 0) this.#fetch(missing, decode);
    let isComplete = true;
    for (const { offset } of extents) {
      const slot = this.#slots.get(offset);
      if (slot === undefined) isComplete = false;
      found.push((slot?.value as Value | undefined) ?? (this.#loading.get(offset) as Promise<Value>));
    }
    return isComplete ? (found as Value[]) : await Promise.all(found);
  }

  #fetch<Value extends Decoded>(
    extents: readonly RollupExtent[],
    decode: (bytes: Uint8Array) => Value,
  ): void {
    const { ref, front } = this;
    const read = readExtents(this.#place, ref, front, extents);
    for (const [i, { offset }] of extents.entries()) {
      if (this.#loading.has(offset)) continue;
      const loaded = read
        .then((all) => {
          const value = decoding(ref, `bytes at ${offset}`, () => decode(all[i]!));
          this.#keep(offset, value);
          return value;
        })
        .finally(() => this.#loading.delete(offset));
      this.#loading.set(offset, loaded);
    }
  }

  #keep(offset: number, value: Decoded): void {
    if (this.#isEvicted) return;
    const evicted = (): void => {
      this.#slots.delete(offset);
    };
    const slot: Slot = { value, weight: value.weight, evicted, older: undefined, newer: undefined };
    this.#slots.set(offset, slot);
    this.#lru.add(slot);
  }
}

function decodePage(bytes: Uint8Array): IndexPage & Decoded {
  const page = decodeIndexPage(bytes);
  const weight =
    bytes.length + page.keys.bytes.length + page.blocks.length * BLOCK_REF_BYTES + OVERHEAD_BYTES;
  return { ...page, weight };
}

function decodeIds(bytes: Uint8Array): IdBlock & Decoded {
  return { ...decodeIdBlock(bytes), weight: bytes.length * 2 + OVERHEAD_BYTES };
}
