/**
 * Reads protocol buffers into values as the program holds them. Every read checks bounds first; fields that are not
 * known are skipped. Errors: `usage` for bytes that are no message (a client makes it `corrupt`).
 */
import { asBuffer, bytesToHex, fromUtf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import { BYTES, FIXED32, FIXED64, VARINT } from "./proto-writer.ts";

const REPLACEMENT = "\ufffd";

export class ProtoReader {
  readonly #bytes: Buffer;
  #offset: number;
  readonly #length: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = asBuffer(bytes);
    this.#offset = 0;
    this.#length = bytes.length;
  }

  get offset(): number {
    return this.#offset;
  }

  get length(): number {
    return this.#length;
  }

  fail(detail: string): MicError {
    return new MicError("usage", `a message is malformed: ${detail} at byte ${this.#offset}`);
  }

  /** An unsigned integer up to 2^53 − 1. */
  varint(): number {
    const bytes = this.#bytes;
    let offset = this.#offset;
    const end = this.#length;
    if (offset >= end) throw this.fail("it ends early");
    let byte = bytes[offset++]!;
    if (byte < 0x80) {
      this.#offset = offset;
      return byte;
    }
    let value = byte & 0x7f;
    let scale = 0x80;
    for (let i = 1; i < 10; i++) {
      if (offset >= end) throw this.fail("it ends early");
      byte = bytes[offset++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.#offset = offset;
        if (value > Number.MAX_SAFE_INTEGER) throw this.fail(`${value} is above 2^53 - 1`);
        return value;
      }
      scale *= 0x80;
    }
    throw this.fail("a varint is longer than 10 bytes");
  }

  /** Start of the bytes of a length-delimited field; the reader stands behind them. */
  #take(length: number): number {
    const start = this.#offset;
    if (length > this.#length - start) throw this.fail(`${length} bytes are declared`);
    this.#offset = start + length;
    return start;
  }

  /** End of a nested message that starts here. */
  nested(): number {
    const length = this.varint();
    if (length > this.#length - this.#offset) throw this.fail(`${length} bytes are declared`);
    return this.#offset + length;
  }

  /** Refuses a nested message whose fields reach beyond its end. */
  expectEnd(end: number): void {
    if (this.#offset !== end) throw this.fail("a field is longer than its message");
  }

  /** A view, whose `slice()` copies: no `Buffer`. */
  bytes(): Uint8Array {
    const length = this.varint();
    const start = this.#take(length);
    const { buffer, byteOffset } = this.#bytes;
    return new Uint8Array(buffer, byteOffset + start, length);
  }

  /** Lowercase hex of a field of exactly `length` bytes. */
  hex(length: number, what: string): string {
    const found = this.varint();
    if (found !== length) throw this.fail(`${what} of ${found} bytes`);
    const start = this.#take(length);
    return bytesToHex(this.#bytes, start, start + length);
  }

  string(): string {
    const length = this.varint();
    const start = this.#take(length);
    const text = this.#bytes.toString("utf8", start, start + length);
    // The quick conversion replaces what is not UTF-8.
    return text.includes(REPLACEMENT) ? this.#strict(start, start + length) : text;
  }

  #strict(start: number, end: number): string {
    try {
      return fromUtf8(this.#bytes.subarray(start, end));
    } catch (cause) {
      throw new MicError("usage", "a message is malformed: text that is not UTF-8", { cause });
    }
  }

  /** Appends a repeated integer, packed or not. */
  integers(tag: number, into: number[]): void {
    if ((tag & 7) === VARINT) {
      into.push(this.varint());
      return;
    }
    if ((tag & 7) !== BYTES) throw this.fail(`unexpected wire type ${tag & 7}`);
    const end = this.nested();
    while (this.#offset < end) into.push(this.varint());
    this.expectEnd(end);
  }

  skip(tag: number): void {
    const wireType = tag & 7;
    if (tag >>> 3 === 0) throw this.fail("field number 0");
    if (wireType === VARINT) this.#skipVarint();
    else if (wireType === FIXED64) this.#take(8);
    else if (wireType === BYTES) this.#take(this.varint());
    else if (wireType === FIXED32) this.#take(4);
    else throw this.fail(`unknown wire type ${wireType}`);
  }

  #skipVarint(): void {
    for (let i = 0; i < 10; i++) if (this.#bytes[this.#take(1)]! < 0x80) return;
    throw this.fail("a varint is longer than 10 bytes");
  }
}
