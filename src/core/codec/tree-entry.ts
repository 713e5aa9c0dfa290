/**
 * Value of a project tree's entry: what stands at a path.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 1 | u8 | kind: 0 file, 1 executable file, 2 symlink; bit 7 set: a chunk list follows |
 * | 1 | 8 | u64 LE | size of the content in bytes (of the target text for a symlink) |
 * | 9 | 32 | bytes | ObjectId of the content |
 * | 41 | 32 | bytes | ObjectId of the chunk list, only when bit 7 of the kind is set |
 */
import { ByteReader, bytesToHex } from "../base/bytes.ts";
import { OBJECT_ID_BYTES, type ObjectId, parseObjectId } from "../base/ids.ts";

export type EntryKind = "file" | "executable" | "symlink";

export interface TreeEntry {
  readonly kind: EntryKind;
  /** Bytes of content. */
  readonly size: number;
  readonly id: ObjectId;
  /** Present when the content is stored in chunks. */
  readonly chunks?: ObjectId;
}

const KINDS: readonly EntryKind[] = ["file", "executable", "symlink"];
const CHUNKED = 0x80;
const SIZE_BYTES = 8;
const PLAIN_BYTES = 41;
const CHUNKED_BYTES = 73;

/** The longest encoded entry. */
export const TREE_ENTRY_BYTES_MAX = CHUNKED_BYTES;
/** Where the ids stand in an encoded entry. */
export const TREE_ENTRY_ID_OFFSET = 9;
export const TREE_ENTRY_CHUNKS_OFFSET = PLAIN_BYTES;

export function encodeTreeEntry(entry: TreeEntry): Uint8Array {
  const bytes = Buffer.alloc(entry.chunks === undefined ? PLAIN_BYTES : CHUNKED_BYTES);
  writeTreeEntry(bytes, 0, entry);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/**
 * Encodes into `target` and returns the offset after it. For many entries in one buffer. Throws `usage` for an id
 * that is not one.
 */
export function writeTreeEntry(target: Buffer, offset: number, entry: TreeEntry): number {
  const { size, chunks } = entry;
  writeKindAndSize(target, offset, KINDS.indexOf(entry.kind) | (chunks === undefined ? 0 : CHUNKED), size);
  writeId(target, offset + TREE_ENTRY_ID_OFFSET, entry.id);
  if (chunks === undefined) return offset + PLAIN_BYTES;
  writeId(target, offset + TREE_ENTRY_CHUNKS_OFFSET, chunks);
  return offset + CHUNKED_BYTES;
}

/** The same for an entry without chunks whose id is in bytes. */
export function writePlainEntry(
  target: Uint8Array,
  offset: number,
  kind: EntryKind,
  size: number,
  id: Uint8Array,
): number {
  writeKindAndSize(target, offset, KINDS.indexOf(kind), size);
  target.set(id, offset + TREE_ENTRY_ID_OFFSET);
  return offset + PLAIN_BYTES;
}

function writeKindAndSize(target: Uint8Array, offset: number, kind: number, size: number): void {
  target[offset] = kind;
  let rest = size;
  for (let i = 1; i <= SIZE_BYTES; i++) {
    target[offset + i] = rest & 0xff;
    rest = rest <= 0xffff_ffff ? rest >>> 8 : Math.floor(rest / 0x100);
  }
}

function writeId(target: Buffer, offset: number, id: ObjectId): void {
  // Stops at what is not a hex digit.
  const written = target.write(id, offset, OBJECT_ID_BYTES, "hex");
  if (written !== OBJECT_ID_BYTES || id.length !== 2 * OBJECT_ID_BYTES) parseObjectId(id);
}

/** Bytes of content that an encoded entry, one that was written here, is for. */
export function treeEntrySize(bytes: Uint8Array): number {
  let size = 0;
  for (let i = SIZE_BYTES; i >= 1; i--) size = size * 0x100 + bytes[i]!;
  return size;
}

/** Whether an encoded entry, one that was written here, is a symlink. */
export function isSymlinkEntry(bytes: Uint8Array): boolean {
  return KINDS[bytes[0]!] === "symlink";
}

export function decodeTreeEntry(bytes: Uint8Array): TreeEntry {
  // A clone decodes one of these for every file: the common form is read without a reader.
  const kind = KINDS[bytes[0]!];
  if (bytes.length === PLAIN_BYTES && kind !== undefined) {
    const low = bytes[1]! | (bytes[2]! << 8) | (bytes[3]! << 16) | (bytes[4]! << 24);
    const high = bytes[5]! | (bytes[6]! << 8) | (bytes[7]! << 16) | (bytes[8]! << 24);
    if (high >= 0 && high < 0x20_0000) {
      const size = (low >>> 0) + high * 0x1_0000_0000;
      return { kind, size, id: bytesToHex(bytes, TREE_ENTRY_ID_OFFSET, PLAIN_BYTES) as ObjectId };
    }
  }
  return decodeAnyEntry(bytes);
}

function decodeAnyEntry(bytes: Uint8Array): TreeEntry {
  const reader = new ByteReader(bytes, "tree entry");
  const tag = reader.u8();
  const kind = KINDS[tag & ~CHUNKED];
  if (kind === undefined) throw reader.fail(`unknown kind ${tag}`);
  const size = reader.safeU64();
  const id = reader.hex(32) as ObjectId;
  if ((tag & CHUNKED) === 0) {
    reader.end();
    return { kind, size, id };
  }
  if (kind === "symlink") throw reader.fail("a symlink has a chunk list");
  const chunks = reader.hex(32) as ObjectId;
  reader.end();
  return { kind, size, id, chunks };
}

/** Same kind and same content; the chunk list follows from the content. */
export function sameEntry(a: TreeEntry | undefined, b: TreeEntry | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.id === b.id && a.kind === b.kind;
}
