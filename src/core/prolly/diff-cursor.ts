/**
 * A tree as a sequence of items that can be entered: the current item is a leaf entry, a whole subtree, or at
 * first the tree itself.
 */

import { childNode, childSlot, readAhead, slotNode } from "./node-loading.ts";
import type { Tree } from "./tree.ts";
import type { TreeContext } from "./tree-context.ts";
import {
  compareNodeKeys,
  equalRange,
  HASH_BYTES,
  type NodeKey,
  type NodeSlot,
  type TreeNode,
} from "./tree-node.ts";
import type { Hint } from "./types.ts";

export class DiffCursor {
  readonly #tree: Tree;
  readonly #context: TreeContext;
  readonly #root: TreeNode | undefined;
  readonly #nodes: TreeNode[] = [];
  readonly #indexes: number[] = [];
  #depth = -1;
  /** The last key passed, where it lies: all that follows is greater. */
  #passed: TreeNode | undefined;
  #passedIndex = 0;
  done: boolean;

  private constructor(tree: Tree, root: TreeNode | undefined) {
    this.#context = tree.context;
    this.#tree = tree;
    this.#root = root;
    this.done = root === undefined;
  }

  /** At the whole tree, or at the first entry ≥ `key`. */
  static async start(tree: Tree, key: Uint8Array | undefined): Promise<DiffCursor> {
    const root =
      tree.rootSlot === undefined ? undefined : await slotNode(tree.rootSlot, tree.hint, tree.context);
    const cursor = new DiffCursor(tree, root);
    if (key !== undefined) await cursor.#seek(key);
    return cursor;
  }

  /** Level of the current item: −1 for a leaf entry. */
  get level(): number {
    return this.#depth < 0 ? this.#root!.level : this.#nodes[this.#depth]!.level - 1;
  }

  /** The node that the current item is an entry of. The cursor must have been expanded. */
  get node(): TreeNode {
    return this.#nodes[this.#depth]!;
  }

  get index(): number {
    return this.#indexes[this.#depth]!;
  }

  /** The last key before the current item, where it lies; undefined at the start, or when not known. */
  get passed(): NodeKey | undefined {
    return this.#passed === undefined ? undefined : { node: this.#passed, index: this.#passedIndex };
  }

  /** Whether the current item is the last of its level. */
  isLast(): boolean {
    for (let d = 0; d <= this.#depth; d++) if (this.#indexes[d] !== this.#nodes[d]!.count - 1) return false;
    return true;
  }

  /** The current subtree. */
  subtree(): {
    readonly slot: NodeSlot;
    readonly hint: Hint;
    readonly total: number;
    readonly key: Uint8Array;
  } {
    if (this.#depth < 0) {
      const root = this.#root!;
      return { slot: this.#tree.rootSlot!, hint: this.#tree.hint, total: root.total, key: root.lastKey() };
    }
    const { node, index } = this;
    return {
      slot: childSlot(node, index),
      hint: node.hints[index]!,
      total: node.childTotal(index),
      key: node.key(index),
    };
  }

  /** Whether both current items are the same subtree. Both must be subtrees. */
  sameHash(other: DiffCursor): boolean {
    const x = this.#hashSource();
    const y = other.#hashSource();
    return equalRange(x.bytes, x.at, y.bytes, y.at, HASH_BYTES);
  }

  /** Whether the current subtree is child `i` of `node`. */
  hasHashAt(node: TreeNode, i: number): boolean {
    const { bytes, at } = this.#hashSource();
    return equalRange(bytes, at, node.bytes, node.hashAt(i), HASH_BYTES);
  }

  /** Whether everything in the current item lies before what is left of `other`. */
  endsBefore(other: DiffCursor): boolean {
    const passed = other.#passed;
    if (passed === undefined) return false;
    return this.#compareLast(passed, other.#passedIndex) <= 0;
  }

  /** Whether all that is left is ≥ `end`, as far as can be told without reading. */
  isBeyond(end: Uint8Array | undefined): boolean {
    return (
      end !== undefined && this.#passed !== undefined && this.#passed.compareKey(this.#passedIndex, end) >= 0
    );
  }

  /** Whether both current subtrees lie between the same two separators. */
  coversSameRange(other: DiffCursor): boolean {
    if (this.#depth < 0 || other.#depth < 0) return false;
    if (compareNodeKeys(this.node, this.index, other.node, other.index) !== 0) return false;
    const x = this.#passed;
    const y = other.#passed;
    if (x === undefined || y === undefined) return x === y;
    return compareNodeKeys(x, this.#passedIndex, y, other.#passedIndex) === 0;
  }

  /** Past the current item. */
  advance(): void {
    if (this.#depth < 0) this.done = true;
    else this.advanceTo(this.index + 1);
  }

  /** To entry `index` of the current node, or past the node. */
  advanceTo(index: number): void {
    if (index === this.index) return;
    this.#passed = this.node;
    this.#passedIndex = index - 1;
    this.#indexes[this.#depth] = index;
    while (this.#indexes[this.#depth] === this.#nodes[this.#depth]!.count) {
      this.#depth--;
      if (this.#depth < 0) {
        this.done = true;
        return;
      }
      this.#indexes[this.#depth]!++;
    }
  }

  /** Into the current subtree: at its first item. */
  expand(): Promise<void> | undefined {
    const child = this.#depth < 0 ? this.#root! : childNode(this.node, this.index, this.#context);
    if (child instanceof Promise) return child.then((node) => this.#push(node));
    this.#push(child);
    return undefined;
  }

  /** Whether the current subtree can be entered without reading. */
  get isInMemory(): boolean {
    return this.#depth < 0 || this.node.children[this.index]?.node !== undefined;
  }

  /** Starts reading the current subtree's node, without waiting. */
  readAhead(): void {
    if (this.#depth >= 0) readAhead(this.node, this.index, this.index + 1, this.#context);
  }

  /** A cursor at the same place that moves by itself. */
  fork(): DiffCursor {
    const fork = new DiffCursor(this.#tree, this.#root);
    fork.#nodes.push(...this.#nodes.slice(0, this.#depth + 1));
    fork.#indexes.push(...this.#indexes.slice(0, this.#depth + 1));
    fork.#depth = this.#depth;
    fork.#passed = this.#passed;
    fork.#passedIndex = this.#passedIndex;
    fork.done = this.done;
    return fork;
  }

  #push(node: TreeNode): void {
    this.#depth++;
    this.#nodes[this.#depth] = node;
    this.#indexes[this.#depth] = 0;
  }

  async #seek(key: Uint8Array): Promise<void> {
    if (this.done) return;
    while (this.level >= 0) {
      const pending = this.expand();
      if (pending !== undefined) await pending;
      const { node } = this;
      const index = node.lowerBound(key);
      if (index === node.count) {
        // Only at the root: below it, the separator is not less than the key.
        this.done = true;
        return;
      }
      if (index > 0) {
        this.#passed = node;
        this.#passedIndex = index - 1;
      }
      this.#indexes[this.#depth] = index;
    }
  }

  #hashSource(): { readonly bytes: Uint8Array; readonly at: number } {
    if (this.#depth < 0) return { bytes: this.#tree.rootSlot!.hash, at: 0 };
    return { bytes: this.node.bytes, at: this.node.hashAt(this.index) };
  }

  #compareLast(other: TreeNode, otherIndex: number): number {
    return this.#depth < 0
      ? compareNodeKeys(this.#root!, this.#root!.count - 1, other, otherIndex)
      : compareNodeKeys(this.node, this.index, other, otherIndex);
  }
}
