/** Stored nodes of version 1: a build gives these bytes, and these bytes give the entries. */
import { describe, expect, it } from "vitest";
import { bytesToHex, hexToBytes } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { ObjectId } from "../../src/core/base/ids.ts";
import { buildTree } from "../../src/core/prolly/build.ts";
import { checkTree } from "../../src/core/prolly/check.ts";
import { Tree } from "../../src/core/prolly/tree.ts";
import type { LeafEntry, NewNode } from "../../src/core/prolly/types.ts";
import { allEntries, MemoryNodes } from "../support/prolly-trees.ts";
import vectors from "./prolly-nodes.json" with { type: "json" };
import { GOLDEN_SETS } from "./prolly-sets.ts";

const salt = hexToBytes(vectors.salt);

async function made(entries: readonly LeafEntry[]): Promise<{ tree: Tree; nodes: NewNode[] }> {
  const nodes: NewNode[] = [];
  const context = new MemoryNodes().context(undefined, salt);
  const tree = await buildTree(entries, context, { position: 7, emit: (node) => nodes.push(node) });
  return { tree, nodes };
}

describe("version 1 of the node format", () => {
  it.each(vectors.trees)("a build of the set $name gives these nodes", async ({ name, root, nodes }) => {
    const built = await made(GOLDEN_SETS[name]!());
    expect(built.tree.root).toBe(root);
    expect(
      built.nodes.map(({ level, hash, bytes, hints }) => ({
        level,
        hash: bytesToHex(hash),
        bytes: bytesToHex(bytes),
        hints: [...hints],
      })),
    ).toEqual(nodes);
  });

  it.each(vectors.trees)("these nodes give the set $name", async ({ name, root, nodes }) => {
    const stored = new MemoryNodes();
    for (const { hash, bytes, hints } of nodes) {
      expect(hashObject(hexToBytes(bytes))).toBe(hash);
      stored.stored.set(hash, { bytes: hexToBytes(bytes), hints: Float64Array.from(hints) });
    }
    const tree = Tree.open({ root: root as ObjectId, hint: 7 }, stored.context(undefined, salt));
    expect(await allEntries(tree)).toEqual(GOLDEN_SETS[name]!());
    for await (const finding of checkTree(tree)) expect(finding).toBeUndefined();
  });

  it.each(vectors.roots)("the root of the larger set $name", async ({ name, root, nodes, levels }) => {
    const built = await made(GOLDEN_SETS[name]!());
    expect([built.tree.root, built.nodes.length, (await built.tree.height()) + 1]).toEqual([
      root,
      nodes,
      levels,
    ]);
  });
});
