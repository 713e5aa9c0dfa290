/**
 * Keys that something names: 8 bytes of each in an open-addressed table, so that ten million take 128 MiB. Two keys
 * that look the same keep an object that could go, and never let one go that is named.
 */
import { STORED_KINDS, type StoredKind } from "../../objects/stored-key.ts";

const SLOTS_LEAST = 1024;
/** Of the slots, at most 5 in 8 are taken. */
const LOAD_NUMERATOR = 5;
const LOAD_DENOMINATOR = 8;
/** Odd, so that different days differ: 2^32 divided by the golden ratio. */
const DAY_FACTOR = 0x9e3779b1;

export class KeySet {
  /** Two words for each slot; both 0: free. */
  #words = new Uint32Array(2 * SLOTS_LEAST);
  #count = 0;

  get size(): number {
    return this.#count;
  }

  /** `id`: at least 16 hex digits of a hash. */
  add(kind: StoredKind, days: number, id: string): void {
    if ((this.#count + 1) * LOAD_DENOMINATOR > (this.#words.length / 2) * LOAD_NUMERATOR) this.#grow();
    const slot = findSlot(this.#words, wordOf(id, 0, kind, days), wordOf(id, 8, kind, 0));
    if (this.#words[slot] !== 0 || this.#words[slot + 1] !== 0) return;
    this.#words[slot] = wordOf(id, 0, kind, days);
    this.#words[slot + 1] = wordOf(id, 8, kind, 0);
    this.#count++;
  }

  has(kind: StoredKind, days: number, id: string): boolean {
    const slot = findSlot(this.#words, wordOf(id, 0, kind, days), wordOf(id, 8, kind, 0));
    return this.#words[slot] !== 0 || this.#words[slot + 1] !== 0;
  }

  #grow(): void {
    const old = this.#words;
    const words = new Uint32Array(old.length * 2);
    for (let at = 0; at < old.length; at += 2) {
      if (old[at] === 0 && old[at + 1] === 0) continue;
      const slot = findSlot(words, old[at]!, old[at + 1]!);
      words[slot] = old[at]!;
      words[slot + 1] = old[at + 1]!;
    }
    this.#words = words;
  }
}

function wordOf(id: string, at: number, kind: StoredKind, days: number): number {
  const word =
    Number.parseInt(id.slice(at, at + 8), 16) ^ Math.imul(days * 8 + STORED_KINDS[kind], DAY_FACTOR);
  // The second word is never 0, which says that a slot is free.
  return at === 0 ? word >>> 0 : (word | 1) >>> 0;
}

/** The slot that holds these words, or the free one where they belong. */
function findSlot(words: Uint32Array, first: number, second: number): number {
  const mask = words.length / 2 - 1;
  for (let slot = first & mask; ; slot = (slot + 1) & mask) {
    const at = slot * 2;
    if (words[at] === 0 && words[at + 1] === 0) return at;
    if (words[at] === first && words[at + 1] === second) return at;
  }
}
