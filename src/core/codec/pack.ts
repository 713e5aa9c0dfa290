/**
 * Pack: many small objects in one immutable file, named by the BLAKE3-256 of its bytes.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICP` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 2 | u16 LE | reserved, 0 |
 * | 8 | … | bytes | stored frames, one after the other |
 * | 8 + … | 21 · F | | frame table, in file order |
 * | | 9 · N | | object table, in the order of the frames and of the objects in each |
 * | | 32 · N | bytes | ids of the objects, sorted; equal ids in the order of the object table |
 * | | 4 · N | u32 LE | for each of them its row in the object table |
 * | | 36 | | trailer |
 *
 * Frame table: u32 LE stored bytes, u32 LE raw bytes, u32 LE objects (at least 1), u8 flags (bit 0: zstd; the
 * others 0), first 8 bytes of the BLAKE3 of the stored bytes. Object table: u32 LE content bytes, u32 LE
 * sidecar bytes, u8 kind (0 blob, 1 chunk list, 2 node, 3 record, 4 operations). Trailer:
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | u32 LE | F, number of frames |
 * | 4 | 4 | u32 LE | N, number of objects |
 * | 8 | 4 | u32 LE | bytes of index and trailer: 21 F + 45 N + 36 |
 * | 12 | 2 | u16 LE | version, 1 |
 * | 14 | 2 | u16 LE | reserved, 0 |
 * | 16 | 16 | bytes | BLAKE3 of the index and the first 16 bytes of the trailer, cut to 16 bytes |
 * | 32 | 4 | bytes | magic `MICX` |
 *
 * Offsets are not stored: frames, and objects inside a frame, follow each other, so a gap or an overlap cannot
 * be written down. The same object may stand in a pack more than once (two threads packed equal files): the
 * first copy is the one that is found.
 */
import { asBuffer, asPlainBytes, equalBytes } from "../base/bytes.ts";
import { corrupt, MicError } from "../base/errors.ts";
import { hashBytes, hashObject } from "../base/hash.ts";
import type { PackId } from "../base/ids.ts";
import { FRAME_RAW_BYTES_MAX, PACK_BYTES_MAX } from "../base/limits.ts";
import type { Frame } from "./frame.ts";
import {
  compareIds,
  FRAME_ROW_BYTES,
  type FrameColumns,
  ID_BYTES,
  OBJECT_ROW_BYTES,
  PackIndex,
  WHAT,
} from "./pack-index.ts";
import { FRAME_CHECKSUM_BYTES, PackRows } from "./pack-rows.ts";

export const PACK_MAGIC = "MICP";
export const PACK_TRAILER_MAGIC = "MICX";
export const PACK_VERSION = 1;
export const PACK_HEADER_BYTES = 8;
export const PACK_TRAILER_BYTES = 36;

const RANK_BYTES = ID_BYTES + 4;
/** First bytes of the trailer that its checksum covers. */
const TRAILER_COVERED_BYTES = 16;
const INDEX_CHECKSUM_BYTES = 16;
const FLAG_COMPRESSED = 1;

export interface EncodedPack {
  readonly id: PackId;
  readonly bytes: Uint8Array;
  /** Bytes of index and trailer at the end: what `decodePackIndex` takes. */
  readonly indexLength: number;
}

/** Bytes of index and trailer. */
export function packTailLength(frameCount: number, objectCount: number): number {
  return frameCount * FRAME_ROW_BYTES + objectCount * (OBJECT_ROW_BYTES + RANK_BYTES) + PACK_TRAILER_BYTES;
}

/**
 * Frames keep their order. `copied` is told each frame whose bytes are not needed any more. Throws `too-large`
 * above PACK_BYTES_MAX.
 */
export function encodePack(frames: readonly Frame[], copied?: (frame: Frame) => void): EncodedPack {
  let dataEnd = PACK_HEADER_BYTES;
  for (const { stored } of frames) dataEnd += stored.length;
  checkPackLength(dataEnd);
  const rows = new PackRows();
  for (const frame of frames) rows.add(frame);
  const indexLength = packIndexLength(rows);
  checkPackLength(dataEnd + indexLength);
  const bytes = Buffer.allocUnsafeSlow(dataEnd + indexLength);
  let dataAt = PACK_HEADER_BYTES;
  for (const frame of frames) {
    bytes.set(frame.stored, dataAt);
    dataAt += frame.stored.length;
    copied?.(frame);
  }
  writeAroundFrames(bytes, dataEnd, rows);
  return { id: packIdOf(bytes), bytes: asPlainBytes(bytes), indexLength };
}

/** Bytes of index and trailer of a pack of these frames. */
export function packIndexLength(rows: PackRows): number {
  return packTailLength(rows.frameCount, rows.objectCount);
}

export function checkPackLength(length: number): void {
  if (length > PACK_BYTES_MAX) {
    throw new MicError("too-large", `a pack of ${length} bytes is above ${PACK_BYTES_MAX}`);
  }
}

/**
 * Header, index and trailer of a pack whose frames stand in `bytes` from PACK_HEADER_BYTES to `dataEnd`
 * already; `packIndexLength` bytes follow them.
 */
export function writeAroundFrames(bytes: Buffer, dataEnd: number, rows: PackRows): void {
  writeHeader(bytes);
  writeTail(bytes, dataEnd, rows);
}

/** The PACK_HEADER_BYTES before the frames. */
export function encodePackHeader(): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(PACK_HEADER_BYTES);
  writeHeader(bytes);
  return asPlainBytes(bytes);
}

/** Index and trailer of a pack of these frames, for who writes the frames by himself. */
export function encodePackTail(rows: PackRows): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(packIndexLength(rows));
  writeTail(bytes, 0, rows);
  return asPlainBytes(bytes);
}

function writeHeader(bytes: Buffer): void {
  bytes.write(PACK_MAGIC, 0, "latin1");
  bytes.writeUInt32LE(PACK_VERSION, 4);
}

function writeTail(bytes: Buffer, dataEnd: number, rows: PackRows): void {
  const { frameCount, objectCount, frameTable, objectTable } = rows;
  bytes.set(frameTable, dataEnd);
  const objectsAt = dataEnd + frameTable.length;
  bytes.set(objectTable, objectsAt);
  writeSortedIds(bytes, objectsAt + objectTable.length, asBuffer(rows.ids), objectCount);
  writeTrailer(bytes, dataEnd, frameCount, objectCount);
}

export function packIdOf(bytes: Uint8Array): PackId {
  return hashObject(bytes) as string as PackId;
}

function writeSortedIds(bytes: Buffer, start: number, ids: Buffer, count: number): void {
  const order = sortedRows(ids, count);
  const rowsAt = start + count * ID_BYTES;
  for (let rank = 0; rank < count; rank++) {
    const row = order[rank]!;
    bytes.set(ids.subarray(row * ID_BYTES, row * ID_BYTES + ID_BYTES), start + rank * ID_BYTES);
    bytes.writeUInt32LE(row, rowsAt + rank * 4);
  }
}

/**
 * Rows by id, equal ids by row. Sorts numbers made of the first bits of the id above the row, which is native
 * and without callbacks, then puts right the few ids that share those bits.
 */
function sortedRows(ids: Buffer, count: number): Uint32Array {
  const rowBits = Math.ceil(Math.log2(Math.max(2, count)));
  const rowFactor = 2 ** rowBits;
  const shift = Math.max(0, rowBits + 32 - 53);
  const keys = new Float64Array(count);
  for (let row = 0; row < count; row++) {
    keys[row] = (ids.readUInt32BE(row * ID_BYTES) >>> shift) * rowFactor + row;
  }
  keys.sort();
  const rows = new Uint32Array(count);
  for (let rank = 0; rank < count; rank++) {
    const row = keys[rank]! % rowFactor;
    let at = rank;
    while (at > 0 && compareIds(ids, rows[at - 1]!, row) > 0) {
      rows[at] = rows[at - 1]!;
      at--;
    }
    rows[at] = row;
  }
  return rows;
}

function writeTrailer(bytes: Buffer, indexStart: number, frameCount: number, objectCount: number): void {
  const start = bytes.length - PACK_TRAILER_BYTES;
  bytes.writeUInt32LE(frameCount, start);
  bytes.writeUInt32LE(objectCount, start + 4);
  bytes.writeUInt32LE(bytes.length - indexStart, start + 8);
  bytes.writeUInt32LE(PACK_VERSION, start + 12);
  const covered = start + TRAILER_COVERED_BYTES;
  bytes.set(hashBytes(bytes.subarray(indexStart, covered)).subarray(0, INDEX_CHECKSUM_BYTES), covered);
  bytes.write(PACK_TRAILER_MAGIC, covered + INDEX_CHECKSUM_BYTES, "latin1");
}

/** Refuses anything but the header of a pack of a known version. */
export function checkPackHeader(bytes: Uint8Array): void {
  if (bytes.length < PACK_HEADER_BYTES + PACK_TRAILER_BYTES)
    throw corrupt("pack", "is cut short", bytes.length);
  const header = asBuffer(bytes);
  if (header.toString("latin1", 0, 4) !== PACK_MAGIC) throw corrupt("pack", "has another magic", 0);
  checkVersion(header.readUInt16LE(4), "pack");
  if (header.readUInt16LE(6) !== 0) throw corrupt("pack", "reserved bytes are set", 6);
}

function checkVersion(version: number, what: string): void {
  if (version !== PACK_VERSION) {
    throw new MicError("unsupported", `${what} version ${version} is not known to this program`, {
      hint: "use a newer mic",
    });
  }
}

interface Trailer {
  readonly frameCount: number;
  readonly objectCount: number;
  /** Bytes of index and trailer. */
  readonly tailLength: number;
}

/** Reads the last PACK_TRAILER_BYTES of a pack: how much of its end `decodePackIndex` needs. */
export function decodePackTrailer(end: Uint8Array): Trailer {
  const start = end.length - PACK_TRAILER_BYTES;
  if (start < 0) throw corrupt(WHAT, "is cut short", end.length);
  const trailer = asBuffer(end).subarray(start);
  if (trailer.toString("latin1", PACK_TRAILER_BYTES - 4) !== PACK_TRAILER_MAGIC) {
    throw corrupt(WHAT, "does not end with its magic", end.length - 4);
  }
  checkVersion(trailer.readUInt16LE(12), WHAT);
  if (trailer.readUInt16LE(14) !== 0) throw corrupt(WHAT, "reserved bytes are set", start + 14);
  const frameCount = trailer.readUInt32LE(0);
  const objectCount = trailer.readUInt32LE(4);
  const tailLength = trailer.readUInt32LE(8);
  if (tailLength !== packTailLength(frameCount, objectCount)) {
    throw corrupt(WHAT, `${tailLength} bytes for ${frameCount} frames and ${objectCount} objects`, start);
  }
  return { frameCount, objectCount, tailLength };
}

/**
 * `tail`: index and trailer, the last `indexLength` bytes of a pack; the pack's frames are not looked at. Every row is
 * checked. Errors: `corrupt`, `unsupported` for another version.
 */
export function decodePackIndex(tail: Uint8Array): PackIndex {
  const index = openPackIndex(new Uint8Array(tail));
  index.checkRows();
  return index;
}

/**
 * The same for a pack that has been accepted: what matches its checksum was checked by whoever wrote it, and rows are
 * checked when they are read. Keeps `tail`, which must not change.
 */
export function openPackIndex(tail: Uint8Array): PackIndex {
  const { frameCount, objectCount, tailLength } = decodePackTrailer(tail);
  if (tailLength !== tail.length) throw corrupt(WHAT, `is ${tail.length} bytes long, not ${tailLength}`);
  const covered = tail.length - PACK_TRAILER_BYTES + TRAILER_COVERED_BYTES;
  const checksum = hashBytes(tail.subarray(0, covered)).subarray(0, INDEX_CHECKSUM_BYTES);
  if (!equalBytes(checksum, tail.subarray(covered, covered + INDEX_CHECKSUM_BYTES))) {
    throw corrupt(WHAT, "does not match its checksum", covered);
  }
  const frames = decodeFrameTable(asBuffer(tail), frameCount, objectCount);
  return new PackIndex(tail, frames, objectCount);
}

function decodeFrameTable(bytes: Buffer, count: number, objectCount: number): FrameColumns {
  const frameStored = new Uint32Array(count);
  const frameRaw = new Uint32Array(count);
  const frameCompressed = new Uint8Array(count);
  const frameChecksums = new Uint8Array(count * FRAME_CHECKSUM_BYTES);
  const frameOffset = new Float64Array(count + 1);
  const firstRow = new Uint32Array(count + 1);
  frameOffset[0] = PACK_HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const at = i * FRAME_ROW_BYTES;
    const stored = bytes.readUInt32LE(at);
    const raw = bytes.readUInt32LE(at + 4);
    const objects = bytes.readUInt32LE(at + 8);
    const flags = bytes[at + 12]!;
    if (raw > FRAME_RAW_BYTES_MAX) throw corrupt(WHAT, `a frame of ${raw} raw bytes`, at);
    if (flags > FLAG_COMPRESSED) throw corrupt(WHAT, `unknown flags ${flags}`, at);
    if (flags === 0 ? stored !== raw : stored >= raw) {
      throw corrupt(WHAT, `a frame of ${raw} raw and ${stored} stored bytes`, at);
    }
    if (objects === 0 || objects > objectCount - firstRow[i]!) {
      throw corrupt(WHAT, `a frame of ${objects} objects`, at);
    }
    frameStored[i] = stored;
    frameRaw[i] = raw;
    frameCompressed[i] = flags;
    frameChecksums.set(bytes.subarray(at + 13, at + FRAME_ROW_BYTES), i * FRAME_CHECKSUM_BYTES);
    frameOffset[i + 1] = frameOffset[i]! + stored;
    firstRow[i + 1] = firstRow[i]! + objects;
  }
  if (firstRow[count] !== objectCount) throw corrupt(WHAT, `${objectCount} objects, fewer in its frames`);
  return { frameStored, frameRaw, frameCompressed, frameChecksums, frameOffset, firstRow };
}
