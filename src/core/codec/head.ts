/**
 * `projects/{project}/head`: the newest position, and everything needed to reach whatever is committed. Only
 * ever changed by compare-and-swap, never deleted.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 8 | u64 LE | position, 0 to 2^53 − 1 |
 * | 8 | 32 | bytes | tree root, zeros for the empty tree |
 * | 40 | 8 | u64 LE | HLC of the newest landing |
 * | 48 | 4 | bytes | magic `MICH` |
 * | 52 | 2 | u16 LE | format version, 1 |
 * | 54 | 2 | u16 LE | least version a reader must know |
 * | 56 | 2 | u16 LE | least version a writer must know |
 * | 58 | 2 | u16 LE | 0 |
 * | 60 | 8 | bytes | lineage salt |
 * | 68 | 16 | bytes | nonce of the attempt that wrote this head |
 * | 84 | 8 | u64 LE | position that introduced the root node, 0 for the empty tree |
 * | 92 | 4 | u32 LE | number of ring entries r, at most the position |
 * | 96 | 4 | u32 LE | number of rollups u |
 * | 100 | 4 | u32 LE | number of pages g |
 * | 104 | 4 | u32 LE | number of packs p |
 * | 108 | 16·r | bytes | ring: ids of the newest landings, newest last; the last is at `position` |
 * | … | 51·u | | rollups by first position: u8 level, u16 epoch (days since 1970-01-01), u64 first, u64 last, hash 32 |
 * | … | 51·g | | pages (codec/page-ref.ts), oldest first |
 * | … | 59·p | | packs (codec/pack-entry.ts), by last position ascending |
 * | … | 16 | bytes | seal (codec/sealed.ts) |
 *
 * Every version begins with these 60 bytes and ends in the seal, so that damage is told from novelty.
 *
 * The nonce makes no two attempts equal, so an ETag that is a mere hash of the content still tells them apart.
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { corrupt, invariant, MicError } from "../base/errors.ts";
import type { Hlc } from "../base/hlc.ts";
import { EMPTY_ROOT, type Epoch, type LandingId, type ObjectId, type Position } from "../base/ids.ts";
import { HEAD_BYTES_MAX } from "../base/limits.ts";
import {
  daysToEpoch,
  epochToDays,
  type ManifestPack,
  readPackEntries,
  writePackEntry,
} from "./pack-entry.ts";
import { PAGE_REF_BYTES, type PageRef, readPageRef, writePageRef } from "./page-ref.ts";
import { checkSeal, SEAL_BYTES, seal } from "./sealed.ts";

export const HEAD_MAGIC = "MICH";
export const HEAD_VERSION = 1;
/** The newest versions that this code knows. */
export const READER_VERSION = 1;
export const WRITER_VERSION = 1;

const FIXED_BYTES = 108;
const LANDING_ID_BYTES = 16;
const ROLLUP_REF_BYTES = 51;

export interface RollupRef {
  /** Level n covers 10^(n + 1) positions (objects/keys.ts, docs/format/rollup.md). */
  readonly level: number;
  /** Of the rollup and its parts. */
  readonly epoch: Epoch;
  readonly first: Position;
  readonly last: Position;
  readonly hash: ObjectId;
}

export interface Head {
  readonly position: Position;
  readonly root: ObjectId;
  readonly hlc: Hlc;
  readonly leastReader: number;
  readonly leastWriter: number;
  /** 16 hex digits. */
  readonly salt: string;
  /** 32 hex digits. */
  readonly nonce: string;
  readonly rootHint: number;
  /** Newest last; `ring[ring.length - 1]` landed at `position`, the one before at `position - 1`, … */
  readonly ring: readonly LandingId[];
  readonly rollups: readonly RollupRef[];
  /** Oldest first. */
  readonly pages: readonly PageRef[];
  /** By last position ascending. */
  readonly packs: readonly ManifestPack[];
}

export function encodeHead(head: Head): Uint8Array {
  const writer = new ByteWriter(16 << 10);
  writer.u64(head.position).hex(head.root).u64(head.hlc);
  writer.bytes(utf8(HEAD_MAGIC)).u16(HEAD_VERSION).u16(head.leastReader).u16(head.leastWriter).u16(0);
  writer.hex(head.salt).hex(head.nonce).u64(head.rootHint);
  writer.u32(head.ring.length).u32(head.rollups.length).u32(head.pages.length).u32(head.packs.length);
  for (const id of head.ring) writer.hex(id);
  for (const rollup of head.rollups) {
    writer
      .u8(rollup.level)
      .u16(epochToDays(rollup.epoch))
      .u64(rollup.first)
      .u64(rollup.last)
      .hex(rollup.hash);
  }
  for (const page of head.pages) writePageRef(writer, page);
  for (const pack of head.packs) writePackEntry(writer, pack);
  const bytes = seal(writer);
  invariant(bytes.length <= HEAD_BYTES_MAX, `head of ${bytes.length} bytes`);
  return bytes;
}

/** Errors: `corrupt`; `unsupported` when a newer reader is needed. */
export function decodeHead(bytes: Uint8Array): Head {
  const what = "head";
  if (bytes.length < FIXED_BYTES + SEAL_BYTES || bytes.length > HEAD_BYTES_MAX) {
    throw corrupt(what, `${bytes.length} bytes is not the length of a head`);
  }
  const reader = new ByteReader(bytes, what, 0, checkSeal(bytes, what));
  const leastReader = readVersions(bytes);
  const position = reader.safeU64() as Position;
  const root = reader.hex(32) as ObjectId;
  const hlc = reader.u64();
  reader.bytes(8);
  const leastWriter = reader.u16();
  if (reader.u16() !== 0) throw reader.fail("reserved bytes are not 0");
  const salt = reader.hex(8);
  const nonce = reader.hex(16);
  const rootHint = reader.safeU64();
  const ringCount = reader.u32();
  const rollupCount = reader.u32();
  const pageCount = reader.u32();
  const packCount = reader.u32();
  if (ringCount > position) throw reader.fail(`${ringCount} ring entries at position ${position}`);
  if (rootHint > position) throw reader.fail(`root introduced at ${rootHint}, after ${position}`);
  if (position === 0 && root !== EMPTY_ROOT) throw reader.fail("position 0 has a tree");
  const ring: LandingId[] = [];
  for (let left = reader.count(ringCount, LANDING_ID_BYTES); left > 0; left--) {
    ring.push(reader.hex(LANDING_ID_BYTES) as LandingId);
  }
  const rollups: RollupRef[] = [];
  for (let left = reader.count(rollupCount, ROLLUP_REF_BYTES); left > 0; left--)
    rollups.push(readRollup(reader));
  const pages: PageRef[] = [];
  for (let left = reader.count(pageCount, PAGE_REF_BYTES); left > 0; left--) pages.push(readPageRef(reader));
  const packs = readPackEntries(reader, packCount);
  reader.end();
  return {
    position,
    root,
    hlc,
    leastReader,
    leastWriter,
    salt,
    nonce,
    rootHint,
    ring,
    rollups,
    pages,
    packs,
  };
}

/** Least reader version, after magic and versions were found to be known. */
function readVersions(bytes: Uint8Array): number {
  const reader = new ByteReader(bytes, "head", 48);
  reader.expectMagic(HEAD_MAGIC);
  const version = reader.u16();
  const leastReader = reader.u16();
  if (leastReader > READER_VERSION || version !== HEAD_VERSION) {
    throw new MicError("unsupported", `the project's head needs format version ${leastReader}`, {
      hint: "use a newer mic",
      data: { version, leastReader },
    });
  }
  return leastReader;
}

function readRollup(reader: ByteReader): RollupRef {
  const level = reader.u8();
  const epoch = daysToEpoch(reader.u16());
  const first = reader.safeU64() as Position;
  const last = reader.safeU64() as Position;
  const hash = reader.hex(32) as ObjectId;
  if (level < 1 || first < 1 || first > last)
    throw reader.fail(`rollup of level ${level}, ${first} to ${last}`);
  return { level, epoch, first, last, hash };
}
