/** zstd with the exact output size known in advance: no growth, no decompression bomb, no second frame. */
import { constants, type ZstdOptions, zstdCompress, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { asPlainBytes } from "./bytes.ts";
import { corrupt } from "./errors.ts";

const MAGIC_LE = 0xfd2fb528;

/** Level 1 is the format's default: 430 MB/s, and later merging recompresses. */
export function compress(raw: Uint8Array, level = 1): Uint8Array {
  return asPlainBytes(zstdCompressSync(raw, compressOptions(raw.length, level)));
}

/** The same on another thread. `raw` must not change until it is done. */
export function compressAside(raw: Uint8Array, level: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    zstdCompress(raw, compressOptions(raw.length, level), (error, stored) => {
      if (error === null) resolve(asPlainBytes(stored));
      else reject(error);
    });
  });
}

function compressOptions(rawLength: number, level: number): ZstdOptions {
  return {
    params: { [constants.ZSTD_c_compressionLevel]: level },
    pledgedSrcSize: rawLength,
    chunkSize: Math.max(1024, rawLength + (rawLength >> 7) + 512),
  };
}

/**
 * Expands exactly one zstd frame of exactly `rawLength` bytes. A frame that expands to more or less, is cut
 * short, or is followed by anything (a second frame too) is `corrupt`. At most `rawLength` bytes are ever
 * produced.
 */
export function decompress(stored: Uint8Array, rawLength: number, what = "zstd frame"): Uint8Array {
  checkSingleFrame(stored, what);
  let raw: Uint8Array;
  try {
    raw = zstdDecompressSync(stored, {
      maxOutputLength: Math.max(1, rawLength),
      // One byte of room tells zlib that there is no more: it makes no second piece of memory.
      chunkSize: Math.max(64, rawLength + 1),
    });
  } catch (cause) {
    const error = corrupt(what, `does not expand to ${rawLength} bytes`);
    error.cause = cause;
    throw error;
  }
  if (raw.length !== rawLength) throw corrupt(what, `expands to ${raw.length} bytes, not ${rawLength}`);
  return asPlainBytes(raw);
}

/**
 * Walks the block headers (RFC 8878 §3.1.1) to where the first frame ends, which has to be where the bytes
 * end: zlib itself would go on into a second frame or ignore what trails.
 */
function checkSingleFrame(stored: Uint8Array, what: string): void {
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  const need = (offset: number, count: number): void => {
    if (offset + count > stored.length) throw corrupt(what, "is cut short", offset);
  };
  need(0, 5);
  if (view.getUint32(0, true) !== MAGIC_LE) throw corrupt(what, "is not a zstd frame", 0);
  const descriptor = stored[4]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3]!;
  const contentSizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  if (dictionaryIdBytes !== 0) throw corrupt(what, "needs a dictionary", 4);
  let offset = 5 + (singleSegment ? 0 : 1) + contentSizeBytes;
  for (;;) {
    need(offset, 3);
    const header = stored[offset]! | (stored[offset + 1]! << 8) | (stored[offset + 2]! << 16);
    const isRunLength = ((header >> 1) & 3) === 1;
    offset += 3 + (isRunLength ? 1 : header >>> 3);
    if ((header & 1) === 1) break;
  }
  if ((descriptor & 4) !== 0) offset += 4;
  if (offset > stored.length) throw corrupt(what, "is cut short", stored.length);
  if (offset < stored.length) throw corrupt(what, "is followed by other bytes", offset);
}
