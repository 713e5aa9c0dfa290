/**
 * Operations of a landing in key order: inline in its record when they are few, else as objects of kind
 * `operations` of at most OPERATIONS_PER_SEGMENT each, so that listing a log does not read them.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICO` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 2 | u16 LE | 0 |
 * | 8 | 4 | u32 LE | number of operations |
 *
 * then for each operation:
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | v | varint | bytes that its tree key shares with the key before (0 for the first) |
 * | v | varint + bytes | the rest of the key |
 * | 1 | u8 | 0 delete, 1 put |
 * | v | varint | put only: position of the landing − position that introduced the content |
 * | 41 or 73 | | put only: the tree entry (codec/tree-entry.ts) |
 *
 * Keys are strictly ascending; a tree key is the path with `/` stored as 0x00.
 */
import { ByteReader, ByteWriter, compareBytes, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { Position } from "../base/ids.ts";
import { KEY_BYTES_MAX } from "../base/limits.ts";
import { keyToPath, type TreePath } from "../base/path.ts";
import { decodeTreeEntry, type TreeEntry } from "./tree-entry.ts";

export const OPERATIONS_MAGIC = "MICO";
export const OPERATIONS_VERSION = 1;
export const OPERATIONS_PER_SEGMENT = 8192;

const OPERATION_BYTES_LEAST = 3;
const ENTRY_BYTES = 41;
const CHUNKED_ENTRY_BYTES = 73;
const CHUNKED = 0x80;

/** An operation as the tree sees it. */
export interface EncodableOperation {
  readonly key: Uint8Array;
  /** The encoded tree entry; undefined deletes. */
  readonly value: Uint8Array | undefined;
  /** Position that introduced the content; not looked at for a delete. */
  readonly hint: number;
}

export type StoredOperation =
  | { readonly kind: "put"; readonly path: TreePath; readonly entry: TreeEntry; readonly hint: number }
  | { readonly kind: "delete"; readonly path: TreePath };

/** `operations[start..end)`, sorted by key, of the landing at `position`. */
export function encodeOperations(
  operations: readonly EncodableOperation[],
  position: Position,
  start = 0,
  end = operations.length,
): Uint8Array {
  const writer = new ByteWriter(64 + (end - start) * 72);
  writer
    .bytes(utf8(OPERATIONS_MAGIC))
    .u16(OPERATIONS_VERSION)
    .u16(0)
    .u32(end - start);
  let previous: Uint8Array | undefined;
  for (let i = start; i < end; i++) {
    const { key, value, hint } = operations[i]!;
    const shared = previous === undefined ? 0 : sharedPrefix(previous, key);
    writer
      .varint(shared)
      .varint(key.length - shared)
      .bytes(shared === 0 ? key : key.subarray(shared));
    if (value === undefined) writer.u8(0);
    else
      writer
        .u8(1)
        .varint(position - hint)
        .bytes(value);
    previous = key;
  }
  return writer.finish();
}

/** Errors: `corrupt`, `unsupported`, `unsafe-path` for a path that may not be in a tree. */
export function decodeOperations(bytes: Uint8Array, position: Position): StoredOperation[] {
  const { reader, count } = openOperations(bytes);
  const operations: StoredOperation[] = [];
  let key: Uint8Array = new Uint8Array(0);
  for (let i = 0; i < count; i++) {
    key = readKey(reader, key, i === 0);
    const path = keyToPath(key);
    const kind = reader.u8();
    if (kind > 1) throw reader.fail(`unknown operation ${kind}`);
    if (kind === 0) {
      operations.push({ kind: "delete", path });
      continue;
    }
    const age = reader.varint();
    if (age > position) throw reader.fail(`content introduced ${age} positions before ${position}`);
    operations.push({ kind: "put", path, entry: readEntry(reader), hint: position - age });
  }
  reader.end();
  return operations;
}

/** The reader at the first of `count` operations, for who reads them one by one. Errors: `corrupt`, `unsupported`. */
export function openOperations(bytes: Uint8Array): { readonly reader: ByteReader; readonly count: number } {
  const reader = new ByteReader(bytes, "operations");
  reader.expectMagic(OPERATIONS_MAGIC);
  const version = reader.u16();
  if (version !== OPERATIONS_VERSION) throw new MicError("unsupported", `operations have version ${version}`);
  if (reader.u16() !== 0) throw reader.fail("reserved bytes are not 0");
  return { reader, count: reader.count(reader.u32(), OPERATION_BYTES_LEAST) };
}

function readKey(reader: ByteReader, previous: Uint8Array, isFirst: boolean): Uint8Array {
  const shared = reader.varint();
  if (shared > previous.length) throw reader.fail(`shares ${shared} bytes with a key of ${previous.length}`);
  const rest = reader.prefixed();
  // One encoding for one list: what is shared is shared.
  if (shared < previous.length && rest[0] === previous[shared]) throw reader.fail("shares more than it says");
  const length = shared + rest.length;
  if (length === 0 || length > KEY_BYTES_MAX) throw reader.fail(`key of ${length} bytes`);
  const key = new Uint8Array(length);
  key.set(previous.subarray(0, shared));
  key.set(rest, shared);
  if (!isFirst && compareBytes(previous, key) >= 0) throw reader.fail("keys are not ascending");
  return key;
}

function readEntry(reader: ByteReader): TreeEntry {
  const first = reader.bytes(1);
  const rest = reader.bytes(((first[0]! & CHUNKED) === 0 ? ENTRY_BYTES : CHUNKED_ENTRY_BYTES) - 1);
  return decodeTreeEntry(new Uint8Array(first.buffer, first.byteOffset, 1 + rest.length));
}

/** Length of the common prefix. */
export function sharedPrefix(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  let i = 0;
  while (i < length && a[i] === b[i]) i++;
  return i;
}
