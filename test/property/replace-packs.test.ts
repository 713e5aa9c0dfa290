import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Epoch, PackId, Position } from "../../src/core/base/ids.ts";
import type { ManifestPack } from "../../src/core/codec/pack-entry.ts";
import {
  appendPacks,
  HEAD_PACKS_MAX,
  Manifest,
  PAGE_FANOUT,
  type PackLists,
  PageCache,
} from "../../src/core/forge/head/manifest.ts";
import { replacePacks } from "../../src/core/forge/head/replace-packs.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { Put } from "../../src/core/store/object-store.ts";
import { PROJECT, StillClock } from "../support/project-fixture.ts";

const epoch = "2026-01-01" as Epoch;

/** Lists beside the plain array that they stand for. */
class Model {
  readonly store = new MemoryStore(new StillClock());
  lists: PackLists = { pages: [], packs: [] };
  packs: ManifestPack[] = [];
  position = 0;
  #made = 0;

  pack(first: number, last: number, hasRecords: boolean): ManifestPack {
    const pack = (++this.#made).toString(16).padStart(64, "0") as PackId;
    const size = 1000;
    return {
      pack,
      epoch,
      hasRecords,
      first: first as Position,
      last: last as Position,
      size,
      indexLength: 100,
    };
  }

  /** A batch of landings with what was uploaded for it. */
  async land(count: number, uploads: number): Promise<void> {
    const first = this.position + 1;
    this.position += count;
    const added: ManifestPack[] = [];
    for (let i = 0; i < uploads; i++)
      added.push(this.pack(first, first + Math.floor((i * count) / uploads), false));
    added.push(this.pack(first, this.position, true));
    // A cache of its own each time: whatever is not stored would be missed.
    const place = { project: PROJECT, epoch, cache: new PageCache(this.store, PROJECT) };
    const { puts, ...lists } = appendPacks(this.lists, added, place);
    await this.#take(lists, puts);
    this.packs.push(...added);
  }

  /** Merges the packs from `from` on, the last of which has records; keeps content packs where `keep` says so. */
  async merge(from: number, count: number, keep: (index: number) => boolean): Promise<void> {
    let end = Math.min(this.packs.length, from + count);
    while (end > from && !this.packs[end - 1]!.hasRecords) end--;
    const removed = this.packs.slice(from, end).filter((pack, i) => pack.hasRecords || !keep(i));
    if (removed.length === 0) return;
    const merged = this.pack(Math.min(...removed.map(({ first }) => first)), removed.at(-1)!.last, true);
    const place = { project: PROJECT, epoch, cache: new PageCache(this.store, PROJECT) };
    const replaced = await replacePacks(this.lists, { removed, added: [merged] }, place);
    if (replaced === undefined) throw new Error("what is listed was not found");
    const { puts, ...lists } = replaced;
    await this.#take(lists, puts);
    const gone = new Set(removed);
    const at = this.packs.indexOf(removed.at(-1)!);
    this.packs.splice(at + 1, 0, merged);
    this.packs = this.packs.filter((pack) => !gone.has(pack));
  }

  async #take(lists: PackLists, puts: readonly Put[]): Promise<void> {
    for (const { key, bytes } of puts) await this.store.put(key, bytes);
    this.lists = lists;
  }

  async check(): Promise<void> {
    const { pages, packs } = this.lists;
    expect(packs.length).toBeLessThanOrEqual(HEAD_PACKS_MAX);
    const levels = pages.map(({ level }) => level);
    expect(levels).toEqual(levels.toSorted((a, b) => b - a));
    for (const level of new Set(levels)) {
      expect(levels.filter((each) => each === level).length).toBeLessThanOrEqual(PAGE_FANOUT);
    }
    const manifest = new Manifest(this.lists, new PageCache(this.store, PROJECT));
    const listed: ManifestPack[] = [];
    for await (const page of manifest.newestFirst()) listed.push(...page);
    expect(listed.reverse()).toEqual(this.packs);
    for (let position = 1; position <= this.position; position += 1 + Math.floor(this.position / 50)) {
      const found = await manifest.at(position);
      const expected = this.packs.filter(({ first, last }) => first <= position && position <= last);
      expect(new Set(found)).toEqual(new Set(expected));
      expect((await manifest.recordPack(position as Position)).first).toBeLessThanOrEqual(position);
    }
  }
}

const step = fc.oneof(
  fc.record({
    kind: fc.constant("land" as const),
    times: fc.integer({ min: 1, max: 400 }),
    count: fc.integer({ min: 1, max: 5 }),
    uploads: fc.integer({ min: 0, max: 3 }),
  }),
  fc.record({
    kind: fc.constant("merge" as const),
    from: fc.double({ min: 0, max: 1, noNaN: true }),
    count: fc.integer({ min: 1, max: 3000 }),
    keep: fc.boolean(),
  }),
);

describe("replacePacks()", () => {
  test("lists what a plain array lists, after any landings and merges", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 12 }), async (steps) => {
        const model = new Model();
        for (const each of steps) {
          if (each.kind === "land") {
            for (let i = 0; i < each.times; i++) await model.land(each.count, each.uploads);
          } else {
            const from = Math.floor(each.from * model.packs.length);
            await model.merge(from, each.count, (i) => each.keep && i % 5 === 0);
          }
          await model.check();
        }
      }),
      { numRuns: 40 },
    );
  });

  test("a long history shrinks to a head without pages", async () => {
    const model = new Model();
    for (let i = 0; i < 9000; i++) await model.land(1, 0);
    expect(model.lists.pages.some(({ level }) => level === 1)).toBe(true);
    for (let from = 0; from + 1 < model.packs.length; from++) await model.merge(from, 500, () => false);
    await model.check();
    expect(model.packs.length).toBe(18);
    expect(model.lists.pages).toEqual([]);
  });

  test("writes only the pages that change", async () => {
    const model = new Model();
    for (let i = 0; i < 3000; i++) await model.land(1, 0);
    const place = { project: PROJECT, epoch, cache: new PageCache(model.store, PROJECT) };
    const removed = model.packs.slice(130, 140);
    const added = [model.pack(131, 140, true)];
    const replaced = await replacePacks(model.lists, { removed, added }, place);
    expect(replaced!.puts.length).toBe(1);
    expect(replaced!.pages.length).toBe(model.lists.pages.length);
    expect(replaced!.packs).toBe(model.lists.packs);
  });

  test("is undefined when one of them is not listed any more", async () => {
    const model = new Model();
    for (let i = 0; i < 300; i++) await model.land(1, 0);
    const removed = model.packs.slice(100, 220);
    await model.merge(150, 3, () => false);
    const place = { project: PROJECT, epoch, cache: new PageCache(model.store, PROJECT) };
    const added = [model.pack(101, 220, true)];
    expect(await replacePacks(model.lists, { removed, added }, place)).toBeUndefined();
    await model.check();
  });
});
