import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareBytes, utf8 } from "../../src/core/base/bytes.ts";
import { EMPTY_ROOT } from "../../src/core/base/ids.ts";
import { buildTree } from "../../src/core/prolly/build.ts";
import { diffTrees } from "../../src/core/prolly/diff.ts";
import { listDirectory, lookupPath } from "../../src/core/prolly/directory.ts";
import { editTree } from "../../src/core/prolly/edit.ts";
import { mergeTrees } from "../../src/core/prolly/merge.ts";
import { NodeCache } from "../../src/core/prolly/node-cache.ts";
import { Tree } from "../../src/core/prolly/tree.ts";
import type { LeafEntry } from "../../src/core/prolly/types.ts";
import { allEntries, MemoryNodes, reopened } from "../support/prolly-trees.ts";

const numbered = (i: number) => utf8(`key${String(i).padStart(6, "0")}`);
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

function entries(count: number, step = 2, length = 30): LeafEntry[] {
  return Array.from({ length: count }, (_, i) => ({
    key: numbered(i * step),
    value: new Uint8Array(length).fill(i),
    hint: 1 + (i % 9),
  }));
}

async function treeOf(list: LeafEntry[], nodes = new MemoryNodes(), cache?: NodeCache): Promise<Tree> {
  const tree = await buildTree(list, nodes.context(cache), { position: 5, emit: nodes.emit });
  return Tree.open({ root: tree.root, hint: tree.hint }, nodes.context(cache));
}

describe("Tree", () => {
  const list = entries(3000);
  const keys = list.map((entry) => text(entry.key));

  it("finds what is there, with its hint, and nothing else", async () => {
    for (const tree of [await treeOf(list), await treeOf(list, new MemoryNodes(true))]) {
      expect(await tree.get(numbered(200))).toEqual(list[100]);
      expect(await tree.get(numbered(201))).toBeUndefined();
      expect(await tree.get(utf8(""))).toBeUndefined();
      expect(await tree.get(utf8("z"))).toBeUndefined();
    }
  });

  it("find() answers without a promise once the path is in memory", async () => {
    const tree = await treeOf(list, new MemoryNodes(true));
    expect(tree.find(numbered(200))).toBeInstanceOf(Promise);
    await tree.get(numbered(200));
    expect(tree.find(numbered(200))).toEqual(list[100]);
  });

  it("gives copies: writing into a result changes no tree", async () => {
    const tree = await treeOf(list);
    (await tree.get(numbered(0)))!.value.fill(99);
    expect(await tree.get(numbered(0))).toEqual(list[0]);
  });

  it("seeks, counts and ranks like a sorted array", async () => {
    const tree = await treeOf(list, new MemoryNodes(true));
    await fc.assert(
      fc.asyncProperty(fc.nat(6100), fc.nat(6100), async (a, b) => {
        const probe = numbered(a);
        const bound = keys.findIndex((key) => key >= text(probe));
        const rank = bound === -1 ? keys.length : bound;
        expect(await tree.rank(probe)).toBe(rank);
        expect(await tree.seek(probe)).toEqual(list[rank]);
        expect(await tree.seekBefore(probe)).toEqual(list[rank - 1]);
        const range = { gte: probe, lt: numbered(b) };
        expect(await tree.count(range)).toBe(
          keys.filter((key) => key >= text(probe) && key < text(range.lt)).length,
        );
      }),
      { numRuns: 200 },
    );
    expect(await tree.count()).toBe(3000);
    expect(await tree.seekBefore(utf8("z"))).toEqual(list[2999]);
  });

  it("reads ranges like slices of an array, in both directions, with offset and limit", async () => {
    const tree = await treeOf(list);
    const bound = fc.option(fc.nat(6100), { nil: undefined });
    const amount = fc.option(fc.oneof(fc.nat(5), fc.nat(4000)), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(
        bound,
        bound,
        fc.boolean(),
        amount,
        amount,
        async (from, to, reverse, limit, offset) => {
          const range = {
            ...(from === undefined ? {} : { gte: numbered(from) }),
            ...(to === undefined ? {} : { lt: numbered(to) }),
            ...(limit === undefined ? {} : { limit }),
            ...(offset === undefined ? {} : { offset }),
            reverse,
          };
          const inside = list.filter(
            ({ key }) =>
              (from === undefined || compareBytes(key, numbered(from)) >= 0) &&
              (to === undefined || compareBytes(key, numbered(to)) < 0),
          );
          if (reverse) inside.reverse();
          const expected = inside.slice(offset ?? 0, (offset ?? 0) + (limit ?? inside.length));
          const found: LeafEntry[] = [];
          for await (const page of tree.pages(range)) {
            expect(page.length).toBeGreaterThan(0);
            found.push(...page);
          }
          expect(found).toEqual(expected);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("getMany() answers in the order of its keys", async () => {
    const tree = await treeOf(list, new MemoryNodes(true));
    const asked = [
      utf8("a"),
      numbered(0),
      numbered(1),
      numbered(2),
      numbered(5998),
      numbered(5999),
      utf8("z"),
    ];
    expect(await tree.getMany(asked)).toEqual([
      undefined,
      list[0],
      undefined,
      list[1],
      list[2999],
      undefined,
      undefined,
    ]);
    expect(await tree.getMany([])).toEqual([]);
  });

  it("the empty tree is 64 zeros, has no node, and answers every read", async () => {
    const nodes = new MemoryNodes();
    const tree = Tree.open({ root: EMPTY_ROOT, hint: 0 }, nodes.context());
    expect((await buildTree([], nodes.context(), { position: 1, emit: nodes.emit })).root).toBe(EMPTY_ROOT);
    expect([
      await tree.get(numbered(1)),
      await tree.seek(numbered(1)),
      await tree.seekBefore(numbered(1)),
    ]).toEqual([undefined, undefined, undefined]);
    expect([await tree.count(), await tree.rank(numbered(1)), await tree.height()]).toEqual([0, 0, -1]);
    expect(await allEntries(tree)).toEqual([]);
    expect(await tree.getMany([numbered(1)])).toEqual([undefined]);
    expect(nodes.loads).toBe(0);
  });

  it("opening reads nothing, and a read loads one path", async () => {
    const nodes = new MemoryNodes();
    const tree = await treeOf(list, nodes);
    expect(nodes.loads).toBe(0);
    await tree.get(numbered(400));
    expect(nodes.loads).toBe((await tree.height()) + 1);
  });

  it("refuses a tree of another salt", async () => {
    const nodes = new MemoryNodes();
    const tree = await treeOf(list, nodes);
    const cache = new NodeCache(1 << 20);
    await reopened(Tree.open(tree, nodes.context(cache))).get(numbered(2));
    const other = Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1);
    for (const context of [nodes.context(undefined, other), nodes.context(cache, other)]) {
      const foreign = Tree.open({ root: tree.root, hint: 5 }, context);
      await expect(foreign.get(numbered(2))).rejects.toMatchObject({ code: "different-lineage" });
      await expect(async () => {
        for await (const _ of diffTrees(tree, foreign));
      }).rejects.toMatchObject({ code: "different-lineage" });
    }
  });
});

describe("buildTree() and editTree()", () => {
  const options = { position: 1, emit: () => undefined };
  const context = new MemoryNodes().context();
  const largest = { key: utf8("k".repeat(4096)), value: new Uint8Array(1024), hint: 0 };

  it("take keys of 4,096 and values of 1,024 bytes, and refuse longer ones as too-large", async () => {
    const tree = await buildTree([largest], context, options);
    expect(await tree.get(largest.key)).toEqual(largest);
    const longKey = { ...largest, key: utf8("k".repeat(4097)) };
    const longValue = { ...largest, value: new Uint8Array(20_480) };
    for (const entry of [longKey, longValue]) {
      await expect(buildTree([entry], context, options)).rejects.toMatchObject({ code: "too-large" });
      await expect(editTree(tree, [entry], options)).rejects.toMatchObject({ code: "too-large" });
    }
  });

  it("refuse entries out of order and keys given twice", async () => {
    const [a, b] = entries(2);
    for (const list of [
      [b!, a!],
      [a!, a!],
    ]) {
      await expect(buildTree(list, context, options)).rejects.toMatchObject({ code: "internal" });
      await expect(editTree(Tree.empty(context), list, options)).rejects.toMatchObject({ code: "internal" });
    }
  });

  it("a build takes pages as they come, and can do without keeping its nodes", async () => {
    const list = entries(5000);
    async function* pages() {
      for (let i = 0; i < list.length; i += 100) yield list.slice(i, i + 100);
    }
    const nodes = new MemoryNodes();
    const streamed = await buildTree(pages(), nodes.context(), {
      position: 1,
      emit: nodes.emit,
      retain: false,
    });
    expect(streamed.root).toBe((await treeOf(list)).root);
    expect(await allEntries(streamed)).toEqual(list);
    expect(nodes.loads).toBeGreaterThan(0);
  });

  it("an edit can be read and edited again before anything is stored", async () => {
    const nodes = new MemoryNodes();
    const base = await treeOf(entries(3000), nodes);
    const unstored = await editTree(base, [{ key: numbered(7), value: utf8("new"), hint: 9 }], options);
    expect(await unstored.get(numbered(7))).toEqual({ key: numbered(7), value: utf8("new"), hint: 9 });
    const twice = await editTree(unstored, [{ key: numbered(7), value: undefined, hint: 0 }], options);
    expect(twice.root).toBe(base.root);
  });

  it("emits each new node once, children first, and none that the result does not need", async () => {
    const nodes = new MemoryNodes();
    const base = await treeOf(entries(3000), nodes);
    const before = new Set(nodes.stored.keys());
    const emitted: string[] = [];
    const tree = await editTree(base, [{ key: numbered(3001), value: utf8("x"), hint: 2 }], {
      position: 2,
      emit: (node) => {
        emitted.push(Buffer.from(node.hash).toString("hex"));
        nodes.emit(node);
      },
    });
    expect(new Set(emitted).size).toBe(emitted.length);
    expect(emitted.filter((hash) => before.has(hash))).toEqual([]);
    expect(emitted.at(-1)).toBe(tree.root);
    nodes.loads = 0;
    const cold = new Set<string>();
    const counting = {
      ...nodes.context(),
      nodes: {
        load(hash: Uint8Array) {
          cold.add(Buffer.from(hash).toString("hex"));
          return nodes.load(hash);
        },
      },
    };
    await allEntries(Tree.open(tree, counting));
    expect(emitted.every((hash) => cold.has(hash))).toBe(true);
  });

  it("new nodes carry the position; untouched children and entries keep their hints", async () => {
    const nodes = new MemoryNodes();
    const list = entries(3000);
    const base = await treeOf(list, nodes);
    const tree = reopened(
      await editTree(
        base,
        [{ key: numbered(2000), value: utf8("longer than before, or shorter"), hint: 77 }],
        {
          position: 77,
          emit: nodes.emit,
        },
      ),
    );
    expect(tree.hint).toBe(77);
    const hints = new Map((await allEntries(tree)).map((entry) => [text(entry.key), entry.hint]));
    for (const entry of list) {
      const expected = text(entry.key) === text(numbered(2000)) ? 77 : entry.hint;
      expect(hints.get(text(entry.key))).toBe(expected);
    }
    const root = nodes.stored.get(tree.root)!;
    expect([...root.hints].filter((hint) => hint === 77)).toHaveLength(1);
    expect([...root.hints].filter((hint) => hint === 5)).toHaveLength(root.hints.length - 1);
  });

  it("a put of the same value and a delete of a missing key change nothing", async () => {
    const list = entries(3000);
    const tree = await treeOf(list);
    const edits = [
      { key: numbered(2), value: list[1]!.value, hint: 99 },
      { key: numbered(3), value: undefined, hint: 0 },
    ];
    const emitted: unknown[] = [];
    const same = await editTree(tree, edits, { position: 9, emit: (node) => emitted.push(node) });
    expect(same).toBe(tree);
    expect(emitted).toEqual([]);
    const mixed = await editTree(tree, [...edits, { key: numbered(5), value: utf8("x"), hint: 9 }], options);
    expect((await mixed.get(numbered(2)))!.hint).toBe(list[1]!.hint);
  });
});

describe("mergeTrees()", () => {
  it("takes hints from the side that an entry came from", async () => {
    const nodes = new MemoryNodes();
    const base = await treeOf(entries(20_000), nodes);
    const put = (tree: Tree, i: number, position: number) =>
      editTree(tree, [{ key: numbered(i), value: utf8(`value ${position}`), hint: position }], {
        position,
        emit: nodes.emit,
      });
    const ours = await put(base, 10, 21);
    const theirs = await put(await put(base, 12, 22), 30_000, 23);
    const { tree } = await mergeTrees(base, ours, theirs, {
      position: 30,
      emit: nodes.emit,
      resolve: () => "conflict",
    });
    const merged = reopened(tree);
    expect(merged.hint).toBe(30);
    expect((await merged.get(numbered(10)))!.hint).toBe(21);
    expect((await merged.get(numbered(12)))!.hint).toBe(22);
    expect((await merged.get(numbered(30_000)))!.hint).toBe(23);
  });

  it("waits for answers that come later", async () => {
    const nodes = new MemoryNodes();
    const context = nodes.context();
    const of = (value: string) =>
      buildTree([{ key: utf8("k"), value: utf8(value), hint: 1 }], context, {
        position: 1,
        emit: nodes.emit,
      });
    const { tree, conflicts } = await mergeTrees(await of("a"), await of("b"), await of("c"), {
      position: 2,
      emit: nodes.emit,
      resolve: async ({ ours, theirs }) => ({
        value: utf8(text(ours!.value) + text(theirs!.value)),
        hint: 2,
      }),
    });
    expect(text((await tree.get(utf8("k")))!.value)).toBe("bc");
    expect(conflicts).toEqual([]);
  });
});

describe("NodeCache", () => {
  it("stays within its limit, shares nodes between trees, and loses nothing", async () => {
    const nodes = new MemoryNodes();
    const list = entries(60_000, 1);
    const cache = new NodeCache(1 << 20);
    const tree = await treeOf(list, nodes, cache);
    expect(await allEntries(tree)).toHaveLength(60_000);
    expect(cache.heldBytes).toBeLessThanOrEqual(1 << 20);
    expect(cache.heldBytes).toBeGreaterThan(1 << 19);
    expect(await tree.get(numbered(3))).toEqual(list[3]);
    nodes.loads = 0;
    expect(await reopened(tree).get(numbered(3))).toEqual(list[3]);
    expect(nodes.loads).toBe(0);
  });

  it("keeps what an edit made until it is said to be stored, and may drop it then", async () => {
    const nodes = new MemoryNodes();
    const cache = new NodeCache(1 << 20);
    const edits = entries(60_000, 1);
    const tree = await editTree(Tree.empty(nodes.context(cache)), edits, { position: 1, emit: nodes.emit });
    expect(await allEntries(tree)).toHaveLength(60_000);
    expect(nodes.loads).toBe(0);
    tree.markStored();
    expect(cache.heldBytes).toBeLessThanOrEqual(1 << 20);
    expect(await allEntries(tree)).toHaveLength(60_000);
    expect(nodes.loads).toBeGreaterThan(0);
    expect(cache.heldBytes).toBeLessThanOrEqual(1 << 20);
  });
});

describe("directories", () => {
  const key = (path: string) => utf8(path.replaceAll("/", "\0"));
  const paths = [
    "a",
    "a!b",
    "a-dir/x",
    "b/c/d/e",
    "b/c/f",
    "b/c!",
    "b/g",
    "b.txt",
    "z/ü/1",
    "z/ü/2",
    "z/y",
    ...Array.from({ length: 2000 }, (_, i) => `many/sub${i % 3}/file${i}`),
  ];
  const list = paths
    .map((path) => ({ key: key(path), value: utf8(path), hint: 1 }))
    .sort((a, b) => compareBytes(a.key, b.key));

  it("lookupPath() tells entry, directory and nothing apart", async () => {
    const tree = await treeOf(list);
    expect(await lookupPath(tree, key("b/c/f"))).toEqual({ kind: "entry", value: utf8("b/c/f"), hint: 1 });
    expect(await lookupPath(tree, key("b/c"))).toEqual({ kind: "directory", count: 2 });
    expect(await lookupPath(tree, key("b"))).toEqual({ kind: "directory", count: 4 });
    expect(await lookupPath(tree, key("many"))).toEqual({ kind: "directory", count: 2000 });
    expect(await lookupPath(tree, key("a"))).toMatchObject({ kind: "entry" });
    expect(await lookupPath(tree, key("a-d"))).toBeUndefined();
    expect(await lookupPath(tree, key("zz"))).toBeUndefined();
    expect(await lookupPath(tree, utf8(""))).toEqual({ kind: "directory", count: list.length });
  });

  it("listDirectory() agrees with a grouping of all paths, page by page", async () => {
    const nodes = new MemoryNodes(true);
    const tree = await treeOf(list, nodes);
    for (const dir of ["", "b", "b/c", "z", "z/ü", "many", "many/sub1", "nowhere", "b.txt"]) {
      const prefix = dir === "" ? "" : `${dir}/`;
      const expected = new Map<string, number | "entry">();
      for (const path of paths.filter((each) => each.startsWith(prefix))) {
        const [name, ...rest] = path.slice(prefix.length).split("/");
        const count = expected.get(name!);
        expected.set(name!, rest.length === 0 ? "entry" : (typeof count === "number" ? count : 0) + 1);
      }
      for (const limit of [1, 3, 5000]) {
        const found = new Map<string, number | "entry">();
        let after: Uint8Array | undefined;
        for (;;) {
          const page = await listDirectory(
            tree,
            key(dir),
            after === undefined ? { limit } : { after, limit },
          );
          expect(page.items.length).toBeLessThanOrEqual(limit);
          for (const item of page.items) {
            expect(after === undefined || compareBytes(after, item.name) < 0).toBe(true);
            after = item.name;
            found.set(text(item.name), item.kind === "entry" ? "entry" : item.count);
            if (item.kind === "entry") expect(text(item.value)).toBe(prefix + text(item.name));
          }
          if (!page.more) break;
        }
        expect(new Map([...found].sort())).toEqual(new Map([...expected].sort()));
      }
    }
  });

  it("passes over a subdirectory without reading it", async () => {
    const nodes = new MemoryNodes();
    const big = Array.from({ length: 50_000 }, (_, i) => ({
      key: key(`d${i % 4}/x/file${String(i).padStart(6, "0")}`),
      value: new Uint8Array(41),
      hint: 1,
    })).sort((a, b) => compareBytes(a.key, b.key));
    const tree = await treeOf(big, nodes);
    const { items } = await listDirectory(tree, utf8(""), { limit: 10 });
    expect(items).toEqual(
      ["d0", "d1", "d2", "d3"].map((name) => ({ kind: "directory", name: utf8(name), count: 12_500 })),
    );
    expect(nodes.loads).toBeLessThanOrEqual(5 * ((await tree.height()) + 1));
  });
});
