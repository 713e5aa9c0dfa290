/**
 * One pack of a project as the head and its pages list it. 59 bytes:
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 32 | bytes | pack id |
 * | 32 | 2 | u16 LE | epoch: days since 1970-01-01 |
 * | 34 | 1 | u8 | 1: written by a landing, holds records; 0: uploaded content |
 * | 35 | 8 | u64 LE | first position that may refer to it as the place of introduction |
 * | 43 | 8 | u64 LE | last such position |
 * | 51 | 4 | u32 LE | size of the pack in bytes |
 * | 55 | 4 | u32 LE | length of its index in bytes |
 */
import type { ByteReader, ByteWriter } from "../base/bytes.ts";
import { invariant } from "../base/errors.ts";
import { type Epoch, epochOf, type PackId, type Position } from "../base/ids.ts";

export const PACK_ENTRY_BYTES = 59;
const DAY_MS = 86_400_000;
const DAYS_MAX = 0xffff;

export interface ManifestPack {
  readonly pack: PackId;
  readonly epoch: Epoch;
  /**
   * True for a pack that a landing wrote: it holds the records of positions `first` to `last`, in order.
   * Records in an uploaded pack prove nothing and are never looked at.
   */
  readonly hasRecords: boolean;
  readonly first: Position;
  readonly last: Position;
  /** Bytes. */
  readonly size: number;
  /** Bytes. */
  readonly indexLength: number;
}

/** The few epochs of one head come again and again. */
const daysOf = new Map<Epoch, number>();
const EPOCHS_REMEMBERED_MAX = 1000;

/** Days since 1970-01-01. */
export function epochToDays(epoch: Epoch): number {
  const known = daysOf.get(epoch);
  if (known !== undefined) return known;
  const days = Math.round(Date.parse(`${epoch}T00:00:00Z`) / DAY_MS);
  invariant(days >= 0 && days <= DAYS_MAX, `epoch ${epoch}`);
  if (daysOf.size >= EPOCHS_REMEMBERED_MAX) daysOf.clear();
  daysOf.set(epoch, days);
  return days;
}

const epochsOfDays = new Map<number, Epoch>();

export function daysToEpoch(days: number): Epoch {
  const known = epochsOfDays.get(days);
  if (known !== undefined) return known;
  const epoch = epochOf(days * DAY_MS);
  if (epochsOfDays.size >= EPOCHS_REMEMBERED_MAX) epochsOfDays.clear();
  epochsOfDays.set(days, epoch);
  return epoch;
}

export function writePackEntry(writer: ByteWriter, entry: ManifestPack): void {
  writer
    .hex(entry.pack)
    .u16(epochToDays(entry.epoch))
    .u8(entry.hasRecords ? 1 : 0);
  writer.u64(entry.first).u64(entry.last).u32(entry.size).u32(entry.indexLength);
}

function readPackEntry(reader: ByteReader): ManifestPack {
  const pack = reader.hex(32) as PackId;
  const epoch = daysToEpoch(reader.u16());
  const flag = reader.u8();
  if (flag > 1) throw reader.fail(`unknown pack kind ${flag}`);
  const first = reader.safeU64() as Position;
  const last = reader.safeU64() as Position;
  const size = reader.u32();
  const indexLength = reader.u32();
  if (first < 1 || first > last) throw reader.fail(`pack range ${first} to ${last}`);
  if (indexLength > size) throw reader.fail(`an index of ${indexLength} bytes in a pack of ${size}`);
  return { pack, epoch, hasRecords: flag === 1, first, last, size, indexLength };
}

/** `count` entries, by last position ascending: what a search by position relies on. */
export function readPackEntries(reader: ByteReader, count: number): ManifestPack[] {
  const packs: ManifestPack[] = [];
  let last = 0;
  for (let left = reader.count(count, PACK_ENTRY_BYTES); left > 0; left--) {
    const entry = readPackEntry(reader);
    if (entry.last < last) throw reader.fail(`packs out of order: ${entry.last} after ${last}`);
    last = entry.last;
    packs.push(entry);
  }
  return packs;
}
