/**
 * Applies sorted changes to one level of a tree after another: entries on level 0, then on each level above
 * the children that were replaced. A level is copied only from the node of a change to where the new cuts meet
 * the old ones again, so the work is O(changes · log n).
 */
import { compareBytes, equalBytes } from "../base/bytes.ts";
import { Child, Chunker, newChild } from "./chunker.ts";
import { Cursor } from "./cursor.ts";
import { LevelEdits, mergeEdits, withoutDeletes } from "./level-edits.ts";
import { childSlot, slotNode } from "./node-loading.ts";
import type { TreeContext } from "./tree-context.ts";
import {
  COUNT_BYTES,
  countsOffset,
  equalRange,
  NO_CHILDREN,
  type NodeSlot,
  type TreeNode,
  writeCount,
} from "./tree-node.ts";
import type { Hint } from "./types.ts";

export interface Root {
  readonly slot: NodeSlot;
  readonly hint: Hint;
}

/**
 * The root after `edits[level]` were applied to each level; undefined for the empty tree. An edit above level
 * 0 replaces a child by another one that covers the same keys and ends with the same last key. New nodes stay
 * in memory, marked fresh.
 */
export async function rewrite(
  root: Root | undefined,
  edits: readonly (LevelEdits | undefined)[],
  context: TreeContext,
  position: number,
): Promise<Root | undefined> {
  let carried = edits[0] ?? new LevelEdits();
  if (root === undefined) return grow(carried, 0, context, position);
  const node = await slotNode(root.slot, root.hint, context);
  for (let level = 0; ; level++) {
    const out = new LevelEdits();
    if (carried.count > 0) await new LevelPass(root, level, context, position, carried, out).run();
    if (level < node.level) {
      carried = mergeEdits(out, edits[level + 1]);
      continue;
    }
    if (out.count === 0) return root;
    keepRoot(out, node, root);
    const only = onlySlot(out);
    return only === undefined
      ? grow(out, level + 1, context, position)
      : await collapse(only, position, context);
  }
}

/** Levels above the old root, from the nodes that it was replaced by. */
function grow(entries: LevelEdits, from: number, context: TreeContext, position: number): Root | undefined {
  let below = withoutDeletes(entries);
  if (below.count === 0) return undefined;
  for (let level = from; ; level++) {
    const out = new LevelEdits();
    const chunker = new Chunker(level, context.salt, (child, key) => out.push(key, child, position));
    for (let i = 0; i < below.count; i++) chunker.add(below.keys[i]!, below.values[i]!, below.hints[i]!);
    chunker.finish();
    if (out.count === 1) return { slot: (out.values[0] as Child).slot, hint: position };
    below = out;
  }
}

/** A root that ended in a real cut is not replaced by what was appended after it: it is the first of the new level. */
function keepRoot(out: LevelEdits, node: TreeNode, root: Root): void {
  const last = node.lastKey();
  if (out.keys.some((key) => equalBytes(key, last))) return;
  out.keys.unshift(last);
  out.values.unshift(new Child(root.slot, node.total));
  out.hints.unshift(root.hint);
}

/** The one node that is left of the top level, or undefined when there are several or none. */
function onlySlot(out: LevelEdits): NodeSlot | undefined {
  const children = out.values.filter((value) => value !== undefined);
  return children.length === 1 ? (children[0] as Child).slot : undefined;
}

/** The lowest level that has one node is the root. */
async function collapse(top: NodeSlot, topHint: Hint, context: TreeContext): Promise<Root> {
  let slot = top;
  let hint = topHint;
  for (;;) {
    const node = await slotNode(slot, hint, context);
    if (node.level === 0 || node.count > 1) return { slot, hint };
    hint = node.hints[0]!;
    slot = childSlot(node, 0);
  }
}

/** One level. `out` receives the changes to the level above: children removed, replaced and new. */
class LevelPass {
  readonly #position: number;
  readonly #edits: LevelEdits;
  readonly #out: LevelEdits;
  readonly #cursor: Cursor;
  readonly #chunker: Chunker;
  /** Where each edit of the current node belongs: `TreeNode.search`. */
  readonly #found: number[] = [];
  /** Nodes of the current run: made, and old ones that they replace. */
  #made = new LevelEdits();
  #removed: Uint8Array[] = [];

  constructor(
    root: Root,
    level: number,
    context: TreeContext,
    position: number,
    edits: LevelEdits,
    out: LevelEdits,
  ) {
    this.#position = position;
    this.#edits = edits;
    this.#out = out;
    this.#cursor = new Cursor(root.slot, root.hint, context, level);
    this.#chunker = new Chunker(level, context.salt, (child, key) => this.#made.push(key, child, position));
  }

  async run(): Promise<void> {
    const cursor = this.#cursor;
    const chunker = this.#chunker;
    const { keys, count } = this.#edits;
    let next = 0;
    while (next < count) {
      const move = cursor.seekKey(keys[next]!);
      if (move !== undefined) await move;
      // A run goes on until the new cuts meet the old ones.
      for (;;) {
        const end = cursor.isLast() ? count : this.#endOfNode(cursor.node, next);
        this.#rewriteNode(cursor.node, next, end);
        next = end;
        if (chunker.empty) break;
        const moved = cursor.next();
        if (!(moved instanceof Promise ? await moved : moved)) {
          chunker.finish();
          break;
        }
      }
      this.#flushRun();
    }
  }

  /** The first edit whose key is beyond the node. */
  #endOfNode(node: TreeNode, from: number): number {
    const { keys, count } = this.#edits;
    const last = node.count - 1;
    let low = from;
    let step = 1;
    while (low + step <= count && node.compareKey(last, keys[low + step - 1]!) >= 0) {
      low += step;
      step *= 2;
    }
    let high = Math.min(count, low + step);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (node.compareKey(last, keys[middle]!) >= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Passes the node through the chunker with edits [from, end) applied. */
  #rewriteNode(node: TreeNode, from: number, end: number): void {
    const chunker = this.#chunker;
    if (!chunker.empty) {
      this.#removed.push(node.lastKey());
      this.#locate(node, from, end);
      this.#copyWithEdits(node, from, end, 0, from);
      return;
    }
    const change = this.#locate(node, from, end);
    if (change === "none") return;
    if (change === "same-layout") {
      const key = node.lastKey();
      this.#removed.push(key);
      this.#made.push(key, this.#patch(node, from, end), this.#position);
      return;
    }
    const firstAt = this.#found[0]!;
    if (firstAt === ~node.count && chunker.endsInCut(node)) {
      // Everything is appended after a last node that is complete: it stays as it is.
      this.#copyWithEdits(node, from, end, node.count, from);
      return;
    }
    this.#removed.push(node.lastKey());
    const prefix = firstAt < 0 ? ~firstAt : firstAt;
    chunker.addPrefix(node, prefix);
    this.#copyWithEdits(node, from, end, prefix, from);
  }

  /** Fills `#found` for edits [from, end) and says what they do to the node's layout. */
  #locate(node: TreeNode, from: number, end: number): "none" | "same-layout" | "other" {
    const { keys, values } = this.#edits;
    const found = this.#found;
    found.length = 0;
    let change: "none" | "same-layout" | "other" = "none";
    // Dense edits mostly follow one another: then the next key is tried before the node is searched.
    const dense = 4 * (end - from) > node.count;
    let following = 0;
    for (let i = from; i < end; i++) {
      const key = keys[i]!;
      const isNext = dense && following < node.count && node.compareKey(following, key) === 0;
      const at = isNext ? following : node.search(key);
      found.push(at);
      following = at < 0 ? ~at : at + 1;
      const value = values[i];
      if (value === undefined) {
        if (at >= 0) change = "other";
      } else if (at < 0) change = "other";
      else if (value instanceof Child) {
        if (change === "none") change = "same-layout";
      } else if (value.length !== node.valueEnd(at) - node.valueEnd(at - 1)) change = "other";
      else if (change === "none" && !sameValue(node, at, value)) change = "same-layout";
    }
    return change;
  }

  #copyWithEdits(node: TreeNode, from: number, end: number, start: number, foundFrom: number): void {
    const { keys, values, hints } = this.#edits;
    const chunker = this.#chunker;
    let copied = start;
    for (let i = from; i < end; i++) {
      const found = this.#found[i - foundFrom]!;
      const at = found < 0 ? ~found : found;
      const value = values[i];
      // An equal value keeps its hint: nothing was introduced.
      if (found >= 0 && value instanceof Uint8Array && sameValue(node, at, value)) continue;
      if (at > copied) chunker.addRange(node, copied, at);
      copied = found < 0 ? at : at + 1;
      if (value !== undefined) chunker.add(keys[i]!, value, hints[i]!);
    }
    if (copied < node.count) chunker.addRange(node, copied, node.count);
  }

  /** The node with values replaced by others of the same length. */
  #patch(node: TreeNode, from: number, end: number): Child {
    const { values, hints: newHints } = this.#edits;
    const bytes = node.bytes.slice();
    const hints = node.hints.slice();
    const isLeaf = node.level === 0;
    const children = isLeaf ? NO_CHILDREN : node.children.slice();
    let total = node.total;
    for (let i = from; i < end; i++) {
      const at = this.#found[i - from]!;
      const value = values[i];
      if (at < 0 || value === undefined) continue;
      if (value instanceof Child) {
        total += value.total - node.childTotal(at);
        bytes.set(value.slot.hash, node.hashAt(at));
        writeCount(bytes, countsOffset(node) + COUNT_BYTES * at, value.total);
        children[at] = value.slot;
      } else {
        if (sameValue(node, at, value)) continue;
        bytes.set(value, node.valuesAt + node.valueEnd(at - 1));
      }
      hints[at] = newHints[i]!;
    }
    return newChild(node.withContent(bytes, hints, total, children));
  }

  /** Says to the level above which children the run took away, replaced and added. */
  #flushRun(): void {
    const out = this.#out;
    const made = this.#made;
    const removed = this.#removed;
    if (made.count === 0 && removed.length === 0) return;
    let i = 0;
    for (const key of removed) {
      while (i < made.count && compareBytes(made.keys[i]!, key) < 0) {
        out.push(made.keys[i]!, made.values[i], made.hints[i++]!);
      }
      if (i < made.count && compareBytes(made.keys[i]!, key) === 0) continue;
      out.push(key, undefined, 0);
    }
    for (; i < made.count; i++) out.push(made.keys[i]!, made.values[i], made.hints[i]!);
    this.#made = new LevelEdits();
    this.#removed = [];
  }
}

function sameValue(node: TreeNode, i: number, value: Uint8Array): boolean {
  const start = node.valueEnd(i - 1);
  return (
    node.valueEnd(i) - start === value.length &&
    equalRange(node.bytes, node.valuesAt + start, value, 0, value.length)
  );
}
