import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { diffTrees } from "../../src/core/prolly/diff.ts";
import { mergeTrees } from "../../src/core/prolly/merge.ts";
import { NodeCache } from "../../src/core/prolly/node-cache.ts";
import { Tree } from "../../src/core/prolly/tree.ts";
import type { DiffEntry, KeyRange } from "../../src/core/prolly/types.ts";
import { build, entriesOf, hexKey, MemoryNodes, type Model, rootOf } from "../support/prolly-trees.ts";

/** `MIC_TEST_RUNS` runs more of them. */
const RUNS = Number(process.env["MIC_TEST_RUNS"] ?? 30);

/** Long keys make internal nodes of four entries, and so trees of many levels. */
const keyOf = (i: number) => utf8(`dir${i % 11}\0${i % 13 < 5 ? "" : LONG}f${String(i).padStart(5, "0")}`);
const LONG = "z".repeat(1500);

const value = fc
  .tuple(fc.constantFrom(0, 1, 40, 41, 300, 1024), fc.nat(3))
  .map(([length, fill]) => new Uint8Array(length).fill(fill));
const change = fc.tuple(fc.nat(1300), fc.option(value, { nil: undefined, freq: 3 }));
const changes = fc.oneof(
  fc.array(change, { maxLength: 6 }),
  fc.array(change, { maxLength: 300 }),
  // A run of neighbours: whole nodes appear and go.
  fc
    .tuple(fc.nat(1300), fc.nat(600), fc.option(value, { nil: undefined }))
    .map(([from, count, all]) =>
      Array.from({ length: count }, (_, i) => [from + i * 11, all] as [number, Uint8Array | undefined]),
    ),
);
const baseSize = fc.constantFrom(0, 3, 60, 600, 1200);

function modelOf(size: number): Model {
  const model: Model = new Map();
  for (let i = 0; i < size; i++)
    model.set(hexKey(keyOf(i)), new Uint8Array([41, 41, 41, 90, 700][i % 5]!).fill(i));
  return model;
}

function changed(model: Model, list: readonly (readonly [number, Uint8Array | undefined])[]): Model {
  const result = new Map(model);
  for (const [i, content] of list) {
    if (content === undefined) result.delete(hexKey(keyOf(i)));
    else result.set(hexKey(keyOf(i)), content);
  }
  return result;
}

const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : hexKey(bytes));

function naiveDiff(a: Model, b: Model, range: KeyRange = {}): unknown[] {
  return [...new Set([...a.keys(), ...b.keys()])]
    .sort()
    .filter(
      (key) =>
        (range.gte === undefined || key >= hexKey(range.gte)) &&
        (range.lt === undefined || key < hexKey(range.lt)),
    )
    .filter((key) => text(a.get(key)) !== text(b.get(key)))
    .map((key) => [key, text(a.get(key)), text(b.get(key))]);
}

async function collect(pages: AsyncIterable<readonly DiffEntry[]>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const page of pages) {
    for (const { key, before, after } of page)
      all.push([hexKey(key), text(before?.value), text(after?.value)]);
  }
  return all;
}

/** Trees as a reader would find them: opened cold, from a source that may answer later. */
async function opened(model: Model, nodes: MemoryNodes, cache: NodeCache | undefined): Promise<Tree> {
  const tree = await build(model, nodes);
  return Tree.open({ root: tree.root, hint: tree.hint }, nodes.context(cache));
}

describe("diffTrees()", () => {
  it("finds what a comparison of all entries finds", async () => {
    await fc.assert(
      fc.asyncProperty(
        baseSize,
        changes,
        changes,
        fc.boolean(),
        fc.boolean(),
        async (size, x, y, later, cached) => {
          const nodes = new MemoryNodes(later);
          const cache = cached ? new NodeCache(0) : undefined;
          const base = modelOf(size);
          const [a, b] = [changed(base, x), changed(base, y)];
          const found = await collect(
            diffTrees(await opened(a, nodes, cache), await opened(b, nodes, cache)),
          );
          expect(found).toEqual(naiveDiff(a, b));
        },
      ),
      { numRuns: RUNS },
    );
  });

  it("stays inside a range", async () => {
    await fc.assert(
      fc.asyncProperty(
        baseSize,
        changes,
        fc.option(fc.nat(1400), { nil: undefined }),
        fc.option(fc.nat(1400), { nil: undefined }),
        async (size, x, from, to) => {
          const nodes = new MemoryNodes();
          const a = modelOf(size);
          const b = changed(a, x);
          const range: KeyRange = {
            ...(from === undefined ? {} : { gte: keyOf(from) }),
            ...(to === undefined ? {} : { lt: keyOf(to) }),
          };
          const found = await collect(
            diffTrees(await opened(a, nodes, undefined), await opened(b, nodes, undefined), range),
          );
          expect(found).toEqual(naiveDiff(a, b, range));
        },
      ),
      { numRuns: RUNS },
    );
  });
});

describe("mergeTrees()", () => {
  it("gives the tree and the conflicts of a merge of all entries", async () => {
    await fc.assert(
      fc.asyncProperty(
        baseSize,
        changes,
        changes,
        fc.boolean(),
        fc.constantFrom("conflict", "theirs", "delete"),
        async (size, x, y, later, answer) => {
          const nodes = new MemoryNodes(later);
          const base = modelOf(size);
          const [ours, theirs] = [changed(base, x), changed(base, y)];
          const expected = new Map(ours);
          const clashes: string[] = [];
          for (const key of new Set([...base.keys(), ...theirs.keys()])) {
            const [b, o, t] = [text(base.get(key)), text(ours.get(key)), text(theirs.get(key))];
            if (b === t || o === t) continue;
            let result = theirs.get(key);
            if (o !== b) {
              clashes.push(key);
              if (answer === "conflict") continue;
              if (answer === "delete") result = undefined;
            }
            if (result === undefined) expected.delete(key);
            else expected.set(key, result);
          }
          const asked: string[] = [];
          const merged = await mergeTrees(
            await opened(base, nodes, undefined),
            await opened(ours, nodes, undefined),
            await opened(theirs, nodes, undefined),
            {
              position: 9,
              emit: nodes.emit,
              resolve: (conflict) => {
                asked.push(hexKey(conflict.key));
                expect([
                  text(conflict.base?.value),
                  text(conflict.ours?.value),
                  text(conflict.theirs?.value),
                ]).toEqual([base, ours, theirs].map((side) => text(side.get(hexKey(conflict.key)))));
                return answer === "conflict" ? "conflict" : answer === "theirs" ? conflict.theirs : undefined;
              },
            },
          );
          expect(asked).toEqual(clashes.sort());
          expect(merged.conflicts.map(({ key }) => hexKey(key))).toEqual(answer === "conflict" ? asked : []);
          expect(merged.tree.root).toBe(await rootOf(expected));
          const cold = Tree.open({ root: merged.tree.root, hint: 9 }, nodes.context());
          expect(await cold.count()).toBe(entriesOf(expected).length);
          for await (const page of cold.pages())
            for (const entry of page) expect(expected.has(hexKey(entry.key))).toBe(true);
        },
      ),
      { numRuns: RUNS },
    );
  });
});
