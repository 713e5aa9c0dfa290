/**
 * A page of a rollup's index: consecutive blocks of one table, with a filter for each. Read with a checksum that is
 * beside its place in the front.
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | v | varint | offset of the first block in the rollup's stream |
 * | v | varint | number of blocks, then for each: |
 * | v | | key of its first entry (codec/key-column.ts) |
 * | v | varint | position of that entry − first position of the rollup |
 * | v | varint | stored length of the block; the next one follows it |
 * | 16 | bytes | checksum of the block |
 * | v | varint + bytes | filter (codec/path-filter.ts) |
 */
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { type KeyColumn, KeyColumnReader, KeyColumnWriter } from "./key-column.ts";
import type { FilterShape } from "./path-filter.ts";
import { CHECKSUM_BYTES, type RollupExtent } from "./rollup.ts";

/** A page is closed at this size. */
export const INDEX_PAGE_BYTES: number = 64 << 10;
/** 0.12 % false positives, whatever the number of entries. */
export const ROLLUP_FILTER: FilterShape = { bitsPerEntry: 14, probes: 10 };

const BLOCK_BYTES_LEAST = 2 + 1 + 1 + CHECKSUM_BYTES + 1;

export interface IndexedBlock extends RollupExtent {
  readonly key: Uint8Array;
  /** Of its first entry − first position of the rollup. */
  readonly position: number;
  readonly filter: Uint8Array;
}

export interface IndexPage {
  readonly keys: KeyColumn;
  readonly positions: Float64Array;
  readonly blocks: readonly RollupExtent[];
  readonly filters: readonly Uint8Array[];
}

/** Blocks follow each other in the stream. */
export function encodeIndexPage(blocks: readonly IndexedBlock[]): Uint8Array {
  const writer = new ByteWriter(INDEX_PAGE_BYTES + (16 << 10));
  writer.varint(blocks[0]!.offset).varint(blocks.length);
  const keys = new KeyColumnWriter();
  for (const { key, position, length, checksum, filter } of blocks) {
    keys.write(writer, key);
    writer.varint(position).varint(length).bytes(checksum).prefixed(filter);
  }
  return writer.finish();
}

/** The caller has checked the checksum. Errors: `corrupt`. Filters and checksums are views of `bytes`. */
export function decodeIndexPage(bytes: Uint8Array): IndexPage {
  const reader = new ByteReader(bytes, "rollup index");
  let offset = reader.varint();
  const count = reader.count(reader.varint(), BLOCK_BYTES_LEAST);
  if (count === 0) throw reader.fail("no blocks");
  const keys = new KeyColumnReader(count, count * 64);
  const positions = new Float64Array(count);
  const blocks: RollupExtent[] = [];
  const filters: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    keys.read(reader, true);
    positions[i] = reader.varint();
    const length = reader.varint();
    blocks.push({ offset, length, checksum: reader.bytes(CHECKSUM_BYTES) });
    filters.push(reader.prefixed());
    offset += length;
  }
  reader.end();
  return { keys: keys.finish(), positions, blocks, filters };
}
