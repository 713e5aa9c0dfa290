import { beforeAll, describe, expect, test } from "vitest";
import { type LandingId, POSITION_ZERO, type Position } from "../../src/core/base/ids.ts";
import type { RollupRef } from "../../src/core/codec/head.ts";
import { decodeRollupFront } from "../../src/core/codec/rollup.ts";
import type { LandRequest } from "../../src/core/forge/forge.ts";
import { findConflicts } from "../../src/core/forge/landing/conflicts.ts";
import type { Snapshot } from "../../src/core/forge/log/snapshot.ts";
import type { ProjectStore } from "../../src/core/forge/project-store.ts";
import { buildRollup } from "../../src/core/forge/rollup/build.ts";
import { dueRollups } from "../../src/core/forge/rollup/levels.ts";
import { rollupKey } from "../../src/core/objects/keys.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore, ReadOptions } from "../../src/core/store/object-store.ts";
import {
  EMPTY_BASE,
  landRequest,
  newest,
  openFixture,
  operationsOf,
  PROJECT,
  StillClock,
} from "../support/project-fixture.ts";
import { rollUp } from "../support/rollups.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const MOMENTS = ["before", "after"] as const;
const REQUESTS_MAX = 120;
/** As many paths as make a table of touched paths that is stored in parts. */
const MANY_PATHS = 16_000;
const PART_KEY = /\/landing-log\/parts\//;
/** Of the ten rollups. */
const GONE = 4;

const clock = new StillClock();

interface Scenario {
  readonly name: string;
  readonly atomicCommit: boolean;
  /** Landings in the log. */
  readonly landings: number;
  /** Rollups of a hundred are there already. */
  readonly hasChildren?: boolean;
  /** One of those is named, and its object is gone. */
  readonly isOneGone?: boolean;
  /** One landing that touches very many paths. */
  readonly isWide?: boolean;
  /** The same process lands meanwhile. */
  readonly lands?: boolean;
}

const SCENARIOS: readonly Scenario[] = [
  { name: "a hundred landings", landings: 120, atomicCommit: false },
  { name: "a hundred landings, on a store with atomic commits", landings: 120, atomicCommit: true },
  { name: "two hundreds, and lands meanwhile", landings: 230, atomicCommit: false, lands: true },
  { name: "a hundred landings that need parts", landings: 110, atomicCommit: false, isWide: true },
  { name: "ten rollups", landings: 1010, atomicCommit: false, hasChildren: true },
  {
    name: "ten rollups, one of which is gone",
    landings: 1010,
    atomicCommit: false,
    hasChildren: true,
    isOneGone: true,
  },
];

/** What a log says, however it is asked. */
interface Answers {
  readonly ids: readonly LandingId[];
  readonly conflicts: readonly string[];
  readonly found: readonly (Position | undefined)[];
}

/** Asks about the log up to `upTo`. */
async function ask(snapshot: Snapshot, upTo: number): Promise<Answers> {
  const ids: LandingId[] = [];
  for await (const page of snapshot.records(POSITION_ZERO, snapshot.head.position)) {
    for (const { landingId } of page) ids.unshift(landingId);
  }
  const conflicts: string[] = [];
  const found: (Position | undefined)[] = [];
  for (const base of [0, 1, 57, 99, 100, 101, upTo - 3] as Position[]) {
    const operations = operationsOf({ hot: "ours", "d3/f16": "ours", d5: "ours", never: "ours" });
    conflicts.push((await findConflicts(snapshot, operations, base)).join());
    found.push((await snapshot.findLanding(ids[base]!, POSITION_ZERO))?.position);
  }
  return { ids: ids.slice(0, upTo), conflicts, found };
}

async function copyOf(store: MemoryStore): Promise<MemoryStore> {
  const copy = new MemoryStore(clock);
  for (let after: string | undefined; ; ) {
    const page = await store.list("projects/", after === undefined ? {} : { after });
    for (const { key } of page.objects) await copy.put(key, (await store.get(key))!.bytes);
    if (page.next === undefined) return copy;
    after = page.next;
  }
}

async function logOf({ landings, isWide, hasChildren, isOneGone }: Scenario): Promise<MemoryStore> {
  const store = new MemoryStore(clock);
  const project = openFixture(store, clock);
  await project.create({ salt: "0102030405060708" });
  if (isWide === true) {
    const wide = Array.from({ length: MANY_PATHS }, (_, i) => [`wide/${i * 2_654_435_761}`, "x"]);
    await project.land(landRequest(EMPTY_BASE, Object.fromEntries(wide)));
  }
  for (let done = isWide === true ? 1 : 0; done < landings; ) {
    const base = await newest(project);
    const together = Math.min(hasChildren === true ? 101 : 13, landings - done);
    const landed = Array.from({ length: together }, (_, k) => {
      const i = done + k;
      return project.land(
        landRequest(base, { [`d${i % 13}/f${i}`]: "x", ...(k === 0 ? { hot: `${i}` } : {}) }),
      );
    });
    for (const { kind } of await Promise.all(landed)) expect(kind).toBe("landed");
    done += together;
  }
  if (hasChildren !== true) return store;
  for (const { level, first } of dueRollups((await project.snapshot()).head)) {
    const { change } = await buildRollup({ store }, await project.snapshot(), level, first);
    expect(await project.attach(change)).toBe("applied");
  }
  if (isOneGone === true) await store.delete([keyOf((await project.snapshot()).head.rollups[GONE]!)]);
  return store;
}

function keyOf({ epoch, level, first, hash }: RollupRef): string {
  return rollupKey(PROJECT, epoch, level, first, hash);
}

/** What a head names is there, but for what was not there before. */
async function checkNamed(store: ObjectStore, { head }: Snapshot, missing: readonly string[]): Promise<void> {
  for (const ref of head.rollups) {
    const key = keyOf(ref);
    if (!missing.includes(key)) expect(await store.get(key), key).toBeDefined();
  }
}

async function rolledUp(store: ObjectStore, project: ProjectStore): Promise<Snapshot> {
  await rollUp(store, project);
  const snapshot = await project.snapshot();
  expect(dueRollups(snapshot.head)).toEqual([]);
  return snapshot;
}

describe.each(SCENARIOS)("a process that dies while it rolls up $name", (scenario) => {
  let log: MemoryStore;
  let answers: Answers;
  let position: number;
  let missing: readonly string[];

  beforeAll(async () => {
    log = await logOf(scenario);
    const project = openFixture(log, clock);
    const snapshot = await project.snapshot();
    position = snapshot.head.position;
    answers = await ask(snapshot, position);
    missing = scenario.isOneGone === true ? [keyOf(snapshot.head.rollups[GONE]!)] : [];
  });

  test("before or after any of its requests leaves a log that says the same, and that anybody can roll up", async () => {
    const undisturbed = await copyOf(log);
    const expected = (await rolledUp(undisturbed, openFixture(undisturbed, clock))).head.rollups;
    if (scenario.isWide === true) {
      const { bytes } = (await undisturbed.get(keyOf(expected[0]!)))!;
      expect(decodeRollupFront(bytes).parts.length).toBeGreaterThan(0);
    }
    const counts = { crashes: 0, attached: 0 };
    for (const moment of MOMENTS) {
      for (let step = 0; ; step++) {
        if (step === REQUESTS_MAX) throw new Error(`more than ${REQUESTS_MAX} requests`);
        const store = await copyOf(log);
        const before = (await openFixture(store, clock).snapshot()).head;
        const random = new SeededRandom(1);
        const { atomicCommit } = scenario;
        const actor = new FaultWorld(store, { clock, random, rates: {}, atomicCommit }).actor();
        const request: LandRequest = landRequest(await newest(openFixture(store, clock)), { ours: "1" });
        const project = openFixture(actor, clock);
        const crashed = actor.crashAt(step, moment).then(() => "crashed" as const);
        const dying = Promise.all([
          rollUp(actor, project),
          ...(scenario.lands === true ? [project.land(request)] : []),
        ]);
        if ((await Promise.race([crashed, dying])) !== "crashed") break;
        counts.crashes++;

        const fresh = openFixture(store, clock);
        const left = await fresh.snapshot();
        await checkNamed(store, left, missing);
        if (left.head.rollups.length !== before.rollups.length) counts.attached++;
        expect(await ask(left, position)).toEqual(answers);
        if (scenario.lands === true) {
          expect(await fresh.land(request)).toMatchObject({ kind: "landed", position: position + 1 });
        } else expect(left.head).toMatchObject({ position, packs: before.packs });

        const done = await rolledUp(store, fresh);
        expect(done.head.rollups).toEqual(expected);
        await checkNamed(store, done, []);
        expect(await ask(await openFixture(store, clock).snapshot(), position)).toEqual(answers);
      }
    }
    expect(counts.crashes).toBeGreaterThan(8);
    expect(counts.attached).toBeGreaterThan(0);
    expect(counts.attached).toBeLessThan(counts.crashes);
  });
});

describe("a store whose answers are damaged", () => {
  /** Flips a bit of every answer that holds a part of a rollup. */
  function damaging(store: MemoryStore): ObjectStore {
    return new Proxy(store, {
      get(inner, name) {
        const value = Reflect.get(inner, name) as unknown;
        if (typeof value !== "function") return value;
        if (name !== "get") return value.bind(inner);
        return async (key: string, options?: ReadOptions) => {
          const found = await inner.get(key, options);
          if (found === undefined || !PART_KEY.test(key) || found.bytes.length === 0) return found;
          const bytes = new Uint8Array(found.bytes);
          bytes[bytes.length >> 1]! ^= 1;
          return { ...found, bytes };
        };
      },
    });
  }

  test("all the time: rollups built anew that read as damaged as well are damage, and not a bug", async () => {
    const store = await logOf({
      name: "",
      landings: 1010,
      atomicCommit: true,
      hasChildren: true,
      isWide: true,
    });
    const snapshot = await openFixture(store, clock).snapshot();
    const build = (from: ObjectStore) => buildRollup({ store: from }, snapshot, 2, 1 as Position);
    await expect(build(damaging(store))).rejects.toMatchObject({ code: "corrupt" });
    expect((await build(store)).ref).toMatchObject({ level: 2, first: 1, last: 1000 });
  });
});
