/**
 * `projects/{project}/gc/pass`: what one pass of the collector found to be named by nothing. A later pass deletes
 * those of them that nothing names then. Changed by compare-and-swap.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICW` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 1 | u8 | 1: the project was deleted, 0: it was not |
 * | 7 | 1 | u8 | 0 |
 * | 8 | 8 | u64 LE | the store's time when everything had been read, Unix ms |
 * | 16 | 16 | bytes | nonce: no two passes have equal bytes |
 * | 32 | 4 | u32 LE | number of groups, by kind and day ascending |
 * | 36 | … | | groups |
 * | … | 16 | bytes | seal (codec/sealed.ts) |
 *
 * A group:
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | 1 | u8 | kind (objects/stored-key.ts): 1 blob, 2 pack, 3 page, 4 rollup, 5 part of a rollup, 6 session, 7 other, 8 upload |
 * | 2 | u16 LE | epoch: days since 1970-01-01; 0 for kinds 6 and 7 |
 * | 4 | u32 LE | number of ids n, at least 1 |
 * | 16·n | bytes | ids ascending: the first 16 bytes of the hash in the key |
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import { checkSeal, seal } from "./sealed.ts";

export const COLLECTION_MAGIC = "MICW";
export const COLLECTION_VERSION = 1;
/** Ids in one pass: 32 MiB. What is above waits for the next. */
export const COLLECTION_IDS_MAX: number = 1 << 21;
export const COLLECTION_ID_BYTES = 16;

const GROUP_BYTES_LEAST = 7 + COLLECTION_ID_BYTES;
const KIND_MAX = 8;

export interface CollectionGroup {
  readonly kind: number;
  readonly days: number;
  /** COLLECTION_ID_BYTES each, ascending. */
  readonly ids: Uint8Array;
}

export interface CollectionPass {
  readonly isDeleted: boolean;
  /** Unix ms, by the store. */
  readonly atMs: number;
  /** 32 hex digits. */
  readonly nonce: string;
  readonly groups: readonly CollectionGroup[];
}

const WHAT = "collector's pass";

export function encodeCollectionPass(pass: CollectionPass): Uint8Array {
  const writer = new ByteWriter(1024);
  writer.bytes(utf8(COLLECTION_MAGIC)).u16(COLLECTION_VERSION);
  writer.u8(pass.isDeleted ? 1 : 0).u8(0);
  writer.u64(pass.atMs).hex(pass.nonce).u32(pass.groups.length);
  for (const { kind, days, ids } of pass.groups) {
    writer
      .u8(kind)
      .u16(days)
      .u32(ids.length / COLLECTION_ID_BYTES)
      .bytes(ids);
  }
  return seal(writer);
}

/** Errors: `corrupt`, `unsupported` for another version. Ids are views of `bytes`. */
export function decodeCollectionPass(bytes: Uint8Array): CollectionPass {
  const reader = new ByteReader(bytes, WHAT, 0, checkSeal(bytes, WHAT));
  reader.expectMagic(COLLECTION_MAGIC);
  const version = reader.u16();
  if (version !== COLLECTION_VERSION) throw new MicError("unsupported", `${WHAT} has version ${version}`);
  const state = reader.u8();
  if (state > 1 || reader.u8() !== 0) throw reader.fail(`unknown state ${state}`);
  const atMs = reader.safeU64();
  const nonce = reader.hex(16);
  const groups: CollectionGroup[] = [];
  let before = 0;
  let total = 0;
  for (let left = reader.count(reader.u32(), GROUP_BYTES_LEAST); left > 0; left--) {
    const kind = reader.u8();
    const days = reader.u16();
    const place = kind * 0x10000 + days;
    if (kind < 1 || kind > KIND_MAX || place <= before) throw reader.fail(`group of kind ${kind}`);
    before = place;
    const count = reader.count(reader.u32(), COLLECTION_ID_BYTES);
    total += count;
    if (count === 0 || total > COLLECTION_IDS_MAX) throw reader.fail(`${count} ids in a group`);
    const ids = reader.bytes(count * COLLECTION_ID_BYTES);
    checkAscending(ids, reader);
    groups.push({ kind, days, ids });
  }
  reader.end();
  return { isDeleted: state === 1, atMs, nonce, groups };
}

function checkAscending(ids: Uint8Array, reader: ByteReader): void {
  for (let at = COLLECTION_ID_BYTES; at < ids.length; at += COLLECTION_ID_BYTES) {
    if (compareIds(ids, at - COLLECTION_ID_BYTES, ids, at) >= 0) throw reader.fail("ids are not sorted");
  }
}

export function compareIds(a: Uint8Array, atA: number, b: Uint8Array, atB: number): number {
  for (let i = 0; i < COLLECTION_ID_BYTES; i++) {
    const difference = a[atA + i]! - b[atB + i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
