/** Builds a tree from sorted entries in one pass, holding one node per level. */
import { compareBytes } from "../base/bytes.ts";
import { invariant } from "../base/errors.ts";
import { Chunker } from "./chunker.ts";
import { emitSlot } from "./emit.ts";
import { checkEntrySize } from "./node.ts";
import { Tree } from "./tree.ts";
import type { TreeContext } from "./tree-context.ts";
import type { NodeSlot } from "./tree-node.ts";
import type { LeafEntry, WriteOptions } from "./types.ts";

export interface BuildOptions extends WriteOptions {
  /**
   * False drops each node once it is emitted, for trees larger than memory: the result can then be read only
   * after the nodes have been stored. Default true.
   */
  readonly retain?: boolean;
}

/**
 * Entries come sorted by key without duplicates (an `internal` error otherwise); their bytes must not change
 * until the build is done. Errors: `too-large` for a key or an inline value.
 */
export async function buildTree(
  entries: Iterable<LeafEntry> | AsyncIterable<readonly LeafEntry[]>,
  context: TreeContext,
  options: BuildOptions,
): Promise<Tree> {
  const builder = new TreeBuilder(context, options);
  if (Symbol.asyncIterator in entries) {
    for await (const page of entries) for (const entry of page) builder.add(entry);
  } else for (const entry of entries) builder.add(entry);
  return builder.finish();
}

class TreeBuilder {
  readonly #context: TreeContext;
  readonly #options: BuildOptions;
  readonly #levels: Level[] = [];
  readonly #leaves: Level;
  #previous: Uint8Array | undefined;

  constructor(context: TreeContext, options: BuildOptions) {
    this.#context = context;
    this.#options = options;
    this.#leaves = this.#level(0);
  }

  add(entry: LeafEntry): void {
    const { key, value, hint } = entry;
    checkEntrySize(key, value.length);
    const previous = this.#previous;
    invariant(previous === undefined || compareBytes(previous, key) < 0, "entries are not sorted by key");
    this.#previous = key;
    this.#leaves.chunker.add(key, value, hint);
  }

  finish(): Tree {
    for (let level = 0; ; level++) {
      const { chunker, first } = this.#level(level);
      // One node that ended in a real cut is a root all the same: what was handed up is not needed.
      if (chunker.empty && first.count <= 1) return this.#rootFrom(first.slot);
      chunker.finish();
      if (first.count === 1) return this.#rootFrom(first.slot);
    }
  }

  #rootFrom(slot: NodeSlot | undefined): Tree {
    return Tree.fromSlot(slot, slot === undefined ? 0 : this.#options.position, this.#context);
  }

  #level(level: number): Level {
    const known = this.#levels[level];
    if (known !== undefined) return known;
    const first: Level["first"] = { slot: undefined, count: 0 };
    const chunker = new Chunker(level, this.#context.salt, (child, lastKey) => {
      const { slot } = child;
      first.slot ??= slot;
      first.count++;
      emitSlot(slot, this.#options.emit);
      this.#level(level + 1).chunker.add(lastKey, child, this.#options.position);
      if (this.#options.retain === false) slot.node?.children.fill(undefined);
    });
    this.#levels[level] = { chunker, first };
    return this.#levels[level]!;
  }
}

interface Level {
  readonly chunker: Chunker;
  /** The first node of the level, and how many there are. */
  readonly first: { slot: NodeSlot | undefined; count: number };
}
