/**
 * From a slot to its node. Everything here answers at once when the node is in memory, so that a warm tree is
 * walked without a single promise.
 */
import { corrupt } from "../base/errors.ts";
import { SALT_BYTES } from "./cut-rule.ts";
import { decodeNode, differentLineage } from "./node.ts";
import type { TreeContext } from "./tree-context.ts";
import { compareNodeKeys, equalRange, HASH_BYTES, NodeSlot, type TreeNode } from "./tree-node.ts";
import type { Hint, StoredNode } from "./types.ts";

/** The child `i` of an internal node. Errors: those of `NodeSource`, and `corrupt` when it does not fit there. */
export function childNode(parent: TreeNode, i: number, context: TreeContext): TreeNode | Promise<TreeNode> {
  const slot = parent.children[i];
  if (slot !== undefined && slot.node !== undefined) {
    slot.touched = true;
    return slot.node;
  }
  return loadChild(parent, i, context);
}

/** The slot of child `i`, perhaps without its node. */
export function childSlot(parent: TreeNode, i: number): NodeSlot {
  return parent.children[i] ?? new NodeSlot(childHash(parent, i));
}

function childHash(parent: TreeNode, i: number): Uint8Array {
  const at = parent.hashAt(i);
  return parent.bytes.slice(at, at + HASH_BYTES);
}

function loadChild(parent: TreeNode, i: number, context: TreeContext): TreeNode | Promise<TreeNode> {
  const inFlight = parent.reading?.get(i);
  if (inFlight !== undefined) return inFlight;
  const known = parent.children[i];
  const hash = known?.hash ?? childHash(parent, i);
  const slot = context.cache?.find(hash) ?? known ?? new NodeSlot(hash);
  const loaded = slotNode(slot, parent.hints[i]!, context);
  if (!(loaded instanceof Promise)) return adopt(parent, i, slot, loaded);
  const reading = loaded
    .then((node) => adopt(parent, i, slot, node))
    .finally(() => parent.reading?.delete(i));
  parent.reading ??= new Map();
  parent.reading.set(i, reading);
  return reading;
}

/**
 * Starts reading the children [from, to) that are not in memory, without waiting. An error is not reported
 * here: whoever needs the child asks again.
 */
export function readAhead(parent: TreeNode, from: number, to: number, context: TreeContext): void {
  for (let i = from; i < Math.min(to, parent.count); i++) {
    if (parent.children[i]?.node !== undefined) continue;
    try {
      const child = childNode(parent, i, context);
      if (child instanceof Promise) child.catch(ignore);
    } catch (error) {
      ignore(error);
    }
  }
}

function ignore(_: unknown): undefined {
  return undefined;
}

/** The node of a slot that no parent vouches for: a root. */
export function slotNode(slot: NodeSlot, hint: Hint, context: TreeContext): TreeNode | Promise<TreeNode> {
  const held = slot.node === undefined ? context.cache?.find(slot.hash) : slot;
  if (held?.node !== undefined) {
    held.touched = true;
    if (context.cache !== undefined) checkSalt(held.node, context);
    return held.node;
  }
  const stored = context.nodes.load(slot.hash, hint);
  if (stored instanceof Promise) return stored.then((arrived) => accept(slot, arrived, context));
  return accept(slot, stored, context);
}

function accept(slot: NodeSlot, stored: StoredNode, context: TreeContext): TreeNode {
  // Two readers may have asked for the same node: the second finds it here.
  if (slot.node !== undefined) return slot.node;
  const node = decodeNode(stored, context.salt);
  slot.node = node;
  slot.touched = true;
  context.cache?.add(slot);
  return node;
}

function checkSalt(node: TreeNode, context: TreeContext): void {
  if (!equalRange(node.bytes, 8, context.salt, 0, SALT_BYTES)) throw differentLineage();
}

/**
 * Links a child to its parent once it fits there. So order, counts and levels hold across nodes too, and
 * whoever walks a tree need not check again.
 */
function adopt(parent: TreeNode, i: number, slot: NodeSlot, child: TreeNode): TreeNode {
  const problem = findMisfit(parent, i, child);
  if (problem !== undefined) throw corrupt("tree", problem);
  parent.children[i] = slot;
  return child;
}

/** Why `child` cannot be child `i` of `parent`, or undefined. */
export function findMisfit(parent: TreeNode, i: number, child: TreeNode): string | undefined {
  if (child.level !== parent.level - 1) {
    return `child ${i} of a node of level ${parent.level} has level ${child.level}`;
  }
  if (child.total !== parent.childTotal(i)) {
    return `child ${i} has ${child.total} entries, its parent says ${parent.childTotal(i)}`;
  }
  if (compareNodeKeys(child, child.count - 1, parent, i) !== 0) {
    return `child ${i} does not end with its separator`;
  }
  if (i > 0 && compareNodeKeys(child, 0, parent, i - 1) <= 0) {
    return `child ${i} starts before the end of the one before it`;
  }
  return undefined;
}
