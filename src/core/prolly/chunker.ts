/**
 * Cuts the sorted entries of one level into nodes. Entries come one by one or as ranges of existing nodes;
 * ranges are kept as references and copied in bulk when a node is complete.
 */
import { hashBytes } from "../base/hash.ts";
import { type CutSeed, cutSeed, ENTRY_OVERHEAD_BYTES, INTERNAL_VALUE_BYTES, isCut } from "./cut-rule.ts";
import { writeHeader } from "./node.ts";
import {
  COUNT_BYTES,
  countsOffset,
  HASH_BYTES,
  NO_CHILDREN,
  NODE_HEADER_BYTES,
  NodeSlot,
  TreeNode,
  writeCount,
} from "./tree-node.ts";
import type { Hint } from "./types.ts";

/** What an internal entry refers to. The node itself need not be in memory. */
export class Child {
  readonly slot: NodeSlot;
  /** Leaf entries below. */
  readonly total: number;

  constructor(slot: NodeSlot, total: number) {
    this.slot = slot;
    this.total = total;
  }
}

/** A node that has just been made: hashed, held in memory, not emitted yet. */
export function newChild(node: TreeNode): Child {
  return new Child(new NodeSlot(new Uint8Array(hashBytes(node.bytes)), node, true), node.total);
}

/** Receives each node when it is complete, with its last key. */
export type NodeSink = (child: Child, lastKey: Uint8Array) => void;

export class Chunker {
  readonly #level: number;
  readonly #salt: Uint8Array;
  readonly #seed: CutSeed;
  readonly #sink: NodeSink;
  /** Counted bytes, entries and key bytes since the last cut. */
  #size = 0;
  #count = 0;
  #keyBytes = 0;
  /** Parallel arrays of what the next node consists of: a range of a node, or a single entry. */
  #segments = 0;
  readonly #nodes: (TreeNode | undefined)[] = [];
  readonly #from: number[] = [];
  readonly #to: number[] = [];
  readonly #keys: Uint8Array[] = [];
  readonly #values: (Uint8Array | Child)[] = [];
  readonly #hints: Hint[] = [];

  constructor(level: number, salt: Uint8Array, sink: NodeSink) {
    this.#level = level;
    this.#salt = salt;
    this.#seed = cutSeed(salt, level);
    this.#sink = sink;
  }

  /** True at a boundary. */
  get empty(): boolean {
    return this.#count === 0;
  }

  /** Whether a node that holds all of `node` would end there: false for the last node of a level as a rule. */
  endsInCut(node: TreeNode): boolean {
    const last = node.count - 1;
    return isCut(
      this.#seed,
      node.countedBytes(last - 1),
      node.countedBytes(last),
      node.count,
      node.bytes,
      node.keysAt + node.keyEnd(last - 1),
      node.keysAt + node.keyEnd(last),
    );
  }

  /** `value`: bytes on level 0, a child above. The bytes may not change until the node is complete. */
  add(key: Uint8Array, value: Uint8Array | Child, hint: Hint): void {
    const at = this.#segments++;
    this.#nodes[at] = undefined;
    this.#keys[at] = key;
    this.#values[at] = value;
    this.#hints[at] = hint;
    const valueLength = value instanceof Child ? INTERNAL_VALUE_BYTES : value.length;
    const after = this.#size + key.length + valueLength + ENTRY_OVERHEAD_BYTES;
    const cut = isCut(this.#seed, this.#size, after, ++this.#count, key, 0, key.length);
    this.#size = after;
    this.#keyBytes += key.length;
    if (cut) this.#complete();
  }

  /**
   * The first `to` entries of a node, at a boundary: none of them is a cut, because none of them was, unless
   * `to` is the whole node; the caller has asked `endsInCut` then.
   */
  addPrefix(node: TreeNode, to: number): void {
    if (to === 0) return;
    this.#size = node.countedBytes(to - 1);
    this.#count = to;
    this.#push(node, 0, to);
  }

  /** Entries [from, to) of a node of this level. */
  addRange(node: TreeNode, from: number, to: number): void {
    const isLeaf = this.#level === 0;
    const seed = this.#seed;
    const { bytes, keysAt } = node;
    let start = from;
    let size = this.#size;
    let count = this.#count;
    let keyStart = node.keyEnd(from - 1);
    let valueStart = isLeaf ? node.valueEnd(from - 1) : 0;
    for (let i = from; i < to; i++) {
      const keyEnd = node.keyEnd(i);
      let after = size + keyEnd - keyStart + ENTRY_OVERHEAD_BYTES;
      if (isLeaf) {
        const valueEnd = node.valueEnd(i);
        after += valueEnd - valueStart;
        valueStart = valueEnd;
      } else after += INTERNAL_VALUE_BYTES;
      count++;
      if (isCut(seed, size, after, count, bytes, keysAt + keyStart, keysAt + keyEnd)) {
        this.#size = after;
        this.#count = count;
        this.#push(node, start, i + 1);
        this.#complete();
        start = i + 1;
        size = 0;
        count = 0;
      } else size = after;
      keyStart = keyEnd;
    }
    this.#size = size;
    this.#count = count;
    if (start < to) this.#push(node, start, to);
  }

  /** Ends the level: what is left becomes its last node. */
  finish(): void {
    if (this.#count > 0) this.#complete();
    this.#nodes.length = 0;
    this.#keys.length = 0;
    this.#values.length = 0;
  }

  #push(node: TreeNode, from: number, to: number): void {
    const at = this.#segments++;
    this.#nodes[at] = node;
    this.#from[at] = from;
    this.#to[at] = to;
    this.#keyBytes += node.keyEnd(to - 1) - node.keyEnd(from - 1);
  }

  #complete(): void {
    const node = this.#level === 0 ? this.#assembleLeaf() : this.#assembleInternal();
    this.#segments = 0;
    this.#size = 0;
    this.#count = 0;
    this.#keyBytes = 0;
    this.#sink(newChild(node), node.lastKey());
  }

  #assembleLeaf(): TreeNode {
    const count = this.#count;
    const bytes = new Uint8Array(NODE_HEADER_BYTES + this.#size);
    const hints = new Float64Array(count);
    writeHeader(bytes, 0, count, this.#salt);
    const keysAt = NODE_HEADER_BYTES + 4 * count;
    const valuesAt = keysAt + this.#keyBytes;
    let keyEnd = 0;
    let valueEnd = 0;
    let at = NODE_HEADER_BYTES;
    const valueOffsets = 2 * count;
    let entry = 0;
    for (let s = 0; s < this.#segments; s++) {
      const node = this.#nodes[s];
      if (node === undefined) {
        const key = this.#keys[s]!;
        const value = this.#values[s] as Uint8Array;
        bytes.set(key, keysAt + keyEnd);
        bytes.set(value, valuesAt + valueEnd);
        keyEnd += key.length;
        valueEnd += value.length;
        bytes[at] = keyEnd;
        bytes[at + 1] = keyEnd >>> 8;
        bytes[at + valueOffsets] = valueEnd;
        bytes[at + valueOffsets + 1] = valueEnd >>> 8;
        at += 2;
        hints[entry++] = this.#hints[s]!;
        continue;
      }
      const from = this.#from[s]!;
      const to = this.#to[s]!;
      const keyStart = node.keyEnd(from - 1);
      const valueStart = node.valueEnd(from - 1);
      copyRange(
        node.bytes,
        node.keysAt + keyStart,
        node.keysAt + node.keyEnd(to - 1),
        bytes,
        keysAt + keyEnd,
      );
      copyRange(
        node.bytes,
        node.valuesAt + valueStart,
        node.valuesAt + node.valueEnd(to - 1),
        bytes,
        valuesAt + valueEnd,
      );
      const keyShift = keyEnd - keyStart;
      const valueShift = valueEnd - valueStart;
      for (let i = from; i < to; i++) {
        keyEnd = node.keyEnd(i) + keyShift;
        valueEnd = node.valueEnd(i) + valueShift;
        bytes[at] = keyEnd;
        bytes[at + 1] = keyEnd >>> 8;
        bytes[at + valueOffsets] = valueEnd;
        bytes[at + valueOffsets + 1] = valueEnd >>> 8;
        at += 2;
        hints[entry++] = node.hints[i]!;
      }
    }
    return new TreeNode(bytes, hints, count, NO_CHILDREN);
  }

  #assembleInternal(): TreeNode {
    const count = this.#count;
    const keysAt = NODE_HEADER_BYTES + 2 * count;
    const hashesAt = keysAt + this.#keyBytes;
    const countsAt = hashesAt + HASH_BYTES * count;
    const bytes = new Uint8Array(countsAt + COUNT_BYTES * count);
    const hints = new Float64Array(count);
    const children = new Array<NodeSlot | undefined>(count);
    writeHeader(bytes, this.#level, count, this.#salt);
    let keyEnd = 0;
    let at = NODE_HEADER_BYTES;
    let entry = 0;
    let total = 0;
    for (let s = 0; s < this.#segments; s++) {
      const node = this.#nodes[s];
      if (node === undefined) {
        const key = this.#keys[s]!;
        const { slot, total: below } = this.#values[s] as Child;
        bytes.set(key, keysAt + keyEnd);
        bytes.set(slot.hash, hashesAt + HASH_BYTES * entry);
        writeCount(bytes, countsAt + COUNT_BYTES * entry, below);
        keyEnd += key.length;
        bytes[at] = keyEnd;
        bytes[at + 1] = keyEnd >>> 8;
        at += 2;
        children[entry] = slot;
        hints[entry++] = this.#hints[s]!;
        total += below;
        continue;
      }
      const from = this.#from[s]!;
      const to = this.#to[s]!;
      const keyStart = node.keyEnd(from - 1);
      const source = node.bytes;
      copyRange(source, node.keysAt + keyStart, node.keysAt + node.keyEnd(to - 1), bytes, keysAt + keyEnd);
      copyRange(source, node.hashAt(from), node.hashAt(to), bytes, hashesAt + HASH_BYTES * entry);
      const counts = countsOffset(node);
      copyRange(
        source,
        counts + COUNT_BYTES * from,
        counts + COUNT_BYTES * to,
        bytes,
        countsAt + COUNT_BYTES * entry,
      );
      const keyShift = keyEnd - keyStart;
      for (let i = from; i < to; i++) {
        keyEnd = node.keyEnd(i) + keyShift;
        bytes[at] = keyEnd;
        bytes[at + 1] = keyEnd >>> 8;
        at += 2;
        children[entry] = node.children[i];
        hints[entry++] = node.hints[i]!;
        total += node.childTotal(i);
      }
    }
    return new TreeNode(bytes, hints, total, children);
  }
}

function copyRange(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): void {
  if (end > start) target.set(source.subarray(start, end), at);
}
