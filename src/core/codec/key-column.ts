/**
 * Sorted keys side by side in one piece of memory: thousands of them without an object for each. Stored with each
 * key as what it does not share with the one before:
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | v | varint | bytes shared with the key before, 0 for the first |
 * | v | varint + bytes | the rest |
 */
import type { ByteReader, ByteWriter } from "../base/bytes.ts";
import { KEY_BYTES_MAX } from "../base/limits.ts";

/** Keys without prefixes in one column, unless it is said to be larger: what a reader allocates for them. */
export const COLUMN_BYTES_MAX: number = 1 << 20;

export class KeyColumn {
  readonly length: number;
  readonly bytes: Uint8Array;
  /** Key i is `bytes[ends[i - 1] .. ends[i])`. */
  readonly ends: Uint32Array;

  constructor(bytes: Uint8Array, ends: Uint32Array) {
    this.length = ends.length;
    this.bytes = bytes;
    this.ends = ends;
  }

  start(i: number): number {
    return i === 0 ? 0 : this.ends[i - 1]!;
  }

  /** A view. */
  key(i: number): Uint8Array {
    return this.bytes.subarray(this.start(i), this.ends[i]!);
  }

  /** Order of key i against `key`. */
  compare(i: number, key: Uint8Array): number {
    return compareSlices(this.bytes, this.start(i), this.ends[i]!, key, 0, key.length);
  }

  /** The first key that is not before `key`. */
  lowerBound(key: Uint8Array): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compare(middle, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Unsigned lexicographic order of two slices. */
export function compareSlices(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): number {
  const length = Math.min(aEnd - aStart, bEnd - bStart);
  for (let i = 0; i < length; i++) {
    const difference = a[aStart + i]! - b[bStart + i]!;
    if (difference !== 0) return difference;
  }
  return aEnd - aStart - (bEnd - bStart);
}

/** Writes keys, each after the one before it, of which it keeps a copy. */
export class KeyColumnWriter {
  readonly #previous = new Uint8Array(KEY_BYTES_MAX);
  #previousLength = 0;

  /** The next key does not share anything with those before. */
  restart(): void {
    this.#previousLength = 0;
  }

  /** Writes `key[start..end)`. Returns how many bytes it shares with the one before. */
  write(writer: ByteWriter, key: Uint8Array, start = 0, end: number = key.length): number {
    const previous = this.#previous;
    const length = end - start;
    const limit = Math.min(this.#previousLength, length);
    let shared = 0;
    while (shared < limit && previous[shared] === key[start + shared]) shared++;
    const rest = key.subarray(start + shared, end);
    writer.varint(shared).prefixed(rest);
    previous.set(rest, shared);
    this.#previousLength = length;
    return shared;
  }
}

/** Takes in keys as they are read. */
export class KeyColumnReader {
  readonly #ends: Uint32Array;
  readonly #bytesMax: number;
  #bytes: Uint8Array;
  #count = 0;
  #length = 0;
  #previousStart = 0;

  /** `count` keys come. `capacity`: bytes that they will about take. */
  constructor(count: number, capacity: number, bytesMax = COLUMN_BYTES_MAX) {
    this.#ends = new Uint32Array(count);
    this.#bytesMax = bytesMax;
    this.#bytes = new Uint8Array(Math.min(bytesMax, Math.max(64, capacity)));
  }

  /** Errors: `corrupt` for a key that does not follow the one before it. `mayRepeat`: it may be equal to that one. */
  read(reader: ByteReader, mayRepeat = false): void {
    const shared = reader.varint();
    const rest = reader.prefixed();
    const previousLength = this.#length - this.#previousStart;
    if (shared > previousLength) throw reader.fail(`shares ${shared} bytes with a key of ${previousLength}`);
    const length = shared + rest.length;
    if (length === 0 || length > KEY_BYTES_MAX) throw reader.fail(`key of ${length} bytes`);
    if (this.#count > 0) this.#checkOrder(reader, shared, rest, mayRepeat);
    const start = this.#length;
    this.#reserve(reader, start + length);
    const bytes = this.#bytes;
    bytes.copyWithin(start, this.#previousStart, this.#previousStart + shared);
    bytes.set(rest, start + shared);
    this.#previousStart = start;
    this.#length = start + length;
    this.#ends[this.#count++] = this.#length;
  }

  #checkOrder(reader: ByteReader, shared: number, rest: Uint8Array, mayRepeat: boolean): void {
    const next = this.#previousStart + shared;
    if (next === this.#length) {
      if (rest.length === 0 && !mayRepeat) throw reader.fail("a key comes twice");
      return;
    }
    // Equal: one list would have two encodings. Shorter or less: out of order.
    if (rest.length === 0 || rest[0]! <= this.#bytes[next]!) throw reader.fail("keys are not ascending");
  }

  #reserve(reader: ByteReader, needed: number): void {
    if (needed <= this.#bytes.length) return;
    const bytesMax = this.#bytesMax;
    if (needed > bytesMax) throw reader.fail(`keys of more than ${bytesMax} bytes`);
    const grown = new Uint8Array(Math.min(bytesMax, Math.max(needed, this.#bytes.length * 2)));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }

  finish(): KeyColumn {
    return new KeyColumn(this.#bytes.subarray(0, this.#length), this.#ends);
  }
}
