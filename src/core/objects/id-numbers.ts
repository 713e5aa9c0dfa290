/** Numbers ids in the order in which they come, without a string for any of them: a million take 48 MB. */
const ID_BYTES = 32;
const ID_WORDS = ID_BYTES / 4;
const CAPACITY_LEAST = 64;

/** Open addressing by the ids' own first bytes, which are as good as random. */
export class IdNumbers {
  #count = 0;
  #words: Int32Array;
  /** Number of the id plus one, or 0 for a free slot; at least twice as many as there are ids. */
  #slots: Int32Array;
  readonly #wanted = new Int32Array(ID_WORDS);

  /** `expected`: ids to come; more are welcome. */
  constructor(expected = 0) {
    let capacity = CAPACITY_LEAST;
    while (capacity < expected) capacity *= 2;
    this.#words = new Int32Array(capacity * ID_WORDS);
    this.#slots = new Int32Array(capacity * 2);
  }

  get count(): number {
    return this.#count;
  }

  /** Number of the id in the 32 bytes at `at`, which is `count` as it was before when the id is new. */
  add(bytes: Uint8Array, at = 0): number {
    const slot = this.#slotOf(bytes, at);
    const known = this.#slots[slot]!;
    if (known !== 0) return known - 1;
    const number = this.#count++;
    this.#words.set(this.#wanted, number * ID_WORDS);
    this.#slots[slot] = number + 1;
    if (this.#count * ID_WORDS === this.#words.length) this.#grow();
    return number;
  }

  /** -1 when it was not added. */
  find(bytes: Uint8Array, at = 0): number {
    return this.#slots[this.#slotOf(bytes, at)]! - 1;
  }

  /** The 32 bytes of an id: a copy. */
  bytesOf(number: number): Uint8Array {
    const words = this.#words.slice(number * ID_WORDS, (number + 1) * ID_WORDS);
    return new Uint8Array(words.buffer);
  }

  /** Slot of the id, or the free one where it belongs. Leaves the id in `#wanted`. */
  #slotOf(bytes: Uint8Array, at: number): number {
    const wanted = this.#wanted;
    for (let i = 0; i < ID_WORDS; i++) {
      const from = at + i * 4;
      wanted[i] =
        bytes[from]! | (bytes[from + 1]! << 8) | (bytes[from + 2]! << 16) | (bytes[from + 3]! << 24);
    }
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = wanted[0]! & mask; ; slot = (slot + 1) & mask) {
      const number = slots[slot]! - 1;
      if (number === -1 || this.#isWanted(number)) return slot;
    }
  }

  #isWanted(number: number): boolean {
    const words = this.#words;
    const start = number * ID_WORDS;
    for (let i = 0; i < ID_WORDS; i++) if (words[start + i] !== this.#wanted[i]) return false;
    return true;
  }

  #grow(): void {
    const words = new Int32Array(this.#words.length * 2);
    words.set(this.#words);
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let number = 0; number < this.#count; number++) {
      let slot = words[number * ID_WORDS]! & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = number + 1;
    }
    this.#words = words;
    this.#slots = slots;
  }
}
