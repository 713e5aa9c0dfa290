/**
 * Chunk list: the chunks of a large file in order. Its id is the BLAKE3 of these bytes; where the chunks were
 * introduced is its sidecar (codec/hints.ts), in which 0 means "introduced with the list".
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICC` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 2 | u16 LE | reserved, 0 |
 * | 8 | 4 | u32 LE | number of chunks, 1 to 180,000 |
 * | 12 | 36 each | | u32 LE bytes of the chunk (1 to 4 MiB), 32 bytes ObjectId |
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { ObjectId } from "../base/ids.ts";
import { decodeHints, encodeHints } from "./hints.ts";

export const CHUNK_LIST_MAGIC = "MICC";
export const CHUNK_LIST_VERSION = 1;
/** A list with the worst possible sidecar still fits one frame; about 200 GB of file. */
export const CHUNKS_MAX = 180_000;
/** No chunk is larger. */
export const CHUNK_BYTES_MAX = 4 << 20;

const HEADER_BYTES = 12;
const ROW_BYTES = 36;

export interface Chunk {
  readonly id: ObjectId;
  /** Bytes. */
  readonly length: number;
  /** Position at which the chunk was introduced; 0: the same as the list. */
  readonly hint: number;
}

export interface ChunkList {
  /** In file order. */
  readonly chunks: readonly Chunk[];
}

export interface EncodedChunkList {
  readonly content: Uint8Array;
  readonly sidecar: Uint8Array;
}

/** Throws `too-large` above CHUNKS_MAX chunks. */
export function encodeChunkList(list: ChunkList): EncodedChunkList {
  const { chunks } = list;
  if (chunks.length > CHUNKS_MAX) {
    throw new MicError("too-large", `a file of ${chunks.length} chunks is above the limit of ${CHUNKS_MAX}`);
  }
  const writer = new ByteWriter(HEADER_BYTES + chunks.length * ROW_BYTES);
  writer.bytes(utf8(CHUNK_LIST_MAGIC)).u16(CHUNK_LIST_VERSION).u16(0).u32(chunks.length);
  for (const chunk of chunks) writer.u32(chunk.length).hex(chunk.id);
  return { content: writer.finish(), sidecar: encodeHints(Float64Array.from(chunks, (chunk) => chunk.hint)) };
}

/** Errors: `corrupt`, `unsupported` for another version. */
export function decodeChunkList(content: Uint8Array, sidecar: Uint8Array): ChunkList {
  const reader = new ByteReader(content, "chunk list");
  reader.expectMagic(CHUNK_LIST_MAGIC);
  const version = reader.u16();
  if (version !== CHUNK_LIST_VERSION) {
    throw new MicError("unsupported", `chunk list version ${version} is not known to this program`);
  }
  if (reader.u16() !== 0) throw reader.fail("reserved bytes are set");
  const count = reader.u32();
  if (count === 0 || count > CHUNKS_MAX) throw reader.fail(`${count} chunks`);
  reader.count(count, ROW_BYTES);
  const hints = decodeHints(sidecar, count);
  const chunks: Chunk[] = [];
  for (let i = 0; i < count; i++) {
    const length = reader.u32();
    if (length === 0 || length > CHUNK_BYTES_MAX) throw reader.fail(`a chunk of ${length} bytes`);
    chunks.push({ id: reader.hex(32) as ObjectId, length, hint: hints[i]! });
  }
  reader.end();
  return { chunks };
}

/** Bytes of the file. */
export function chunkedSize(list: ChunkList): number {
  return list.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}
