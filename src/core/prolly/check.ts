/**
 * Checks a stored tree completely: every node is read and hashed again; order, counts, and that the tree is
 * the one that the format prescribes for its entries.
 */
import { equalBytes } from "../base/bytes.ts";
import { type ErrorCode, isMicError } from "../base/errors.ts";
import { hashBytes } from "../base/hash.ts";
import { type CutSeed, cutSeed, isCut } from "./cut-rule.ts";
import { decodeNode } from "./node.ts";
import { findMisfit } from "./node-loading.ts";
import type { Tree } from "./tree.ts";
import type { TreeContext } from "./tree-context.ts";
import { HASH_BYTES, type TreeNode } from "./tree-node.ts";
import type { Hint } from "./types.ts";

export interface TreeFinding {
  /**
   * `unreadable`: missing, or not a node. `wrong-hash`: not the content that was asked for. `misplaced`: level,
   * order or count do not fit the parent. `wrong-boundary`: not cut where the format cuts.
   */
  readonly kind: "unreadable" | "wrong-hash" | "misplaced" | "wrong-boundary";
  /** 32 bytes: the node. */
  readonly hash: Uint8Array;
  readonly detail: string;
  readonly cause?: unknown;
}

export interface CheckOptions {
  /**
   * False passes over a subtree that has been checked before, in this tree or another one. Not asked for the
   * last node of each level, which is subject to another rule than the others and always checked.
   */
  shouldVisit?(hash: Uint8Array): boolean;
  /** Called with each node that could be decoded, before its children. */
  onNode?(node: TreeNode, hash: Uint8Array, hint: Hint): void | Promise<void>;
}

/** Goes on after a finding, below everything that is readable. Holds one path of nodes, not the tree. */
export async function* checkTree(tree: Tree, options: CheckOptions = {}): AsyncGenerator<TreeFinding> {
  if (tree.rootSlot === undefined) return;
  yield* new TreeCheck(tree.context, options).visit(tree.rootSlot.hash, tree.hint, undefined, 0, true);
}

const UNREADABLE: ReadonlySet<ErrorCode> = new Set([
  "corrupt",
  "not-found",
  "unsupported",
  "different-lineage",
]);

class TreeCheck {
  readonly #context: TreeContext;
  readonly #options: CheckOptions;
  readonly #seeds: CutSeed[] = [];

  constructor(context: TreeContext, options: CheckOptions) {
    this.#context = context;
    this.#options = options;
  }

  async *visit(
    hash: Uint8Array,
    hint: Hint,
    parent: TreeNode | undefined,
    index: number,
    isLast: boolean,
  ): AsyncGenerator<TreeFinding> {
    const read = await this.#read(hash, hint);
    if (read.finding !== undefined) yield read.finding;
    const { node } = read;
    if (node === undefined) return;
    await this.#options.onNode?.(node, hash, hint);
    const misfit = parent === undefined ? undefined : findMisfit(parent, index, node);
    if (misfit !== undefined) yield { kind: "misplaced", hash, detail: misfit };
    // A node of the wrong level could lead round in circles if hashes were broken too.
    if (parent !== undefined && node.level !== parent.level - 1) return;
    if (parent === undefined && node.level > 0 && node.count === 1) {
      yield { kind: "wrong-boundary", hash, detail: "the root has a single child" };
    }
    const boundary = this.#findWrongCut(node, isLast);
    if (boundary !== undefined) yield { kind: "wrong-boundary", hash, detail: boundary };
    if (node.level === 0) return;
    for (let i = 0; i < node.count; i++) {
      const at = node.hashAt(i);
      const child = node.bytes.slice(at, at + HASH_BYTES);
      const childIsLast = isLast && i === node.count - 1;
      if (!childIsLast && this.#options.shouldVisit?.(child) === false) continue;
      yield* this.visit(child, node.hints[i]!, node, i, childIsLast);
    }
  }

  async #read(
    hash: Uint8Array,
    hint: Hint,
  ): Promise<{ readonly node?: TreeNode; readonly finding?: TreeFinding }> {
    try {
      const stored = await this.#context.nodes.load(hash, hint);
      const isRight = equalBytes(hashBytes(stored.bytes), hash);
      const finding: TreeFinding = {
        kind: "wrong-hash",
        hash,
        detail: "the content does not have that hash",
      };
      const node = decodeNode(stored, this.#context.salt);
      return isRight ? { node } : { node, finding };
    } catch (cause) {
      // Anything else (an unreachable store, an abort, a bug) says nothing about the tree.
      if (!isMicError(cause) || !UNREADABLE.has(cause.code)) throw cause;
      return { finding: { kind: "unreadable", hash, detail: cause.message, cause } };
    }
  }

  #findWrongCut(node: TreeNode, isLast: boolean): string | undefined {
    this.#seeds[node.level] ??= cutSeed(this.#context.salt, node.level);
    const seed = this.#seeds[node.level]!;
    for (let i = 0; i < node.count; i++) {
      const cut = isCut(
        seed,
        node.countedBytes(i - 1),
        node.countedBytes(i),
        i + 1,
        node.bytes,
        node.keysAt + node.keyEnd(i - 1),
        node.keysAt + node.keyEnd(i),
      );
      if (cut && i < node.count - 1) return `it should end after entry ${i}`;
      if (!cut && i === node.count - 1 && !isLast) return "it ends without a cut";
    }
    return undefined;
  }
}
