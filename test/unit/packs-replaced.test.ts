/**
 * Every operation of a forge while its packs are merged and the old ones collected under it: at whichever read that
 * happens, the answer is the same.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import type { LandingId, ObjectId, Position, SessionId } from "../../src/core/base/ids.ts";
import { mintLandingId } from "../../src/core/base/random.ts";
import type { LandRequest } from "../../src/core/forge/forge.ts";
import type { ForgeService } from "../../src/core/forge/service.ts";
import type { Frame, ObjectRef } from "../../src/core/objects/frame.ts";
import { MissingPackError } from "../../src/core/objects/pack-cache.ts";
import { expandFrame, sliceObject } from "../../src/core/objects/read-frame.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { CollectedForge } from "../support/collecting.ts";
import { collect, collectBytes, path, TestProject } from "../support/forge-project.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const at = (position: number): Position => position as Position;

interface World {
  readonly world: CollectedForge;
  readonly project: TestProject;
  readonly landing: LandingId;
  readonly session: SessionId;
  readonly open: SessionId;
}

let made: World;

beforeAll(async () => {
  const world = new CollectedForge();
  const forge = world.open();
  const project = await TestProject.create(forge, "acme/app");
  const random = new SeededRandom(3);
  const landing = mintLandingId(random);
  // Beyond what is read whole, so that index and frames are read apart.
  for (let i = 0; i < 4; i++) {
    const noise = Object.fromEntries(
      Array.from({ length: 12 }, (_, k) => [`noise/${i}/${k}`, random.bytes(30_000)] as const),
    );
    const request = i === 1 ? { landingId: landing } : {};
    await project.land({
      put: { ...noise, text: `one\n${"line\n".repeat(i)}`, [`f${i}`]: `content ${i}` },
      request,
    });
  }
  await project.land({ put: { big: random.bytes(2_500_000) } });
  await project.land({ put: { moved: "content 0" }, delete: ["f0"] });
  const session = "5e".repeat(16) as SessionId;
  await forge.startSession(project.id, { id: session, goal: "landed", owner: "Ada" });
  const entry = { kind: "file" as const, size: 9, id: hashObject(Buffer.from("content 1")) };
  await forge.recordOperations(project.id, session, [{ kind: "put", path: path("again"), entry, hint: 2 }]);
  const author = { author: "Ada", agent: "" };
  await forge.landSession(project.id, { session, landingId: mintLandingId(random), ...author });
  const open = "0e".repeat(16) as SessionId;
  await forge.startSession(project.id, { id: open, goal: "open", owner: "Ada" });
  await forge.recordOperations(project.id, open, [{ kind: "put", path: path("later"), entry, hint: 0 }]);
  await world.spillPacks(project.id);
  made = { world, project, landing, session, open };
});

async function framesOf(frames: AsyncIterable<Frame>): Promise<Record<ObjectId, string>> {
  const objects: Record<ObjectId, string> = {};
  for await (const frame of frames) {
    const raw = expandFrame(frame);
    for (const object of frame.objects) objects[object.id] = hashObject(sliceObject(raw, object).content);
  }
  return Object.fromEntries(Object.entries(objects).sort());
}

async function wantedRefs(forge: ForgeService): Promise<ObjectRef[]> {
  const entries = await collect(forge.listEntries(made.project.id, at(5), undefined));
  return entries.map(({ entry, hint }) => ({ id: entry.chunks ?? entry.id, hint }));
}

async function file(forge: ForgeService, name: string) {
  const found = await forge.getPath(made.project.id, at(6), path(name));
  if (found?.kind !== "entry") throw new Error(`no file ${name}`);
  return found;
}

/** What was asked for of what came: a stored frame may hold more. */
async function fetched(forge: ForgeService, from: number, to: number): Promise<unknown> {
  const ids = new Set<string>();
  const changes: unknown[] = [];
  const frames: Frame[] = [];
  for await (const item of forge.fetch(made.project.id, { from: at(from), to: at(to) })) {
    if (item.kind === "frame") frames.push(item.frame);
    if (item.kind !== "changes") continue;
    for (const { path: name, after } of item.changes) {
      changes.push(name);
      if (after !== undefined) ids.add(after.entry.chunks ?? after.entry.id);
    }
  }
  const objects = await framesOf(
    (async function* () {
      yield* frames;
    })(),
  );
  return { changes, objects: Object.entries(objects).filter(([id]) => ids.has(id)) };
}

function landRequest(change: Partial<LandRequest>, put: Record<string, string>): LandRequest {
  return made.project.request({ put, request: { landingId: "1a".repeat(16) as LandingId, ...change } });
}

const operations: Record<string, (forge: ForgeService) => Promise<unknown>> = {
  getPosition: (forge) => forge.getPosition(made.project.id, at(2)),
  getPath: (forge) => forge.getPath(made.project.id, at(2), path("noise/1/3")),
  listDirectory: (forge) => forge.listDirectory(made.project.id, { at: at(3), dir: path("noise") }),
  listEntries: (forge) => collect(forge.listEntries(made.project.id, at(7), undefined)),
  diff: (forge) => collect(forge.diff(made.project.id, { from: at(1), to: at(6) })),
  "fetch from the start": (forge) => fetched(forge, 0, 7),
  "fetch of a part": (forge) => fetched(forge, 2, 5),
  readObjects: async (forge) => {
    const refs = await wantedRefs(forge);
    const found = await framesOf(forge.readObjects(made.project.id, refs));
    return refs.map(({ id }) => found[id]);
  },
  "readObjects without hints": async (forge) => {
    const refs = (await wantedRefs(forge)).map(({ id }) => ({ id, hint: 0 }));
    const found = await framesOf(forge.readObjects(made.project.id, refs));
    return refs.map(({ id }) => found[id]);
  },
  readFile: async (forge) =>
    hashObject(await collectBytes(forge.readFile(made.project.id, await file(forge, "noise/2/1")))),
  "readFile of chunks": async (forge) =>
    hashObject(await collectBytes(forge.readFile(made.project.id, await file(forge, "big")))),
  "readFile of a range": async (forge) => {
    const range = { offset: 600_000, length: 900_000 };
    return hashObject(
      await collectBytes(forge.readFile(made.project.id, await file(forge, "big"), { range })),
    );
  },
  findContent: (forge) => forge.findContent(made.project.id, { id: hashObject(Buffer.from("content 2")) }),
  blame: (forge) => forge.blame(made.project.id, at(7), path("text")),
  listLandings: (forge) => collect(forge.listLandings(made.project.id, {})),
  "listLandings of a path": (forge) =>
    collect(forge.listLandings(made.project.id, { paths: [path("text")] })),
  getLanding: (forge) => forge.getLanding(made.project.id, at(2)),
  findLanding: (forge) => forge.findLanding(made.project.id, made.landing, at(0)),
  startSession: async (forge) => {
    const base = await forge.getPosition(made.project.id, at(3));
    const id = "7a".repeat(16) as SessionId;
    const { goal, state } = await forge.startSession(made.project.id, { id, goal: "g", owner: "Ada", base });
    return { goal, state };
  },
  getSession: (forge) => forge.getSession(made.project.id, made.session),
  listSessions: (forge) => forge.listSessions(made.project.id, {}),
  recordDecision: async (forge) =>
    (await forge.recordDecision(made.project.id, made.open, "because")).decisions,
  landSession: (forge) =>
    forge.landSession(made.project.id, {
      session: made.open,
      landingId: "2b".repeat(16) as LandingId,
      author: "Ada",
      agent: "",
    }),
  land: (forge) => forge.land(made.project.id, landRequest({}, { f1: "changed", "noise/2/1": "less" })),
  "land what is there already": async (forge) => {
    const { entry } = await file(forge, "noise/0/5");
    const operation = { kind: "put" as const, path: path("copy"), entry, hint: 0 };
    return await forge.land(made.project.id, landRequest({ operations: [operation], frames: [] }, {}));
  },
  "land from far back": async (forge) => {
    const base = await forge.getPosition(made.project.id, at(1));
    return await forge.land(made.project.id, landRequest({ base }, { "new/file": "new" }));
  },
  "land into a conflict": async (forge) => {
    const base = await forge.getPosition(made.project.id, at(1));
    return await forge.land(made.project.id, landRequest({ base }, { text: "mine" }));
  },
  fsck: async (forge) => {
    const { findings, positions } = await forge.fsck(made.project.id);
    return { positions, findings };
  },
};

/** Before the n-th read of the operation, other packs take the place of those that are there. */
function replacedAt(world: CollectedForge, n: number): ObjectStore & { reads: number } {
  let reads = 0;
  return new Proxy(world.memory, {
    get(target, name) {
      if (name === "reads") return reads;
      const method = target[name as keyof typeof target] as unknown;
      if (typeof method !== "function") return method;
      if (name !== "get") return method.bind(target);
      return async (...args: unknown[]) => {
        reads++;
        if (reads === n) await world.memory.delete(await world.mergePacks(made.project.id));
        return await (method as (...all: unknown[]) => unknown).apply(target, args);
      };
    },
  }) as never;
}

/** Frames, records and operations of a landing are compared; ids that the forge makes are not. */
function comparable(value: unknown): string {
  return JSON.stringify(value, (key, each) => {
    if (typeof each === "bigint") return String(each);
    return key === "updatedAtMs" || key === "createdAtMs" ? undefined : each;
  });
}

describe.each([
  ["with memory", 64 << 20],
  ["with hardly any memory", 1],
] as const)("packs are replaced and collected under a forge %s", (_name, cacheBytes) => {
  test.each(Object.keys(operations))("%s", async (name) => {
    const run = operations[name]!;
    const undisturbed = await made.world.copy();
    const counting = replacedAt(undisturbed, 0);
    undisturbed.store = counting;
    const expected = comparable(await run(undisturbed.open({ cacheBytes })));
    const reads = counting.reads;
    expect(reads).toBeGreaterThan(0);
    const step = Math.max(1, Math.floor(reads / 10));
    for (let n = 1; n <= reads; n += step) {
      const world = await made.world.copy();
      world.store = replacedAt(world, n);
      const forge = world.open({ cacheBytes });
      expect(comparable(await run(forge)), `at read ${n} of ${reads}`).toBe(expected);
    }
  });
});

test("a pack that the newest head names and the store has not is lost, and the head is asked once for it", async () => {
  const world = await made.world.copy();
  const { packs } = await world.head(made.project.id);
  const lost = packs.at(-1)!;
  const key = (await world.keys()).find((each) => each.includes(lost.pack))!;
  const forge = world.open();
  await forge.getHead(made.project.id);
  await world.memory.delete([key]);
  await expect(forge.getLanding(made.project.id, lost.first)).rejects.toBeInstanceOf(MissingPackError);
});
