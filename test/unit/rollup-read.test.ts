import { beforeAll, describe, expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import type { LandingId, ObjectId, Position, SessionId } from "../../src/core/base/ids.ts";
import { comparePaths, isWithin, type TreePath } from "../../src/core/base/path.ts";
import type { RollupRef } from "../../src/core/codec/head.ts";
import { checksumOf, encodeRollupFront, type RollupFront } from "../../src/core/codec/rollup.ts";
import { decodeIndexPage, encodeIndexPage } from "../../src/core/codec/rollup-index.ts";
import type { Operation } from "../../src/core/forge/forge.ts";
import { blame } from "../../src/core/forge/history/blame.ts";
import { recordsMatching } from "../../src/core/forge/history/history.ts";
import { findClashes, findConflicts } from "../../src/core/forge/landing/conflicts.ts";
import type { ProjectStore } from "../../src/core/forge/project-store.ts";
import { ClashQueries } from "../../src/core/forge/rollup/clashes.ts";
import type { RollupPlace } from "../../src/core/forge/rollup/extents.ts";
import { findInRollup, positionsTouching } from "../../src/core/forge/rollup/lookup.ts";
import { type OpenRollup, RollupReader } from "../../src/core/forge/rollup/read.ts";
import { rebuildRollup } from "../../src/core/forge/rollup/rebuild.ts";
import { rollupKey, rollupPartKey } from "../../src/core/objects/keys.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore, ReadOptions } from "../../src/core/store/object-store.ts";
import {
  type Fixture,
  landNow,
  makeFixture,
  openFixture,
  operationsOf,
  PROJECT,
  StillClock,
} from "../support/project-fixture.ts";
import { rollUp, storeRollup, type TouchedEntry } from "../support/rollups.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const EPOCH = "2026-01-01" as RollupRef["epoch"];

describe("a log of 240 landings, two of them large", () => {
  const FILES = 12_000;
  let fixture: Fixture;
  let rollups: readonly RollupRef[];
  let partKeys: readonly string[];
  const ours = operationsOf({
    "big/d7/f1207": "other",
    "big/d8/f1208": "1",
    "big/d9": "a file where they have a directory",
    "big/new": "nobody's",
    "small/5": "other",
    "small/6": "x",
    "small/239": "other",
  });
  const conflicts = ["big/d7/f1207", "big/d9", "small/5", "small/239"].sort(comparePaths);

  beforeAll(async () => {
    fixture = await makeFixture();
    const { project, store } = fixture;
    for (let i = 0; i < 240; i++) {
      const isLarge = i === 30 || i === 60;
      const changes = isLarge
        ? Object.fromEntries(
            Array.from({ length: FILES }, (_, n) => [`big/d${n % 100}/f${n}`, i === 30 ? `${n % 9}` : "1"]),
          )
        : { [`small/${i}`]: "x" };
      await landNow(project, changes);
    }
    const built = await rollUp(store, project);
    rollups = built.map(({ ref }) => ref);
    partKeys = built.flatMap(({ ref, front }) =>
      front.parts.map(({ hash }) => rollupPartKey(PROJECT, ref.epoch, hash)),
    );
  });

  /** What a process that knows nothing finds. */
  async function answers(store: ObjectStore): Promise<{ project: ProjectStore; damaged: number }> {
    const project = openFixture(store, fixture.clock);
    const snapshot = await project.snapshot();
    expect(await findConflicts(snapshot, ours, 61 as Position)).toEqual(
      conflicts.filter((path) => path.startsWith("small/2")),
    );
    expect(await findConflicts(snapshot, ours, 0 as Position)).toEqual(
      [...conflicts, "big/d8/f1208"].sort(comparePaths),
    );
    const found: number[] = [];
    const request = { paths: ["small/5", "big/d7"] as TreePath[] };
    for await (const page of recordsMatching(snapshot, request)) {
      found.push(...page.map(({ position }) => position));
    }
    expect(found).toEqual([61, 31, 6]);
    const { landingId } = await snapshot.record(7 as Position);
    expect((await snapshot.findLanding(landingId, 0 as Position))?.position).toBe(7);
    return { project, damaged: snapshot.rollups.damaged.length };
  }

  async function flipped(key: string, offset: number, then: () => Promise<void>): Promise<void> {
    const { store } = fixture;
    const { bytes } = (await store.get(key))!;
    const changed = bytes.slice();
    changed[offset]! ^= 1 << (offset % 8);
    await store.put(key, changed);
    await then();
    await store.put(key, bytes);
  }

  const frontKey = ({ epoch, level, first, hash }: RollupRef): string =>
    rollupKey(PROJECT, epoch, level, first, hash);

  test("is told by one rollup with parts and one without", async () => {
    expect(rollups.map(({ level, first }) => [level, first])).toEqual([
      [1, 1],
      [1, 101],
    ]);
    expect(partKeys).toHaveLength(1);
    expect((await answers(fixture.store)).damaged).toBe(0);
  });

  test("is read as before when any byte of a front is flipped, which is reported once", async () => {
    for (const ref of rollups) {
      const { bytes } = (await fixture.store.get(frontKey(ref)))!;
      for (let offset = 0; offset < bytes.length; offset += Math.ceil(bytes.length / 6)) {
        await flipped(frontKey(ref), offset, async () => {
          expect((await answers(fixture.store)).damaged).toBe(1);
        });
      }
    }
  });

  test("is read as before when any byte of a part is flipped, which is found where it is read", async () => {
    const key = partKeys[0]!;
    const { bytes } = (await fixture.store.get(key))!;
    let found = 0;
    for (let offset = 5; offset < bytes.length; offset += Math.ceil(bytes.length / 25)) {
      await flipped(key, offset, async () => {
        found += (await answers(fixture.store)).damaged;
      });
    }
    expect(found).toBeGreaterThan(3);
  });

  test("is read as before when a front or a part is missing, or cut short", async () => {
    const { store } = fixture;
    for (const key of [...rollups.map(frontKey), ...partKeys]) {
      const { bytes } = (await store.get(key))!;
      await store.delete([key]);
      expect((await answers(store)).damaged, key).toBe(1);
      await store.put(key, bytes.slice(0, 3000));
      expect((await answers(store)).damaged, key).toBe(1);
      await store.put(key, bytes);
    }
  });

  test("does not fall back where only a cache is damaged: the store is asked once more", async () => {
    /** A cache whose copies of rollups are all damaged, until it is told to look again. */
    class BadCache extends CountingStore {
      override async get(key: string, options?: ReadOptions) {
        const found = await super.get(key, options);
        if (found === undefined || options?.fresh === true || !key.includes("/landing-log/")) return found;
        const bytes = found.bytes.slice();
        bytes[bytes.length >> 1]! ^= 1;
        return { ...found, bytes };
      }
    }
    expect((await answers(new BadCache(fixture.store))).damaged).toBe(0);
  });

  test("names a rollup that is damaged, and has it repaired from the log", async () => {
    const { store } = fixture;
    const key = frontKey(rollups[0]!);
    const { bytes } = (await store.get(key))!;
    await store.put(key, bytes.slice(1));
    const project = openFixture(store, fixture.clock);
    const damaged = await project.snapshot();
    await damaged.rollups.open(rollups[0]!);
    expect(damaged.rollups.damaged).toMatchObject([{ ref: rollups[0] }]);
    expect(await rebuildRollup({ store }, project, rollups[0]!)).toBe("rebuilt");
    expect((await store.get(key))!.bytes).toEqual(bytes);
    expect((await project.snapshot()).rollups.damaged).toEqual([]);
    expect((await answers(store)).damaged).toBe(0);
  });

  test("finds a session and a landing of long ago without the log between", async () => {
    const counting = new CountingStore(fixture.store);
    const snapshot = await openFixture(counting, fixture.clock).snapshot();
    const { session, landingId } = await snapshot.record(3 as Position);
    counting.reset();
    expect(await snapshot.landingOfSession(session, 0 as Position)).toBe(3);
    expect(await snapshot.landingOfSession("0".repeat(32) as SessionId, 0 as Position)).toBeUndefined();
    // The tail of 40 landings, each in a pack of its own, and two fronts.
    expect(counting.reads).toBeLessThanOrEqual(40 + 2 + 3);
    counting.reset();
    expect((await snapshot.findLanding(landingId, 0 as Position))?.position).toBe(3);
    expect(counting.reads).toBeLessThanOrEqual(3);
  });

  test("asks for what many want at once only once", async () => {
    const counting = new CountingStore(fixture.store);
    const project = openFixture(counting, fixture.clock);
    const snapshot = await project.snapshot();
    const reader = new RollupReader({ store: counting, project: PROJECT }, 32 << 20);
    const opened = (await reader.open(rollups[0]!))!;
    counting.reset();
    const queries = new ClashQueries(ours);
    await Promise.all(
      Array.from({ length: 20 }, () => queries.search(opened, 0 as Position, () => undefined)),
    );
    const once = counting.reads;
    expect(once).toBeGreaterThan(0);
    expect(once).toBeLessThanOrEqual(6);
    await queries.search(opened, 0 as Position, () => undefined);
    expect(counting.reads).toBe(once);
    expect(snapshot.head.rollups).toHaveLength(2);
  });

  test("keeps to its budget of memory, and answers the same with next to none", async () => {
    const reader = new RollupReader({ store: fixture.store, project: PROJECT }, 64 << 10);
    for (let round = 0; round < 3; round++) {
      for (const ref of rollups) {
        const opened = (await reader.open(ref))!;
        const found = new Set<string>();
        await new ClashQueries(ours).search(opened, 0 as Position, (path) => found.add(path));
        const first = ["big/d7/f1207", "big/d8/f1208", "big/d9", "small/5"];
        expect([...found].sort(comparePaths)).toEqual(ref.first === 1 ? first.sort(comparePaths) : []);
      }
    }
    // A few entries above half the budget are kept beside it.
    expect(reader.heldBytes).toBeLessThan(2 << 20);
  });
});

describe("a rollup with one path that was touched thousands of times", () => {
  const FIRST = 10_001 as Position;
  const LEVEL = 3;
  const id = (n: number): string => n.toString(16).padStart(2, "0").repeat(32);
  const entries: TouchedEntry[] = [];
  for (let position = 0; position < 10_000; position++) {
    entries.push({ path: "hot", position, id: id(position < 9000 ? 1 : 2) });
    entries.push({ path: `cold/dir ${position % 40}/file ${position}`, position, id: id(3) });
    if (position % 100 === 0) entries.push({ path: `gone/dir/${position}`, position, id: undefined });
  }
  const place = { store: new MemoryStore(new StillClock()), project: PROJECT, epoch: EPOCH };
  let rollup: OpenRollup;

  beforeAll(async () => {
    const { ref } = await storeRollup(place, LEVEL, FIRST, entries);
    rollup = (await new RollupReader(place, 32 << 20).open(ref))!;
  });

  function put(path: string, n: number): Operation {
    const entry = { kind: "file", size: 1, id: id(n) as ObjectId } as const;
    return { kind: "put", path: path as TreePath, entry, hint: 0 };
  }

  async function clashes(base: number, ...operations: Operation[]): Promise<string[]> {
    const found = new Set<string>();
    const sorted = operations.sort((a, b) => comparePaths(a.path, b.path));
    await new ClashQueries(sorted).search(rollup, base as Position, (path) => found.add(path));
    return [...found].sort(comparePaths);
  }

  test("tells exactly after which base it was set to something else", async () => {
    const at = (position: number): number => FIRST + position;
    expect(await clashes(0, put("hot", 1))).toEqual(["hot"]);
    expect(await clashes(0, put("hot", 2))).toEqual(["hot"]);
    expect(await clashes(at(8998), put("hot", 2))).toEqual(["hot"]);
    expect(await clashes(at(8999), put("hot", 2))).toEqual([]);
    expect(await clashes(at(8999), put("hot", 1))).toEqual(["hot"]);
    expect(await clashes(at(9998), put("hot", 1))).toEqual(["hot"]);
    expect(await clashes(at(8999), { kind: "delete", path: "hot" as TreePath })).toEqual(["hot"]);
  });

  test("tells files from directories on either side", async () => {
    expect(
      await clashes(0, put("cold", 1), put("hot/below", 1), put("gone", 1), put("gone/dir/0/x", 1)),
    ).toEqual(["cold", "hot/below"]);
    const last = FIRST + 9999 - 1;
    expect(await clashes(last, put("cold", 1), put("cold/dir 39", 1), put("cold/dir 3", 1))).toEqual([
      "cold",
      "cold/dir 39",
    ]);
  });

  test("answers as a scan of its entries does, from any base", async () => {
    const landings = new Map<number, Operation[]>();
    for (const { path, position, id: set } of entries) {
      const list = landings.get(position) ?? [];
      landings.set(position, list);
      list.push(
        set === undefined
          ? { kind: "delete", path: path as TreePath }
          : put(path, Number.parseInt(set.slice(0, 2), 16)),
      );
    }
    for (const list of landings.values()) list.sort((a, b) => comparePaths(a.path, b.path));
    for (let base = FIRST - 1; base < FIRST + 10_000; base += 1237) {
      const mine = [
        put("hot", 2),
        put(`cold/dir 7/file ${7 + 40 * 100}`, 3),
        put(`cold/dir 8/file ${8 + 40 * 200}`, 9),
        put("cold/dir 9", 1),
        put("gone/dir", 1),
        put("zzz", 1),
      ];
      const expected = new Set<string>();
      for (const [position, list] of landings) {
        if (FIRST + position > base)
          findClashes(
            [...mine].sort((a, b) => comparePaths(a.path, b.path)),
            list,
            (path) => expected.add(path),
          );
      }
      expect(await clashes(base, ...mine)).toEqual([...expected].sort(comparePaths));
    }
  });

  test("finds positions of a path and of a directory, and leaves to the log what is everywhere", async () => {
    const all = [FIRST, (FIRST + 9999) as Position] as const;
    const touching = (path: string) =>
      positionsTouching(rollup, [path as TreePath], (all[0] - 1) as Position, all[1]);
    expect(await touching("cold/dir 3/file 43")).toEqual([FIRST + 43]);
    expect(await touching("hot")).toHaveLength(10_000);
    const inDirectory = entries.filter(({ path }) => isWithin(path, "cold/dir 3"));
    expect(await touching("cold/dir 3")).toEqual(
      inDirectory.map(({ position }) => FIRST + position).reverse(),
    );
    expect(await touching("gone/dir")).toHaveLength(100);
    expect(await touching("gone/dir/100")).toEqual([FIRST + 100]);
    expect(await touching("gone/dir/101")).toEqual([]);
  });

  test.each([
    ["without bits", () => new Uint8Array(0)],
    ["with a number of probes alone", () => new Uint8Array([10])],
    ["without probes", (filter: Uint8Array) => filter.map((byte, i) => (i === 0 ? 0 : byte))],
    ["with all ones", (filter: Uint8Array) => filter.map((byte, i) => (i === 0 ? byte : 255))],
    ["with 255 probes of all ones", (filter: Uint8Array) => new Uint8Array(filter.length).fill(255)],
  ])("misses no conflict and no position with filters %s", async (_, change) => {
    const usual = rollup;
    rollup = await withFilters(place, usual.front, change);
    expect(await clashes(FIRST + 8999, put("hot", 1), put("hot-", 1))).toEqual(["hot"]);
    expect(await clashes(0, put("cold", 1), put("cold/dir 9/file 9", 1), put("nobody", 1))).toEqual([
      "cold",
      "cold/dir 9/file 9",
    ]);
    expect(
      await positionsTouching(rollup, ["gone/dir/100" as TreePath], 0 as Position, 99_999 as Position),
    ).toEqual([FIRST + 100]);
    expect(await findInRollup(rollup, "landings", "5".padStart(32, "0") as LandingId)).toBe(FIRST + 5);
    expect(await findInRollup(rollup, "landings", "f".repeat(32) as LandingId)).toBeUndefined();
    rollup = usual;
  });

  test("finds every id, and none that is not there", async () => {
    for (const position of [0, 1, 1023, 1024, 1025, 5000, 9999]) {
      const landingId = position.toString(16).padStart(32, "0") as LandingId;
      expect(await findInRollup(rollup, "landings", landingId)).toBe(FIRST + position);
    }
    expect(await findInRollup(rollup, "landings", "f".repeat(32) as LandingId)).toBeUndefined();
    expect(
      await findInRollup(rollup, "sessions", (10_000).toString(16).padStart(32, "0") as LandingId),
    ).toBeUndefined();
  });
});

test("a rollup of the longest paths is written and read", async () => {
  const place = { store: new MemoryStore(new StillClock()), project: PROJECT, epoch: EPOCH };
  const path = (n: number): string => `${"long directory/".repeat(272)}${String(n).padStart(12, "0")}`;
  const entries = Array.from(
    { length: 6000 },
    (_, n): TouchedEntry => ({ path: path(n), position: n, id: "ab".repeat(32) }),
  );
  const { ref } = await storeRollup(place, 3, 1 as Position, entries);
  const rollup = (await new RollupReader(place, 32 << 20).open(ref))!;
  expect(rollup.front.tables.touched.pages.length).toBeGreaterThan(1);
  for (const n of [0, 1, 63, 64, 65, 5998, 5999]) {
    expect(await positionsTouching(rollup, [path(n) as TreePath], 0 as Position, 10_000 as Position)).toEqual(
      [n + 1],
    );
  }
  expect(
    await positionsTouching(rollup, [path(6000) as TreePath], 0 as Position, 10_000 as Position),
  ).toEqual([]);
});

/** The same rollup with other filters, as a writer of ill will could have stored it. */
async function withFilters(
  place: RollupPlace,
  front: RollupFront,
  change: (filter: Uint8Array) => Uint8Array,
): Promise<OpenRollup> {
  const inlineAt = front.parts.reduce((sum, { length }) => sum + length, 0);
  const pages: Uint8Array[] = [];
  let end = inlineAt;
  const tables = Object.fromEntries(
    Object.entries(front.tables).map(([name, table]) => {
      const changed = table.pages.map(({ offset, length }) => {
        const bytes = front.inline.subarray(offset - inlineAt, offset - inlineAt + length);
        const { keys, positions, blocks, filters } = decodeIndexPage(bytes);
        const page = encodeIndexPage(
          blocks.map((block, i) => {
            return { ...block, key: keys.key(i), position: positions[i]!, filter: change(filters[i]!) };
          }),
        );
        pages.push(page);
        end += page.length;
        return { offset: end - page.length, length: page.length, checksum: checksumOf(page) };
      });
      return [name, { ...table, pages: changed }];
    }),
  ) as unknown as RollupFront["tables"];
  const bytes = encodeRollupFront({ ...front, tables, inline: Buffer.concat(pages) });
  const hash = hashObject(bytes);
  const ref: RollupRef = { level: front.level, first: front.first, last: front.first, epoch: EPOCH, hash };
  await place.store.put(rollupKey(place.project, EPOCH, front.level, front.first, hash), bytes);
  return (await new RollupReader(place, 32 << 20).open(ref))!;
}

test("blame follows a file through its names, over rollups as without them", async () => {
  const { project, store, clock } = await makeFixture();
  const lines = (n: number): string =>
    Array.from({ length: 12 }, (_, i) => `${i} ${n >= i * 20 ? 1 : 0}`).join("\n");
  for (let n = 0; n < 240; n++) {
    const name = n < 120 ? "old/name" : "new/name";
    if (n === 120) await landNow(project, { "old/name": undefined, [name]: lines(119) });
    else if (n % 3 === 0) await landNow(project, { [name]: lines(n), other: `${n}` });
    else await landNow(project, { [`beside/${n}`]: "x" });
  }
  const blamed = async () => {
    const reader = openFixture(store, clock);
    const context = {
      store,
      clock,
      random: new SeededRandom(1),
      project: () => reader,
      requireProject: async () => undefined,
    };
    const result = await blame(context, PROJECT, 240 as Position, "new/name" as TreePath);
    return { result, damaged: (await reader.snapshot()).rollups.damaged };
  };
  const before = await blamed();
  expect(new Set(before.result.map(({ position }) => position)).size).toBeGreaterThan(3);
  await rollUp(store, project);
  expect(await blamed()).toEqual(before);
});
