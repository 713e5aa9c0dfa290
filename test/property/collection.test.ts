/**
 * Landers, mergers, readers and collectors on one store, each of them slow or stopped for days wherever it asks the
 * store: whatever is collected meanwhile, nothing that is reachable is, and in the end nothing else is left.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { MicError } from "../../src/core/base/errors.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { epochOf, type Position, type ProjectId } from "../../src/core/base/ids.ts";
import { mintLandingId, mintProjectId, randomFraction } from "../../src/core/base/random.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { ManifestPack } from "../../src/core/codec/pack-entry.ts";
import type { LandRequest, Operation } from "../../src/core/forge/forge.ts";
import { PageCache } from "../../src/core/forge/head/manifest.ts";
import {
  type MergedPack,
  type MergeOptions,
  mergePacks,
} from "../../src/core/forge/merge-packs/merge-packs.ts";
import { Pace } from "../../src/core/forge/merge-packs/pace.ts";
import { replaceWithMerged } from "../../src/core/forge/merge-packs/replace-change.ts";
import { ProjectStore } from "../../src/core/forge/project-store.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { packKey } from "../../src/core/objects/keys.ts";
import { MissingPackError } from "../../src/core/objects/pack-cache.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { CommitOutcome, ObjectStore, Put, Swap } from "../../src/core/store/object-store.ts";
import { collectBytes, path } from "../support/forge-project.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const DAYS = 40;
/** A request signed longer ago is refused. */
const SIGNATURE_MS = 15 * 60_000;
const CONTENTS = 12;

class World {
  readonly clock = new VirtualClock();
  readonly memory = new MemoryStore(this.clock);
  readonly random: SeededRandom;
  readonly project: ProjectId;
  readonly endsAtMs: number;
  /** Content of each file that a landing was acknowledged for, by position. */
  readonly landed = new Map<number, ReadonlyMap<string, string>>();
  landings = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.project = mintProjectId(this.random);
    this.endsAtMs = this.clock.nowMs() + DAYS * DAY_MS;
  }

  chance(share: number): boolean {
    return randomFraction(this.random) < share;
  }

  pick(count: number): number {
    return Math.floor(randomFraction(this.random) * count);
  }

  /** Mostly short; now and then somebody is stopped for days. */
  pauseMs(): number {
    if (this.chance(0.9)) return this.pick(30_000);
    return this.chance(0.7) ? this.pick(44 * HOUR_MS) : this.pick(8 * DAY_MS);
  }

  /** The store of a process of its own. */
  store(): ObjectStore {
    const { clock, memory } = this;
    const commit = async (puts: readonly Put[], swap: Swap): Promise<CommitOutcome> => {
      // As on a bucket: the puts come first, and the swap is refused when it was signed too long ago.
      for (const { key, bytes } of puts) await memory.put(key, bytes);
      await clock.sleep(this.pauseMs());
      const isLate = swap.checkedAtMs !== undefined && clock.nowMs() - swap.checkedAtMs > SIGNATURE_MS;
      return isLate ? { kind: "lost" } : await memory.commit([], swap);
    };
    return new Proxy(memory, {
      get: (target, name) => {
        if (name === "commit") return commit;
        const method = (target as ObjectStore)[name as keyof ObjectStore] as unknown;
        if (typeof method !== "function") return method;
        return async (...args: unknown[]) => {
          await clock.sleep(this.pauseMs());
          return await (method as (...all: unknown[]) => unknown).apply(target, args);
        };
      },
    });
  }

  forge(store = this.store()): ForgeService {
    const { clock, random } = this;
    return new ForgeService({
      store,
      address: "memory",
      clock,
      random,
      trustWriters: true,
      cacheBytes: 1 << 16,
    });
  }

  projectStore(store: ObjectStore): ProjectStore {
    const { clock, random, project } = this;
    const limits = { cacheBytes: 1 << 16, trustWriters: true, landTimeoutMs: 10 * DAY_MS };
    return new ProjectStore({ store, project, clock, random, ...limits });
  }

  get isOver(): boolean {
    return this.clock.nowMs() >= this.endsAtMs;
  }
}

/** Whoever was stopped for too long fails, and tries something else. */
async function attempt(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof MicError)) throw error;
    const isExpected = ["unreachable", "outcome-unknown", "not-found", "conflict"].includes(error.code);
    if (!isExpected || (error.code === "not-found" && !isMissingUpload(error))) throw error;
  }
}

/** What was uploaded is gone after some days; what landed never is. */
function isMissingUpload(error: MicError): boolean {
  return /was not uploaded|the content of .* is missing/.test(error.message);
}

async function lander(world: World): Promise<void> {
  for (let store = world.projectStore(world.store()); !world.isOver; ) {
    await world.clock.sleep(world.pick(30 * HOUR_MS));
    if (world.chance(0.2)) store = world.projectStore(world.store());
    await attempt(() => landOne(world, store));
  }
}

async function landOne(world: World, store: ProjectStore): Promise<void> {
  const texts = Array.from({ length: 1 + world.pick(3) }, () => `content ${world.pick(CONTENTS)}`);
  const way = world.pick(4);
  const frames = new FrameBuilder({ rawTarget: 1 << 16 });
  for (const text of new Set(texts)) frames.add("blob", hashObject(utf8(text)), utf8(text));
  const packs = way === 1 ? [await store.putPack(encodePack(frames.finish()).bytes)] : [];
  if (way === 2) {
    for (const text of new Set(texts)) {
      await store.putBlob(
        (async function* () {
          yield utf8(text);
        })(),
      );
    }
  }
  await world.clock.sleep(world.chance(0.5) ? world.pauseMs() : world.pick(50 * HOUR_MS));
  const { head } = await store.snapshot();
  const files = new Map(texts.map((text, i) => [`f${i}-${world.pick(6)}`, text]));
  const operations = [...files]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, text]): Operation => {
      const entry = { kind: "file" as const, size: utf8(text).length, id: hashObject(utf8(text)) };
      return { kind: "put", path: path(name), entry, hint: 0 };
    });
  const request: LandRequest = {
    landingId: mintLandingId(world.random),
    base: { position: head.position, root: head.root },
    goal: "g",
    author: "Ada",
    agent: "",
    operations,
    decisions: [],
    conversation: [],
    packs,
    frames: way === 0 ? frames.finish() : [],
  };
  const result = await store.land(request);
  if (result.kind !== "landed") return;
  world.landed.set(result.position, files);
  world.landings++;
}

async function merger(world: World): Promise<void> {
  const slow = world.store();
  const store = world.projectStore(slow);
  const { project, clock } = world;
  while (!world.isOver) {
    await clock.sleep(world.pick(2 * DAY_MS));
    await attempt(async () => {
      const { head } = await store.snapshot();
      const from = world.pick(Math.max(1, head.packs.length - 1));
      const entries = wholeRun(head.packs, from, 2 + world.pick(6));
      if (entries.length < 2) return;
      const made = await mergeUnlessReplaced({
        store: slow,
        project,
        entries,
        salt: head.salt,
        pace: new Pace(clock),
      });
      if (made === undefined) return;
      const merged = { ...made.entry, epoch: epochOf(await slow.nowMs()) };
      await slow.put(packKey(project, merged.epoch, merged.pack), made.bytes);
      await clock.sleep(world.pauseMs());
      const pages = new PageCache(slow, project);
      await store.attach(replaceWithMerged({ removed: entries, merged }, { project, pages }));
    });
  }
}

/** Another merger may have been quicker, and a collector have come after it. */
async function mergeUnlessReplaced(options: MergeOptions): Promise<MergedPack | undefined> {
  try {
    return await mergePacks(options);
  } catch (error) {
    if (error instanceof MissingPackError) return undefined;
    throw error;
  }
}

/** Packs that follow each other, with those that their landings brought. */
function wholeRun(packs: readonly ManifestPack[], from: number, count: number): ManifestPack[] {
  const run = packs.slice(from, from + count);
  while (run.length > 0 && !run.at(-1)!.hasRecords) run.pop();
  const first = run.find(({ hasRecords }) => hasRecords)?.first ?? 1;
  return run.filter((pack) => pack.first >= first);
}

async function collector(world: World): Promise<void> {
  while (!world.isOver) {
    await world.clock.sleep(world.pick(10 * HOUR_MS));
    await attempt(async () => {
      await world.forge(world.chance(0.5) ? world.memory : world.store()).collect(world.project);
    });
  }
}

/** Reads what has landed, with a head that may be days old. */
async function reader(world: World): Promise<void> {
  const slow = world.store();
  for (let store = world.projectStore(slow); !world.isOver; ) {
    const snapshot = await store.snapshot();
    await world.clock.sleep(world.pick(5 * DAY_MS));
    if (snapshot.head.position === 0) continue;
    const at = (1 + world.pick(snapshot.head.position)) as Position;
    const tree = await snapshot.treeAt(at);
    for await (const page of tree.pages())
      for (const entry of page) expect(entry.key.length).toBeGreaterThan(0);
    const { operations } = await snapshot.record(at);
    expect(operations).toBeDefined();
    if (world.chance(0.3)) store = world.projectStore(slow);
  }
}

async function simulate(world: World): Promise<void> {
  const quick = world.forge(world.memory);
  await quick.createProject({ id: world.project, name: "acme/app" });
  // Where few land, a head stays as it is for days.
  const landers = [lander, lander, lander].slice(world.pick(3));
  const actors = [...landers, merger, merger, collector, collector, reader, reader];
  await Promise.all(actors.map((actor) => actor(world)));
}

/** What was acknowledged is there, and nothing is left that nobody needs. */
async function audit(world: World): Promise<void> {
  const forge = world.forge(world.memory);
  const check = async (): Promise<void> => {
    const { findings } = await world.forge(world.memory).fsck(world.project);
    expect(findings).toEqual([]);
    for (const [position, files] of world.landed) {
      for (const [name, text] of files) {
        const found = await forge.getPath(world.project, position as Position, path(name));
        if (found?.kind !== "entry") throw new Error(`${name} is not at ${position}`);
        const content = await collectBytes(forge.readFile(world.project, found));
        expect(Buffer.from(content).toString()).toBe(text);
      }
    }
  };
  await check();
  for (let day = 0; day < 9; day++) {
    await world.clock.sleep(DAY_MS);
    await world.forge(world.memory).collect(world.project);
  }
  await check();
  const { unreferenced, waiting } = await forge.collect(world.project);
  expect({ unreferenced, waiting }).toEqual({ unreferenced: 0, waiting: 0 });
}

test("nothing reachable is ever collected, and nothing else is left in the end", {
  timeout: 120_000,
}, async () => {
  const runs = Number(process.env["MIC_COLLECTION_RUNS"] ?? 15);
  let landings = 0;
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 - 1 }), async (seed) => {
      const world = new World(seed);
      await world.clock.run(simulate(world).then(() => audit(world)));
      landings += world.landings;
    }),
    { numRuns: runs, endOnFailure: true },
  );
  expect(landings).toBeGreaterThan(runs * 5);
});
