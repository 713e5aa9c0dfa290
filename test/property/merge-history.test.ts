import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import type { Position, ProjectId } from "../../src/core/base/ids.ts";
import { decodeHead } from "../../src/core/codec/head.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { Manifest, PageCache } from "../../src/core/forge/head/manifest.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { headKey, packKey, packsPrefix } from "../../src/core/objects/keys.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { uniformRates } from "../../src/core/store/faults.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { collect, collectBytes, TestProject } from "../support/forge-project.ts";
import { StillClock } from "../support/project-fixture.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const names = ["a", "b/x", "b/y", "c/d/e", "large"];
const LARGE = Buffer.alloc(1_100_000, "chunked content ");

function contentOf(name: string, version: number): string | Uint8Array {
  if (name !== "large") return `${name} in version ${version}\n`.repeat(20);
  const bytes = Buffer.from(LARGE);
  bytes.write(`version ${version}`, 700_100);
  return bytes;
}

type Model = ReadonlyMap<string, number>;

/** A project that some agents work on, beside what each position must hold. */
class World {
  readonly clock = new StillClock();
  readonly store = new MemoryStore(this.clock);
  readonly random = new SeededRandom(5);
  readonly models: Model[] = [new Map()];
  readonly agents: TestProject[] = [];
  id!: ProjectId;

  open(store: ObjectStore = this.store): ForgeService {
    const { clock, random } = this;
    return new ForgeService({ store, address: "memory", clock, random, trustWriters: true });
  }

  static async make(): Promise<World> {
    const world = new World();
    const first = await TestProject.create(world.open(), "acme/app");
    world.id = first.id;
    world.agents.push(first, new TestProject(world.open(), first.id));
    return world;
  }

  forge(agent: number): ForgeService {
    return this.agents[agent]!.forge as ForgeService;
  }

  async land(
    agent: number,
    changes: ReadonlyMap<string, number | undefined>,
    isUploaded = false,
  ): Promise<void> {
    const project = this.agents[agent]!;
    const before = this.models.at(-1)!;
    const model = new Map(before);
    for (const [name, version] of changes) {
      if (version === undefined) model.delete(name);
      else model.set(name, version);
    }
    const put = Object.fromEntries(
      [...changes].flatMap(([name, version]) =>
        version === undefined ? [] : [[name, contentOf(name, version)]],
      ),
    );
    const deleted = [...changes.keys()].filter((name) => changes.get(name) === undefined && before.has(name));
    if (Object.keys(put).length + deleted.length === 0) return;
    const head = await project.forge.getHead(this.id);
    const base = { position: head.position, root: head.root };
    let request = project.request({ put, delete: deleted, base });
    if (isUploaded && request.frames.length > 0) {
      const pack = await project.forge.putPack(this.id, encodePack([...request.frames]).bytes);
      request = { ...request, frames: [], packs: [pack] };
    }
    const result = await project.forge.land(this.id, request);
    expect(result.kind).toBe("landed");
    this.models.push(model);
  }

  /** What a collector does, days later. */
  async dropUnnamed(): Promise<number> {
    const head = decodeHead((await this.store.get(headKey(this.id)))!.bytes);
    const named = new Set<string>();
    for await (const page of new Manifest(head, new PageCache(this.store, this.id)).newestFirst()) {
      for (const { epoch, pack } of page) named.add(packKey(this.id, epoch, pack));
    }
    const { objects } = await this.store.list(packsPrefix(this.id));
    const unnamed = objects.map(({ key }) => key).filter((key) => !named.has(key));
    await this.store.delete(unnamed);
    return unnamed.length;
  }

  async check(forge: ForgeService): Promise<void> {
    const read = new Map<string, Uint8Array>();
    expect((await forge.getHead(this.id)).position).toBe(this.models.length - 1);
    for (const [position, model] of this.models.entries()) {
      const listed = await collect(forge.listEntries(this.id, position as Position, undefined));
      expect(listed.map(({ path }) => path).sort()).toEqual([...model.keys()].sort());
      for (const found of listed) {
        const expected = Buffer.from(contentOf(found.path, model.get(found.path)!));
        const known = read.get(found.entry.id) ?? (await collectBytes(forge.readFile(this.id, found)));
        read.set(found.entry.id, known);
        expect(Buffer.compare(known, expected)).toBe(0);
      }
    }
    const log = await collect(forge.listLandings(this.id, {}));
    expect(log.map(({ position }) => position)).toEqual(
      this.models.slice(1).map((_, i) => this.models.length - 1 - i),
    );
    const { findings } = await forge.fsck(this.id);
    expect(findings).toEqual([]);
  }
}

const changes = fc
  .uniqueArray(
    fc.record({
      name: fc.constantFrom(...names),
      version: fc.option(fc.nat(5), { nil: undefined, freq: 6 }),
    }),
    {
      minLength: 1,
      maxLength: 3,
      selector: ({ name }) => name,
    },
  )
  .map((each) => new Map(each.map(({ name, version }) => [name, version])));

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("land" as const),
      agent: fc.nat(1),
      changes,
      isUploaded: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("merge" as const), agent: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("all at once" as const), changes }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("collect" as const) }) },
);

describe("merging", () => {
  test("leaves every position readable, whoever merges and whatever lands meanwhile", async () => {
    let merged = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 20 }), async (steps) => {
        const world = await World.make();
        for (const each of steps) {
          if (each.kind === "land") await world.land(each.agent, each.changes, each.isUploaded);
          else if (each.kind === "merge")
            merged += (await world.forge(each.agent).upkeep(world.id, { all: true })).packsMerged;
          else if (each.kind === "collect") await world.dropUnnamed();
          else {
            const upkeep = [0, 1].map((agent) => world.forge(agent).upkeep(world.id, { all: true }));
            await Promise.all([world.land(0, each.changes), ...upkeep]);
          }
        }
        await world.forge(0).upkeep(world.id, { all: true });
        await world.check(world.forge(1));
        await world.dropUnnamed();
        await world.check(world.open());
      }),
      { numRuns: 15 },
    );
    expect(merged).toBeGreaterThan(20);
  });

  test("merges to one pack, and writes nothing when there is nothing to do", async () => {
    const world = await World.make();
    for (let i = 0; i < 40; i++) await world.land(0, new Map([[names[i % 4]!, i]]), i % 5 === 0);
    const report = await world.forge(1).upkeep(world.id, { all: true });
    expect(report).toMatchObject({ packsMerged: 48, packsWritten: 1 });
    expect(report.bytesAfter).toBeLessThan(report.bytesBefore);
    const before = (await world.store.get(headKey(world.id)))!.etag;
    expect((await world.forge(0).upkeep(world.id, { all: true })).packsWritten).toBe(0);
    expect((await world.store.get(headKey(world.id)))!.etag).toBe(before);
    expect(await world.dropUnnamed()).toBe(48);
    await world.check(world.open());
  });

  test("damage in one pack is reported, and leaves the rest to be merged", async () => {
    const world = await World.make();
    for (let i = 0; i < 140; i++) await world.land(0, new Map([["a", i]]));
    const head = decodeHead((await world.store.get(headKey(world.id)))!.bytes);
    const { epoch, pack } = head.packs[20]!;
    await world.store.delete([packKey(world.id, epoch, pack)]);
    await expect(world.open().upkeep(world.id)).rejects.toMatchObject({ code: "not-found" });
  });

  test("an agent that dies before or after any request leaves everything readable", async () => {
    let crashes = 0;
    for (let at = 0; ; at++) {
      let hasCrashed = false;
      for (const moment of ["before", "after"] as const) {
        const world = await World.make();
        for (let i = 0; i < 6; i++) await world.land(0, new Map([[names[i % 3]!, i]]), i === 3);
        const faults = new FaultWorld(world.store, { clock: world.clock, random: world.random, rates: {} });
        const actor = faults.actor();
        const crashed = actor.crashAt(at, moment).then(() => "crashed" as const);
        const dying = world.open(actor);
        const ended = await Promise.race([crashed, dying.upkeep(world.id, { all: true })]);
        if (ended === "crashed") {
          hasCrashed = true;
          crashes++;
        }
        await world.check(world.forge(1));
        await world.land(1, new Map([["c/d/e", 9]]));
        await world.forge(0).upkeep(world.id, { all: true });
        await world.dropUnnamed();
        await world.check(world.open());
      }
      if (!hasCrashed) break;
    }
    expect(crashes).toBeGreaterThan(20);
  });

  test("under faults of the store, nothing is lost, and the lists still get short", async () => {
    let observed = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const world = await World.make();
      const rates = uniformRates(0.03);
      const faults = new FaultWorld(world.store, {
        clock: world.clock,
        random: new SeededRandom(seed),
        rates,
      });
      const faulty = [world.open(faults.actor()), world.open(faults.actor())];
      const outcomes: unknown[] = [];
      for (let i = 0; i < 8; i++) {
        for (let k = 0; k < 4; k++) await world.land(k % 2, new Map([[names[(i + k) % 4]!, i]]), k === 3);
        const upkeep = faulty.map((forge) =>
          forge.upkeep(world.id, { all: true }).catch((error: unknown) => error),
        );
        const landing = world.land(0, new Map([["c/d/e", 100 + i]]));
        outcomes.push(...(await Promise.all([...upkeep, landing])));
      }
      for (const outcome of outcomes) if (outcome instanceof Error) expect(outcome).toBeInstanceOf(MicError);
      observed += faults.observed;
      faults.dice.calm();
      await faults.settle();
      await world.forge(1).upkeep(world.id, { all: true });
      await world.dropUnnamed();
      await world.check(world.open());
      const head = decodeHead((await world.store.get(headKey(world.id)))!.bytes);
      expect(head.packs.length).toBe(1);
    }
    expect(observed).toBeGreaterThan(100);
  });
});
