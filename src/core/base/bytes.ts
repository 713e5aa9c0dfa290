/** Byte helpers and the bounds-checked reader and writer that every codec is built on. All integers are little-endian. */
import { corrupt, MicError } from "./errors.ts";

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Throws `corrupt` when `bytes` is not UTF-8. */
export function fromUtf8(bytes: Uint8Array, what = "text"): string {
  try {
    return strictDecoder.decode(bytes);
  } catch (cause) {
    throw new MicError("corrupt", `${what} is not valid UTF-8`, { cause });
  }
}

/** A `Buffer` over the same memory: no copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * The conversion behind `Buffer.toString("hex")`, called on any byte array. Wrapping a small array in a
 * `Buffer` first makes the engine allocate its `ArrayBuffer`, which costs several times the conversion.
 */
const hexSlice = (Buffer.prototype as { hexSlice?: (this: Uint8Array, start: number, end: number) => string })
  .hexSlice;

/** A plain array over the same memory, whose `slice()` copies; that of a `Buffer` is a view. */
export function asPlainBytes(bytes: Uint8Array): Uint8Array {
  return Buffer.isBuffer(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : bytes;
}

export function bytesToHex(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  if (hexSlice === undefined || end > bytes.length) return asBuffer(bytes).toString("hex", start, end);
  return hexSlice.call(bytes, start, end);
}

/** `hex` must be an even number of hex digits; ids have been checked by their parser. */
export function hexToBytes(hex: string): Uint8Array {
  const bytes = Buffer.from(hex, "hex");
  if (bytes.length * 2 !== hex.length) throw new MicError("usage", `${JSON.stringify(hex)} is not hex`);
  return bytes;
}

/** Unsigned lexicographic order; a prefix sorts first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && asBuffer(a).equals(b);
}

/** Below this the collector does as well, and arrays share memory: a `Buffer` of up to 4 KiB is cut from 8 KiB. */
const RELEASABLE_BYTES_MIN = 16 << 10;

/**
 * Frees the memory under a large array now: the collector sees little of it and comes late. Only for its sole
 * owner; the array, and every view of the same memory, is empty afterwards.
 */
export function releaseBytes(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= RELEASABLE_BYTES_MIN) buffer.transfer(0);
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

/** Append-only buffer that grows by doubling. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  /** The same memory, for hex. */
  #buffer: Buffer;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(Math.max(16, capacity));
    this.#view = new DataView(this.#bytes.buffer);
    this.#buffer = asBuffer(this.#bytes);
  }

  get length(): number {
    return this.#length;
  }

  #reserve(count: number): number {
    const offset = this.#length;
    const needed = offset + count;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, offset));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
      this.#buffer = asBuffer(grown);
    }
    this.#length = needed;
    return offset;
  }

  u8(value: number): this {
    const offset = this.#reserve(1);
    this.#bytes[offset] = value;
    return this;
  }

  u16(value: number): this {
    const offset = this.#reserve(2);
    this.#view.setUint16(offset, value, true);
    return this;
  }

  u32(value: number): this {
    const offset = this.#reserve(4);
    this.#view.setUint32(offset, value, true);
    return this;
  }

  /** `value` is a bigint, or a safe integer ≥ 0. */
  u64(value: number | bigint): this {
    const offset = this.#reserve(8);
    if (typeof value === "bigint") {
      this.#view.setBigUint64(offset, value, true);
      return this;
    }
    if (!Number.isSafeInteger(value) || value < 0) throw new MicError("internal", `bug: u64 of ${value}`);
    this.#view.setUint32(offset, value >>> 0, true);
    this.#view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
    return this;
  }

  /** Unsigned LEB128 of a safe integer ≥ 0. */
  varint(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) throw new MicError("internal", `bug: varint of ${value}`);
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    return this.u8(rest);
  }

  bytes(value: Uint8Array): this {
    const offset = this.#reserve(value.length);
    this.#bytes.set(value, offset);
    return this;
  }

  /** Raw bytes of a hex id. */
  hex(value: string): this {
    const count = value.length >>> 1;
    const offset = this.#reserve(count);
    const written = this.#buffer.write(value, offset, count, "hex");
    if (written * 2 !== value.length) throw new MicError("usage", `${JSON.stringify(value)} is not hex`);
    return this;
  }

  /** Varint length, then the bytes. */
  prefixed(value: Uint8Array): this {
    return this.varint(value.length).bytes(value);
  }

  /** Varint byte length, then UTF-8. */
  string(value: string): this {
    return this.prefixed(utf8(value));
  }

  /** Overwrites four bytes written before, e.g. a count or an offset known only at the end. */
  patchU32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, true);
    return this;
  }

  /** Begins anew in the same memory. */
  clear(): this {
    this.#length = 0;
    return this;
  }

  /** A view of what was written; valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

/** Cursor over stored bytes. Every read checks bounds first and throws `corrupt` with the byte offset. */
export class ByteReader {
  readonly what: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset: number;
  readonly #end: number;

  /** `what` names the format in errors. */
  constructor(bytes: Uint8Array, what: string, start = 0, end = bytes.length) {
    this.what = what;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#offset = start;
    this.#end = end;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#end - this.#offset;
  }

  fail(detail: string): MicError {
    return corrupt(this.what, detail, this.#offset);
  }

  #take(count: number): number {
    if (count > this.remaining) throw this.fail(`needs ${count} bytes, has ${this.remaining}`);
    const offset = this.#offset;
    this.#offset += count;
    return offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  /** A u64 that must fit 2^53 − 1; larger values are `corrupt`, never rounded. */
  safeU64(): number {
    const value = this.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.fail(`${value} exceeds 2^53 - 1`);
    return Number(value);
  }

  /** Shortest-form unsigned LEB128 of at most 53 bits. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0 && i > 0) throw this.fail("varint is not in shortest form");
        if (value > Number.MAX_SAFE_INTEGER) throw this.fail("varint exceeds 2^53 - 1");
        return value;
      }
      scale *= 0x80;
    }
    throw this.fail("varint is longer than 8 bytes");
  }

  /**
   * A count of items that each take at least `bytesPerItem` stored bytes: refused before anything is
   * allocated when the rest of the input could not hold them.
   */
  count(value: number, bytesPerItem: number): number {
    if (value * bytesPerItem > this.remaining) {
      throw this.fail(`count ${value} does not fit the ${this.remaining} bytes that remain`);
    }
    return value;
  }

  /** A view, not a copy. */
  bytes(count: number): Uint8Array {
    const offset = this.#take(count);
    return this.#bytes.subarray(offset, offset + count);
  }

  hex(count: number): string {
    const offset = this.#take(count);
    return bytesToHex(this.#bytes, offset, offset + count);
  }

  /** Varint length, then a view of the bytes. */
  prefixed(): Uint8Array {
    return this.bytes(this.varint());
  }

  string(): string {
    return fromUtf8(this.prefixed(), `a string in ${this.what}`);
  }

  expectMagic(magic: string): void {
    const found = this.bytes(magic.length);
    if (!equalBytes(found, utf8(magic))) throw this.fail(`does not start with ${JSON.stringify(magic)}`);
  }

  /** Refuses trailing bytes. */
  end(): void {
    if (this.remaining !== 0) throw this.fail(`${this.remaining} trailing bytes`);
  }
}
