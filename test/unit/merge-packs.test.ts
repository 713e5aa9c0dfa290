import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { Epoch, ObjectId, PackId, Position } from "../../src/core/base/ids.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { decodePackIndex } from "../../src/core/codec/pack.ts";
import type { ManifestPack } from "../../src/core/codec/pack-entry.ts";
import type { PackIndex } from "../../src/core/codec/pack-index.ts";
import { PageCache } from "../../src/core/forge/head/manifest.ts";
import { type MergedPack, mergePacks } from "../../src/core/forge/merge-packs/merge-packs.ts";
import { Pace } from "../../src/core/forge/merge-packs/pace.ts";
import { MERGE_PACKS_MAX, MERGE_TIERS, planMerges } from "../../src/core/forge/merge-packs/plan.ts";
import { replaceWithMerged } from "../../src/core/forge/merge-packs/replace-change.ts";
import type { ProjectStore } from "../../src/core/forge/project-store.ts";
import { packKey } from "../../src/core/objects/keys.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { filesOf, idsOf, landNow, makeFixture, openFixture, PROJECT } from "../support/project-fixture.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const epoch = "2026-01-01" as Epoch;
const KIB = 1 << 10;
const MIB = 1 << 20;

function packOf(position: number, size: number, hasRecords = true): ManifestPack {
  const pack = `${hasRecords ? "a" : "b"}${position.toString(16)}x${size}`.padEnd(64, "0") as PackId;
  return {
    pack,
    epoch,
    hasRecords,
    first: position as Position,
    last: position as Position,
    size,
    indexLength: 100,
  };
}

/** Landings of these sizes, each of one position. */
function packsOf(sizes: readonly number[]): ManifestPack[] {
  return sizes.map((size, i) => packOf(i + 1, size));
}

function rangesOf(runs: readonly (readonly ManifestPack[])[]): string[] {
  return runs.map((run) => `${run[0]!.first}-${run.at(-1)!.last}`);
}

describe("planMerges()", () => {
  test("waits until a tier has enough packs", () => {
    for (const [tier, { below, count }] of MERGE_TIERS.entries()) {
      const size = tier === 0 ? KIB : MERGE_TIERS[tier - 1]!.below;
      expect(size).toBeLessThan(below);
      const packs = packsOf(Array.from({ length: count - 1 }, () => size));
      if (tier < 3) expect(planMerges(packs)).toEqual([]);
      expect(planMerges([...packs, packOf(count, size)]).flat().length).toBeGreaterThanOrEqual(
        Math.min(count, 4),
      );
    }
  });

  test("a due tier takes with it what is smaller in between, and nothing that is full", () => {
    const sizes = [64 * MIB, ...Array.from({ length: 8 }, () => [2 * MIB, KIB]).flat(), 70 * MIB, KIB];
    expect(rangesOf(planMerges(packsOf(sizes)))).toEqual(["2-17"]);
  });

  test("cuts a run where one merge would be too much", () => {
    const many = planMerges(packsOf(Array.from({ length: 2500 }, () => 100)));
    expect(many.map(({ length }) => length)).toEqual([
      MERGE_PACKS_MAX,
      MERGE_PACKS_MAX,
      2500 - 2 * MERGE_PACKS_MAX,
    ]);
    const large = planMerges(packsOf(Array.from({ length: 9 }, () => 40 * MIB)));
    expect(large.map(({ length }) => length)).toEqual([3, 3, 3]);
    const small = planMerges(packsOf(Array.from({ length: 100 }, () => 10 * KIB)), { bytesMax: 400 * KIB });
    expect(small.map(({ length }) => length)).toEqual([40, 40]);
  });

  test("what has a large index stays as it is, and no merge makes one that is much larger", () => {
    const indexed = (count: number, indexLength: number): ManifestPack[] =>
      packsOf(Array.from({ length: count }, () => 300 * KIB)).map((pack) => ({ ...pack, indexLength }));
    expect(planMerges(indexed(40, 2 * MIB))).toEqual([]);
    const runs = planMerges(indexed(40, 400 * KIB));
    expect(runs.map(({ length }) => length)).toEqual([10, 10, 10, 10]);
  });

  test("a run ends with records; content before them may be left out where it is large", () => {
    const packs = [packOf(1, KIB), packOf(2, 80 * MIB, false), packOf(2, KIB), packOf(3, KIB, false)];
    expect(planMerges(packs, { all: true })).toEqual([[packs[0], packs[2]]]);
  });

  test("the content of one large landing is merged by itself", () => {
    const packs = [...Array.from({ length: 40 }, () => packOf(1, 8 * MIB, false)), packOf(1, KIB)];
    const runs = planMerges(packs);
    expect(runs.map(({ length }) => length)).toEqual([16, 16, 9]);
    expect(runs.flat().length).toBe(packs.length);
  });

  test("records have no gaps: a pack that is left apart divides", () => {
    const packs = packsOf(Array.from({ length: 70 }, () => KIB));
    expect(rangesOf(planMerges(packs, { excluded: new Set([packs[34]!.pack]) }))).toEqual(["1-34", "36-70"]);
  });

  test("a history of equal landings is written again four times at most, and leaves some dozens of packs", () => {
    let packs: ManifestPack[] = [];
    const written = new Map<number, number>();
    let made = 0;
    for (let position = 1; position <= 20_000; position++) {
      packs.push(packOf(position, 5 * KIB));
      for (let runs = planMerges(packs); runs.length > 0; runs = planMerges(packs)) {
        const run = runs[0]!;
        const size = run.reduce((sum, each) => sum + each.size, 0);
        const last = run.at(-1)!.last;
        for (let each: number = run[0]!.first; each <= last; each++)
          written.set(each, (written.get(each) ?? 0) + 1);
        const merged = { ...packOf(++made, size), first: run[0]!.first, last };
        packs = packs.flatMap((pack) => (pack === run.at(-1) ? [merged] : run.includes(pack) ? [] : [pack]));
      }
    }
    expect(packs.length).toBeLessThan(64);
    expect(Math.max(...written.values())).toBeLessThanOrEqual(4);
  });
});

interface Merge extends MergedPack {
  readonly index: PackIndex;
  readonly entries: readonly ManifestPack[];
}

async function merge(
  project: ProjectStore,
  store: ObjectStore,
  some?: (all: readonly ManifestPack[]) => readonly ManifestPack[],
): Promise<Merge> {
  const { head } = await project.snapshot();
  const entries = some?.(head.packs) ?? head.packs;
  const pace = new Pace(systemClock);
  const merged = await mergePacks({ store, project: PROJECT, entries, salt: head.salt, pace });
  const index = decodePackIndex(merged.bytes.subarray(merged.bytes.length - merged.entry.indexLength));
  return { ...merged, index, entries };
}

async function attach(project: ProjectStore, store: ObjectStore, { entry, bytes, entries }: Merge) {
  await store.put(packKey(PROJECT, epoch, entry.pack), bytes);
  const pages = new PageCache(store, PROJECT);
  const change = replaceWithMerged(
    { removed: entries, merged: { ...entry, epoch } },
    { project: PROJECT, pages },
  );
  return await project.attach(change);
}

function frameOf(index: PackIndex, text: string): number {
  return index.find(hashObject(utf8(text)))!.frame;
}

/** Text that does not compress away, in versions that share most of it. */
function version(name: string, number: number): string {
  return `${name} ${number}\n`.repeat(40);
}

describe("mergePacks()", () => {
  test("holds every object of the run once, and the records of its positions", async () => {
    const { project, store } = await makeFixture();
    for (let i = 1; i <= 30; i++)
      await landNow(project, { [`f${i % 4}`]: `content ${i % 7}`, other: `${i}` });
    const merged = await merge(project, store);
    const ids = new Set<ObjectId>();
    for (const entry of merged.entries) {
      const { bytes } = (await store.get(packKey(PROJECT, entry.epoch, entry.pack)))!;
      for (const id of decodePackIndex(bytes.subarray(bytes.length - entry.indexLength)).ids()) ids.add(id);
    }
    expect(merged.index.ids().sort()).toEqual([...ids].sort());
    expect(merged.entry).toMatchObject({ hasRecords: true, first: 1, last: 30, size: merged.bytes.length });
    expect(merged.index.rowsOfKind("record")).toEqual(Array.from({ length: 30 }, (_, i) => i));
  });

  test("versions of a file share a frame, by path; the newest ones stand apart", async () => {
    const { project, store } = await makeFixture();
    for (let i = 1; i <= 6; i++)
      await landNow(project, { a: version("a", i), b: version("b", i), c: version("c", 1) });
    await landNow(project, { b: undefined });
    const { index } = await merge(project, store);
    const older = [1, 2, 3, 4, 5].flatMap((i) => [
      frameOf(index, version("a", i)),
      frameOf(index, version("b", i)),
    ]);
    expect(new Set(older).size).toBe(1);
    expect(frameOf(index, version("b", 6))).toBe(older[0]);
    const newest = frameOf(index, version("a", 6));
    expect(newest).not.toBe(older[0]);
    expect(frameOf(index, version("c", 1))).toBe(newest);
    const texts = index.objectsOfFrame(older[0]!).map(({ id }) => id);
    const expected = ["a", "b"].flatMap((name) =>
      Array.from({ length: name === "a" ? 5 : 6 }, (_, i) => hashObject(utf8(version(name, i + 1)))),
    );
    expect(texts).toEqual(expected);
  });

  test("two agents make the same pack", async () => {
    const { project, store, clock } = await makeFixture();
    for (let i = 1; i <= 20; i++) await landNow(project, { [`f${i % 3}`]: version("x", i) });
    const first = await merge(project, store);
    const second = await merge(openFixture(store, clock), store);
    expect(second.entry).toEqual(first.entry);
  });

  test("merged packs merge again, with what landed since", async () => {
    const { project, store, clock } = await makeFixture();
    for (let i = 1; i <= 10; i++) await landNow(project, { [`f${i}`]: version("x", i) });
    expect(await attach(project, store, await merge(project, store))).toBe("applied");
    for (let i = 11; i <= 20; i++) await landNow(project, { [`f${i}`]: version("x", i) });
    expect(await attach(project, store, await merge(project, store))).toBe("applied");
    const reader = openFixture(store, clock);
    const { head } = await reader.snapshot();
    expect(head.packs.map(({ first, last }) => [first, last])).toEqual([[1, 20]]);
    const expected: Record<string, string> = {};
    for (let i = 1; i <= 20; i++) {
      expected[`f${i}`] = version("x", i);
      expect(await filesOf(reader, i)).toEqual(idsOf(expected));
      expect((await (await reader.snapshot()).record(i as Position)).position).toBe(i);
    }
  });

  test("large histories keep records in several frames, and a log reads across them", async () => {
    const { project, store, clock } = await makeFixture();
    const random = new SeededRandom(7);
    const goal = () => Buffer.from(random.bytes(3000)).toString("hex");
    for (let i = 1; i <= 60; i++) await landNow(project, { a: `${i}` }, { goal: goal() });
    const merged = await merge(project, store);
    await attach(project, store, merged);
    const snapshot = await openFixture(store, clock).snapshot();
    const { index } = merged;
    expect(index.frameOfRow(59)).toBeGreaterThan(index.frameOfRow(0));
    const seen: number[] = [];
    for await (const page of snapshot.records(3 as Position, 60 as Position))
      seen.push(...page.map(({ position }) => position));
    expect(seen).toEqual(Array.from({ length: 57 }, (_, i) => 60 - i));
    for (const position of [31, 1, 60, 17])
      expect((await snapshot.record(position as Position)).position).toBe(position);
  });

  test("replacing what another agent has replaced is obsolete", async () => {
    const { project, store, clock } = await makeFixture();
    for (let i = 1; i <= 10; i++) await landNow(project, { a: `${i}` });
    const other = openFixture(store, clock);
    const [mine, theirs] = [await merge(project, store), await merge(other, store, (all) => all.slice(2, 6))];
    expect(await attach(other, store, theirs)).toBe("applied");
    expect(await attach(project, store, mine)).toBe("obsolete");
    expect((await project.snapshot()).head.packs.length).toBe(7);
  });

  test("a merged pack of the day before yesterday is not named", async () => {
    const { project, store, clock } = await makeFixture();
    for (let i = 1; i <= 4; i++) await landNow(project, { a: `${i}` });
    const merged = await merge(project, store);
    clock.ms += 2 * 86_400_000;
    expect(await attach(project, store, merged)).toBe("obsolete");
  });

  test("refuses a damaged pack, and one that is gone", async () => {
    const { project, store } = await makeFixture();
    for (let i = 1; i <= 5; i++) await landNow(project, { a: `${i}` });
    const { epoch: day, pack } = (await project.snapshot()).head.packs[2]!;
    const key = packKey(PROJECT, day, pack);
    const { bytes } = (await store.get(key))!;
    const damaged = new Uint8Array(bytes);
    damaged[20]! ^= 1;
    await store.delete([key]);
    await store.put(key, damaged);
    await expect(merge(project, store)).rejects.toMatchObject({ code: "corrupt" });
    await store.delete([key]);
    await expect(merge(project, store)).rejects.toMatchObject({ code: "not-found" });
  });

  test("refuses packs whose records have a gap", async () => {
    const { project, store } = await makeFixture();
    for (let i = 1; i <= 5; i++) await landNow(project, { a: `${i}` });
    const merged = merge(project, store, (all) => all.filter((_, i) => i !== 2));
    await expect(merged).rejects.toMatchObject({ code: "corrupt" });
  });
});
