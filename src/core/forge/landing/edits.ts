/**
 * The operations of a landing as edits of a tree, in a few pieces of memory: a landing of a million paths has no
 * object for each of them. They are laid out as their digest is defined:
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | 14 | bytes | `mic landing 1`, 0x00 |
 * | 8 | u64 LE | base position |
 * | 32 | bytes | base tree root |
 * | 4 | u32 LE | number of operations, then each in key order: |
 * | 2 | u16 LE | length of the tree key |
 * | n | bytes | tree key |
 * | 1 | u8 | length of the encoded tree entry, 0 for a delete |
 * | 0, 41 or 73 | bytes | tree entry |
 */
import { compareBytes, hexToBytes } from "../../base/bytes.ts";
import { invariant } from "../../base/errors.ts";
import { hashObject, StreamHasher } from "../../base/hash.ts";
import { TREE_ENTRY_BYTES_MAX, writeTreeEntry } from "../../codec/tree-entry.ts";
import type { TreeEdit } from "../../prolly/types.ts";
import type { Operation, PositionRef } from "../forge.ts";

/** Separates this digest from every other use of the hash. */
const DIGEST_DOMAIN = "mic landing 1\0";
const HEADER_BYTES = DIGEST_DOMAIN.length + 44;
const SEPARATOR = 0x2f;
const LENGTH_BYTES = 3;
/** Usual bytes of one operation. */
const OPERATION_BYTES = 128;
const BLOCK_BYTES_MAX = 4 << 20;
/** Edits that are objects at once. */
const SLICE_EDITS = 8192;

export class Edits {
  readonly length: number;
  /** Position that introduced the content of each; written anew for every position that is tried. */
  readonly hints: Float64Array;
  readonly #blocks: readonly Uint8Array[];
  readonly #block: Uint16Array;
  /** Of each operation in its block. */
  readonly #start: Uint32Array;

  constructor(blocks: readonly Uint8Array[], block: Uint16Array, start: Uint32Array) {
    this.length = start.length;
    this.hints = new Float64Array(start.length);
    this.#blocks = blocks;
    this.#block = block;
    this.#start = start;
  }

  /** A view. */
  key(i: number): Uint8Array {
    const bytes = this.#blocks[this.#block[i]!]!;
    const at = this.#start[i]! + 2;
    return bytes.subarray(at, at + keyLengthAt(bytes, at - 2));
  }

  /** The encoded tree entry, a view; undefined deletes. */
  value(i: number): Uint8Array | undefined {
    const bytes = this.#blocks[this.#block[i]!]!;
    const start = this.#start[i]!;
    const at = start + 2 + keyLengthAt(bytes, start);
    const length = bytes[at]!;
    return length === 0 ? undefined : bytes.subarray(at + 1, at + 1 + length);
  }

  isDelete(i: number): boolean {
    const bytes = this.#blocks[this.#block[i]!]!;
    const start = this.#start[i]!;
    return bytes[start + 2 + keyLengthAt(bytes, start)] === 0;
  }

  /** With the hints as they are now. */
  slice(from: number, to: number): TreeEdit[] {
    const edits: TreeEdit[] = [];
    for (let i = from; i < to; i++)
      edits.push({ key: this.key(i), value: this.value(i), hint: this.hints[i]! });
    return edits;
  }

  keys(from: number, to: number): Uint8Array[] {
    const keys: Uint8Array[] = [];
    for (let i = from; i < to; i++) keys.push(this.key(i));
    return keys;
  }

  /** All of them, as many at once as is good for memory. */
  *slices(): Generator<TreeEdit[], void, undefined> {
    for (const [from, to] of this.ranges()) yield this.slice(from, to);
  }

  /** The bounds of those slices. */
  *ranges(): Generator<readonly [from: number, to: number], void, undefined> {
    for (let from = 0; from < this.length; from += SLICE_EDITS) {
      yield [from, Math.min(this.length, from + SLICE_EDITS)];
    }
  }
}

/** The number of the edit at a key, -1 without one. */
export function editOf(edits: Edits, key: Uint8Array): number {
  let from = 0;
  let to = edits.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const order = compareBytes(edits.key(middle), key);
    if (order === 0) return middle;
    if (order < 0) from = middle + 1;
    else to = middle;
  }
  return -1;
}

export interface DigestedEdits {
  readonly edits: Edits;
  /** BLAKE3-256 of the layout above, 64 hex digits. */
  readonly digest: string;
}

/** Takes the operations of a landing one by one, in key order. */
export class EditsWriter {
  /** From the second block on. */
  #hasher: StreamHasher | undefined;
  readonly #blocks: Uint8Array[] = [];
  readonly #block: Uint16Array;
  readonly #start: Uint32Array;
  #count = 0;
  #open: Buffer;
  /** The same memory: views of a plain array are cheaper to make than those of a `Buffer`. */
  #bytes: Uint8Array;
  #offset: number;

  /** `count`: operations to come. */
  constructor(base: PositionRef, count: number) {
    this.#block = new Uint16Array(count);
    this.#start = new Uint32Array(count);
    this.#open = this.#newBlock(HEADER_BYTES);
    this.#bytes = new Uint8Array(this.#open.buffer);
    let offset = this.#open.write(DIGEST_DOMAIN, 0, "latin1");
    offset = this.#open.writeBigUInt64LE(BigInt(base.position), offset);
    this.#open.set(hexToBytes(base.root), offset);
    this.#offset = this.#open.writeUInt32LE(count, offset + 32);
  }

  /** Throws `usage` for an id that is not one. */
  add(operation: Operation): void {
    const needed = LENGTH_BYTES + operation.path.length * 3 + TREE_ENTRY_BYTES_MAX;
    if (this.#offset + needed > this.#open.length) {
      this.#closeBlock();
      this.#open = this.#newBlock(needed);
      this.#bytes = new Uint8Array(this.#open.buffer);
    }
    const bytes = this.#bytes;
    const start = this.#offset;
    this.#block[this.#count] = this.#blocks.length;
    this.#start[this.#count++] = start;
    const keyEnd = writeKey(this.#open, bytes, start + 2, operation.path);
    const keyLength = keyEnd - start - 2;
    bytes[start] = keyLength & 0xff;
    bytes[start + 1] = keyLength >>> 8;
    const end =
      operation.kind === "put" ? writeTreeEntry(this.#open, keyEnd + 1, operation.entry) : keyEnd + 1;
    bytes[keyEnd] = end - keyEnd - 1;
    this.#offset = end;
  }

  finish(): DigestedEdits {
    invariant(
      this.#count === this.#start.length,
      "a landing has another number of operations than announced",
    );
    const last = this.#bytes.subarray(0, this.#offset);
    const digest = this.#hasher === undefined ? hashObject(last) : this.#hasher.update(last).digest();
    this.#blocks.push(this.#bytes);
    return { edits: new Edits(this.#blocks, this.#block, this.#start), digest };
  }

  #newBlock(needed: number): Buffer {
    const left = (this.#start.length - this.#count) * OPERATION_BYTES;
    return Buffer.allocUnsafeSlow(needed + Math.min(left, BLOCK_BYTES_MAX));
  }

  #closeBlock(): void {
    this.#hasher ??= new StreamHasher();
    this.#hasher.update(this.#bytes.subarray(0, this.#offset));
    this.#blocks.push(this.#bytes);
    this.#offset = 0;
  }
}

function keyLengthAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

/** Writes the tree key of a path and returns where it ends. */
function writeKey(buffer: Buffer, bytes: Uint8Array, start: number, path: string): number {
  const { length } = path;
  for (let i = 0; i < length; i++) {
    const code = path.charCodeAt(i);
    if (code >= 0x80) return writeUnicodeKey(buffer, bytes, start, path);
    bytes[start + i] = code === SEPARATOR ? 0 : code;
  }
  return start + length;
}

function writeUnicodeKey(buffer: Buffer, bytes: Uint8Array, start: number, path: string): number {
  const end = start + buffer.write(path, start, "utf8");
  for (let i = start; i < end; i++) if (bytes[i] === SEPARATOR) bytes[i] = 0;
  return end;
}
