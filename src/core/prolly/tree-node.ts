/** A node in memory: the stored bytes (layout: node.ts) and what makes searching and walking them fast. */
import { ENTRY_OVERHEAD_BYTES, INTERNAL_VALUE_BYTES } from "./cut-rule.ts";
import type { LeafEntry } from "./types.ts";

export const NODE_HEADER_BYTES = 16;
export const HASH_BYTES = 32;
export const COUNT_BYTES = 8;

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
  /** Children being read, so that a second reader waits for the first. */
  reading: Map<number, Promise<TreeNode>> | undefined;
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

export const NO_CHILDREN: (NodeSlot | undefined)[] = [];

function fingerprint(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  if (end - start >= 4) {
    value = (bytes[start]! << 24) | (bytes[start + 1]! << 16) | (bytes[start + 2]! << 8) | bytes[start + 3]!;
  } else {
    for (let i = 0; i < 4; i++) value = (value << 8) | (start + i < end ? bytes[start + i]! : 0);
  }
  return value ^ 0x80000000;
}

/** Offset of the first subtree count of an internal node. */
export function countsOffset(node: TreeNode): number {
  return node.valuesAt + HASH_BYTES * node.count;
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
export function readCount(bytes: Uint8Array, at: number): number {
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
