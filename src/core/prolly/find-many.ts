/** Reads many keys at once: level by level, so that nodes which must be read are read together. */

import { childNode, slotNode } from "./node-loading.ts";
import type { TreeContext, TreeRoot } from "./tree-context.ts";
import type { TreeNode } from "./tree-node.ts";
import type { LeafEntry } from "./types.ts";

/** Nodes read at the same time. */
const CONCURRENT_READS = 64;

/** A node and the sorted keys [from, to) whose path leads through it. */
interface Group {
  readonly node: TreeNode;
  readonly from: number;
  readonly to: number;
}

export async function findMany(
  tree: TreeRoot,
  keys: readonly Uint8Array[],
): Promise<(LeafEntry | undefined)[]> {
  const found = new Array<LeafEntry | undefined>(keys.length);
  for (const { node, from, to } of await descend(tree, keys, (key) => key, true)) {
    for (let i = from; i < to; i++) {
      const index = node.search(keys[i]!);
      if (index >= 0) found[i] = node.entry(index);
    }
  }
  return found;
}

/** Reads into memory every node on the paths to `items`, sorted by key, including those beyond the end. */
export async function readPaths<T>(
  tree: TreeRoot,
  items: readonly T[],
  keyOf: (item: T) => Uint8Array,
): Promise<void> {
  await descend(tree, items, keyOf, false);
}

async function descend<T>(
  tree: TreeRoot,
  items: readonly T[],
  keyOf: (item: T) => Uint8Array,
  dropBeyond: boolean,
): Promise<Group[]> {
  if (tree.rootSlot === undefined || items.length === 0) return [];
  const root = await slotNode(tree.rootSlot, tree.hint, tree.context);
  let groups: Group[] = [{ node: root, from: 0, to: items.length }];
  while (groups.length > 0 && groups[0]!.node.level > 0) {
    groups = await nextLevel(groups, items, keyOf, tree.context, dropBeyond);
  }
  return groups;
}

async function nextLevel<T>(
  groups: readonly Group[],
  items: readonly T[],
  keyOf: (item: T) => Uint8Array,
  context: TreeContext,
  dropBeyond: boolean,
): Promise<Group[]> {
  const below: Group[] = [];
  let reads: Promise<void>[] = [];
  for (const { node, from, to } of groups) {
    let start = from;
    while (start < to) {
      let index = node.lowerBound(keyOf(items[start]!));
      let end = to;
      if (index < node.count) end = endOfChild(node, index, items, keyOf, start, to);
      else if (dropBeyond) break;
      else index = node.count - 1;
      const child = childNode(node, index, context);
      const at = below.length;
      below.push({ node: child as TreeNode, from: start, to: end });
      if (child instanceof Promise) {
        const group = { from: start, to: end };
        reads.push(
          child.then((arrived) => {
            below[at] = { node: arrived, ...group };
          }),
        );
        if (reads.length >= CONCURRENT_READS) {
          await Promise.all(reads);
          reads = [];
        }
      }
      start = end;
    }
  }
  await Promise.all(reads);
  return below;
}

/** The first of items [start, to) whose key is beyond child `index`. */
function endOfChild<T>(
  node: TreeNode,
  index: number,
  items: readonly T[],
  keyOf: (item: T) => Uint8Array,
  start: number,
  to: number,
): number {
  let low = start + 1;
  let step = 1;
  // Gallop: most children take few of the keys, or very many.
  while (low + step <= to && node.compareKey(index, keyOf(items[low + step - 1]!)) >= 0) {
    low += step;
    step *= 2;
  }
  let high = Math.min(to, low + step);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (node.compareKey(index, keyOf(items[middle]!)) >= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
