/** Trees over a memory store that counts its reads, and a plain map to compare them with. */
import { bytesToHex, compareBytes } from "../../src/core/base/bytes.ts";
import { MicError } from "../../src/core/base/errors.ts";
import { buildTree } from "../../src/core/prolly/build.ts";
import type { NodeCache } from "../../src/core/prolly/node-cache.ts";
import { Tree } from "../../src/core/prolly/tree.ts";
import type { TreeContext } from "../../src/core/prolly/tree-context.ts";
import type { LeafEntry, NewNode, StoredNode, TreeEdit } from "../../src/core/prolly/types.ts";

export const SALT: Uint8Array = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

export class MemoryNodes {
  readonly stored = new Map<string, StoredNode>();
  loads = 0;
  readonly asynchronous: boolean;

  constructor(asynchronous = false) {
    this.asynchronous = asynchronous;
  }

  load(hash: Uint8Array): StoredNode | Promise<StoredNode> {
    this.loads++;
    const node = this.stored.get(bytesToHex(hash));
    if (node === undefined) throw new MicError("not-found", `no node ${bytesToHex(hash)}`);
    return this.asynchronous ? Promise.resolve(node) : node;
  }

  readonly emit = (node: NewNode): void => {
    for (const child of childHashes(node)) {
      if (!this.stored.has(child))
        throw new Error(`${bytesToHex(node.hash)} was emitted before its child ${child}`);
    }
    this.stored.set(bytesToHex(node.hash), { bytes: node.bytes, hints: node.hints });
  };

  context(cache?: NodeCache, salt = SALT): TreeContext {
    return cache === undefined ? { salt, nodes: this } : { salt, nodes: this, cache };
  }
}

function* childHashes(node: NewNode): Generator<string> {
  if (node.level === 0) return;
  const count = node.hints.length;
  const start = node.bytes.length - 40 * count;
  for (let i = 0; i < count; i++) yield bytesToHex(node.bytes, start + 32 * i, start + 32 * (i + 1));
}

/** A map from hex keys, sorted on demand: hex order is byte order. */
export type Model = Map<string, Uint8Array>;

export function hexKey(key: Uint8Array): string {
  return bytesToHex(key);
}

export function entriesOf(model: Model, hint = 0): LeafEntry[] {
  return [...model]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => ({ key: Buffer.from(key, "hex"), value, hint }));
}

export function build(model: Model, nodes: MemoryNodes, position = 1): Promise<Tree> {
  return buildTree(entriesOf(model), nodes.context(), { position, emit: nodes.emit });
}

/** The root that the format prescribes for these entries. */
export async function rootOf(model: Model): Promise<string> {
  return (await build(model, new MemoryNodes())).root;
}

export function sortedEdits(changes: Model | Map<string, Uint8Array | undefined>, hint = 0): TreeEdit[] {
  return [...changes]
    .map(([key, value]) => ({ key: Buffer.from(key, "hex"), value, hint }))
    .sort((a, b) => compareBytes(a.key, b.key));
}

export function reopened(tree: Tree): Tree {
  return Tree.open({ root: tree.root, hint: tree.hint }, tree.context);
}

export async function allEntries(tree: Tree): Promise<LeafEntry[]> {
  const all: LeafEntry[] = [];
  for await (const page of tree.pages()) all.push(...page);
  return all;
}
