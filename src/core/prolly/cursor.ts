/**
 * A place in a tree: the path from the root to one node of a given level. Moves answer `undefined` when they
 * are done and a promise only when a node must be read; one move at a time.
 */

import { childNode, readAhead, slotNode } from "./node-loading.ts";
import type { TreeContext } from "./tree-context.ts";
import type { NodeKey, NodeSlot, TreeNode } from "./tree-node.ts";
import type { Hint } from "./types.ts";

export type Move = Promise<void> | undefined;

type Target =
  | { readonly kind: "key"; readonly key: Uint8Array }
  | { readonly kind: "rank"; rank: number }
  | { readonly kind: "first" }
  | { readonly kind: "last" };

const FIRST: Target = { kind: "first" };
const LAST: Target = { kind: "last" };

export class Cursor {
  readonly #context: TreeContext;
  readonly #level: number;
  /** From the root down to the current node. */
  readonly #nodes: TreeNode[] = [];
  /** Child taken at each node above the current one. */
  readonly #indexes: number[] = [];
  #depth = -1;
  readonly #root: NodeSlot;
  readonly #rootHint: Hint;

  /** Moves among the nodes of `level`, which must not be above the root. */
  constructor(root: NodeSlot, rootHint: Hint, context: TreeContext, level = 0) {
    this.#root = root;
    this.#rootHint = rootHint;
    this.#context = context;
    this.#level = level;
  }

  /** The current node. Valid after a seek. */
  get node(): TreeNode {
    return this.#nodes[this.#depth]!;
  }

  /** To the node that holds `key`, or would: the last one when `key` is beyond the end. */
  seekKey(key: Uint8Array): Move {
    // Ascend no further than needed: a sorted series of seeks stays near.
    let depth = this.#depth;
    while (depth > 0 && !this.#covers(depth, key)) depth--;
    return this.#seek({ kind: "key", key }, depth);
  }

  /** To the node that holds the entry with this many leaf entries before it. */
  seekRank(rank: number): Move {
    return this.#seek({ kind: "rank", rank }, 0);
  }

  /** To the next node; false at the end of the level. */
  next(): boolean | Promise<boolean> {
    return this.#step(1, FIRST);
  }

  /** To the previous node; false at the start of the level. */
  previous(): boolean | Promise<boolean> {
    return this.#step(-1, LAST);
  }

  /** Whether the current node is the last of its level. */
  isLast(): boolean {
    for (let d = 0; d < this.#depth; d++) if (this.#indexes[d] !== this.#nodes[d]!.count - 1) return false;
    return true;
  }

  /** Leaf entries before the current node. */
  rank(): number {
    let rank = 0;
    for (let d = 0; d < this.#depth; d++) rank += this.#nodes[d]!.entriesBefore(this.#indexes[d]!);
    return rank;
  }

  /** The last key before the current node, where it lies; undefined at the start of the level. */
  separatorBefore(): NodeKey | undefined {
    for (let d = this.#depth - 1; d >= 0; d--) {
      const index = this.#indexes[d]!;
      if (index > 0) return { node: this.#nodes[d]!, index: index - 1 };
    }
    return undefined;
  }

  /** Starts reading the next nodes below the same parent, as far as they can hold keys less than `end`. */
  readAhead(count: number, end: Uint8Array | undefined): void {
    if (this.#depth === 0) return;
    const parent = this.#nodes[this.#depth - 1]!;
    const from = this.#indexes[this.#depth - 1]! + 1;
    const last = end === undefined ? parent.count : parent.lowerBound(end) + 1;
    readAhead(parent, from, Math.min(from + count, last), this.#context);
  }

  /** Whether the node at `depth` is the one to descend from towards `key`. */
  #covers(depth: number, key: Uint8Array): boolean {
    const node = this.#nodes[depth]!;
    if (node.compareKey(node.count - 1, key) < 0) return false;
    for (let d = depth - 1; d >= 0; d--) {
      const index = this.#indexes[d]!;
      if (index > 0) return this.#nodes[d]!.compareKey(index - 1, key) < 0;
    }
    return true;
  }

  #seek(target: Target, depth: number): Move {
    if (this.#depth >= 0) {
      this.#depth = Math.max(0, depth);
      return this.#descend(target);
    }
    const root = slotNode(this.#root, this.#rootHint, this.#context);
    if (root instanceof Promise) return this.#enter(root, target);
    this.#nodes[0] = root;
    this.#depth = 0;
    return this.#descend(target);
  }

  async #enter(child: Promise<TreeNode>, target: Target): Promise<void> {
    const node = await child;
    this.#nodes[++this.#depth] = node;
    await this.#descend(target);
  }

  #descend(target: Target): Move {
    for (;;) {
      const node = this.#nodes[this.#depth]!;
      if (node.level <= this.#level) return undefined;
      const index = choose(node, target);
      this.#indexes[this.#depth] = index;
      const child = childNode(node, index, this.#context);
      if (child instanceof Promise) return this.#enter(child, target);
      this.#nodes[++this.#depth] = child;
    }
  }

  #step(by: 1 | -1, target: Target): boolean | Promise<boolean> {
    let depth = this.#depth - 1;
    while (depth >= 0) {
      const index = this.#indexes[depth]! + by;
      if (index >= 0 && index < this.#nodes[depth]!.count) break;
      depth--;
    }
    if (depth < 0) return false;
    const node = this.#nodes[depth]!;
    const index = this.#indexes[depth]! + by;
    this.#depth = depth;
    this.#indexes[depth] = index;
    const child = childNode(node, index, this.#context);
    if (child instanceof Promise) return this.#enter(child, target).then(() => true);
    this.#nodes[++this.#depth] = child;
    const move = this.#descend(target);
    return move === undefined ? true : move.then(() => true);
  }
}

function choose(node: TreeNode, target: Target): number {
  switch (target.kind) {
    case "key":
      return Math.min(node.lowerBound(target.key), node.count - 1);
    case "first":
      return 0;
    case "last":
      return node.count - 1;
    case "rank": {
      let low = 0;
      let high = node.count - 1;
      while (low < high) {
        const middle = (low + high + 1) >>> 1;
        if (node.entriesBefore(middle) <= target.rank) low = middle;
        else high = middle - 1;
      }
      target.rank -= node.entriesBefore(low);
      return low;
    }
  }
}
