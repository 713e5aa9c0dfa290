/** Blocks of an object, and the part of them that was asked for. */
import type { ByteRange } from "../object-store.ts";
import { BLOCK_BYTES } from "./segment-file.ts";

/** Blocks `first` to `end`, not included. */
export interface BlockRange {
  readonly first: number;
  readonly end: number;
}

export function blocksOf({ offset, length }: ByteRange): BlockRange {
  return { first: Math.floor(offset / BLOCK_BYTES), end: Math.ceil((offset + length) / BLOCK_BYTES) };
}

export function bytesOf({ first, end }: BlockRange): ByteRange {
  return { offset: first * BLOCK_BYTES, length: (end - first) * BLOCK_BYTES };
}

/** The smallest range that has every block that is not there; `undefined` when all are, up to the object's end. */
export function missingBlocks(
  { first, end }: BlockRange,
  blocks: readonly (Uint8Array | undefined)[],
): BlockRange | undefined {
  let from = -1;
  let to = -1;
  for (let block = first; block < end; block++) {
    const bytes = blocks[block - first];
    if (bytes === undefined) {
      if (from === -1) from = block;
      to = block + 1;
    } else if (bytes.length < BLOCK_BYTES) break;
  }
  return from === -1 ? undefined : { first: from, end: to };
}

/** The bytes of `range`, cut at the object's end. `blocks` begin with the block `first`. */
export function joinBlocks(
  blocks: readonly (Uint8Array | undefined)[],
  first: number,
  range: ByteRange,
): Uint8Array {
  const out = new Uint8Array(range.length);
  let done = 0;
  for (let i = 0; i < blocks.length; i++) {
    const bytes = blocks[i];
    if (bytes === undefined) break;
    const start = Math.max(0, range.offset - (first + i) * BLOCK_BYTES);
    const part = bytes.subarray(Math.min(start, bytes.length), start + range.length - done);
    out.set(part, done);
    done += part.length;
    if (bytes.length < BLOCK_BYTES) break;
  }
  return done === range.length ? out : out.slice(0, done);
}

/** Puts what was read into its places. `bytes` begin with the block `at.first`; shorter than asked: the object ends. */
export function placeBlocks(
  blocks: (Uint8Array | undefined)[],
  first: number,
  at: BlockRange,
  bytes: Uint8Array,
): void {
  const isEnd = bytes.length < (at.end - at.first) * BLOCK_BYTES;
  const count = isEnd ? Math.floor(bytes.length / BLOCK_BYTES) + 1 : at.end - at.first;
  for (let i = 0; i < count; i++) {
    const place = at.first + i - first;
    if (place >= 0 && place < blocks.length) {
      blocks[place] = bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
    }
  }
  if (isEnd) blocks.length = Math.min(blocks.length, Math.max(0, at.first + count - first));
}
