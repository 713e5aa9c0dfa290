/**
 * Structural difference of two trees: two cursors that skip subtrees with equal hashes, so the work is
 * O(changes · log n).
 */

import { SALT_BYTES } from "./cut-rule.ts";
import { readDifferencesAhead } from "./diff-ahead.ts";
import { DiffCursor } from "./diff-cursor.ts";
import { differentLineage } from "./node.ts";
import type { Tree } from "./tree.ts";
import { compareNodeKeys, equalRange, type TreeNode } from "./tree-node.ts";
import type { DiffEntry, KeyRange } from "./types.ts";

/** Entries per page at least, except for the last. */
const PAGE_ENTRIES = 256;

/** What changed from `a` to `b`, in key order. Differences of hints alone are not changes. */
export async function* diffTrees(
  a: Tree,
  b: Tree,
  range: KeyRange = {},
): AsyncGenerator<readonly DiffEntry[]> {
  yield* walkDifferences(a, b, range);
}

/**
 * Offered each pair of different nodes that cover the same key range on the same level. Answering true says
 * that the pair is dealt with and need not be entered.
 */
export type OnSubtrees = (a: DiffCursor, b: DiffCursor) => boolean | Promise<boolean>;

export async function* walkDifferences(
  a: Tree,
  b: Tree,
  range: KeyRange,
  onSubtrees?: OnSubtrees,
): AsyncGenerator<readonly DiffEntry[]> {
  assertSameLineage(a, b);
  if (a.root === b.root) return;
  const before = await DiffCursor.start(a, range.gte);
  const after = await DiffCursor.start(b, range.gte);
  const walk = new DiffWalk(before, after, range.lt, onSubtrees);
  for (;;) {
    const pending = walk.advance();
    if (pending !== undefined) await pending;
    if (walk.done || walk.page.length >= PAGE_ENTRIES) {
      if (walk.page.length > 0) yield walk.takePage();
      if (walk.done) return;
    }
  }
}

/** `different-lineage` when the salts differ. */
export function assertSameLineage(a: Tree, b: Tree): void {
  if (!equalRange(a.context.salt, 0, b.context.salt, 0, SALT_BYTES)) throw differentLineage();
}

class DiffWalk {
  readonly #a: DiffCursor;
  readonly #b: DiffCursor;
  readonly #end: Uint8Array | undefined;
  readonly #onSubtrees: OnSubtrees | undefined;
  page: DiffEntry[] = [];
  done = false;

  constructor(a: DiffCursor, b: DiffCursor, end: Uint8Array | undefined, onSubtrees: OnSubtrees | undefined) {
    this.#a = a;
    this.#b = b;
    this.#end = end;
    this.#onSubtrees = onSubtrees;
  }

  takePage(): readonly DiffEntry[] {
    const page = this.page;
    this.page = [];
    return page;
  }

  /** Works until a page is full or done (undefined), or until something must be waited for. */
  advance(): Promise<unknown> | undefined {
    while (this.page.length < PAGE_ENTRIES) {
      const pending = this.#step();
      if (pending !== undefined) {
        // A merge splices most leaves without reading them.
        readDifferencesAhead(this.#a.fork(), this.#b.fork(), this.#end, this.#onSubtrees === undefined);
        return pending;
      }
      if (this.done) return undefined;
    }
    return undefined;
  }

  #step(): Promise<unknown> | undefined {
    const a = this.#a;
    const b = this.#b;
    if (a.done || a.isBeyond(this.#end)) {
      if (b.done || b.isBeyond(this.#end)) {
        this.done = true;
        return undefined;
      }
      return this.#take(b, "added");
    }
    if (b.done || b.isBeyond(this.#end)) return this.#take(a, "removed");
    const aLevel = a.level;
    const bLevel = b.level;
    if (aLevel === bLevel) {
      if (aLevel < 0) return this.#compareLeaves();
      if (a.sameHash(b)) {
        a.advance();
        b.advance();
        return undefined;
      }
      if (a.endsBefore(b)) return a.expand();
      if (b.endsBefore(a)) return b.expand();
      return this.#enterBoth();
    }
    if (aLevel > bLevel) return b.endsBefore(a) ? this.#take(b, "added") : a.expand();
    return a.endsBefore(b) ? this.#take(a, "removed") : b.expand();
  }

  /** Consumes an entry that only one side has, or goes down to it. */
  #take(side: DiffCursor, change: "added" | "removed"): Promise<unknown> | undefined {
    if (side.level >= 0) return side.expand();
    const { node, index } = side;
    if (this.#end === undefined || node.compareKey(index, this.#end) < 0) {
      const { key, value, hint } = node.entry(index);
      const state = { value, hint };
      this.page.push(
        change === "added"
          ? { key, before: undefined, after: state }
          : { key, before: state, after: undefined },
      );
    }
    side.advance();
    return undefined;
  }

  #enterBoth(): Promise<unknown> | undefined {
    const a = this.#a;
    const b = this.#b;
    if (this.#onSubtrees !== undefined && a.coversSameRange(b)) {
      const answer = this.#onSubtrees(a, b);
      if (answer instanceof Promise) {
        return answer.then(async (dealtWith) => {
          if (dealtWith) this.#skipBoth();
          else await this.#expandBoth();
        });
      }
      if (answer) {
        this.#skipBoth();
        return undefined;
      }
    }
    return this.#expandBoth();
  }

  #skipBoth(): void {
    this.#a.advance();
    this.#b.advance();
  }

  #expandBoth(): Promise<unknown> | undefined {
    const first = this.#a.expand();
    const second = this.#b.expand();
    if (first === undefined) return second;
    return second === undefined ? first : Promise.all([first, second]);
  }

  /** Merges two leaves from where the cursors stand, to the end of the one that ends first. */
  #compareLeaves(): undefined {
    const a = this.#a;
    const b = this.#b;
    const x = a.node;
    const y = b.node;
    let i = a.index;
    let j = b.index;
    const end = this.#end;
    while (i < x.count && j < y.count) {
      const order = compareNodeKeys(x, i, y, j);
      if (end !== undefined && (order <= 0 ? x.compareKey(i, end) : y.compareKey(j, end)) >= 0) {
        this.done = true;
        return undefined;
      }
      if (order < 0) {
        const { key, value, hint } = x.entry(i++);
        this.page.push({ key, before: { value, hint }, after: undefined });
      } else if (order > 0) {
        const { key, value, hint } = y.entry(j++);
        this.page.push({ key, before: undefined, after: { value, hint } });
      } else {
        if (!sameValues(x, i, y, j)) {
          const { key, value, hint } = y.entry(j);
          this.page.push({
            key,
            before: { value: x.value(i), hint: x.hints[i]! },
            after: { value, hint },
          });
        }
        i++;
        j++;
      }
    }
    a.advanceTo(i);
    b.advanceTo(j);
    return undefined;
  }
}

function sameValues(x: TreeNode, i: number, y: TreeNode, j: number): boolean {
  const xStart = x.valueEnd(i - 1);
  const yStart = y.valueEnd(j - 1);
  const length = x.valueEnd(i) - xStart;
  return (
    length === y.valueEnd(j) - yStart &&
    equalRange(x.bytes, x.valuesAt + xStart, y.bytes, y.valuesAt + yStart, length)
  );
}
