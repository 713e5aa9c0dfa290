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
  return editTreeInSlices(tree, [edits], options);
}

/**
 * The same for edits that are too many to be there at once: slice after slice in key order, each done with when
 * the next is asked for. Nodes between two slices are made twice; only what the result needs is emitted.
 */
export async function editTreeInSlices(
  tree: Tree,
  slices: Iterable<readonly TreeEdit[]> | AsyncIterable<readonly TreeEdit[]>,
  options: WriteOptions,
): Promise<Tree> {
  let root = rootOf(tree);
  let last: Uint8Array | undefined;
  for await (const edits of slices) {
    const changes = checkedEdits(edits, last);
    if (changes.count === 0) continue;
    last = changes.keys.at(-1);
    if (changes.count >= READ_AHEAD_EDITS) await readPaths(treeAt(root, tree), changes.keys, (key) => key);
    root = await rewrite(root, [changes], tree.context, options.position);
  }
  return finishEdit(tree, root, options);
}

function treeAt(root: Root | undefined, like: Tree): Tree {
  return root?.slot === like.rootSlot ? like : Tree.fromSlot(root?.slot, root?.hint ?? 0, like.context);
}

function checkedEdits(edits: readonly TreeEdit[], last: Uint8Array | undefined): LevelEdits {
  const changes = new LevelEdits();
  let previous = last;
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
  return finishEdit(tree, await rewrite(rootOf(tree), edits, tree.context, options.position), options);
}

function finishEdit(tree: Tree, root: Root | undefined, options: WriteOptions): Tree {
  if (root !== undefined) emitFresh(root.slot, options.emit);
  return treeAt(root, tree);
}

export function rootOf(tree: Tree): Root | undefined {
  return tree.rootSlot === undefined ? undefined : { slot: tree.rootSlot, hint: tree.hint };
}
