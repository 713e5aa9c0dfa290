/**
 * A pass of the collector dies before or after any of its requests: it never returns, and the next ones find what it
 * left. Over a project with everything that a pass can meet, and over one that was deleted.
 */
import { beforeEach, expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import type { PackId, Position } from "../../src/core/base/ids.ts";
import { comparePaths } from "../../src/core/base/path.ts";
import { mintSessionId } from "../../src/core/base/random.ts";
import { encodeManifestPage } from "../../src/core/codec/manifest-page.ts";
import type { Operation, StoredContent } from "../../src/core/forge/forge.ts";
import type { ForgeService } from "../../src/core/forge/service.ts";
import { collectorPassKey, packKey, pageKey } from "../../src/core/objects/keys.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import type { FaultRates } from "../../src/core/store/faults.ts";
import { below, type CollectedForge, collectedProject, DAY_MS, putRollup } from "../support/collecting.ts";
import { path, type TestProject } from "../support/forge-project.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const MOMENTS = ["before", "after"] as const;
const REQUESTS_MAX = 200;
/** More than a pass deletes with one request. */
const LEFT_OVER = 1005;
/** Until nothing waits any more. */
const PASSES = 5;

let world: CollectedForge;
let forge: ForgeService;
let project: TestProject;
beforeEach(async () => {
  ({ world, forge, project } = await collectedProject());
});

/** A pass on each of some days. */
async function collectDaily(image: CollectedForge, days = PASSES): Promise<void> {
  for (let day = 0; day < days; day++) {
    await image.open().collect(project.id);
    image.pass(DAY_MS);
  }
}

/** Dies everywhere in the pass that is due now, and checks what is there then and in the end. */
async function dieEverywhere(image: CollectedForge): Promise<number> {
  const end = await image.copy();
  await collectDaily(end);
  const left = await end.keys();
  let crashes = 0;
  for (const moment of MOMENTS) {
    for (let step = 0; ; step++) {
      if (step === REQUESTS_MAX) throw new Error(`a pass makes more than ${REQUESTS_MAX} requests`);
      const copy = await image.copy();
      const { memory, clock } = copy;
      const actor = new FaultWorld(memory, { clock, random: new SeededRandom(1), rates: {} }).actor();
      const died = actor.crashAt(step, moment).then(() => "died" as const);
      copy.store = actor;
      const pass = copy.open().collect(project.id);
      if ((await Promise.race([died, pass])) !== "died") break;
      crashes++;
      const keys = new Set(await copy.keys());
      expect(left.filter((key) => !keys.has(key) && key !== collectorPassKey(project.id))).toEqual([]);
      copy.store = memory;
      copy.pass(DAY_MS);
      await collectDaily(copy);
      expect(await copy.keys()).toEqual(left);
    }
  }
  return crashes;
}

async function* once(text: string | Uint8Array): AsyncIterable<Uint8Array> {
  yield Buffer.from(text);
}

function put(name: string, { id, size, chunks }: StoredContent): Operation {
  const entry = { kind: "file" as const, size, id, ...(chunks === undefined ? {} : { chunks }) };
  return { kind: "put", path: path(name), entry, hint: 0 };
}

/** Pages, rollups with parts, a session that wants content, and of each some that nothing names. */
async function fill(): Promise<void> {
  const { id } = project;
  const epoch = world.epoch();
  const { packs } = await world.head(id);
  const putPage = async (page: Parameters<typeof encodeManifestPage>[0]) => {
    const bytes = encodeManifestPage(page);
    const hash = hashObject(bytes);
    await world.memory.put(pageKey(id, epoch, hash), bytes);
    return { hash, epoch, level: page.level, first: 1 as Position, last: 4 as Position };
  };
  const leaf = await putPage({ level: 0, packs: packs.slice(0, 4) });
  const inner = await putPage({ level: 1, pages: [leaf] });
  await putPage({ level: 0, packs: packs.slice(0, 2) });
  await world.changeHead(id, () => ({ pages: [inner], packs: packs.slice(4) }));
  await putRollup(world, project, "named", true);
  await putRollup(world, project, "unnamed", false);
  const wanted = await forge.putBlob(id, once("somebody wants this"));
  const large = await forge.putBlob(id, once(Buffer.alloc(2_500_000, "large")));
  await forge.putBlob(id, once("nobody wants this"));
  await forge.putBlob(id, once(Buffer.alloc(2_500_000, "nor this")));
  const session = mintSessionId(world.random);
  await forge.startSession(id, { id: session, goal: "g", owner: "Ada" });
  const operations = [put("wanted", wanted), put("large", large)];
  await forge.recordOperations(
    id,
    session,
    operations.sort((a, b) => comparePaths(a.path, b.path)),
  );
  for (let i = 0; i < LEFT_OVER; i++) {
    const pack = hashObject(Buffer.from(`left over ${i}`)) as string as PackId;
    await world.memory.put(packKey(id, epoch, pack), Buffer.from("left over"));
  }
}

/** So many days later. */
async function later(days: number): Promise<CollectedForge> {
  const image = await world.copy();
  image.pass(days * DAY_MS);
  return image;
}

test("a pass that dies at any request harms nothing, and the next ones do its work", async () => {
  await fill();
  const before = await world.keys();
  const image = await later(4);
  // The pass that finds what nothing names, and the one that deletes it.
  expect(await dieEverywhere(image)).toBeGreaterThan(10);
  await collectDaily(image, 1);
  expect(await dieEverywhere(image)).toBeGreaterThan(20);
  await collectDaily(image);
  const after = new Set(await image.keys());
  const counts = new Map<string, number>();
  for (const key of before) {
    if (after.has(key)) continue;
    const [kind] = below(project.id, key).split("/");
    counts.set(kind!, (counts.get(kind!) ?? 0) + 1);
  }
  // A page, a rollup with its part, two loose objects, and packs: those left over, and that of the chunks.
  expect(Object.fromEntries(counts)).toEqual({
    pages: 1,
    "landing-log": 2,
    blobs: 2,
    packs: LEFT_OVER + 1,
  });
});

test("the same of a project that was deleted", async () => {
  const session = mintSessionId(world.random);
  await forge.startSession(project.id, { id: session, goal: "g", owner: "Ada" });
  await forge.putBlob(project.id, once("a small file"));
  await forge.deleteProject(project.id);
  const image = await later(20);
  await collectDaily(image, 1);
  image.pass(6 * DAY_MS);
  expect(await dieEverywhere(image)).toBeGreaterThan(8);
});

test("what the store deletes in part is deleted in the end", async () => {
  await fill();
  const whole = await later(4);
  await collectDaily(whole);
  const image = await later(4);
  await collectDaily(image, 1);
  const { memory, clock } = image;
  const rates: FaultRates = { "delete-partial": 1 };
  const faults = new FaultWorld(memory, { clock, random: new SeededRandom(3), rates });
  image.store = faults.actor();
  for (let pass = 1; pass <= 3; pass++) {
    await expect(image.open().collect(project.id)).rejects.toMatchObject({ code: "unreachable" });
    expect(faults.counts.get("delete-partial")).toBe(pass);
  }
  image.store = memory;
  await collectDaily(image);
  expect(await image.keys()).toEqual(await whole.keys());
});
