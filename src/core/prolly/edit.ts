/** Edits a tree: a sorted batch of puts and deletes gives a new tree that shares what they do not touch. */
import { compareBytes } from "../base/bytes.ts";
import { invariant } from "../base/errors.ts";
import { emitFresh } from "./emit.ts";
import { readPaths } from "./find-many.ts";
import { LevelEdits } from "./level-edits.ts";
import { checkEntrySize } from "./node.ts";
import { type Root, rewrite } from "./rewrite.ts";
import { Tree } from "./tree.ts";
import type { TreeEdit, WriteOptions } from "./types.ts";

/** From this many edits on, the paths are read together first; below it, one after the other costs no more. */
const READ_AHEAD_EDITS = 2;

/**
 * Edits are sorted by key, one per key (an `internal` error otherwise); their bytes must not change until the
 * call is done. A put of the value that is already there changes nothing, not even its hint. The result is
 * the tree that `buildTree` would make of the same entries. It keeps its new nodes in memory, so it can be
 * read and edited before they are stored. Errors: `too-large` for a key or an inline value; those of reads.
 */
export async function editTree(tree: Tree, edits: readonly TreeEdit[], options: WriteOptions): Promise<Tree> {
  const changes = checkedEdits(edits);
  if (changes.count === 0) return tree;
  if (changes.count >= READ_AHEAD_EDITS) await readPaths(tree, changes.keys, (key) => key);
  return applyEdits(tree, [changes], options);
}

function checkedEdits(edits: readonly TreeEdit[]): LevelEdits {
  const changes = new LevelEdits();
  let previous: Uint8Array | undefined;
  for (const { key, value, hint } of edits) {
    invariant(previous === undefined || compareBytes(previous, key) < 0, "edits are not sorted by key");
    checkEntrySize(key, value?.length ?? 0);
    changes.push(key, value, hint);
    previous = key;
  }
  return changes;
}

/** `rewrite`, then emits what the result needs. For the operations of this package. */
export async function applyEdits(
  tree: Tree,
  edits: readonly (LevelEdits | undefined)[],
  options: WriteOptions,
): Promise<Tree> {
  const root = await rewrite(rootOf(tree), edits, tree.context, options.position);
  if (root !== undefined) emitFresh(root.slot, options.emit);
  if (root?.slot === tree.rootSlot) return tree;
  return Tree.fromSlot(root?.slot, root?.hint ?? 0, tree.context);
}

export function rootOf(tree: Tree): Root | undefined {
  return tree.rootSlot === undefined ? undefined : { slot: tree.rootSlot, hint: tree.hint };
}
