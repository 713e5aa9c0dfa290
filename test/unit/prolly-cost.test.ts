/** What operations on a tree of a million entries read, from a cold start. */
import { beforeAll, describe, expect, it } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { buildTree } from "../../src/core/prolly/build.ts";
import { diffTrees } from "../../src/core/prolly/diff.ts";
import { editTree } from "../../src/core/prolly/edit.ts";
import { mergeTrees } from "../../src/core/prolly/merge.ts";
import { Tree } from "../../src/core/prolly/tree.ts";
import type { LeafEntry, StoredNode, TreeEdit } from "../../src/core/prolly/types.ts";
import { MemoryNodes, SALT } from "../support/prolly-trees.ts";

const ENTRIES = 1_000_000;
const key = (i: number) => utf8(`row${String(i).padStart(9, "0")}`);

function* rows(): Generator<LeafEntry> {
  const value = new Uint8Array(41);
  for (let i = 0; i < ENTRIES; i++) yield { key: key(i), value, hint: 1 };
}

/** `count` scattered keys, starting with `first`. */
function scattered(count: number, first: number, length = 41): TreeEdit[] {
  const step = Math.floor(ENTRIES / count);
  return Array.from({ length: count }, (_, i) => ({
    key: key(first + i * step),
    value: new Uint8Array(length).fill(7),
    hint: 2,
  }));
}

describe("on a million entries", () => {
  const nodes = new MemoryNodes();
  let base: Tree;
  let levels = 0;
  const cold = (tree: Tree) => Tree.open({ root: tree.root, hint: tree.hint }, nodes.context());
  const edit = (edits: TreeEdit[]) => editTree(cold(base), edits, { position: 2, emit: nodes.emit });

  beforeAll(async () => {
    base = await buildTree(rows(), nodes.context(), { position: 1, emit: nodes.emit, retain: false });
    levels = (await base.height()) + 1;
  });

  it("the tree has few levels and the leaves the intended size", async () => {
    expect(levels).toBe(4);
    const sizes = [...nodes.stored.values()]
      .filter(({ bytes }) => bytes[5] === 0)
      .map(({ bytes }) => bytes.length);
    const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
    const deviation = Math.sqrt(sizes.reduce((sum, size) => sum + (size - mean) ** 2, 0) / sizes.length);
    expect(mean).toBeGreaterThan(3300);
    expect(mean).toBeLessThan(4100);
    expect(deviation / mean).toBeLessThan(0.4);
  });

  it.each([41, 20])(
    "an edit of one key with a value of %s bytes reads little more than a path",
    async (length) => {
      nodes.loads = 0;
      const written: number[] = [];
      await editTree(cold(base), [{ key: key(500_000), value: new Uint8Array(length).fill(1), hint: 2 }], {
        position: 2,
        emit: (node) => written.push(node.bytes.length),
      });
      expect(nodes.loads).toBeLessThanOrEqual(levels + 3);
      expect(written.length).toBeLessThanOrEqual(levels + 2);
      expect(written.reduce((sum, size) => sum + size, 0)).toBeLessThan(24_000);
    },
  );

  it("an edit of 100 keys reads at most their paths and a few neighbours", async () => {
    nodes.loads = 0;
    await edit(scattered(100, 50, 20));
    expect(nodes.loads).toBeLessThanOrEqual(100 * levels);
  });

  it("a diff of 100 scattered changes reads at most both sides of their paths", async () => {
    const changed = await edit(scattered(100, 50));
    nodes.loads = 0;
    let found = 0;
    for await (const page of diffTrees(cold(base), cold(changed))) found += page.length;
    expect(found).toBe(100);
    expect(nodes.loads).toBeLessThanOrEqual(2 * 100 * (levels - 1));
  });

  it("a diff of one insert at the front reads only there", async () => {
    const changed = await edit([{ key: utf8("a"), value: new Uint8Array(900), hint: 2 }]);
    nodes.loads = 0;
    let found = 0;
    for await (const page of diffTrees(cold(base), cold(changed))) found += page.length;
    expect(found).toBe(1);
    expect(nodes.loads).toBeLessThanOrEqual(2 * levels + 6);
  });

  it("a merge splices the subtrees that one side changed without reading their leaves", async () => {
    const ours = await edit(scattered(1000, 100));
    const theirs = await edit(scattered(1000, 600));
    nodes.loads = 0;
    const { tree } = await mergeTrees(cold(base), cold(ours), cold(theirs), {
      position: 3,
      emit: nodes.emit,
      resolve: () => "conflict",
    });
    const leavesChanged = 2000;
    expect(nodes.loads).toBeLessThan(leavesChanged / 2);
    const both = [...scattered(1000, 100), ...scattered(1000, 600)].sort((a, b) =>
      Buffer.compare(a.key, b.key),
    );
    expect(tree.root).toBe((await edit(both)).root);
  });

  it("a merge of two ranges reads neither", async () => {
    const range = (from: number) =>
      Array.from({ length: 5000 }, (_, i) => ({
        key: key(from + i),
        value: new Uint8Array(41).fill(3),
        hint: 2,
      }));
    const [ours, theirs] = [await edit(range(100_000)), await edit(range(700_000))];
    nodes.loads = 0;
    const { tree } = await mergeTrees(cold(base), cold(ours), cold(theirs), {
      position: 3,
      emit: nodes.emit,
      resolve: () => "conflict",
    });
    expect(nodes.loads).toBeLessThan(60);
    expect(await tree.count()).toBe(ENTRIES);
    expect((await tree.get(key(700_001)))!.value[0]).toBe(3);
  });

  it("rank, count and an offset read only paths", async () => {
    nodes.loads = 0;
    const tree = cold(base);
    expect(await tree.rank(key(654_321))).toBe(654_321);
    expect(await tree.count({ gte: key(10), lt: key(999_990) })).toBe(999_980);
    for await (const page of tree.pages({ offset: 777_777, limit: 1 }))
      expect(page[0]!.key).toEqual(key(777_777));
    expect(nodes.loads).toBeLessThanOrEqual(4 * levels);
  });

  describe("from a store that is far away", () => {
    /** Answers everything that was asked meanwhile in one round trip. */
    class DistantNodes {
      trips = 0;
      #waiting: (() => void)[] = [];

      load(hash: Uint8Array): Promise<StoredNode> {
        return new Promise((resolve) => {
          if (this.#waiting.length === 0) setImmediate(() => this.#answer());
          this.#waiting.push(() => resolve(nodes.load(hash) as StoredNode));
        });
      }

      #answer(): void {
        this.trips++;
        const waiting = this.#waiting;
        this.#waiting = [];
        for (const answer of waiting) answer();
      }
    }
    const from = (tree: Tree, source: DistantNodes) => Tree.open(tree, { salt: SALT, nodes: source });

    it("a diff and an edit of 100 scattered keys take tens of round trips, not hundreds", async () => {
      const changed = await edit(scattered(100, 50));
      const source = new DistantNodes();
      let found = 0;
      for await (const page of diffTrees(from(base, source), from(changed, source))) found += page.length;
      expect(found).toBe(100);
      expect(source.trips).toBeLessThan(40);

      source.trips = 0;
      const again = await editTree(from(base, source), scattered(100, 50), {
        position: 2,
        emit: () => undefined,
      });
      expect(again.root).toBe(changed.root);
      expect(source.trips).toBeLessThanOrEqual(levels + 2);
    });

    it("a scan of 50,000 entries asks for several leaves at a time", async () => {
      const source = new DistantNodes();
      nodes.loads = 0;
      let count = 0;
      for await (const page of from(base, source).pages({ gte: key(200_000), limit: 50_000 }))
        count += page.length;
      expect(count).toBe(50_000);
      expect(source.trips).toBeLessThan(nodes.loads / 6);
      expect(nodes.loads).toBeLessThan(1000);
    });
  });
});
