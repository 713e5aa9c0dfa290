/**
 * Reference from a head or a page to a manifest page (codec/manifest-page.ts). 51 bytes:
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 32 | bytes | BLAKE3 of the page |
 * | 32 | 2 | u16 LE | epoch: days since 1970-01-01 |
 * | 34 | 1 | u8 | level: 0 lists packs, n lists pages of level n − 1 |
 * | 35 | 8 | u64 LE | least first position of its packs |
 * | 43 | 8 | u64 LE | greatest last position of its packs |
 */
import type { ByteReader, ByteWriter } from "../base/bytes.ts";
import type { Epoch, ObjectId, Position } from "../base/ids.ts";
import { daysToEpoch, epochToDays } from "./pack-entry.ts";

export const PAGE_REF_BYTES = 51;

export interface PageRef {
  readonly hash: ObjectId;
  readonly epoch: Epoch;
  readonly level: number;
  readonly first: Position;
  readonly last: Position;
}

export function writePageRef(writer: ByteWriter, ref: PageRef): void {
  writer.hex(ref.hash).u16(epochToDays(ref.epoch)).u8(ref.level).u64(ref.first).u64(ref.last);
}

export function readPageRef(reader: ByteReader): PageRef {
  const hash = reader.hex(32) as ObjectId;
  const epoch: Epoch = daysToEpoch(reader.u16());
  const level = reader.u8();
  const first = reader.safeU64() as Position;
  const last = reader.safeU64() as Position;
  if (first < 1 || first > last) throw reader.fail(`page range ${first} to ${last}`);
  return { hash, epoch, level, first, last };
}
