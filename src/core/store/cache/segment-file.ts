/**
 * Segment: up to 1 MiB of one object in a cache directory, block by block, whichever of them were read so far.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICC` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 10 | bytes | reserved, 0 |
 * | 16 | 16 | bytes | id of the segment |
 * | 32 | 16 · 32 | | one entry for each block: u32 LE length, 12 bytes of checksum |
 * | 4,096 | … | bytes | blocks, each at 4,096 + 32,768 · its number |
 *
 * The id is the BLAKE3 of store, key and the segment's number, cut to 16 bytes, and the file's name. A checksum is the
 * BLAKE3 of the block's bytes, cut to 12, each XORed with that of the id: what was once another segment's does not match
 * under a new header. A block is there when its bytes match its entry; an entry of zeros never does. A block of less than 32 KiB (it may be empty) is the
 * object's last.
 *
 * Files are written in place, by any number of processes at once and without a sync: they all write the same bytes,
 * and what a crash leaves half written does not match its entry and is read again from the store.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { hashBytes } from "../../base/hash.ts";

export const BLOCK_BYTES = 32 << 10;
export const SEGMENT_BLOCKS = 32;
export const SEGMENT_BYTES = BLOCK_BYTES * SEGMENT_BLOCKS;
export const SEGMENT_ID_BYTES = 16;
export const SEGMENT_VERSION = 1;

const MAGIC = "MICC";
const ID_OFFSET = 16;
const ENTRIES_OFFSET = 32;
const ENTRY_BYTES = 16;
const CHECKSUM_BYTES = ENTRY_BYTES - 4;
const DATA_OFFSET = 4096;

/** Blocks found, from the first that was asked for; views of one array. */
export interface FoundBlocks {
  readonly blocks: readonly (Uint8Array | undefined)[];
  /** Blocks that did not match their entries. */
  readonly damaged: number;
}

/** Blocks `first` to `end`, not included, of an open segment file. Errors: those of reading a file. */
export async function readBlocks(
  file: FileHandle,
  id: Uint8Array,
  first: number,
  end: number,
): Promise<FoundBlocks> {
  const blocks: (Uint8Array | undefined)[] = new Array(end - first).fill(undefined);
  // One read from the front costs less than two, unless much of it is not wanted.
  const isFront = first <= 1;
  const headBytes = isFront ? DATA_OFFSET + end * BLOCK_BYTES : ENTRIES_OFFSET + end * ENTRY_BYTES;
  const head = await readAt(file, 0, headBytes);
  const entries = new Uint8Array(ENTRIES_OFFSET + end * ENTRY_BYTES);
  entries.set(head.subarray(0, entries.length));
  // Somebody has made the file and not come to its entries yet.
  if (isZero(entries, 0)) return { blocks, damaged: 0 };
  if (!isSegment(entries, id)) return { blocks, damaged: 1 };
  const dataStart = isFront ? 0 : first;
  const data = isFront
    ? head.subarray(Math.min(DATA_OFFSET, head.length))
    : await readAt(file, DATA_OFFSET + first * BLOCK_BYTES, (end - first) * BLOCK_BYTES);
  const view = new DataView(entries.buffer);
  let damaged = 0;
  for (let block = first; block < end; block++) {
    const entry = ENTRIES_OFFSET + block * ENTRY_BYTES;
    const length = view.getUint32(entry, true);
    if (isZero(entries, entry)) continue;
    const at = (block - dataStart) * BLOCK_BYTES;
    const bytes = data.subarray(at, at + length);
    if (
      length > BLOCK_BYTES ||
      bytes.length !== length ||
      !matches(checksum(bytes, id), entries, entry + 4)
    ) {
      damaged++;
      continue;
    }
    blocks[block - first] = bytes;
    if (length < BLOCK_BYTES) break;
  }
  return { blocks, damaged };
}

/**
 * Adds blocks from `first` on. All of `bytes` but the end are whole blocks; `isEnd`: it ends the object, so the last
 * block is short, or empty. Errors: those of writing a file.
 */
export async function writeBlocks(
  path: string,
  id: Uint8Array,
  first: number,
  bytes: Uint8Array,
  isEnd: boolean,
): Promise<void> {
  const whole = Math.floor(bytes.length / BLOCK_BYTES);
  const count = Math.min(isEnd ? whole + 1 : whole, SEGMENT_BLOCKS - first);
  if (count === 0) return;
  const entries = new Uint8Array(count * ENTRY_BYTES);
  const view = new DataView(entries.buffer);
  for (let i = 0; i < count; i++) {
    const block = bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
    view.setUint32(i * ENTRY_BYTES, block.length, true);
    entries.set(checksum(block, id), i * ENTRY_BYTES + 4);
  }
  const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    const data = bytes.subarray(0, count * BLOCK_BYTES);
    if (data.length > 0) await writeAt(file, data, DATA_OFFSET + first * BLOCK_BYTES);
    if (first === 0) {
      const front = new Uint8Array(ENTRIES_OFFSET + entries.length);
      front.set(header(id));
      front.set(entries, ENTRIES_OFFSET);
      await writeAt(file, front, 0);
    } else {
      // Whoever wrote it before wrote the same.
      await writeAt(file, header(id), 0);
      await writeAt(file, entries, ENTRIES_OFFSET + first * ENTRY_BYTES);
    }
  } finally {
    await file.close();
  }
}

function header(id: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ENTRIES_OFFSET);
  bytes.set(Buffer.from(MAGIC, "latin1"));
  bytes[4] = SEGMENT_VERSION;
  bytes.set(id, ID_OFFSET);
  return bytes;
}

function isSegment(entries: Uint8Array, id: Uint8Array): boolean {
  const wanted = header(id);
  for (let i = 0; i < ENTRIES_OFFSET; i++) if (entries[i] !== wanted[i]) return false;
  return true;
}

function isZero(entries: Uint8Array, at: number): boolean {
  for (let i = at; i < at + ENTRY_BYTES; i++) if (entries[i] !== 0) return false;
  return true;
}

function checksum(bytes: Uint8Array, id: Uint8Array): Uint8Array {
  const sum = hashBytes(bytes).subarray(0, CHECKSUM_BYTES);
  for (let i = 0; i < CHECKSUM_BYTES; i++) sum[i]! ^= id[i]!;
  return sum;
}

function matches(sum: Uint8Array, entries: Uint8Array, at: number): boolean {
  for (let i = 0; i < CHECKSUM_BYTES; i++) if (sum[i] !== entries[at + i]) return false;
  return true;
}

/** As much as there is. */
async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

async function writeAt(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}
