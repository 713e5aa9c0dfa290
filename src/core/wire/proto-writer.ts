/**
 * Writes protocol buffers from values as the program holds them: hex ids, numbers, views. For messages with many
 * small parts, where building the generated message first costs several times the encoding.
 */
import { MicError } from "../base/errors.ts";

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

/** Field numbers up to 15: their tag is one byte. */
export class ProtoWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(capacity = 1024) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(64, capacity));
  }

  get length(): number {
    return this.#length;
  }

  #reserve(count: number): number {
    const offset = this.#length;
    const needed = offset + count;
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.length));
      grown.set(this.#bytes.subarray(0, offset));
      this.#bytes = grown;
    }
    this.#length = needed;
    return offset;
  }

  /** Leaves room, e.g. for a message header. */
  skip(count: number): this {
    this.#reserve(count);
    return this;
  }

  tag(field: number, wireType: number): this {
    const offset = this.#reserve(1);
    this.#bytes[offset] = (field << 3) | wireType;
    return this;
  }

  /** A safe integer ≥ 0. */
  varint(value: number): this {
    let offset = this.#reserve(8);
    const bytes = this.#bytes;
    let rest = value;
    while (rest >= 0x80) {
      bytes[offset++] = (rest & 0x7f) | 0x80;
      rest = rest <= 0x7fff_ffff ? rest >>> 7 : Math.floor(rest / 0x80);
    }
    bytes[offset++] = rest;
    this.#length = offset;
    return this;
  }

  /** Left out when 0, as proto3 does. */
  uint(field: number, value: number): this {
    return value === 0 ? this : this.tag(field, VARINT).varint(value);
  }

  /** `bytes` of a hex id; throws `usage` for what is not hex. */
  hex(field: number, id: string): this {
    const count = id.length >>> 1;
    this.tag(field, BYTES).varint(count);
    const offset = this.#reserve(count);
    const written = this.#bytes.write(id, offset, count, "hex");
    if (2 * written !== id.length) throw new MicError("usage", `${JSON.stringify(id)} is not hex`);
    return this;
  }

  string(field: number, text: string): this {
    return this.text(field, text, Buffer.byteLength(text));
  }

  /** `length`: its UTF-8 length. */
  text(field: number, text: string, length: number): this {
    if (length === 0) return this;
    this.tag(field, BYTES).varint(length);
    const offset = this.#reserve(length);
    this.#bytes.write(text, offset, length, "utf8");
    return this;
  }

  bytes(value: Uint8Array): this {
    const offset = this.#reserve(value.length);
    this.#bytes.set(value, offset);
    return this;
  }

  /** What was written; the writer is not used afterwards. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}
