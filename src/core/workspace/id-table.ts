/** Finds ids among many, without a string for any of them. */
import { compareBytes } from "../base/bytes.ts";

const ID_BYTES = 32;

/** Open addressing by the ids' own first bytes, which are as good as random. Equal ids are one. */
export class IdTable {
  readonly #ids: Uint8Array;
  /** Number of the id plus one, or 0 for a free slot. */
  readonly #slots: Int32Array;

  /** `ids`: 32 bytes each, not copied. */
  constructor(ids: Uint8Array) {
    const count = ids.length / ID_BYTES;
    let size = 16;
    while (size < count * 2) size *= 2;
    this.#ids = ids;
    this.#slots = new Int32Array(size);
    for (let i = 0; i < count; i++) this.#insert(i);
  }

  #insert(number: number): void {
    const mask = this.#slots.length - 1;
    const start = number * ID_BYTES;
    for (let slot = slotOf(this.#ids, start) & mask; ; slot = (slot + 1) & mask) {
      const other = this.#slots[slot]! - 1;
      if (other === -1) {
        this.#slots[slot] = number + 1;
        return;
      }
      if (this.#equals(other, this.#ids.subarray(start, start + ID_BYTES))) return;
    }
  }

  /** Number of the first id that equals these 32 bytes, or -1. */
  find(id: Uint8Array): number {
    const mask = this.#slots.length - 1;
    for (let slot = slotOf(id, 0) & mask; ; slot = (slot + 1) & mask) {
      const number = this.#slots[slot]! - 1;
      if (number === -1 || this.#equals(number, id)) return number;
    }
  }

  #equals(number: number, id: Uint8Array): boolean {
    const start = number * ID_BYTES;
    return compareBytes(this.#ids.subarray(start, start + ID_BYTES), id) === 0;
  }
}

function slotOf(bytes: Uint8Array, offset: number): number {
  return bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24);
}
