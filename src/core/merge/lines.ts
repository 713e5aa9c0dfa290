/**
 * Text as lines. A line ends with LF and includes it; a CR before it belongs to the line; the last line may
 * have no LF, and then differs from the same text with one. So joining all lines gives the bytes back.
 */
import { MicError } from "../base/errors.ts";

const LF = 0x0a;
export interface Lines {
  readonly bytes: Uint8Array;
  readonly count: number;
  /** Byte offset of each line, and of the end: `count + 1` values. */
  readonly starts: Uint32Array;
}

/** Throws `too-large` above 4 GiB. */
export function indexLines(bytes: Uint8Array): Lines {
  if (bytes.length > 0xffff_ffff) throw new MicError("too-large", "text above 4 GiB is not compared by line");
  let starts = new Uint32Array(Math.max(16, (bytes.length >> 5) + 2));
  let count = 0;
  for (let start = 0; start < bytes.length; ) {
    const found = bytes.indexOf(LF, start);
    start = found === -1 ? bytes.length : found + 1;
    count++;
    if (count === starts.length) {
      const grown = new Uint32Array(starts.length * 2);
      grown.set(starts);
      starts = grown;
    }
    starts[count] = start;
  }
  return { bytes, count, starts: starts.subarray(0, count + 1) };
}

/** Every line as a view, with its terminator. */
export function splitLines(bytes: Uint8Array): Uint8Array[] {
  const lines = indexLines(bytes);
  return Array.from({ length: lines.count }, (_, i) => linesBetween(lines, i, i + 1));
}

/** A view of the lines [start, end), with their terminators. */
export function linesBetween(lines: Lines, start: number, end: number): Uint8Array {
  return lines.bytes.subarray(lines.starts[start]!, lines.starts[end]!);
}

/** Gives equal lines of several texts equal small numbers, counted from 0. */
export class LineInterner {
  /** Open addressing: number of the line + 1; 0 is free. */
  #slots = new Int32Array(1024);
  readonly #hashes: number[] = [];
  readonly #texts: Uint8Array[] = [];
  readonly #from: number[] = [];
  readonly #to: number[] = [];

  /** Distinct lines so far. */
  get size(): number {
    return this.#hashes.length;
  }

  /** One number per line. */
  intern(lines: Lines): Int32Array {
    const { bytes, count, starts } = lines;
    const numbers = new Int32Array(count);
    for (let line = 0; line < count; line++) {
      const from = starts[line]!;
      const to = starts[line + 1]!;
      let hash = 0x811c9dc5;
      for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
      numbers[line] = this.#numberOf(bytes, from, to, hash ^ (hash >>> 15));
    }
    return numbers;
  }

  #numberOf(bytes: Uint8Array, from: number, to: number, hash: number): number {
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (;;) {
      const number = this.#slots[slot]! - 1;
      if (number === -1) break;
      if (this.#hashes[number] === hash && this.#isLine(number, bytes, from, to)) return number;
      slot = (slot + 1) & mask;
    }
    const number = this.#hashes.length;
    this.#slots[slot] = number + 1;
    this.#hashes.push(hash);
    this.#texts.push(bytes);
    this.#from.push(from);
    this.#to.push(to);
    if (this.size * 2 > this.#slots.length) this.#grow();
    return number;
  }

  #isLine(number: number, bytes: Uint8Array, from: number, to: number): boolean {
    const text = this.#texts[number]!;
    const start = this.#from[number]!;
    if (this.#to[number]! - start !== to - from) return false;
    for (let i = from, j = start; i < to; i++, j++) if (bytes[i] !== text[j]) return false;
    return true;
  }

  #grow(): void {
    this.#slots = new Int32Array(this.#slots.length * 4);
    const mask = this.#slots.length - 1;
    for (let number = 0; number < this.size; number++) {
      let slot = this.#hashes[number]! & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = number + 1;
    }
  }
}
