/**
 * A block of a rollup's table of touched paths: every (path, position) in that order, with what the landing did.
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | 1 | u8 | 0: the entries are stored as they are, 1: as one zstd frame |
 * | v | varint | length of the entries in bytes |
 * | v | varint + bytes | the entries, stored |
 * | 16 each | bytes | fingerprint of each put, in order; they do not compress |
 *
 * Entries:
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | v | varint | number of keys, then for each: |
 * | v | | tree key (codec/key-column.ts) |
 * | v | varint | number of landings that touched it, then for each: |
 * | v | varint | 4 · (position − first position of the rollup for the first, − the one before for others) + kind |
 *
 * Kind: 0 delete, 1 put of a file, 2 of an executable file, 3 of a symlink. A fingerprint is the first 16 bytes of
 * the ObjectId that was set.
 */
import { ByteReader, ByteWriter, hexToBytes } from "../base/bytes.ts";
import { compress, decompress } from "../base/compress.ts";
import { type KeyColumn, KeyColumnReader, KeyColumnWriter } from "./key-column.ts";
import type { EntryKind } from "./tree-entry.ts";

/** A block is closed when its entries and fingerprints reach this. */
export const TOUCHED_BLOCK_BYTES: number = 32 << 10;
/** Or when its keys do, without prefixes. */
export const TOUCHED_KEY_BYTES: number = 256 << 10;
export const FINGERPRINT_BYTES = 16;

const ENTRIES_BYTES_MAX = 2 * TOUCHED_BLOCK_BYTES;

/** What a landing did to a path: 0 delete, or a put of one of these. */
export const KIND_DELETE = 0;
const KIND_SYMLINK = 3;
const CHUNKED_TAG = 0x80;
const KIND_OF_ENTRY: Readonly<Record<EntryKind, number>> = { file: 1, executable: 2, symlink: 3 };

export function touchedKind(kind: EntryKind): number {
  return KIND_OF_ENTRY[kind];
}

/**
 * Kind and length of a stored tree entry (codec/tree-entry.ts) by its first byte; no kind for what is none.
 */
export function touchedKindOfTag(tag: number): { readonly kind: number | undefined; readonly bytes: number } {
  const isChunked = (tag & CHUNKED_TAG) !== 0;
  const kind = (tag & ~CHUNKED_TAG) + 1;
  return { kind: kind <= KIND_SYMLINK ? kind : undefined, bytes: isChunked ? 73 : 41 };
}

export function fingerprintOf(id: string): Uint8Array {
  return hexToBytes(id.slice(0, 2 * FINGERPRINT_BYTES));
}

export interface TouchedBlock {
  /** Each once. */
  readonly keys: KeyColumn;
  /** Entries of key i end here. */
  readonly entryEnds: Uint32Array;
  /** Of each entry − first position of the rollup. */
  readonly positions: Uint32Array;
  readonly kinds: Uint8Array;
  /** Index of the fingerprint of each put. */
  readonly puts: Uint32Array;
  readonly fingerprints: Uint8Array;
  /** Bytes in memory. */
  readonly weight: number;
}

/** Takes entries in order. Good for one block after the other. */
export class TouchedBlockWriter {
  readonly #entries = new ByteWriter(TOUCHED_BLOCK_BYTES + 8192);
  readonly #fingerprints = new ByteWriter(TOUCHED_BLOCK_BYTES);
  /** Of the key that is open. */
  readonly #landings = new ByteWriter(TOUCHED_BLOCK_BYTES);
  readonly #column = new KeyColumnWriter();
  #landingCount = 0;
  #keys = 0;
  #keyBytes = 0;
  #previousPosition = 0;

  get isFull(): boolean {
    const bytes = this.#entries.length + this.#landings.length + this.#fingerprints.length;
    return bytes >= TOUCHED_BLOCK_BYTES || this.#keyBytes >= TOUCHED_KEY_BYTES;
  }

  get isEmpty(): boolean {
    return this.#keys === 0;
  }

  /** Begins the key `key[start..end)`. Returns how many bytes it shares with the one before. */
  beginKey(key: Uint8Array, start = 0, end: number = key.length): number {
    this.#endKey();
    this.#previousPosition = 0;
    this.#keys++;
    this.#keyBytes += end - start;
    return this.#column.write(this.#entries, key, start, end);
  }

  /** Of the key that was begun. `fingerprint`: `fingerprints[at .. at + 16)`, not looked at for a delete. */
  add(position: number, kind: number, fingerprints: Uint8Array, at: number): void {
    this.#landings.varint((position - this.#previousPosition) * 4 + kind);
    this.#previousPosition = position;
    this.#landingCount++;
    if (kind !== KIND_DELETE) this.#fingerprints.bytes(fingerprints.subarray(at, at + FINGERPRINT_BYTES));
  }

  #endKey(): void {
    if (this.#keys === 0) return;
    this.#entries.varint(this.#landingCount).bytes(this.#landings.view());
    this.#landings.clear();
    this.#landingCount = 0;
  }

  /** `raw`: what a hash of the content covers, whatever zstd makes of it; valid until the next entry. Begins anew. */
  finish(): { readonly stored: Uint8Array; readonly raw: readonly Uint8Array[] } {
    this.#endKey();
    const entries = new ByteWriter(this.#entries.length + 8);
    const raw = entries.varint(this.#keys).bytes(this.#entries.view()).view();
    const fingerprints = this.#fingerprints.view();
    const packed = compress(raw);
    const isSmaller = packed.length < raw.length;
    const stored = new ByteWriter(raw.length + fingerprints.length + 16);
    stored.u8(isSmaller ? 1 : 0).varint(raw.length);
    stored.prefixed(isSmaller ? packed : raw).bytes(fingerprints);
    this.#entries.clear();
    this.#fingerprints.clear();
    this.#column.restart();
    this.#keys = 0;
    this.#keyBytes = 0;
    return { stored: stored.finish(), raw: [raw, fingerprints] };
  }
}

/** The caller has checked the checksum. Errors: `corrupt`. */
export function decodeTouchedBlock(bytes: Uint8Array): TouchedBlock {
  const outer = new ByteReader(bytes, "rollup block");
  const form = outer.u8();
  const length = outer.varint();
  if (form > 1 || length > ENTRIES_BYTES_MAX) throw outer.fail(`form ${form}, ${length} bytes`);
  const stored = outer.prefixed();
  const fingerprints = outer.bytes(outer.remaining);
  const raw = form === 1 ? decompress(stored, length, "rollup block") : stored;
  if (raw.length !== length) throw outer.fail(`${raw.length} bytes of entries, not ${length}`);
  return readEntries(raw, fingerprints);
}

function readEntries(raw: Uint8Array, fingerprints: Uint8Array): TouchedBlock {
  const reader = new ByteReader(raw, "rollup block");
  const count = reader.count(reader.varint(), 4);
  if (count === 0) throw reader.fail("no entries");
  const keys = new KeyColumnReader(count, raw.length * 2);
  const entryEnds = new Uint32Array(count);
  // Each entry takes a byte at least.
  const positions = new Uint32Array(raw.length);
  const kinds = new Uint8Array(raw.length);
  const puts = new Uint32Array(raw.length);
  let entries = 0;
  let putCount = 0;
  for (let i = 0; i < count; i++) {
    keys.read(reader);
    const landings = reader.count(reader.varint(), 1);
    if (landings === 0) throw reader.fail("a path that no landing touched");
    let position = 0;
    for (let n = 0; n < landings; n++) {
      const value = reader.varint();
      const kind = value % 4;
      const step = (value - kind) / 4;
      if (n > 0 && step === 0) throw reader.fail("positions are not ascending");
      position += step;
      if (position > 0xffff_ffff) throw reader.fail(`position ${position}`);
      positions[entries] = position;
      kinds[entries] = kind;
      puts[entries++] = putCount;
      if (kind !== KIND_DELETE) putCount++;
    }
    entryEnds[i] = entries;
  }
  reader.end();
  if (putCount * FINGERPRINT_BYTES !== fingerprints.length) {
    throw reader.fail(`${fingerprints.length} bytes of fingerprints for ${putCount} puts`);
  }
  const column = keys.finish();
  const weight = column.bytes.length + count * 8 + entries * 9 + fingerprints.length + 512;
  return {
    keys: column,
    entryEnds,
    positions: positions.slice(0, entries),
    kinds: kinds.slice(0, entries),
    puts: puts.slice(0, entries),
    fingerprints,
    weight,
  };
}
