/** A set of small whole numbers: one bit each, up to the largest. */
const BYTES_LEAST = 1024;

export class NumberSet {
  #bits = new Uint8Array(BYTES_LEAST);

  has(value: number): boolean {
    const at = value >>> 3;
    return at < this.#bits.length && (this.#bits[at]! & (1 << (value & 7))) !== 0;
  }

  /** False when it was there. */
  add(value: number): boolean {
    const at = value >>> 3;
    if (at >= this.#bits.length) {
      const bits = new Uint8Array(Math.max(at + 1, this.#bits.length * 2));
      bits.set(this.#bits);
      this.#bits = bits;
    }
    const bit = 1 << (value & 7);
    if ((this.#bits[at]! & bit) !== 0) return false;
    this.#bits[at]! |= bit;
    return true;
  }
}
