import { beforeEach, describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { Position, SessionId } from "../../src/core/base/ids.ts";
import { comparePaths } from "../../src/core/base/path.ts";
import { mintLandingId, mintSessionId } from "../../src/core/base/random.ts";
import { decodeCollectionPass } from "../../src/core/codec/collection.ts";
import { encodeManifestPage } from "../../src/core/codec/manifest-page.ts";
import type { Operation, StoredContent } from "../../src/core/forge/forge.ts";
import type { CollectReport } from "../../src/core/forge/maintenance.ts";
import type { ForgeService } from "../../src/core/forge/service.ts";
import {
  blobsPrefix,
  collectorPassKey,
  headKey,
  metaKey,
  packsPrefix,
  pageKey,
  projectPrefix,
  rollupKey,
  sessionKey,
  stagingKey,
} from "../../src/core/objects/keys.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { type CollectedForge, collectedProject, DAY_MS, HOUR_MS, putRollup } from "../support/collecting.ts";
import { collectBytes, path, type TestProject } from "../support/forge-project.ts";

async function* once(text: string | Uint8Array): AsyncIterable<Uint8Array> {
  yield Buffer.from(text);
}

describe("collect()", () => {
  let world: CollectedForge;
  let forge: ForgeService;
  let project: TestProject;

  beforeEach(async () => {
    ({ world, forge, project } = await collectedProject());
  });

  function collect(dryRun = false): Promise<CollectReport> {
    return world.open().collect(project.id, { dryRun });
  }

  async function isThere(key: string): Promise<boolean> {
    return (await world.memory.get(key)) !== undefined;
  }

  /** Passes on eight days, as a job would make them. */
  async function collectForDays(days = 8): Promise<void> {
    for (let day = 0; day < days; day++) {
      world.pass(DAY_MS);
      await collect();
    }
  }

  async function expectSound(): Promise<void> {
    const { findings } = await world.open().fsck(project.id);
    expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
  }

  test("deletes what nothing names in the second pass, a day after the first that counts", async () => {
    const named = await world.keys(packsPrefix(project.id));
    const key = await world.leftOver(project.id, "left over");
    const report = await collect();
    expect(report).toMatchObject({ unreferenced: 1, deleted: 0, waiting: 1 });
    expect(report.nextAt).toBe("2026-01-05T00:00:00.000Z");
    world.pass(2 * DAY_MS);
    await collect();
    world.pass(DAY_MS - 12 * HOUR_MS);
    expect(await collect()).toMatchObject({ deleted: 0, waiting: 1 });
    world.pass(23 * HOUR_MS);
    expect(await collect()).toMatchObject({ deleted: 0, waiting: 1, nextAt: "2026-01-05T00:00:00.000Z" });
    world.pass(HOUR_MS);
    expect(await isThere(key)).toBe(true);
    const last = await collect();
    expect(last).toMatchObject({ unreferenced: 1, deleted: 1, waiting: 0 });
    expect(last.bytesDeleted).toBeGreaterThan(0);
    expect(last.nextAt).toBeUndefined();
    expect(await isThere(key)).toBe(false);
    expect(await world.keys(packsPrefix(project.id))).toEqual(named);
    await expectSound();
  });

  test("deletes nothing before both passes, however old it is", async () => {
    const key = await world.leftOver(project.id, "left over");
    world.pass(100 * DAY_MS);
    expect(await collect()).toMatchObject({ deleted: 0, waiting: 1 });
    expect(await isThere(key)).toBe(true);
  });

  test("a dry run says what a run would do, and does nothing", async () => {
    await world.leftOver(project.id, "left over");
    world.pass(4 * DAY_MS);
    const keys = await world.keys();
    const first = await collect(true);
    expect(await world.keys()).toEqual(keys);
    expect(first).toEqual(await collect());
    world.pass(DAY_MS);
    const before = await world.keys();
    const second = await collect(true);
    expect(second).toMatchObject({ deleted: 1 });
    expect(await world.keys()).toEqual(before);
    expect(await collect()).toEqual(second);
    expect(await world.keys()).toHaveLength(before.length - 1);
  });

  test("whoever comes back at the time it says finds everything gone in the end", async () => {
    const keys = [await world.leftOver(project.id, "a")];
    world.pass(DAY_MS + 5 * HOUR_MS);
    keys.push(await world.leftOver(project.id, "b"));
    let report = await collect();
    for (let i = 0; report.nextAt !== undefined; i++) {
      expect(i).toBeLessThan(10);
      const next = Date.parse(report.nextAt);
      expect(next).toBeGreaterThan(world.clock.ms);
      world.clock.ms = next;
      report = await collect();
    }
    for (const key of keys) expect(await isThere(key)).toBe(false);
  });

  test("keeps the pages of every level that the head leads to, and takes those that it no longer does", async () => {
    const { packs, pages } = await world.head(project.id);
    const epoch = world.epoch();
    const put = async (page: Parameters<typeof encodeManifestPage>[0]) => {
      const bytes = encodeManifestPage(page);
      const hash = hashObject(bytes);
      await world.memory.put(pageKey(project.id, epoch, hash), bytes);
      return { hash, epoch, level: page.level, first: 1 as Position, last: 4 as Position };
    };
    expect(pages).toEqual([]);
    const leaf = await put({ level: 0, packs: packs.slice(0, 4) });
    const inner = await put({ level: 1, pages: [leaf] });
    const unnamed = await put({ level: 0, packs: packs.slice(0, 2) });
    await world.changeHead(project.id, () => ({ pages: [inner], packs: packs.slice(4) }));
    await collectForDays();
    expect(await isThere(pageKey(project.id, epoch, leaf.hash))).toBe(true);
    expect(await isThere(pageKey(project.id, epoch, inner.hash))).toBe(true);
    expect(await isThere(pageKey(project.id, epoch, unnamed.hash))).toBe(false);
    expect((await world.keys(packsPrefix(project.id))).length).toBe(packs.length);
    await expectSound();
  });

  test("takes what was uploaded past the server and never finished, after its days", async () => {
    const key = stagingKey(project.id, world.epoch(), "5".repeat(32));
    await world.memory.put(key, new Uint8Array(10));
    await collect();
    expect(await isThere(key)).toBe(true);
    await collectForDays();
    expect(await isThere(key)).toBe(false);
  });

  test("keeps the rollups of the head with their parts, and takes others", async () => {
    const epoch = world.epoch();
    const named = await putRollup(world, project, "one", true);
    const unnamed = await putRollup(world, project, "two", false);
    await collectForDays();
    for (const key of named) expect(await isThere(key)).toBe(true);
    for (const key of unnamed) expect(await isThere(key)).toBe(false);
    expect(named[0]).toContain(epoch);
  });

  test("packs that a merged one replaced are collected, and every position stays readable", async () => {
    world.pass(DAY_MS);
    const replaced = await world.mergePacks(project.id);
    await collectForDays();
    for (const key of replaced) expect(await isThere(key)).toBe(false);
    await expectSound();
    for (let at = 1; at <= 5; at++) {
      const copy = Object.assign(Object.create(project), { forge: world.open() }) as TestProject;
      expect(await copy.read(at, "same")).toBe(`v${at - 1}`);
    }
  });

  describe("content that no landing names yet", () => {
    let small: StoredContent;
    let large: StoredContent;

    beforeEach(async () => {
      small = await forge.putBlob(project.id, once("a small file"));
      large = await forge.putBlob(project.id, once(Buffer.alloc(3_000_000, "large")));
    });

    function operations(): Operation[] {
      const named = [
        ["small", small],
        ["large", large],
      ] as const;
      return named
        .map(([name, { id, size, chunks }]): Operation => {
          const entry = { kind: "file" as const, size, id, ...(chunks === undefined ? {} : { chunks }) };
          return { kind: "put", path: path(name), entry, hint: 0 };
        })
        .sort((a, b) => comparePaths(a.path, b.path));
    }

    async function startSession(): Promise<SessionId> {
      const id = mintSessionId(world.random);
      await forge.startSession(project.id, { id, goal: "g", owner: "Ada" });
      await forge.recordOperations(project.id, id, operations());
      return id;
    }

    async function landSession(session: SessionId): Promise<string> {
      const author = { author: "Ada", agent: "" };
      const landingId = mintLandingId(world.random);
      const result = await world.open().landSession(project.id, { session, landingId, ...author });
      return result.kind;
    }

    test("stays for as long as a landing finds it, its packs as well, and goes then", async () => {
      const loose = await world.keys(blobsPrefix(project.id));
      expect(loose).toHaveLength(2);
      const packs = await world.keys(packsPrefix(project.id));
      await collectForDays(3);
      const request = project.request({ request: { operations: operations() } });
      expect(await world.open().land(project.id, request)).toMatchObject({ kind: "landed" });
      await collectForDays(6);
      expect(await world.keys(blobsPrefix(project.id))).toEqual([]);
      // Copied to the day of the landing: the head may newly name only today's and yesterday's.
      expect(await world.keys(packsPrefix(project.id))).not.toEqual(packs);
      await expectSound();
    });

    test("goes with its packs when nobody lands it", async () => {
      const before = (await world.keys(packsPrefix(project.id))).length;
      await collectForDays();
      expect(await world.keys(blobsPrefix(project.id))).toEqual([]);
      expect((await world.keys(packsPrefix(project.id))).length).toBeLessThan(before);
      await expectSound();
    });

    test("stays at any age while an open session wants it, and lands", async () => {
      const session = await startSession();
      await collectForDays(30);
      expect(await world.keys(blobsPrefix(project.id))).toHaveLength(2);
      expect(await landSession(session)).toBe("landed");
      await collectForDays();
      expect(await world.keys(blobsPrefix(project.id))).toEqual([]);
      await expectSound();
      const found = await world.open().getPath(project.id, 6 as Position, path("large"));
      if (found?.kind !== "entry") throw new Error("no file");
      const bytes = await collectBytes(world.open().readFile(project.id, found));
      expect(hashObject(bytes)).toBe(large.id);
    });

    test("goes when its session was abandoned", async () => {
      const session = await startSession();
      await collectForDays(8);
      expect(await world.keys(blobsPrefix(project.id))).toHaveLength(2);
      await forge.abandonSession(project.id, session);
      await collectForDays(3);
      expect(await world.keys(blobsPrefix(project.id))).toEqual([]);
    });

    test("is kept when the session that may want it cannot be read", async () => {
      const session = await startSession();
      const key = sessionKey(project.id, session);
      await collectForDays(8);
      const bytes = (await world.bytes(key)).slice();
      bytes[40]! ^= 1;
      await world.overwrite(key, bytes);
      world.pass(DAY_MS);
      await expect(collect()).rejects.toMatchObject({ code: "corrupt" });
      expect(await world.keys(blobsPrefix(project.id))).toHaveLength(2);
    });
  });

  test.each(["missing", "damaged"])("builds a rollup that is %s again, and goes on", async (how) => {
    for (let i = 0; i < 100; i++) await project.land({ put: { [`r${i % 9}`]: `${i}` } });
    await forge.upkeep(project.id);
    const [ref] = (await world.head(project.id)).rollups;
    const key = rollupKey(project.id, ref!.epoch, ref!.level, ref!.first, ref!.hash);
    await collectForDays();
    const doomed = await world.leftOver(project.id, "left over");
    if (how === "missing") await world.memory.delete([key]);
    else await world.overwrite(key, (await world.bytes(key)).slice(1));
    const before = await world.keys();
    await expect(world.open().collect(project.id, { dryRun: true })).rejects.toMatchObject({
      code: "corrupt",
      hint: expect.stringContaining("--repair"),
    });
    expect(await world.keys()).toEqual(before);
    await collectForDays();
    expect(await isThere(doomed)).toBe(false);
    const [now] = (await world.head(project.id)).rollups;
    expect(now).toMatchObject({ level: 1, first: 1 });
    expect((await world.open().fsck(project.id)).findings).toEqual([]);
  });

  describe("deletes nothing when something cannot be read", () => {
    let doomed: string;

    beforeEach(async () => {
      const { packs } = await world.head(project.id);
      const bytes = encodeManifestPage({ level: 0, packs: packs.slice(0, 3) });
      const hash = hashObject(bytes);
      const epoch = world.epoch();
      await world.memory.put(pageKey(project.id, epoch, hash), bytes);
      const page = { hash, epoch, level: 0, first: 1 as Position, last: 3 as Position };
      await world.changeHead(project.id, () => ({ pages: [page], packs: packs.slice(3) }));
      await putRollup(world, project, "one", true);
      doomed = await world.leftOver(project.id, "left over");
      world.pass(4 * DAY_MS);
      await collect();
      world.pass(DAY_MS);
    });

    async function expectKept(code = "corrupt"): Promise<void> {
      await expect(collect()).rejects.toMatchObject({ code });
      expect(await isThere(doomed)).toBe(true);
    }

    test.each(["/pages/", "/level-1/"])("%s missing", async (part) => {
      const key = (await world.keys(projectPrefix(project.id))).find((each) => each.includes(part))!;
      const bytes = await world.bytes(key);
      await world.memory.delete([key]);
      await expectKept();
      await world.memory.put(key, bytes);
      expect(await collect()).toMatchObject({ deleted: 1 });
    });

    test.each(["/pages/", "/level-1/", "/head", "/meta"])("a byte of %s flipped", async (part) => {
      const key = (await world.keys(projectPrefix(project.id))).find((each) => each.includes(part))!;
      const bytes = await world.bytes(key);
      const step = Math.max(1, Math.floor(bytes.length / 24));
      for (let offset = 0; offset < bytes.length; offset += step) {
        const flipped = bytes.slice();
        flipped[offset]! ^= 1 << (offset % 8);
        await world.overwrite(key, flipped);
        await expect(collect(), `byte ${offset}`).rejects.toBeInstanceOf(MicError);
        expect(await isThere(doomed)).toBe(true);
      }
    });

    test("a missing head", async () => {
      await world.memory.delete([headKey(project.id)]);
      await expectKept();
    });

    test("a store that fails once, at any request", async () => {
      const requests = await countRequests(world, project);
      const keys = await world.keys();
      for (let at = 1; at <= requests; at++) {
        world.store = failingAt(world.memory, at, "before");
        await expect(collect(), `request ${at}`).rejects.toMatchObject({ code: "unreachable" });
        const gone = keys.length - (await world.keys()).length;
        // Only its last request may fail after everything that it read was read.
        expect(gone).toBeLessThanOrEqual(at === requests ? 1 : 0);
      }
    });
  });

  test("passes at the same time delete the same, and one of them says what waits", async () => {
    await world.leftOver(project.id, "a");
    world.pass(4 * DAY_MS);
    await Promise.all([collect(), collect(), collect()]);
    const pass = decodeCollectionPass(await world.bytes(collectorPassKey(project.id)));
    expect(pass.groups.map(({ kind, ids }) => [kind, ids.length])).toEqual([[2, 16]]);
    world.pass(DAY_MS);
    await Promise.all([collect(), collect(), collect()]);
    expect(await world.keys(packsPrefix(project.id))).toHaveLength(5);
    await expectSound();
  });

  test("what an earlier pass left is no use when it is damaged, and refused when it is newer", async () => {
    const key = await world.leftOver(project.id, "a");
    world.pass(4 * DAY_MS);
    await collect();
    const bytes = await world.bytes(collectorPassKey(project.id));
    for (let offset = 0; offset < bytes.length; offset++) {
      const flipped = bytes.slice();
      flipped[offset]! ^= 1;
      await world.overwrite(collectorPassKey(project.id), flipped);
      world.pass(DAY_MS);
      expect(await collect()).toMatchObject({ deleted: 0, waiting: 1 });
    }
    expect(await isThere(key)).toBe(true);
    world.pass(DAY_MS);
    expect(await collect()).toMatchObject({ deleted: 1 });
  });

  test("a pass that a clock far ahead made does not hold the next ones up", async () => {
    await world.leftOver(project.id, "a");
    world.pass(400 * DAY_MS);
    await collect();
    world.pass(-395 * DAY_MS);
    expect(await collect()).toMatchObject({ deleted: 0, waiting: 1 });
    world.pass(DAY_MS);
    expect(await collect()).toMatchObject({ deleted: 1 });
  });

  test("what is named between two passes stays", async () => {
    const key = await world.leftOver(project.id, "a");
    world.pass(4 * DAY_MS);
    await collect();
    const { packs } = await world.head(project.id);
    const { size } = (await world.memory.list(key)).objects[0]!;
    const pack = key.slice(-69, -5);
    const entry = { ...packs.at(-1)!, pack, size, indexLength: 10, hasRecords: false };
    await world.changeHead(project.id, () => ({ packs: [...packs, entry as never] }));
    world.pass(DAY_MS);
    expect(await collect()).toMatchObject({ deleted: 0 });
    expect(await isThere(key)).toBe(true);
  });

  test("what is named while the pass lists stays", async () => {
    const key = await world.leftOver(project.id, "a");
    world.pass(4 * DAY_MS);
    await collect();
    world.pass(DAY_MS);
    const { packs } = await world.head(project.id);
    const { size } = (await world.memory.list(key)).objects[0]!;
    const pack = key.slice(-69, -5);
    const entry = { ...packs.at(-1)!, pack, size, indexLength: 10, hasRecords: false };
    let isChanged = false;
    const inner = world.memory;
    world.store = new Proxy(inner, {
      get(target, name) {
        const method = target[name as keyof typeof target] as unknown;
        if (typeof method !== "function") return method;
        return async (...args: unknown[]) => {
          if (name === "list" && !isChanged) {
            isChanged = true;
            await world.changeHead(project.id, () => ({ packs: [...packs, entry as never] }));
          }
          return await (method as (...all: unknown[]) => unknown).apply(target, args);
        };
      },
    });
    expect(await collect()).toMatchObject({ deleted: 0 });
    expect(isChanged).toBe(true);
    expect(await isThere(key)).toBe(true);
  });

  test("objects that it does not know stay", async () => {
    const keys = ["notes", "quarantine/packs/x", "packs/2020-02-31/ab/cd.pack", "zz/2020-01-01/x"];
    for (const key of keys) await world.memory.put(projectPrefix(project.id) + key, Buffer.from(key));
    await collectForDays();
    for (const key of keys) expect(await isThere(projectPrefix(project.id) + key)).toBe(true);
  });

  describe("of a deleted project", () => {
    test("everything goes but head and meta, a week after a pass found it deleted", async () => {
      const session = mintSessionId(world.random);
      await forge.startSession(project.id, { id: session, goal: "g", owner: "Ada" });
      await world.memory.put(`${projectPrefix(project.id)}notes`, Buffer.from("?"));
      await forge.deleteProject(project.id);
      world.pass(20 * DAY_MS);
      const before = await world.keys(projectPrefix(project.id));
      expect(await collect()).toMatchObject({ deleted: 0 });
      world.pass(6 * DAY_MS);
      expect(await collect()).toMatchObject({ deleted: 0 });
      expect(await world.keys(projectPrefix(project.id))).toEqual(
        [...before, collectorPassKey(project.id)].sort(),
      );
      world.pass(DAY_MS);
      expect(await collect()).toMatchObject({ deleted: before.length - 2, waiting: 0 });
      expect(await world.keys(projectPrefix(project.id))).toEqual([
        collectorPassKey(project.id),
        headKey(project.id),
        metaKey(project.id),
      ]);
      expect(await collect()).toMatchObject({ deleted: 0, unreferenced: 0 });
    });

    test("a pass from before the deletion does not count", async () => {
      await world.leftOver(project.id, "a");
      world.pass(4 * DAY_MS);
      await collect();
      await forge.deleteProject(project.id);
      world.pass(30 * DAY_MS);
      expect(await collect()).toMatchObject({ deleted: 0 });
    });

    test("it is among the projects to look after, each once, whatever it was called", async () => {
      await forge.updateProject(project.id, { name: "acme/new" });
      await forge.deleteProject(project.id);
      const pages: string[] = [];
      for await (const page of forge.everyProject()) pages.push(...page);
      expect(pages).toEqual([project.id]);
    });
  });

  test("an absent project is not found", async () => {
    await expect(forge.collect("ab".repeat(16) as never)).rejects.toMatchObject({ code: "not-found" });
  });

  test("a pass over a project without left-overs reads the head, the meta and the listing", async () => {
    const counting = new CountingStore(world.memory);
    world.store = counting;
    await collect();
    const { gets, misses, unchanged, lists, puts, swaps, deletes } = counting.counts;
    expect({ gets, misses, unchanged, lists, puts, swaps, deletes }).toEqual({
      gets: 2,
      misses: 1,
      unchanged: 0,
      lists: 3,
      puts: 0,
      swaps: 0,
      deletes: 0,
    });
  });
});

async function countRequests(world: CollectedForge, project: TestProject): Promise<number> {
  const counting = new CountingStore(world.memory);
  let requests = 0;
  world.store = new CountingStore(counting, () => requests++);
  await world.open().collect(project.id, { dryRun: true });
  world.store = world.memory;
  // And the deletion and the swap.
  return requests + 2;
}

/** The process ends at a request: before it is sent, or after it was answered. */
function failingAt(inner: ObjectStore, at: number, when: "before" | "after"): ObjectStore {
  let requests = 0;
  return new Proxy(inner, {
    get(target, name) {
      const method = target[name as keyof ObjectStore] as unknown;
      if (typeof method !== "function" || name === "nowMs") {
        return typeof method === "function" ? method.bind(target) : method;
      }
      return async (...args: unknown[]) => {
        requests++;
        const fails = requests >= at;
        if (fails && (when === "before" || requests > at))
          throw new MicError("unreachable", "the store is gone");
        const answer = await (method as (...all: unknown[]) => Promise<unknown>).apply(target, args);
        if (fails) throw new MicError("unreachable", "the store is gone");
        return answer;
      };
    },
  });
}
