/**
 * `projects/{project}/landing-log/level-{n}/{epoch}/{start}-{hash}`: the front of a rollup. What is said of the log
 * in the range is in blocks (codec/rollup-touched.ts, rollup-ids.ts) and in pages that index them
 * (rollup-index.ts): one stream of bytes, which is cut into parts
 * (`projects/{project}/landing-log/parts/{epoch}/{hh}/{hash}`) and an inline end. Immutable, named by its hash, so
 * there is no checksum of the front inside; blocks and pages, which are read alone, have theirs beside their place.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICU` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 1 | u8 | level n: 10^(n + 1) positions |
 * | 7 | 1 | u8 | 0 |
 * | 8 | 8 | u64 LE | first position |
 * | 16 | 32 | bytes | digest of the landings (forge/rollup/digest.ts) |
 * | 48 | v | varint, then each | parts: BLAKE3 32, length u32 LE |
 * | … | v | | table of touched paths |
 * | … | v | | table of landing ids |
 * | … | v | | table of session ids |
 * | … | v | varint + bytes | inline end of the stream |
 *
 * A table:
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | v | varint | entries |
 * | 32 | bytes | BLAKE3 of the raw blocks, one after the other |
 * | v | varint, then each | pages: first key (codec/key-column.ts), varint position of that entry − first, varint offset in the stream, varint length, checksum 16 |
 *
 * A checksum is the first 16 bytes of the BLAKE3.
 */
import { ByteReader, ByteWriter, equalBytes, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import { hashBytes } from "../base/hash.ts";
import type { ObjectId, Position } from "../base/ids.ts";
import { type KeyColumn, KeyColumnReader, KeyColumnWriter } from "./key-column.ts";

export const ROLLUP_MAGIC = "MICU";
export const ROLLUP_VERSION = 1;
/** Positions within a rollup are u32. */
export const ROLLUP_LEVEL_MAX = 6;
/** Parts are closed before they grow beyond this. */
export const ROLLUP_PART_BYTES_MAX: number = 32 << 20;
/** A stream, or the pages of one, up to this stand in the front. */
export const ROLLUP_INLINE_BYTES_MAX: number = 256 << 10;
export const CHECKSUM_BYTES = 16;

const PART_BYTES = 36;
/** Of a table: 8,000 pages that all begin with the longest path. */
const PAGE_KEYS_BYTES_MAX = 32 << 20;
const PAGE_BYTES_LEAST = 2 + 1 + 1 + 1 + CHECKSUM_BYTES;

/** In the order of the front. */
export const ROLLUP_TABLES = ["touched", "landings", "sessions"] as const;
export type RollupTableName = (typeof ROLLUP_TABLES)[number];

export interface RollupPart {
  readonly hash: ObjectId;
  readonly length: number;
}

/** Where in the stream something stands, and what it must look like. */
export interface RollupExtent {
  readonly offset: number;
  readonly length: number;
  /** 16 bytes. */
  readonly checksum: Uint8Array;
}

export interface RollupTable {
  readonly entries: number;
  /** 64 hex digits. */
  readonly content: string;
  /** First entry of each page. */
  readonly keys: KeyColumn;
  /** Position of the first entry of each page − first position of the rollup. */
  readonly positions: readonly number[];
  readonly pages: readonly RollupExtent[];
}

export interface RollupFront {
  readonly level: number;
  readonly first: Position;
  /** 64 hex digits. */
  readonly digest: string;
  readonly parts: readonly RollupPart[];
  readonly tables: Readonly<Record<RollupTableName, RollupTable>>;
  readonly inline: Uint8Array;
}

/** Positions that a rollup of a level covers. */
export function rollupSpan(level: number): number {
  return 10 ** (level + 1);
}

export function checksumOf(bytes: Uint8Array): Uint8Array {
  return hashBytes(bytes).subarray(0, CHECKSUM_BYTES);
}

export function hasChecksum(bytes: Uint8Array, checksum: Uint8Array): boolean {
  return equalBytes(checksumOf(bytes), checksum);
}

export function encodeRollupFront(front: RollupFront): Uint8Array {
  const writer = new ByteWriter(1024 + front.inline.length);
  writer.bytes(utf8(ROLLUP_MAGIC)).u16(ROLLUP_VERSION).u8(front.level).u8(0).u64(front.first);
  writer.hex(front.digest);
  writer.varint(front.parts.length);
  for (const part of front.parts) writer.hex(part.hash).u32(part.length);
  for (const name of ROLLUP_TABLES) writeTable(writer, front.tables[name]);
  return writer.prefixed(front.inline).finish();
}

function writeTable(writer: ByteWriter, table: RollupTable): void {
  writer.varint(table.entries).hex(table.content).varint(table.pages.length);
  const keys = new KeyColumnWriter();
  for (const [i, page] of table.pages.entries()) {
    keys.write(writer, table.keys.key(i));
    writer.varint(table.positions[i]!).varint(page.offset).varint(page.length).bytes(page.checksum);
  }
}

/** The caller has checked the hash. Errors: `corrupt`, `unsupported`. Byte fields are views of `bytes`. */
export function decodeRollupFront(bytes: Uint8Array): RollupFront {
  const reader = new ByteReader(bytes, "rollup");
  reader.expectMagic(ROLLUP_MAGIC);
  const version = reader.u16();
  if (version !== ROLLUP_VERSION) throw new MicError("unsupported", `rollup has version ${version}`);
  const level = reader.u8();
  if (level < 1 || level > ROLLUP_LEVEL_MAX || reader.u8() !== 0) throw reader.fail(`level ${level}`);
  const first = reader.safeU64() as Position;
  const span = rollupSpan(level);
  if ((first - 1) % span !== 0) throw reader.fail(`begins at ${first} on level ${level}`);
  const digest = reader.hex(32);
  const parts: RollupPart[] = [];
  const ends: number[] = [];
  let end = 0;
  for (let left = reader.count(reader.varint(), PART_BYTES); left > 0; left--) {
    const part = { hash: reader.hex(32) as ObjectId, length: reader.u32() };
    if (part.length === 0 || part.length > ROLLUP_PART_BYTES_MAX)
      throw reader.fail(`part of ${part.length} bytes`);
    parts.push(part);
    end += part.length;
    ends.push(end);
  }
  const touched = readTable(reader, span);
  const landings = readTable(reader, span);
  const sessions = readTable(reader, span);
  const inline = reader.prefixed();
  reader.end();
  if (landings.entries !== span) throw reader.fail(`${landings.entries} landings on level ${level}`);
  ends.push(end + inline.length);
  const tables = { touched, landings, sessions };
  for (const name of ROLLUP_TABLES) {
    for (const { offset, length } of tables[name].pages) {
      const partEnd = ends.find((candidate) => candidate > offset);
      if (partEnd === undefined || offset + length > partEnd) {
        throw reader.fail(`a page at ${offset} of ${length} bytes is in no part`);
      }
    }
  }
  return { level, first, digest, parts, tables, inline };
}

function readTable(reader: ByteReader, span: number): RollupTable {
  const entries = reader.varint();
  const content = reader.hex(32);
  const count = reader.count(reader.varint(), PAGE_BYTES_LEAST);
  if ((count === 0) !== (entries === 0)) throw reader.fail(`${entries} entries in ${count} pages`);
  const keys = new KeyColumnReader(count, count * 64, PAGE_KEYS_BYTES_MAX);
  const positions: number[] = [];
  const pages: RollupExtent[] = [];
  for (let i = 0; i < count; i++) {
    keys.read(reader, true);
    const position = reader.varint();
    if (position >= span) throw reader.fail(`position ${position} in a rollup of ${span}`);
    positions.push(position);
    const offset = reader.varint();
    const length = reader.varint();
    pages.push({ offset, length, checksum: reader.bytes(CHECKSUM_BYTES) });
  }
  return { entries, content, keys: keys.finish(), positions, pages };
}
