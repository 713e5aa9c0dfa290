import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { editTree } from "../../src/core/prolly/edit.ts";
import { NodeCache } from "../../src/core/prolly/node-cache.ts";
import { Tree } from "../../src/core/prolly/tree.ts";
import {
  allEntries,
  hexKey,
  MemoryNodes,
  type Model,
  reopened,
  rootOf,
  sortedEdits,
} from "../support/prolly-trees.ts";

/** Key families that have broken other trees: letters only, four letters, paths, numbers, raw bytes. */
const KEY_OF: Record<string, (i: number) => Uint8Array> = {
  letters: (i) => utf8(String(i).replace(/\d/g, (d) => "abcdefghij"[Number(d)]!)),
  dna: (i) =>
    utf8(
      i
        .toString(4)
        .padStart(9, "0")
        .replace(/\d/g, (d) => "ACGT"[Number(d)]!),
    ),
  paths: (i) => utf8(`packages\0p${i % 7}\0src\0m${i % 31}\0file${i}.ts`),
  prefixes: (i) => utf8("a".repeat(i % 300)),
  bytes: (i) => Uint8Array.of(i >>> 8, i, i * 7).subarray(0, 1 + (i % 3)),
  long: (i) => utf8(`${"x".repeat(600 + (i % 5) * 700)}${i}`),
};

const SPACE = 1500;
const batch = fc.record({
  from: fc.nat(SPACE),
  width: fc.integer({ min: 1, max: SPACE }),
  count: fc.nat(400),
  deletions: fc.constantFrom(0, 0.3, 1),
  valueLength: fc.constantFrom(0, 41, 200, 1000, 1024),
  seed: fc.nat(),
  reopen: fc.boolean(),
});

function* numbers(seed: number): Generator<number> {
  let state = seed | 0;
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    yield (state >>> 8) / 2 ** 24;
  }
}

describe("editTree()", () => {
  it.each(Object.keys(KEY_OF))("gives the root of a rebuild, for keys of the family %s", async (family) => {
    const keyOf = KEY_OF[family]!;
    await fc.assert(
      fc.asyncProperty(
        fc.array(batch, { minLength: 1, maxLength: 5 }),
        fc.constantFrom(0, 1, 2),
        async (batches, mode) => {
          const nodes = new MemoryNodes(mode === 2);
          const model: Model = new Map();
          let tree = Tree.empty(nodes.context(mode === 0 ? undefined : new NodeCache(0)));
          for (const [
            position,
            { from, width, count, deletions, valueLength, seed, reopen },
          ] of batches.entries()) {
            const random = numbers(seed);
            const next = () => random.next().value as number;
            const edits = new Map<string, Uint8Array | undefined>();
            for (let i = 0; i < count; i++) {
              const key = hexKey(keyOf(from + Math.floor(next() * width)));
              const value = new Uint8Array(next() < 0.5 ? valueLength : Math.floor(next() * valueLength));
              edits.set(key, next() < deletions ? undefined : value.fill(position));
            }
            tree = await editTree(tree, sortedEdits(edits, position + 1), {
              position: position + 1,
              emit: nodes.emit,
            });
            for (const [key, value] of edits) {
              if (value === undefined) model.delete(key);
              else model.set(key, value);
            }
            expect(tree.root).toBe(await rootOf(model));
            if (reopen) tree = reopened(tree);
          }
          const entries = await allEntries(reopened(tree));
          expect(entries.map(({ key, value }) => [hexKey(key), hexKey(value)])).toEqual(
            [...model].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [key, hexKey(value)]),
          );
        },
      ),
      { numRuns: 25 },
    );
  });

  it("gives the empty tree when everything is deleted, and grows again from there", async () => {
    const nodes = new MemoryNodes();
    const model: Model = new Map();
    for (let i = 0; i < 20_000; i++) model.set(hexKey(utf8(`k${i}`)), new Uint8Array(i % 90));
    const tree = await editTree(Tree.empty(nodes.context()), sortedEdits(model), {
      position: 1,
      emit: nodes.emit,
    });
    expect(await tree.height()).toBeGreaterThan(1);
    const gone = new Map([...model.keys()].map((key) => [key, undefined]));
    const empty = await editTree(tree, sortedEdits(gone), { position: 2, emit: nodes.emit });
    expect(empty.root).toBe("0".repeat(64));
    const again = await editTree(empty, sortedEdits(model), { position: 3, emit: nodes.emit });
    expect(again.root).toBe(tree.root);
  });

  it("appends after a last node that ended in a real cut, whatever the order and batch size", async () => {
    for (const valueLength of [5, 100, 500, 1000]) {
      const nodes = new MemoryNodes();
      const model: Model = new Map();
      let tree = Tree.empty(nodes.context());
      for (let i = 0; i < 120; i++) {
        const key = hexKey(utf8(`key${String(i).padStart(4, "0")}`));
        model.set(key, new Uint8Array(valueLength));
        tree = await editTree(tree, sortedEdits(new Map([[key, model.get(key)!]])), {
          position: i,
          emit: nodes.emit,
        });
        expect(tree.root).toBe(await rootOf(model));
      }
      for (const key of [...model.keys()].reverse()) {
        model.delete(key);
        tree = await editTree(tree, sortedEdits(new Map([[key, undefined]])), {
          position: 1,
          emit: nodes.emit,
        });
        expect(tree.root).toBe(await rootOf(model));
      }
    }
  });
});
