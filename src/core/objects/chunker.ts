/**
 * Content-defined chunking of large files: FastCDC with normalised chunk sizes (Xia et al., "The Design of Fast
 * Content-Defined Chunking for Data Deduplication Based Storage Systems", 2020), so that a change moves only the
 * cuts near it. A cut depends on the bytes since the cut before it and on nothing else; the parameters and
 * the gear table are part of the format (docs/format/chunk-list.md).
 */
import { EMPTY_BYTES } from "../base/bytes.ts";
import { CHUNK_BYTES_MAX } from "../codec/chunk-list.ts";
import { GEAR_TABLE } from "./gear-table.ts";

/** No cut before this; these bytes are not even hashed. */
export const CHUNK_BYTES_MIN = 512 << 10;
/** Cuts are rare before this and frequent after it. */
export const CHUNK_BYTES_NORMAL = 1 << 20;
/** A cut is where the top bits of the rolling hash are 0: one place in 2^22 before that length, one in 2^18 after. */
const RARE_MASK = 0xfffffc00 | 0;
const FREQUENT_MASK = 0xffffc000 | 0;

const GEAR = Int32Array.from(GEAR_TABLE);

export class Chunker {
  /** Bytes of the open chunk from earlier pushes, and the memory of the chunk before, which is still in use. */
  #pending: Uint8Array | undefined;
  #spare: Uint8Array | undefined;
  /** Bytes of the open chunk from earlier pushes. */
  #length = 0;
  #hash = 0;

  /**
   * Takes the next bytes of the file and returns the chunks that they complete, in order. The chunks are views
   * of `bytes` or of memory used again: they are valid until the next call, or until `bytes` is overwritten.
   */
  push(bytes: Uint8Array): Uint8Array[] {
    const chunks: Uint8Array[] = [];
    let start = 0;
    while (start < bytes.length) {
      const end = this.#findCut(bytes, start);
      if (end === -1) {
        this.#keep(bytes.subarray(start));
        break;
      }
      chunks.push(this.#complete(bytes.subarray(start, end)));
      start = end;
    }
    return chunks;
  }

  /** The last chunk, if any; the next push starts another file. Valid until the next call. */
  finish(): Uint8Array | undefined {
    return this.#length === 0 ? undefined : this.#complete(EMPTY_BYTES);
  }

  /** Offset after the last byte of the open chunk, -1 when `bytes` do not complete it. */
  #findCut(bytes: Uint8Array, start: number): number {
    const length = this.#length;
    const limit = Math.min(bytes.length, start + CHUNK_BYTES_MAX - length);
    const normal = Math.min(limit, start + CHUNK_BYTES_NORMAL - length);
    let at = Math.min(limit, Math.max(start, start + CHUNK_BYTES_MIN - length));
    let hash = this.#hash;
    for (; at < normal; at++) {
      hash = ((hash << 1) + GEAR[bytes[at]!]!) | 0;
      if ((hash & RARE_MASK) === 0) return at + 1;
    }
    for (; at < limit; at++) {
      hash = ((hash << 1) + GEAR[bytes[at]!]!) | 0;
      if ((hash & FREQUENT_MASK) === 0) return at + 1;
    }
    this.#hash = hash;
    return length + limit - start === CHUNK_BYTES_MAX ? limit : -1;
  }

  #keep(rest: Uint8Array): void {
    this.#pending ??= new Uint8Array(CHUNK_BYTES_MAX);
    this.#pending.set(rest, this.#length);
    this.#length += rest.length;
  }

  #complete(tail: Uint8Array): Uint8Array {
    const before = this.#length;
    this.#hash = 0;
    this.#length = 0;
    if (before === 0) return tail;
    const pending = this.#pending!;
    pending.set(tail, before);
    this.#pending = this.#spare;
    this.#spare = pending;
    return pending.subarray(0, before + tail.length);
  }
}
