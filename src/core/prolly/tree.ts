/**
 * A handle on one version of a sorted map: immutable, cheap, and lazy (opening one reads nothing). Reads
 * answer from memory without a promise where they say so; nodes are read from the context's source otherwise.
 * Errors of every read: those of `NodeSource`, `corrupt`, `unsupported`, `different-lineage`.
 */
import { bytesToHex } from "../base/bytes.ts";
import { EMPTY_ROOT, type ObjectId, objectIdToBytes } from "../base/ids.ts";
import { Cursor } from "./cursor.ts";
import { findMany } from "./find-many.ts";
import { childNode, slotNode } from "./node-loading.ts";
import { readPages } from "./pages.ts";
import type { TreeContext } from "./tree-context.ts";
import { NodeSlot, type TreeNode } from "./tree-node.ts";
import type { Hint, KeyRange, LeafEntry, PageRange, TreeRef } from "./types.ts";

export type { TreeContext } from "./tree-context.ts";

export class Tree {
  /** 64 zeros for the empty tree. */
  readonly root: ObjectId;
  /** Position at which the root node was introduced. */
  readonly hint: Hint;
  readonly context: TreeContext;
  /** For the operations of this package; undefined for the empty tree. */
  readonly rootSlot: NodeSlot | undefined;

  private constructor(root: ObjectId, hint: Hint, context: TreeContext, slot: NodeSlot | undefined) {
    this.root = root;
    this.hint = hint;
    this.context = context;
    this.rootSlot = slot;
  }

  static open(ref: TreeRef, context: TreeContext): Tree {
    if (ref.root === EMPTY_ROOT) return Tree.empty(context);
    const hash = new Uint8Array(objectIdToBytes(ref.root));
    return new Tree(ref.root, ref.hint, context, context.cache?.find(hash) ?? new NodeSlot(hash));
  }

  static empty(context: TreeContext): Tree {
    return new Tree(EMPTY_ROOT, 0, context, undefined);
  }

  /** For the operations of this package: a tree whose new nodes are still in memory. */
  static fromSlot(slot: NodeSlot | undefined, hint: Hint, context: TreeContext): Tree {
    if (slot === undefined) return Tree.empty(context);
    return new Tree(bytesToHex(slot.hash) as ObjectId, hint, context, slot);
  }

  get isEmpty(): boolean {
    return this.rootSlot === undefined;
  }

  async get(key: Uint8Array): Promise<LeafEntry | undefined> {
    return this.find(key);
  }

  /** `get` without a promise when the path is in memory. */
  find(key: Uint8Array): LeafEntry | undefined | Promise<LeafEntry | undefined> {
    const slot = this.rootSlot;
    if (slot === undefined) return undefined;
    const root = slotNode(slot, this.hint, this.context);
    if (root instanceof Promise) return root.then((node) => findBelow(node, key, this.context));
    return findBelow(root, key, this.context);
  }

  /** One answer per key, in their order. Keys are sorted; nodes that must be read are read together. */
  getMany(sortedKeys: readonly Uint8Array[]): Promise<(LeafEntry | undefined)[]> {
    return findMany(this, sortedKeys);
  }

  /** The first entry ≥ `key`. */
  async seek(key: Uint8Array): Promise<LeafEntry | undefined> {
    if (this.rootSlot === undefined) return undefined;
    const cursor = this.cursor();
    const move = cursor.seekKey(key);
    if (move !== undefined) await move;
    const index = cursor.node.lowerBound(key);
    return index < cursor.node.count ? cursor.node.entry(index) : undefined;
  }

  /** The last entry < `key`. */
  async seekBefore(key: Uint8Array): Promise<LeafEntry | undefined> {
    if (this.rootSlot === undefined) return undefined;
    const cursor = this.cursor();
    const move = cursor.seekKey(key);
    if (move !== undefined) await move;
    const index = cursor.node.lowerBound(key);
    if (index > 0) return cursor.node.entry(index - 1);
    return (await cursor.previous()) ? cursor.node.entry(cursor.node.count - 1) : undefined;
  }

  /** Entries in the range. */
  async count(range: KeyRange = {}): Promise<number> {
    const end = range.lt === undefined ? await this.#total() : await this.rank(range.lt);
    const start = range.gte === undefined ? 0 : await this.rank(range.gte);
    return Math.max(0, end - start);
  }

  /** Entries with a key less than `key`. */
  async rank(key: Uint8Array): Promise<number> {
    if (this.rootSlot === undefined) return 0;
    const cursor = this.cursor();
    const move = cursor.seekKey(key);
    if (move !== undefined) await move;
    return cursor.rank() + cursor.node.lowerBound(key);
  }

  /** Entries of a range in pages, in key order or the reverse. `offset` costs O(log n). */
  pages(range: PageRange = {}): AsyncIterable<readonly LeafEntry[]> {
    return readPages(this, range);
  }

  /** Level of the root: 0 when it is a leaf, −1 for the empty tree. */
  async height(): Promise<number> {
    const slot = this.rootSlot;
    return slot === undefined ? -1 : (await slotNode(slot, this.hint, this.context)).level;
  }

  /** For the operations of this package. The tree must not be empty. */
  cursor(level = 0): Cursor {
    return new Cursor(this.rootSlot!, this.hint, this.context, level);
  }

  /**
   * Says that every node that edits emitted has been stored. Until then they are kept in memory; from now on
   * the context's cache may drop them.
   */
  markStored(): void {
    const cache = this.context.cache;
    if (cache === undefined || this.rootSlot === undefined) return;
    const pending = [this.rootSlot];
    for (let slot = pending.pop(); slot !== undefined; slot = pending.pop()) {
      if (!slot.pinned || slot.fresh) continue;
      slot.pinned = false;
      // Children first: adding a slot may drop the node of another.
      for (const child of slot.node?.children ?? []) if (child?.pinned === true) pending.push(child);
      cache.add(slot);
    }
  }

  async #total(): Promise<number> {
    const slot = this.rootSlot;
    return slot === undefined ? 0 : (await slotNode(slot, this.hint, this.context)).total;
  }
}

function findBelow(
  root: TreeNode,
  key: Uint8Array,
  context: TreeContext,
): LeafEntry | undefined | Promise<LeafEntry | undefined> {
  let node = root;
  while (node.level > 0) {
    const index = node.lowerBound(key);
    if (index === node.count) return undefined;
    const child = childNode(node, index, context);
    if (child instanceof Promise) return child.then((arrived) => findBelow(arrived, key, context));
    node = child;
  }
  const index = node.search(key);
  return index < 0 ? undefined : node.entry(index);
}
