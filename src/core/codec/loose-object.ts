/**
 * `blobs/{epoch}/{hh}/{id}`: content that was stored by itself, before a landing names it. `id` is the BLAKE3-256
 * of the object: of a small file, or of the chunk list of a large one, whose chunks are in packs of their own.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICB` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 1 | u8 | kind: 0 blob, 1 chunk list |
 * | 7 | 1 | u8 | 1: the object is one zstd frame, 0: as it is |
 * | 8 | 4 | u32 LE | raw bytes of the object (of content and sidecar together for a chunk list) |
 * | 12 | 4 | u32 LE | bytes of the sidecar; 0 for a blob |
 * | 16 | n | | only for a chunk list, see below |
 * | … | m | bytes | the object |
 * | … | 16 | bytes | seal (codec/sealed.ts) |
 *
 * For a chunk list:
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | 32 | bytes | ObjectId of the whole file, which the writer has computed |
 * | 8 | u64 LE | bytes of the whole file |
 * | 4 | u32 LE | number of packs, each 34 bytes: |
 * | 32 | bytes | pack id |
 * | 2 | u16 LE | epoch of the pack: days since 1970-01-01 |
 */
import { ByteReader, ByteWriter, concatBytes, EMPTY_BYTES, utf8 } from "../base/bytes.ts";
import { compress, decompress } from "../base/compress.ts";
import { MicError } from "../base/errors.ts";
import { verifyObject } from "../base/hash.ts";
import type { Epoch, ObjectId, PackId } from "../base/ids.ts";
import { FRAME_RAW_BYTES_MAX } from "../base/limits.ts";
import { daysToEpoch, epochToDays } from "./pack-entry.ts";
import { checkSeal, SEAL_BYTES, seal } from "./sealed.ts";

export const LOOSE_MAGIC = "MICB";
export const LOOSE_VERSION = 1;

export interface LoosePack {
  readonly pack: PackId;
  readonly epoch: Epoch;
}

export type LooseObject =
  | { readonly kind: "blob"; readonly content: Uint8Array }
  | {
      readonly kind: "chunk-list";
      readonly content: Uint8Array;
      readonly sidecar: Uint8Array;
      /** The whole file. */
      readonly file: { readonly id: ObjectId; readonly size: number };
      /** They hold the chunks whose hint is 0. */
      readonly packs: readonly LoosePack[];
    };

const WHAT = "loose object";
export const LOOSE_HEADER_BYTES = 16;
const PACK_ROW_BYTES = 34;
const BLOB = 0;
const CHUNK_LIST = 1;

export function encodeLooseObject(object: LooseObject): Uint8Array {
  const sidecar = object.kind === "blob" ? EMPTY_BYTES : object.sidecar;
  const raw = sidecar.length === 0 ? object.content : concatBytes([object.content, sidecar]);
  const packed = raw.length === 0 ? raw : compress(raw);
  const isCompressed = packed.length < raw.length;
  const stored = isCompressed ? packed : raw;
  const writer = new ByteWriter(stored.length + LOOSE_HEADER_BYTES + SEAL_BYTES + 64);
  writer.bytes(utf8(LOOSE_MAGIC)).u16(LOOSE_VERSION);
  writer.u8(object.kind === "blob" ? BLOB : CHUNK_LIST).u8(isCompressed ? 1 : 0);
  writer.u32(raw.length).u32(sidecar.length);
  if (object.kind === "chunk-list") {
    writer.hex(object.file.id).u64(object.file.size).u32(object.packs.length);
    for (const { pack, epoch } of object.packs) writer.hex(pack).u16(epochToDays(epoch));
  }
  return seal(writer.bytes(stored));
}

/** False only for the first 16 bytes of a blob, which names no packs. Errors: `corrupt` for another format. */
export function isLooseChunkList(header: Uint8Array): boolean {
  if (header.length < LOOSE_HEADER_BYTES) return true;
  const reader = new ByteReader(header, WHAT);
  reader.expectMagic(LOOSE_MAGIC);
  return reader.u16() !== LOOSE_VERSION || reader.u8() !== BLOB;
}

/** Verified against the id. Errors: `corrupt`, `unsupported` for another version. */
export function decodeLooseObject(bytes: Uint8Array, id: ObjectId): LooseObject {
  const end = checkSeal(bytes, WHAT);
  const reader = new ByteReader(bytes, WHAT, 0, end);
  reader.expectMagic(LOOSE_MAGIC);
  const version = reader.u16();
  if (version !== LOOSE_VERSION) throw new MicError("unsupported", `${WHAT} has version ${version}`);
  const kind = reader.u8();
  if (kind !== BLOB && kind !== CHUNK_LIST) throw reader.fail(`unknown kind ${kind}`);
  const compression = reader.u8();
  if (compression > 1) throw reader.fail(`unknown compression ${compression}`);
  const rawLength = reader.u32();
  const sidecarLength = reader.u32();
  if (rawLength > FRAME_RAW_BYTES_MAX) throw reader.fail(`claims ${rawLength} raw bytes`);
  if (sidecarLength > rawLength || (kind === BLOB && sidecarLength > 0)) {
    throw reader.fail(`a sidecar of ${sidecarLength} bytes`);
  }
  const list = kind === CHUNK_LIST ? readChunkListFields(reader) : undefined;
  const stored = reader.bytes(end - reader.offset);
  const raw = compression === 1 ? decompress(stored, rawLength, WHAT) : stored;
  if (raw.length !== rawLength) throw reader.fail(`${raw.length} bytes, not ${rawLength}`);
  const content = raw.subarray(0, rawLength - sidecarLength);
  verifyObject(id, content, "stored by itself");
  if (list === undefined) return { kind: "blob", content };
  return { kind: "chunk-list", content, sidecar: raw.subarray(content.length), ...list };
}

function readChunkListFields(reader: ByteReader) {
  const file = { id: reader.hex(32) as ObjectId, size: reader.safeU64() };
  const packs: LoosePack[] = [];
  for (let left = reader.count(reader.u32(), PACK_ROW_BYTES); left > 0; left--) {
    packs.push({ pack: reader.hex(32) as PackId, epoch: daysToEpoch(reader.u16()) });
  }
  return { file, packs };
}
