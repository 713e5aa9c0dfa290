import { beforeAll, describe, expect, test } from "vitest";
import type { Position } from "../../src/core/base/ids.ts";
import { decodeHead, encodeHead, type Head, type RollupRef } from "../../src/core/codec/head.ts";
import { findConflicts } from "../../src/core/forge/landing/conflicts.ts";
import type { ProjectStore } from "../../src/core/forge/project-store.ts";
import { buildRollup } from "../../src/core/forge/rollup/build.ts";
import { dueRollups, uncovered } from "../../src/core/forge/rollup/levels.ts";
import { headKey, rollupKey } from "../../src/core/objects/keys.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import {
  type Fixture,
  landNow,
  makeFixture,
  openFixture,
  operationsOf,
  PROJECT,
} from "../support/project-fixture.ts";
import { rollUp, setRollups } from "../support/rollups.ts";

const DAY_MS = 86_400_000;
const at = (position: number): Position => position as Position;

function ref(level: number, first: number): RollupRef {
  const last = at(first + 10 ** (level + 1) - 1);
  return {
    level,
    first: at(first),
    last,
    epoch: "2026-01-01" as RollupRef["epoch"],
    hash: "ab".repeat(32) as RollupRef["hash"],
  };
}

describe("dueRollups()", () => {
  const due = (position: number, rollups: readonly RollupRef[] = []) =>
    dueRollups({ position: at(position), rollups }).map(({ level, first }) => [level, first]);

  test("names each complete hundred that no rollup stands for, oldest first", () => {
    expect(due(0)).toEqual([]);
    expect(due(99)).toEqual([]);
    expect(due(100)).toEqual([[1, 1]]);
    expect(due(350)).toEqual([
      [1, 1],
      [1, 101],
      [1, 201],
    ]);
    expect(due(350, [ref(1, 101)])).toEqual([
      [1, 1],
      [1, 201],
    ]);
  });

  test("names a parent when all of its ten children are there", () => {
    const ten = Array.from({ length: 10 }, (_, i) => ref(1, 1001 + 100 * i));
    expect(due(2000, [ref(2, 1), ...ten])).toEqual([[2, 1001]]);
    expect(due(2000, [ref(2, 1), ...ten.slice(1)])).toEqual([[1, 1001]]);
    // Ten in a row that are not those of one parent.
    const across = Array.from({ length: 10 }, (_, i) => ref(1, 501 + 100 * i));
    expect(due(1500, across)).toEqual([
      [1, 1],
      [1, 101],
      [1, 201],
      [1, 301],
      [1, 401],
    ]);
  });

  test("names nothing above the largest level", () => {
    const ten = Array.from({ length: 10 }, (_, i) => ref(6, 1 + 10_000_000 * i));
    expect(due(100_000_000, ten)).toEqual([]);
  });

  test("leaves at most nine rollups of a level and a tail of less than a hundred, whatever the length", () => {
    let rollups: RollupRef[] = [];
    for (let position = 100; position <= 23_456; position += 100) {
      for (
        let next = dueRollups({ position: at(position), rollups })[0];
        next !== undefined;
        next = dueRollups({ position: at(position), rollups })[0]
      ) {
        const made = ref(next.level, next.first);
        rollups = [...rollups.filter(({ first }) => first < made.first || first > made.last), made].sort(
          (a, b) => a.first - b.first,
        );
      }
      expect([...uncovered(rollups, at(position))]).toEqual([]);
    }
    expect(rollups.map(({ level }) => level)).toEqual([4 - 1, 3, ...Array(3).fill(2), ...Array(4).fill(1)]);
  });
});

describe("a log of 1,030 landings", () => {
  let fixture: Fixture;
  let unrolled: Head;

  beforeAll(async () => {
    fixture = await makeFixture();
    for (let i = 0; i < 1_030; i++)
      await landNow(fixture.project, { [`d${i % 13}/f${i}`]: "x", hot: `${i}` });
    unrolled = (await fixture.project.snapshot()).head;
  });

  async function reset(): Promise<void> {
    await setRollups(fixture.store, fixture.project, []);
  }

  async function build(level: number, first: number, project: ProjectStore = fixture.project) {
    return await buildRollup({ store: fixture.store }, await project.snapshot(), level, at(first));
  }

  test("is rolled up by two agents to the same objects; who comes second is told so", async () => {
    await reset();
    const other = openFixture(fixture.store, fixture.clock);
    const mine = await build(1, 101);
    const theirs = await build(1, 101, other);
    expect(theirs.ref).toEqual(mine.ref);
    expect(await fixture.project.attach(mine.change)).toBe("applied");
    expect(await other.attach(theirs.change)).toBe("obsolete");
    expect(await fixture.project.attach(mine.change)).toBe("obsolete");
    const { head } = await other.snapshot();
    expect(head.rollups).toEqual([mine.ref]);
    expect(head).toMatchObject({ position: unrolled.position, root: unrolled.root, packs: unrolled.packs });
  });

  test("has the same parent whether it is merged from children, made from the log, or from children that are damaged", async () => {
    await reset();
    const fromLog = await build(2, 1);
    const built = await rollUp(fixture.store, fixture.project);
    const merged = built.find(({ ref: made }) => made.level === 2)!;
    expect(merged.ref).toEqual(fromLog.ref);
    expect((await fixture.project.snapshot()).head.rollups).toEqual([merged.ref]);

    const children = built.filter(({ ref: made }) => made.level === 1 && made.last <= 1000);
    await setRollups(
      fixture.store,
      fixture.project,
      children.map((child) => child.ref),
    );
    const { epoch, level, first, hash } = children[3]!.ref;
    const key = rollupKey(PROJECT, epoch, level, first, hash);
    const stored = (await fixture.store.get(key))!.bytes;
    for (const damage of [stored.slice(0, 100), undefined]) {
      if (damage === undefined) await fixture.store.delete([key]);
      else await fixture.store.put(key, damage);
      const again = await build(2, 1);
      expect(again.ref).toEqual(merged.ref);
      await fixture.store.put(key, stored);
      if (damage !== undefined) continue;
      expect(await fixture.project.attach(again.change)).toBe("applied");
    }
    expect((await fixture.project.snapshot()).head.rollups).toEqual([merged.ref]);
  });

  test("takes no rollup whose children are not the ones in its head", async () => {
    await reset();
    await rollUp(fixture.store, fixture.project);
    const { head } = await fixture.project.snapshot();
    await reset();
    const parent = await build(2, 1);
    await setRollups(fixture.store, fixture.project, head.rollups);
    expect(await fixture.project.attach(parent.change)).toBe("obsolete");
  });

  test("takes no rollup of another history, nor one that it has not reached", async () => {
    const { store, clock, project } = await makeFixture();
    for (let i = 0; i < 100; i++) await landNow(project, { [`f${i}`]: "x" });
    const before = (await store.get(headKey(PROJECT)))!;
    await landNow(project, { last: "one" });
    const { change } = await buildRollup({ store }, await project.snapshot(), 1, at(1));
    // Put back by 51 landings, and then 60 others.
    await putBack(store, before.bytes, 50);
    const restored = openFixture(store, clock);
    expect(await restored.attach(change)).toBe("obsolete");
    for (let i = 0; i < 60; i++) await landNow(restored, { [`g${i}`]: "y" });
    expect(await restored.attach(change)).toBe("obsolete");
    expect((await restored.snapshot()).head.rollups).toEqual([]);
  });

  /** The head as it was at `position`, from a newer one: its packs hold one landing each. */
  async function putBack(store: ObjectStore, bytes: Uint8Array, position: number): Promise<void> {
    const now = (await store.get(headKey(PROJECT)))!;
    const head = decodeHead(bytes);
    const packs = head.packs.filter(({ last }) => last <= position);
    const record = await openFixture(store, fixture.clock)
      .snapshot()
      .then((snapshot) => snapshot.record(at(position)));
    const older = {
      ...head,
      position: at(position),
      root: record.root,
      rootHint: record.rootHint,
      hlc: record.hlc,
      ring: head.ring.slice(0, position),
      packs,
    };
    await store.commit([], { key: headKey(PROJECT), expected: now.etag, bytes: encodeHead(older) });
  }

  test("takes a rollup that was written today or yesterday, not an older one", async () => {
    await reset();
    const { change } = await build(1, 1);
    const snapshot = await fixture.project.snapshot();
    const apply = (days: number) => {
      const storeMs = Date.UTC(2026, 0, 1, 12) + days * DAY_MS;
      return change.apply(snapshot, { epoch: "2026-01-01" as RollupRef["epoch"], storeMs });
    };
    expect(await apply(0)).toMatchObject({ rollups: [{ first: 1 }] });
    expect(await apply(1)).toMatchObject({ rollups: [{ first: 1 }] });
    expect(await apply(2)).toBeUndefined();
    expect(await apply(-1)).toBeUndefined();
  });

  test("stops when it is told to", async () => {
    await reset();
    const signal = AbortSignal.abort();
    const building = buildRollup({ store: fixture.store }, await fixture.project.snapshot(), 2, at(1), {
      signal,
    });
    await expect(building).rejects.toMatchObject({ code: "aborted" });
  });

  test("reads no record for a conflict that a rollup rules out", async () => {
    await reset();
    await rollUp(fixture.store, fixture.project);
    const reads: string[] = [];
    const watched: ObjectStore = Object.create(fixture.store, {
      get: {
        value: (key: string, options?: object) => {
          reads.push(key);
          return fixture.store.get(key, options);
        },
      },
    });
    const snapshot = await openFixture(watched, fixture.clock).snapshot();
    reads.length = 0;
    expect(await findConflicts(snapshot, operationsOf({ "d1/new": "x" }), at(0))).toEqual([]);
    // The tail of 30 landings, each in a pack of its own; the thousand before it in one request.
    expect(reads.filter((key) => key.includes("/landing-log/"))).toHaveLength(1);
    expect(reads.length).toBeLessThan(70);
  });
});
