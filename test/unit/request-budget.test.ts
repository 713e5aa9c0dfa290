/**
 * What operations may ask of a bucket, where every request costs money and a round trip. A commit counts as it does
 * on S3: each of its puts, then the swap.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { Position } from "../../src/core/base/ids.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { findConflicts } from "../../src/core/forge/landing/conflicts.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { CountingStore, type StoreCounts } from "../../src/core/store/counting-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { path, TestProject } from "../support/forge-project.ts";
import { openFixture, operationsOf, StillClock } from "../support/project-fixture.ts";

const FILES = 8_000;
/** Beyond the ring of landing ids (256) and the packs that a head lists (200). */
const LANDINGS = 640;
const NO_READS = { gets: 0, misses: 0, unchanged: 0, lists: 0, deletes: 0 } as const;

const clock = new StillClock();

/** Counts what is asked, and names it when it is too much. */
class Requests {
  readonly counting: CountingStore;
  #trace: string[] = [];

  constructor(store: ObjectStore) {
    this.counting = new CountingStore(store, ({ operation, key }) => this.#trace.push(`${operation} ${key}`));
  }

  async of<T>(work: () => Promise<T>): Promise<{ value: T; counts: StoreCounts; trace: readonly string[] }> {
    this.counting.reset();
    this.#trace = [];
    const value = await work();
    return { value, counts: this.counting.reset(), trace: this.#trace };
  }

  /** Fails with the requests themselves when there were others than these. */
  async hold(expected: Partial<StoreCounts>, work: () => Promise<unknown>): Promise<void> {
    const { counts, trace } = await this.of(work);
    expect(counts, trace.join("\n")).toMatchObject(expected);
  }

  /** Fails with the requests themselves when there were more reads, any that is no read, or a page of the manifest twice. */
  async holdReads(max: number, work: () => Promise<unknown>): Promise<void> {
    const { counts, trace } = await this.of(work);
    expect(counts, trace.join("\n")).toMatchObject({ puts: 0, swaps: 0, lists: 0, deletes: 0 });
    expect(trace.length, trace.join("\n")).toBeLessThanOrEqual(max);
    const pages = trace.filter((request) => request.includes("/pages/"));
    expect(new Set(pages).size, trace.join("\n")).toBe(pages.length);
  }
}

function serve(store: ObjectStore): { readonly forge: ForgeService; readonly requests: Requests } {
  const requests = new Requests(store);
  const options = { store: requests.counting, address: "memory", clock, random: systemRandom };
  return { forge: new ForgeService({ ...options, trustWriters: true }), requests };
}

async function copyOf(store: ObjectStore): Promise<MemoryStore> {
  const copy = new MemoryStore(clock);
  for (let after: string | undefined; ; ) {
    const page = await store.list("", after === undefined ? {} : { after });
    for (const { key } of page.objects) await copy.put(key, (await store.get(key))!.bytes);
    if (page.next === undefined) return copy;
    after = page.next;
  }
}

interface History {
  readonly store: MemoryStore;
  readonly project: TestProject;
}

/** Many files, then many small landings all over them. */
async function makeHistory(): Promise<History> {
  const store = new MemoryStore(clock);
  const { forge } = serve(store);
  const project = await TestProject.create(forge, "acme/budget");
  const names = Array.from({ length: FILES }, (_, i) => fileName(i));
  await project.land({ put: Object.fromEntries(names.map((name, i) => [name, `first ${i % 50}`])) });
  while (project.base.position < LANDINGS) {
    const n = project.base.position;
    await project.land({ put: { [fileName((n * 37) % FILES)]: `at ${n}`, [`log/${n}`]: "x" } });
  }
  return { store, project };
}

function fileName(i: number): string {
  return `src/module ${i % 97}/file ${i}.ts`;
}

let history: History;
let upkept: History;

/** The history as it landed, and after everything that can be rolled up and merged was. */
const states = [
  ["a history as it landed", () => history],
  ["a history with rollups and merged packs", () => upkept],
] as const;

beforeAll(async () => {
  history = await makeHistory();
  const store = await copyOf(history.store);
  const { forge } = serve(store);
  const report = await forge.upkeep(history.project.id, { all: true });
  expect(report.rollups).toBeGreaterThanOrEqual(6);
  expect(report.packsMerged).toBeGreaterThan(LANDINGS / 2);
  upkept = { store, project: history.project };
});

describe.each(states)("landing into %s", (_, state) => {
  async function warmed(): Promise<{ requests: Requests; project: TestProject }> {
    const { store, project: before } = state();
    const { forge, requests } = serve(await copyOf(store));
    const project = new TestProject(forge, before.id);
    project.base = before.base;
    await project.land({ put: { [fileName(1)]: "warm" } });
    return { requests, project };
  }

  test("writes a pack and the head, and reads nothing when the head was seen within a second", async () => {
    const { requests, project } = await warmed();
    for (let i = 0; i < 20; i++) {
      const put = { [fileName(1)]: `content ${i}` };
      await requests.hold({ ...NO_READS, puts: 1, swaps: 1 }, () => project.land({ put }));
    }
  });

  test("asks once whether the head is still the newest when it was seen longer ago", async () => {
    const { requests, project } = await warmed();
    clock.ms += 1_500;
    const put = { [fileName(1)]: "later" };
    await requests.hold({ ...NO_READS, unchanged: 1, puts: 1, swaps: 1 }, () => project.land({ put }));
  });

  test("writes each pack that was uploaded beforehand once, and nothing else for it", async () => {
    const { requests, project } = await warmed();
    const request = project.request({ put: { [fileName(1)]: "uploaded" } });
    const { bytes } = encodePack(request.frames);
    await requests.hold({ ...NO_READS, puts: 1, swaps: 0 }, async () => {
      const pack = await project.forge.putPack(project.id, bytes);
      Object.assign(request, { packs: [pack], frames: [] });
    });
    await requests.hold({ ...NO_READS, puts: 1, swaps: 1 }, () => project.forge.land(project.id, request));
    expect(await project.read(project.base.position + 1, fileName(1))).toBe("uploaded");
  });

  test("shares its writes among 64 that land at once", async () => {
    const { requests, project } = await warmed();
    const { counts, trace, value } = await requests.of(() =>
      Promise.all(
        Array.from({ length: 64 }, (_, i) =>
          project.forge.land(project.id, project.request({ put: { [fileName(i * 3)]: `together ${i}` } })),
        ),
      ),
    );
    expect(value.every(({ kind }) => kind === "landed")).toBe(true);
    expect(counts.swaps, trace.join("\n")).toBeLessThanOrEqual(3);
    expect(counts.puts).toBe(counts.swaps);
    expect(counts).toMatchObject({ misses: 0, unchanged: 0, lists: 0, deletes: 0 });
  });

  test("finds an id that the ring has long forgotten by the rollups, or by each record once", async () => {
    const { store, project } = state();
    const other = serve(await copyOf(store));
    const snapshot = await openFixture(store, clock, { project: project.id }).snapshot();
    const { landingId } = await snapshot.record(150 as Position);
    const isUpkept = store === upkept.store;
    await other.requests.holdReads(isUpkept ? 12 : LANDINGS + 12, async () => {
      const found = await other.forge.findLanding(project.id, landingId, 0 as Position);
      expect(found?.position).toBe(150);
    });
  });
});

describe.each(states)("reading a path of %s", (_, state) => {
  test("asks once whether the head has changed, and nothing else, when it was read before", async () => {
    const { store, project } = state();
    const { forge, requests } = serve(store);
    for (const at of [LANDINGS, LANDINGS / 2] as Position[]) {
      const read = () => forge.getPath(project.id, at, path(fileName(4_321)));
      expect(await read()).toMatchObject({ kind: "entry" });
      for (let i = 0; i < 3; i++) await requests.hold({ ...NO_READS, unchanged: 1, puts: 0, swaps: 0 }, read);
    }
  });

  test("shares that question among all who ask at once", async () => {
    const { store, project } = state();
    const { forge, requests } = serve(store);
    const read = () => forge.getPath(project.id, LANDINGS as Position, path(fileName(4_321)));
    await read();
    // Those who come while the first is answered share the next question.
    await requests.holdReads(2, () => Promise.all(Array.from({ length: 100 }, read)));
  });

  test("takes the project, the head and at most two requests per tree level for the first time", async () => {
    const { store, project } = state();
    const snapshot = await openFixture(store, clock, { project: project.id }).snapshot();
    const levels = 1 + (await snapshot.headTree().height());
    expect(levels).toBeGreaterThanOrEqual(3);
    for (let i = 0; i < FILES; i += 397) {
      const { forge, requests } = serve(store);
      await requests.holdReads(2 + 2 * levels, async () => {
        const found = await forge.getPath(project.id, LANDINGS as Position, path(fileName(i)));
        expect(found).toMatchObject({ kind: "entry" });
      });
    }
  });

  test("takes the record of an older position besides", async () => {
    const { store, project } = state();
    const levels = 3;
    for (const at of [1, 100, 320, 500] as Position[]) {
      const { forge, requests } = serve(store);
      await requests.holdReads(2 + 2 + 2 * levels, async () => {
        expect(await forge.getPath(project.id, at, path(fileName(4_321)))).toMatchObject({ kind: "entry" });
      });
    }
  });
});

describe("a conflict check by a process that knows nothing", () => {
  const ours = operationsOf({ [fileName((200 * 37) % FILES)]: "other", "log/400": "other", "nobody's": "x" });
  const theirs = [fileName((200 * 37) % FILES), "log/400"].sort();

  test("reads a few blocks of each rollup, and the landings after the last", async () => {
    const { store, project } = upkept;
    for (const base of [0, 1, 99, 150]) {
      const requests = new Requests(store);
      const opened = openFixture(requests.counting, clock, { project: project.id });
      const snapshot = await opened.snapshot();
      const rollups = snapshot.head.rollups.filter(({ last }) => last > base).length;
      // The front of each with what it tells, and the log beside them in merged packs.
      await requests.holdReads(rollups + 5, async () => {
        expect((await findConflicts(snapshot, ours, base as Position)).sort()).toEqual(theirs);
      });
    }
  });

  test("and the landing after it write nothing but a pack and the head, and list nothing", async () => {
    const { store, project } = upkept;
    const { forge, requests } = serve(await copyOf(store));
    const base = await forge.getPosition(project.id, 5 as Position);
    const request = new TestProject(forge, project.id).request({ base, put: { "nobody's": "x" } });
    const { value, counts, trace } = await requests.of(() => forge.land(project.id, request));
    expect(value).toMatchObject({ kind: "landed", position: LANDINGS + 1 });
    expect(counts, trace.join("\n")).toMatchObject({ puts: 1, swaps: 1, lists: 0, deletes: 0 });
    expect(counts.gets + counts.misses + counts.unchanged, trace.join("\n")).toBeLessThanOrEqual(14);
  });
});
