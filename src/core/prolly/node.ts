/**
 * A tree node, as stored and as read. Rules and limits: docs/format/prolly-node.md.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MPTN` |
 * | 4 | 1 | u8 | version, 1 |
 * | 5 | 1 | u8 | level: 0 for a leaf |
 * | 6 | 2 | u16 | n: entries, at least 1 |
 * | 8 | 8 | bytes | salt of the lineage |
 * | 16 | 2n | u16[n] | end of each key in the key block |
 * | 16 + 2n | 2n | u16[n] | end of each value in the value block; leaves only |
 * | … | K | bytes | key block: the keys in order. An internal key is the last key of its child |
 * | … | V | bytes | value block: the values (leaf), or n child hashes of 32 bytes |
 * | … | 8n | u64[n] | entries below each child, at least 1; internal nodes only |
 *
 * The hints (one per entry) are stored beside the node and are not part of its hash.
 */
import { corrupt, MicError } from "../base/errors.ts";
import { KEY_BYTES_MAX } from "../base/limits.ts";
import {
  CUT_MAX_BYTES,
  ENTRY_OVERHEAD_BYTES,
  INLINE_VALUE_BYTES_MAX,
  INTERNAL_ENTRIES_MIN,
  INTERNAL_VALUE_BYTES,
  SALT_BYTES,
} from "./cut-rule.ts";
import type { LeafEntry, StoredNode } from "./types.ts";

export const NODE_MAGIC: Uint8Array = Uint8Array.of(0x4d, 0x50, 0x54, 0x4e);
export const NODE_VERSION = 1;
export const NODE_HEADER_BYTES = 16;
/** Every level is at most a quarter of the one below, so 2⁵³ entries need fewer than this. */
export const NODE_LEVEL_MAX = 31;
/** A leaf one byte below the largest size, and then the largest entry. */
export const NODE_BYTES_MAX: number =
  NODE_HEADER_BYTES + CUT_MAX_BYTES - 1 + KEY_BYTES_MAX + INLINE_VALUE_BYTES_MAX + ENTRY_OVERHEAD_BYTES;
export const HASH_BYTES = 32;
export const COUNT_BYTES = 8;
const SALT_OFFSET = 8;
const WHAT = "tree node";

/**
 * A node's place in memory: its hash, and its decoded content while that is held. Parents of several trees
 * share the slot of a child.
 */
export class NodeSlot {
  /** 32 bytes. */
  readonly hash: Uint8Array;
  node: TreeNode | undefined;
  /** Read since the cache last looked. */
  touched = true;
  /** Made by an edit that has not emitted it yet. */
  fresh: boolean;
  /** Not in any store as far as this process knows: must not be dropped. */
  pinned: boolean;

  constructor(hash: Uint8Array, node?: TreeNode, isNew = false) {
    this.hash = hash;
    this.node = node;
    this.fresh = isNew;
    this.pinned = isNew;
  }
}

/** Decoded content of a node: the stored bytes and what makes searching them fast. Never changes. */
export class TreeNode {
  readonly bytes: Uint8Array;
  readonly level: number;
  /** Entries in this node. */
  readonly count: number;
  /** Leaf entries at or below this node. */
  readonly total: number;
  readonly hints: Float64Array;
  /** Offset of the key block. */
  readonly keysAt: number;
  /** Offset of the value block: values or child hashes. */
  readonly valuesAt: number;
  /** Slots of the children visited so far; empty for a leaf. */
  readonly children: (NodeSlot | undefined)[];
  /** Length of the prefix that all keys share; −1 until the first search. */
  #prefix = -1;
  /** The four bytes after the prefix, big-endian and shifted to signed order. */
  #fingerprints: Int32Array | undefined;
  /** Entries below the children before each child, and in total; made on first use. */
  #before: Float64Array | undefined;

  /** `bytes` must be well formed: from `decodeNode`, or assembled by this package. Not copied. */
  constructor(bytes: Uint8Array, hints: Float64Array, total: number, children: (NodeSlot | undefined)[]) {
    this.bytes = bytes;
    this.hints = hints;
    this.total = total;
    this.children = children;
    this.level = bytes[5]!;
    this.count = bytes[6]! | (bytes[7]! << 8);
    this.keysAt = NODE_HEADER_BYTES + (this.level === 0 ? 4 : 2) * this.count;
    this.valuesAt = this.keysAt + this.keyEnd(this.count - 1);
  }

  /** A node with the same keys, so that the search index need not be made again. */
  withContent(
    bytes: Uint8Array,
    hints: Float64Array,
    total: number,
    children: (NodeSlot | undefined)[],
  ): TreeNode {
    const node = new TreeNode(bytes, hints, total, children);
    node.#prefix = this.#prefix;
    node.#fingerprints = this.#fingerprints;
    return node;
  }

  /** End of key `i` in the key block; 0 for −1. */
  keyEnd(i: number): number {
    if (i < 0) return 0;
    const at = NODE_HEADER_BYTES + 2 * i;
    return this.bytes[at]! | (this.bytes[at + 1]! << 8);
  }

  /** End of value `i` of a leaf in the value block; 0 for −1. */
  valueEnd(i: number): number {
    if (i < 0) return 0;
    const at = NODE_HEADER_BYTES + 2 * (this.count + i);
    return this.bytes[at]! | (this.bytes[at + 1]! << 8);
  }

  /** A copy. */
  key(i: number): Uint8Array {
    return this.bytes.slice(this.keysAt + this.keyEnd(i - 1), this.keysAt + this.keyEnd(i));
  }

  lastKey(): Uint8Array {
    return this.key(this.count - 1);
  }

  /** A copy; leaves only. */
  value(i: number): Uint8Array {
    return this.bytes.slice(this.valuesAt + this.valueEnd(i - 1), this.valuesAt + this.valueEnd(i));
  }

  /** A copy of entry `i` of a leaf. */
  entry(i: number): LeafEntry {
    return { key: this.key(i), value: this.value(i), hint: this.hints[i]! };
  }

  /** Offset of child `i`'s hash in `bytes`. */
  hashAt(i: number): number {
    return this.valuesAt + HASH_BYTES * i;
  }

  /** Entries below child `i`. */
  childTotal(i: number): number {
    return readCount(this.bytes, this.valuesAt + HASH_BYTES * this.count + COUNT_BYTES * i);
  }

  /** Counted bytes of entries 0 to `i` inclusive (the cut rule's measure); 0 for −1. */
  countedBytes(i: number): number {
    const values = this.level === 0 ? this.valueEnd(i) : INTERNAL_VALUE_BYTES * (i + 1);
    return this.keyEnd(i) + values + ENTRY_OVERHEAD_BYTES * (i + 1);
  }

  /** Memory held, roughly. */
  get memoryBytes(): number {
    return this.bytes.length + 12 * this.count + (this.level === 0 ? 0 : 16 * this.count) + 300;
  }

  /** Entries below the children before child `i` (0 to count). */
  entriesBefore(i: number): number {
    if (this.level === 0) return i;
    let before = this.#before;
    if (before === undefined) {
      before = new Float64Array(this.count + 1);
      for (let k = 0; k < this.count; k++) before[k + 1] = before[k]! + this.childTotal(k);
      this.#before = before;
    }
    return before[i]!;
  }

  /** Index of `key` when it is here, else `~i` with i the first entry that is greater (or count). */
  search(key: Uint8Array): number {
    const fingerprints = this.#fingerprints ?? this.#index();
    const bytes = this.bytes;
    const prefix = this.#prefix;
    const keysAt = this.keysAt;
    const shared = Math.min(prefix, key.length);
    for (let i = 0; i < shared; i++) {
      const difference = key[i]! - bytes[keysAt + i]!;
      if (difference !== 0) return difference < 0 ? ~0 : ~this.count;
    }
    if (key.length < prefix) return ~0;
    const wanted = fingerprint(key, prefix, key.length);
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const found = fingerprints[middle]!;
      if (found < wanted) low = middle + 1;
      else if (found > wanted) high = middle;
      else {
        const order = this.compareKey(middle, key, prefix);
        if (order === 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
      }
    }
    return ~low;
  }

  /** Index of the first entry ≥ `key`; count when there is none. */
  lowerBound(key: Uint8Array): number {
    const found = this.search(key);
    return found < 0 ? ~found : found;
  }

  /** Order of key `i` relative to `key`; the first `from` bytes are known to be equal. */
  compareKey(i: number, key: Uint8Array, from = 0): number {
    const bytes = this.bytes;
    const start = this.keysAt + this.keyEnd(i - 1);
    const length = this.keysAt + this.keyEnd(i) - start;
    const shared = Math.min(length, key.length);
    for (let k = from; k < shared; k++) {
      const difference = bytes[start + k]! - key[k]!;
      if (difference !== 0) return difference;
    }
    return length - key.length;
  }

  #index(): Int32Array {
    const { bytes, count, keysAt } = this;
    const firstEnd = keysAt + this.keyEnd(0);
    const lastStart = keysAt + this.keyEnd(count - 2);
    const lastEnd = keysAt + this.keyEnd(count - 1);
    const most = Math.min(firstEnd - keysAt, lastEnd - lastStart);
    let prefix = 0;
    while (prefix < most && bytes[keysAt + prefix] === bytes[lastStart + prefix]) prefix++;
    const fingerprints = new Int32Array(count);
    let start = keysAt;
    for (let i = 0; i < count; i++) {
      const end = keysAt + this.keyEnd(i);
      fingerprints[i] = fingerprint(bytes, start + prefix, end);
      start = end;
    }
    this.#prefix = prefix;
    this.#fingerprints = fingerprints;
    return fingerprints;
  }
}

function fingerprint(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  if (end - start >= 4) {
    value = (bytes[start]! << 24) | (bytes[start + 1]! << 16) | (bytes[start + 2]! << 8) | bytes[start + 3]!;
  } else {
    for (let i = 0; i < 4; i++) value = (value << 8) | (start + i < end ? bytes[start + i]! : 0);
  }
  return value ^ 0x80000000;
}

/** A key where it lies. */
export interface NodeKey {
  readonly node: TreeNode;
  readonly index: number;
}

/** Order of two keys where they lie in their nodes. */
export function compareNodeKeys(a: TreeNode, i: number, b: TreeNode, j: number): number {
  const x = a.bytes;
  const y = b.bytes;
  const xStart = a.keysAt + a.keyEnd(i - 1);
  const yStart = b.keysAt + b.keyEnd(j - 1);
  const xLength = a.keysAt + a.keyEnd(i) - xStart;
  const yLength = b.keysAt + b.keyEnd(j) - yStart;
  const shared = Math.min(xLength, yLength);
  for (let k = 0; k < shared; k++) {
    const difference = x[xStart + k]! - y[yStart + k]!;
    if (difference !== 0) return difference;
  }
  return xLength - yLength;
}

export function equalRange(
  a: Uint8Array,
  aStart: number,
  b: Uint8Array,
  bStart: number,
  length: number,
): boolean {
  for (let i = 0; i < length; i++) if (a[aStart + i] !== b[bStart + i]) return false;
  return true;
}

/** A u64 that has been checked to be below 2⁵³, or NaN. */
function readCount(bytes: Uint8Array, at: number): number {
  const low = (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
  const high =
    (bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24)) >>> 0;
  return high < 0x200000 ? high * 0x1_0000_0000 + low : Number.NaN;
}

export function writeCount(bytes: Uint8Array, at: number, count: number): void {
  const high = Math.floor(count / 0x1_0000_0000);
  bytes[at] = count;
  bytes[at + 1] = count >>> 8;
  bytes[at + 2] = count >>> 16;
  bytes[at + 3] = count >>> 24;
  bytes[at + 4] = high;
  bytes[at + 5] = high >>> 8;
  bytes[at + 6] = high >>> 16;
  bytes[at + 7] = high >>> 24;
}

/** Writes the first 16 bytes of a node. */
export function writeHeader(bytes: Uint8Array, level: number, count: number, salt: Uint8Array): void {
  bytes.set(NODE_MAGIC, 0);
  bytes[4] = NODE_VERSION;
  bytes[5] = level;
  bytes[6] = count;
  bytes[7] = count >>> 8;
  bytes.set(salt, SALT_OFFSET);
}

/** Offset of the first subtree count of an internal node. */
export function countsOffset(node: TreeNode): number {
  return node.valuesAt + HASH_BYTES * node.count;
}

/**
 * Checks everything that can be checked without other nodes, and copies the bytes so that a node does not
 * keep the frame alive that it came from. Throws `corrupt`, `unsupported` for another version,
 * `different-lineage` for another salt.
 */
export function decodeNode(stored: StoredNode, salt: Uint8Array): TreeNode {
  const source = stored.bytes;
  checkHeader(source, salt);
  const level = source[5]!;
  const count = source[6]! | (source[7]! << 8);
  const offsetsBytes = (level === 0 ? 4 : 2) * count;
  if (count === 0) throw corrupt(WHAT, "it has no entries", 6);
  if (NODE_HEADER_BYTES + offsetsBytes > source.length) {
    throw corrupt(WHAT, `${count} entries do not fit in ${source.length} bytes`, 6);
  }
  if (stored.hints.length !== count) {
    throw corrupt(WHAT, `${stored.hints.length} hints for ${count} entries`);
  }
  const keyBytes = checkEnds(source, NODE_HEADER_BYTES, count, KEY_BYTES_MAX, "key");
  let length = NODE_HEADER_BYTES + offsetsBytes + keyBytes;
  if (level === 0) {
    length += checkEnds(source, NODE_HEADER_BYTES + 2 * count, count, INLINE_VALUE_BYTES_MAX, "value");
  } else length += (HASH_BYTES + COUNT_BYTES) * count;
  if (length !== source.length) throw corrupt(WHAT, `${source.length} bytes instead of ${length}`);

  const bytes = new Uint8Array(source);
  let total = count;
  if (level > 0) {
    total = 0;
    const countsAt = length - COUNT_BYTES * count;
    for (let i = 0; i < count; i++) {
      const below = readCount(bytes, countsAt + COUNT_BYTES * i);
      total += below;
      if (!(below >= 1) || total > Number.MAX_SAFE_INTEGER) {
        throw corrupt(WHAT, `subtree count ${i} is impossible`, countsAt + COUNT_BYTES * i);
      }
    }
  }
  const node = new TreeNode(bytes, stored.hints, total, level === 0 ? NO_CHILDREN : new Array(count));
  for (let i = 1; i < count; i++) {
    if (compareNodeKeys(node, i - 1, node, i) >= 0) {
      throw corrupt(WHAT, `keys ${i - 1} and ${i} are not in order`, node.keysAt + node.keyEnd(i - 1));
    }
  }
  if (node.countedBytes(count - 2) >= CUT_MAX_BYTES && (level === 0 || count > INTERNAL_ENTRIES_MIN)) {
    throw corrupt(WHAT, "it is larger than a node can be");
  }
  return node;
}

export const NO_CHILDREN: (NodeSlot | undefined)[] = [];

function checkHeader(bytes: Uint8Array, salt: Uint8Array): void {
  if (bytes.length < NODE_HEADER_BYTES) throw corrupt(WHAT, `only ${bytes.length} bytes`, bytes.length);
  if (!equalRange(bytes, 0, NODE_MAGIC, 0, NODE_MAGIC.length)) {
    throw corrupt(WHAT, "it does not start with its magic", 0);
  }
  if (bytes[4] !== NODE_VERSION) {
    throw new MicError("unsupported", `tree nodes of version ${bytes[4]} are not known`, {
      hint: "use a newer mic",
    });
  }
  if (bytes[5]! > NODE_LEVEL_MAX) throw corrupt(WHAT, `level ${bytes[5]}`, 5);
  if (bytes.length > NODE_BYTES_MAX) throw corrupt(WHAT, `${bytes.length} bytes are too many`);
  if (!equalRange(bytes, SALT_OFFSET, salt, 0, SALT_BYTES)) throw differentLineage();
}

/** Checks that offsets never go back and that no item is too long; returns the last. */
function checkEnds(bytes: Uint8Array, at: number, count: number, longest: number, item: string): number {
  let previous = 0;
  for (let i = 0; i < count; i++) {
    const end = bytes[at + 2 * i]! | (bytes[at + 2 * i + 1]! << 8);
    if (end < previous) throw corrupt(WHAT, `${item} ${i} ends before it starts`, at + 2 * i);
    if (end - previous > longest) throw corrupt(WHAT, `${item} ${i} is too long`, at + 2 * i);
    previous = end;
  }
  return previous;
}

export function differentLineage(): MicError {
  return new MicError("different-lineage", "the trees belong to different lineages and share nothing", {
    hint: "clone the project again, or ask for the tree to be rebuilt",
  });
}

/** `too-large` for a key or an inline value that no node may hold. */
export function checkEntrySize(key: Uint8Array, valueLength: number): void {
  if (key.length > KEY_BYTES_MAX) {
    throw new MicError("too-large", `a key of ${key.length} bytes; the most is ${KEY_BYTES_MAX}`);
  }
  if (valueLength > INLINE_VALUE_BYTES_MAX) {
    throw new MicError(
      "too-large",
      `an inline value of ${valueLength} bytes; the most is ${INLINE_VALUE_BYTES_MAX}`,
      {
        hint: "store the value as an object and keep a reference to it in the tree",
      },
    );
  }
}
