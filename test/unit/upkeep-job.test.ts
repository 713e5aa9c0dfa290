import { describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { decodeHead } from "../../src/core/codec/head.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { headKey } from "../../src/core/objects/keys.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { keepUp, UpkeepJob, type UpkeepJobOptions } from "../../src/server/jobs/upkeep-job.ts";
import { TestProject } from "../support/forge-project.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const ids = ["1", "2", "3"].map((digit) => digit.repeat(32) as ProjectId);
const NOTHING = { rollups: 0, packsMerged: 0, packsWritten: 0, bytesBefore: 0, bytesAfter: 0 };

/** Writes down what it is asked for, and when. */
class AskedForge {
  readonly calls: { what: string; project: ProjectId; atMs: number }[] = [];
  running = 0;
  mostRunning = 0;
  failing: unknown;
  readonly #clock: VirtualClock;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  async #asked(what: string, project: ProjectId): Promise<void> {
    this.calls.push({ what, project, atMs: this.#clock.nowMs() });
    this.mostRunning = Math.max(this.mostRunning, ++this.running);
    await this.#clock.sleep(1000);
    this.running--;
    if (this.failing !== undefined) throw this.failing;
  }

  upkeep = async (project: ProjectId) => {
    await this.#asked("upkeep", project);
    return NOTHING;
  };

  collect = async (project: ProjectId) => {
    await this.#asked("collect", project);
    return { objects: 1, unreferenced: 0, deleted: 0, bytesDeleted: 0, waiting: 0, bytesWaiting: 0 };
  };

  async *everyProject() {
    yield ids.slice(0, 2);
    yield ids.slice(2);
  }
}

function setUp(seed = 1) {
  const clock = new VirtualClock();
  const forge = new AskedForge(clock);
  const warnings: unknown[] = [];
  const log = {
    info: () => undefined,
    warn: (_: string, fields: unknown) => warnings.push(fields),
    error: () => undefined,
  };
  const job = new UpkeepJob({ forge, clock, random: new SeededRandom(seed), log } as UpkeepJobOptions);
  return { clock, forge, job, warnings };
}

describe("UpkeepJob", () => {
  test("looks after a project once, some time after its first landing", async () => {
    const { clock, forge, job } = setUp();
    const startMs = clock.nowMs();
    for (let i = 0; i < 100; i++) job.landed(ids[0]!);
    await clock.run(clock.sleep(2 * MINUTE_MS));
    expect(forge.calls.map(({ what, project }) => [what, project])).toEqual([["upkeep", ids[0]]]);
    const delayMs = forge.calls[0]!.atMs - startMs;
    expect(delayMs).toBeGreaterThanOrEqual(10_000);
    expect(delayMs).toBeLessThan(40_000);
    job.landed(ids[0]!);
    await clock.run(clock.sleep(2 * MINUTE_MS));
    expect(forge.calls.length).toBe(2);
    await job[Symbol.asyncDispose]();
  });

  test("one project at a time", async () => {
    const { clock, forge, job } = setUp();
    for (const project of ids) job.landed(project);
    await clock.run(clock.sleep(2 * MINUTE_MS));
    expect(new Set(forge.calls.map(({ project }) => project))).toEqual(new Set(ids));
    expect(forge.mostRunning).toBe(1);
    await job[Symbol.asyncDispose]();
  });

  test("two servers rarely begin together", async () => {
    const times = await Promise.all(
      Array.from({ length: 20 }, async (_, seed) => {
        const { clock, forge, job } = setUp(seed + 1);
        job.landed(ids[0]!);
        await clock.run(clock.sleep(MINUTE_MS));
        await job[Symbol.asyncDispose]();
        return Math.round(forge.calls[0]!.atMs / 1000);
      }),
    );
    expect(new Set(times).size).toBeGreaterThan(10);
  });

  test("once a day, upkeep and a pass of the collector for every project", async () => {
    const { clock, forge, job } = setUp();
    await clock.run(clock.sleep(29 * MINUTE_MS));
    expect(forge.calls).toEqual([]);
    await clock.run(clock.sleep(73 * HOUR_MS));
    for (const project of ids) {
      const passes = forge.calls.filter((call) => call.project === project && call.what === "collect");
      expect(passes.length).toBeGreaterThanOrEqual(3);
      for (const [i, { atMs }] of passes.entries()) {
        if (i > 0) expect(atMs - passes[i - 1]!.atMs).toBeGreaterThanOrEqual(24 * HOUR_MS);
      }
    }
    expect(forge.mostRunning).toBe(1);
    await job[Symbol.asyncDispose]();
  });

  test("failures are reported, less and less often, and end nothing", async () => {
    const { clock, forge, job, warnings } = setUp();
    forge.failing = new MicError("corrupt", "a damaged pack");
    for (let minute = 0; minute < 300; minute++) {
      job.landed(ids[0]!);
      await clock.run(clock.sleep(MINUTE_MS / 3));
    }
    expect(warnings.length).toBeGreaterThan(3);
    expect(warnings.length).toBeLessThan(15);
    forge.failing = undefined;
    const before = forge.calls.length;
    await clock.run(clock.sleep(2 * HOUR_MS));
    job.landed(ids[0]!);
    await clock.run(clock.sleep(2 * HOUR_MS));
    expect(forge.calls.length).toBeGreaterThan(before);
    await job[Symbol.asyncDispose]();
  });

  test("a project that was deleted is no failure", async () => {
    const { clock, forge, job, warnings } = setUp();
    forge.failing = new MicError("not-found", "there is no project");
    job.landed(ids[0]!);
    await clock.run(clock.sleep(MINUTE_MS));
    expect(warnings).toEqual([]);
    await job[Symbol.asyncDispose]();
  });

  test("ends at once when the server does", async () => {
    const { clock, forge, job } = setUp();
    job.landed(ids[0]!);
    await job[Symbol.asyncDispose]();
    job.landed(ids[1]!);
    await clock.run(clock.sleep(30 * HOUR_MS));
    expect(forge.calls).toEqual([]);
  });

  test("looks after every other project when the record of a name is damaged", async () => {
    const clock = new VirtualClock();
    const random = new SeededRandom(4);
    const store = new MemoryStore(clock);
    const forge = new ForgeService({ store, address: "memory", clock, random, trustWriters: true });
    const projects: TestProject[] = [];
    for (const name of ["acme/a", "acme/b", "acme/c"]) projects.push(await TestProject.create(forge, name));
    const stored = (await store.get("names/acme/b"))!;
    const zeros = new Uint8Array(stored.bytes.length);
    await store.commit([], { key: "names/acme/b", expected: stored.etag, bytes: zeros });
    const asked = new AskedForge(clock);
    const warnings: unknown[] = [];
    const log = {
      info: () => undefined,
      warn: (_: string, fields: unknown) => warnings.push(fields),
      error: () => undefined,
    };
    const { upkeep, collect } = asked;
    const kept = { upkeep, collect, everyProject: forge.everyProject.bind(forge) };
    const job = new UpkeepJob({ forge: kept, clock, random, log } as UpkeepJobOptions);
    await clock.run(clock.sleep(20 * HOUR_MS));
    expect(asked.calls.filter(({ what }) => what === "collect").map(({ project }) => project)).toEqual([
      projects[0]!.id,
      projects[2]!.id,
    ]);
    expect(warnings).toEqual([expect.objectContaining({ what: "name", project: "acme/b" })]);
    await job[Symbol.asyncDispose]();
  });

  test("keeps a project short that is landed into without end", async () => {
    const clock = new VirtualClock();
    const random = new SeededRandom(3);
    const store = new MemoryStore(clock);
    const forge = new ForgeService({ store, address: "memory", clock, random, trustWriters: true });
    const log = {
      info: () => undefined,
      warn: (...fields: unknown[]) => expect(fields).toEqual([]),
      error: () => undefined,
    };
    // Threads do not know of this clock.
    const kept: UpkeepJobOptions["forge"] = {
      upkeep: (project, options) => forge.upkeep(project, { ...options, aside: false }),
      collect: (project, options) => forge.collect(project, options),
      everyProject: (options) => forge.everyProject(options),
    };
    const job = new UpkeepJob({ forge: kept, clock, random, log });
    keepUp(forge, job);
    const landing = (async () => {
      const project = await TestProject.create(forge, "acme/app");
      for (let i = 0; i < 500; i++) {
        await project.land({ put: { [`f${i % 9}`]: `content ${i}` } });
        await clock.sleep(500);
      }
      await clock.sleep(2 * MINUTE_MS);
      const head = decodeHead((await store.get(headKey(project.id)))!.bytes);
      expect(head.position).toBe(500);
      expect(head.packs.length).toBeLessThan(80);
      expect(head.rollups.length).toBe(5);
      expect((await forge.fsck(project.id)).findings).toEqual([]);
    })();
    await clock.run(landing);
    await job[Symbol.asyncDispose]();
  });
});
