/**
 * Three-way merge: what changed from `base` to `theirs` is applied to `ours`. Where ours still has the very
 * node that theirs replaced, their subtree is spliced in whole; entries are looked at only where both sides
 * changed the same node.
 */
import { equalBytes } from "../base/bytes.ts";
import { Child } from "./chunker.ts";
import type { Cursor } from "./cursor.ts";
import { assertSameLineage, walkDifferences } from "./diff.ts";
import type { DiffCursor } from "./diff-cursor.ts";
import { applyEdits, editTree, rootOf } from "./edit.ts";
import { LevelEdits } from "./level-edits.ts";
import { rewrite } from "./rewrite.ts";
import { Tree } from "./tree.ts";
import { compareNodeKeys, type NodeKey } from "./tree-node.ts";
import type {
  EntryState,
  LeafEntry,
  MergeConflict,
  MergeResolution,
  TreeEdit,
  WriteOptions,
} from "./types.ts";

export interface MergeOptions extends WriteOptions {
  /** Called in key order, once for each key that both sides changed in different ways. */
  resolve(conflict: MergeConflict): MergeResolution | Promise<MergeResolution>;
}

export interface MergeResult {
  readonly tree: Tree;
  /** Keys for which `resolve` answered "conflict"; the tree has our side there. */
  readonly conflicts: readonly MergeConflict[];
}

/**
 * The result belongs to the context of `ours`; where subtrees of `theirs` are not stored there, the caller
 * stores them too. Errors: `different-lineage`; those of reads and edits.
 */
export async function mergeTrees(
  base: Tree,
  ours: Tree,
  theirs: Tree,
  options: MergeOptions,
): Promise<MergeResult> {
  assertSameLineage(base, ours);
  assertSameLineage(base, theirs);
  if (base.root === theirs.root || ours.root === theirs.root) return { tree: ours, conflicts: [] };
  if (base.root === ours.root) {
    return { tree: Tree.fromSlot(theirs.rootSlot, theirs.hint, ours.context), conflicts: [] };
  }
  const splicer = await Splicer.over(ours);
  const conflicts: MergeConflict[] = [];
  const edits: TreeEdit[] = [];
  for await (const page of walkDifferences(base, theirs, {}, (a, b) => splicer.splice(a, b))) {
    const present = await ours.getMany(page.map((change) => change.key));
    for (const [i, { key, before, after }] of page.entries()) {
      const mine = present[i];
      if (sameState(mine, after)) continue;
      if (sameState(mine, before)) {
        edits.push({ key, value: after?.value, hint: after?.hint ?? 0 });
        continue;
      }
      const conflict = { key, base: before, ours: stateOf(mine), theirs: after };
      const answer = await options.resolve(conflict);
      if (answer === "conflict") conflicts.push(conflict);
      else edits.push({ key, value: answer?.value, hint: answer?.hint ?? 0 });
    }
  }
  // A splice keeps every separator, so it moves no boundary: splices first, entries into the result.
  const root = await rewrite(rootOf(ours), splicer.edits, ours.context, options.position);
  const spliced = root === undefined ? ours : Tree.fromSlot(root.slot, root.hint, ours.context);
  const tree =
    edits.length > 0 ? await editTree(spliced, edits, options) : await applyEdits(spliced, [], options);
  return { tree, conflicts };
}

/** Finds the nodes of theirs that can stand in ours as they are. */
class Splicer {
  readonly #ours: Tree;
  /** By level: a cursor among the nodes of that level, moved forward only. */
  readonly #cursors: (Cursor | undefined)[] = [];
  /** By level of the node that the child is an entry of. */
  readonly edits: (LevelEdits | undefined)[] = [];

  /** Level of our root; −1 when ours is empty. */
  readonly #height: number;

  private constructor(ours: Tree, height: number) {
    this.#ours = ours;
    this.#height = height;
  }

  static async over(ours: Tree): Promise<Splicer> {
    return new Splicer(ours, await ours.height());
  }

  /**
   * `a` (base) and `b` (theirs) stand at different subtrees between the same separators. True when ours has
   * the one or the other there: then their subtree is the merge of this range.
   */
  splice(a: DiffCursor, b: DiffCursor): boolean | Promise<boolean> {
    const level = a.level + 1;
    if (level > this.#height) return false;
    const { key } = a.subtree();
    const cursor = this.#cursorAt(level);
    const move = cursor.seekKey(key);
    if (move !== undefined) return move.then(() => this.#spliceAt(cursor, key, a, b));
    return this.#spliceAt(cursor, key, a, b);
  }

  #cursorAt(level: number): Cursor {
    this.#cursors[level] ??= this.#ours.cursor(level);
    return this.#cursors[level];
  }

  #spliceAt(cursor: Cursor, key: Uint8Array, a: DiffCursor, b: DiffCursor): boolean {
    const { node } = cursor;
    const index = node.search(key);
    if (index < 0) return false;
    const isTheirs = b.hasHashAt(node, index);
    if (!isTheirs && !a.hasHashAt(node, index)) return false;
    // Ours may have more before the node than base has: then it does not cover the same range.
    const before = index > 0 ? { node, index: index - 1 } : cursor.separatorBefore();
    if (!sameKey(before, a.passed)) return false;
    // Only the last node of a level may end without a cut.
    if ((cursor.isLast() && index === node.count - 1) !== b.isLast()) return false;
    if (!isTheirs) {
      const { slot, hint, total } = b.subtree();
      this.edits[node.level] ??= new LevelEdits();
      this.edits[node.level]!.push(key, new Child(slot, total), hint);
    }
    return true;
  }
}

function sameKey(x: NodeKey | undefined, y: NodeKey | undefined): boolean {
  if (x === undefined || y === undefined) return x === y;
  return compareNodeKeys(x.node, x.index, y.node, y.index) === 0;
}

function sameState(x: EntryState | undefined, y: EntryState | undefined): boolean {
  if (x === undefined || y === undefined) return x === y;
  return equalBytes(x.value, y.value);
}

function stateOf(entry: LeafEntry | undefined): EntryState | undefined {
  return entry === undefined ? undefined : { value: entry.value, hint: entry.hint };
}
