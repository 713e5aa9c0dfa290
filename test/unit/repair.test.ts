import { beforeEach, describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { ObjectId, Position } from "../../src/core/base/ids.ts";
import { mintSessionId } from "../../src/core/base/random.ts";
import { encodeManifestPage } from "../../src/core/codec/manifest-page.ts";
import { decodeMeta, encodeMeta } from "../../src/core/codec/meta.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { ManifestPack } from "../../src/core/codec/pack-entry.ts";
import { COLLECTABLE_DAYS } from "../../src/core/forge/collect/collect.ts";
import type { FsckReport } from "../../src/core/forge/forge.ts";
import type { RepairReport } from "../../src/core/forge/maintenance.ts";
import { ProjectStore } from "../../src/core/forge/project-store.ts";
import type { CopySource } from "../../src/core/forge/repair/copy-source.ts";
import { buildRollup } from "../../src/core/forge/rollup/build.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import {
  blobsPrefix,
  collectorPassKey,
  headKey,
  metaKey,
  nameKey,
  packKey,
  packsPrefix,
  projectPrefix,
  quarantinePrefix,
  sessionKey,
} from "../../src/core/objects/keys.ts";
import type { ObjectContent } from "../../src/core/objects/read-frame.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { type CollectedForge, collectedProject, DAY_MS } from "../support/collecting.ts";
import { collect, path, TestProject } from "../support/forge-project.ts";

/** Bytes of a rollup that are flipped, each followed by a repair. */
const FLIPS = 8;
/** After these no head can newly name what was stored. */
const OLD_MS = COLLECTABLE_DAYS * DAY_MS;

describe("repair()", () => {
  let world: CollectedForge;
  let project: TestProject;

  beforeEach(async () => {
    ({ world, project } = await collectedProject());
  });

  function repair(copies: readonly CopySource[] = []): Promise<RepairReport> {
    return world.open().repair(project.id, { copies });
  }

  function errors({ findings }: FsckReport): FsckReport["findings"] {
    return findings.filter(({ severity }) => severity === "error");
  }

  async function flip(key: string, offset: number): Promise<void> {
    const bytes = (await world.bytes(key)).slice();
    bytes[offset]! ^= 1 << (offset % 8);
    await world.overwrite(key, bytes);
  }

  async function namedPacks(): Promise<readonly ManifestPack[]> {
    return (await world.head(project.id)).packs;
  }

  function keyOf({ epoch, pack }: ManifestPack): string {
    return packKey(project.id, epoch, pack);
  }

  /** Everything that the project says, as text. */
  async function everything(): Promise<string> {
    const forge = world.open();
    const landings = await collect(forge.listLandings(project.id, {}));
    const trees: unknown[] = [];
    for (const { position } of landings)
      trees.push(await collect(forge.listEntries(project.id, position, undefined)));
    const files: string[] = [];
    for (let at = 1; at <= 5; at++) {
      const reader = Object.assign(Object.create(project), { forge }) as TestProject;
      files.push(await reader.read(at, "same"), await reader.read(at, "f0"));
    }
    return JSON.stringify([landings, trees, files], (_, each) =>
      typeof each === "bigint" ? String(each) : each,
    );
  }

  test("leaves a sound project as it is", async () => {
    await world.leftOver(project.id, "left over");
    const keys = await world.keys();
    const report = await repair();
    expect(report).toMatchObject({ rebuilt: 0, quarantined: [] });
    expect(report.after).toEqual(report.before);
    expect(await world.keys()).toEqual(keys);
  });

  test("moves aside what is damaged and named by nothing, and keeps its bytes", async () => {
    const left = await world.leftOver(project.id, "left over");
    await world.open().putBlob(
      project.id,
      (async function* () {
        yield Buffer.from("loose");
      })(),
    );
    const [loose] = await world.keys(blobsPrefix(project.id));
    world.pass(4 * DAY_MS);
    await world.open().collect(project.id);
    const keys = [left, loose!, collectorPassKey(project.id)];
    const damaged = new Map<string, Uint8Array>();
    for (const key of keys) {
      await flip(key, 20);
      damaged.set(key, await world.bytes(key));
    }
    const report = await repair();
    expect(errors(report.before)).toHaveLength(3);
    expect(report.after.findings).toEqual([]);
    const aside = (key: string): string =>
      quarantinePrefix(project.id) + key.slice(projectPrefix(project.id).length);
    expect([...report.quarantined].sort()).toEqual(keys.map(aside).sort());
    for (const key of keys) {
      expect(await world.memory.get(key)).toBeUndefined();
      expect(await world.bytes(aside(key))).toEqual(damaged.get(key));
    }
    expect((await world.open().fsck(project.id)).findings).toEqual([]);
  });

  describe("what is damaged and named by nothing", () => {
    const LEFT = "left over";

    async function damagedLeftOver(): Promise<string> {
      const key = await world.leftOver(project.id, LEFT);
      await flip(key, 20);
      return key;
    }

    test("stays where it is while a landing may still name its like, and a copy is kept", async () => {
      const key = await damagedLeftOver();
      const damaged = await world.bytes(key);
      for (let day = 0; day < 3; day++) {
        const report = await repair();
        expect(report.left, `day ${day}`).toEqual([key]);
        expect(errors(report.after)).toEqual([expect.objectContaining({ object: key })]);
        expect(await world.bytes(key)).toEqual(damaged);
        expect(report.quarantined).toHaveLength(day === 0 ? 1 : 0);
        world.pass(DAY_MS);
      }
      expect(await repair()).toMatchObject({ left: [], after: { findings: [] } });
      expect(await world.memory.get(key)).toBeUndefined();
    });

    test("stays when it is stored again before it would be deleted", async () => {
      const key = await damagedLeftOver();
      const sound = (await world.bytes(key)).slice();
      sound[20]! ^= 1 << 4;
      world.pass(4 * DAY_MS);
      // Once a copy of what was damaged is written.
      world.store = new Proxy(world.memory, {
        get(target, name) {
          const method = (target as ObjectStore)[name as keyof ObjectStore] as unknown;
          if (typeof method !== "function") return method;
          if (name !== "put") return method.bind(target);
          return async (...args: Parameters<ObjectStore["put"]>) => {
            await target.put(...args);
            if (args[0].startsWith(quarantinePrefix(project.id))) await world.overwrite(key, sound);
          };
        },
      });
      const report = await repair();
      expect(report.quarantined).toHaveLength(1);
      expect(await world.bytes(key)).toEqual(sound);
      world.store = world.memory;
      expect((await repair()).before.findings).toEqual([]);
    });
  });

  describe("a merged pack whose packs are still there", () => {
    let before: string;
    let merged: ManifestPack;

    beforeEach(async () => {
      before = await everything();
      world.pass(DAY_MS);
      await world.mergePacks(project.id);
      merged = (await namedPacks())[0]!;
      world.pass(OLD_MS);
    });

    async function expectWhole(report: RepairReport): Promise<void> {
      expect(errors(report.before).length).toBeGreaterThan(0);
      expect(report.after.findings).toEqual([]);
      expect(await everything()).toBe(before);
    }

    test("is made anew when it is missing", async () => {
      await world.memory.delete([keyOf(merged)]);
      await expectWhole(await repair());
    });

    test("is made anew whichever byte is flipped, and what was damaged is kept aside", async () => {
      const sound = await world.bytes(keyOf(merged));
      const lists = await world.head(project.id);
      const keys = await world.keys();
      for (let i = 0; i < 24; i++) {
        const offset = Math.min(sound.length - 1, Math.round((i * sound.length) / 23));
        await flip(keyOf(merged), offset);
        const report = await repair();
        expect(report.quarantined, `byte ${offset}`).toHaveLength(1);
        await expectWhole(report);
        for (const key of await world.keys()) if (!keys.includes(key)) await world.memory.delete([key]);
        await world.overwrite(keyOf(merged), sound);
        await world.changeHead(project.id, () => ({ packs: lists.packs }));
      }
    });

    test("is found where its entry says something else", async () => {
      const wrong: Partial<ManifestPack>[] = [
        { size: merged.size + 1 },
        { indexLength: merged.indexLength - 1 },
      ];
      for (const change of wrong) {
        await world.changeHead(project.id, () => ({ packs: [{ ...merged, ...change }] }));
        const report = await repair();
        expect(report).toMatchObject({ rebuilt: 1, quarantined: [] });
        await expectWhole(report);
        expect(await namedPacks()).toEqual([merged]);
      }
    });

    test("is repaired in the end when the repair ends anywhere", async () => {
      for (let at = 1; at <= 400; at += 31) {
        world.pass(OLD_MS);
        const sound = await world.bytes(keyOf((await namedPacks())[0]!));
        await flip(keyOf((await namedPacks())[0]!), Math.floor(sound.length / 3));
        world.store = endingAt(world.memory, at);
        await repair().catch((error: unknown) => {
          if (!(error instanceof MicError)) throw error;
        });
        world.store = world.memory;
        const report = await repair();
        expect(errors(report.after), `ended at request ${at}`).toEqual([]);
        expect(await everything()).toBe(before);
      }
    });
  });

  test("a name is written anew for its project, unless another one says that it is its own", async () => {
    const key = nameKey("acme", "app");
    const record = await world.bytes(key);
    // Its creation ended before it took the name.
    const other = await TestProject.create(world.open(), "acme/other");
    const meta = decodeMeta(await world.bytes(metaKey(other.id)));
    await world.overwrite(metaKey(other.id), encodeMeta({ ...meta, name: "acme/app" }));
    await flip(key, 9);
    const damaged = await world.bytes(key);
    for (const { id } of [other, project]) {
      const { rebuilt, after } = await world.open().repair(id);
      expect(rebuilt).toBe(0);
      expect(after.findings).toContainEqual(expect.objectContaining({ code: "corrupt", object: key }));
    }
    expect(await world.bytes(key)).toEqual(damaged);
    const located = world.open().locateProject("acme/app");
    await expect(located).rejects.toMatchObject({
      code: "corrupt",
      data: { projects: [project.id, other.id].sort() },
    });
    await world.overwrite(
      metaKey(other.id),
      encodeMeta({ ...meta, name: "acme/app", deletedAtMs: world.clock.ms }),
    );
    expect(await world.open().locateProject("acme/app")).toBe(project.id);
    expect((await repair()).rebuilt).toBe(1);
    expect(await world.bytes(key)).toEqual(record);
  });

  test("a pack that is also under another day is found there", async () => {
    const before = await everything();
    for (const entry of await namedPacks()) {
      const bytes = await world.bytes(keyOf(entry));
      await world.memory.put(packKey(project.id, "2025-12-31" as never, entry.pack), bytes);
      await world.memory.delete([keyOf(entry)]);
    }
    const report = await repair();
    expect(errors(report.before).length).toBeGreaterThan(4);
    expect(report.after.findings).toEqual([]);
    expect(await everything()).toBe(before);
  });

  test("a pack that a cache still has is taken from there", async () => {
    const before = await everything();
    const [, second] = await namedPacks();
    const key = keyOf(second!);
    const bytes = await world.bytes(key);
    await world.memory.delete([key]);
    world.store = new Proxy(world.memory, {
      get(target, name) {
        const method = (target as ObjectStore)[name as keyof ObjectStore] as unknown;
        if (typeof method !== "function") return method;
        if (name !== "get") return method.bind(target);
        return async (...[asked, options]: Parameters<ObjectStore["get"]>) => {
          if (asked !== key || options?.fresh === true || options?.range !== undefined) {
            return await target.get(asked, options);
          }
          return { bytes, etag: "cached" };
        };
      },
    });
    const report = await repair();
    expect(errors(report.before).length).toBeGreaterThan(0);
    expect(report.after.findings).toEqual([]);
    world.store = world.memory;
    expect(await everything()).toBe(before);
  });

  describe("without a copy in the store", () => {
    /** Files come first in a pack, behind 8 bytes. */
    async function damageFrame(entry: ManifestPack): Promise<void> {
      await flip(keyOf(entry), 9);
    }

    test("what is lost stays listed, and is reported with the positions and paths that it affects", async () => {
      const [, second] = await namedPacks();
      await damageFrame(second!);
      const report = await repair();
      expect(errors(report.before).length).toBeGreaterThan(0);
      const left = errors(report.after);
      expect(left.some(({ path, position }) => path !== undefined && position !== undefined)).toBe(true);
      expect((await namedPacks()).map(({ pack }) => pack)).toContain(second!.pack);
      expect(await world.memory.get(keyOf(second!))).toBeDefined();
      const landings = await collect(world.open().listLandings(project.id, {}));
      expect(landings.map(({ position }) => position)).toEqual([5, 4, 3, 2, 1]);
    });

    test("what is damaged and stays named is copied aside, once for whatever it was", async () => {
      const [, second] = await namedPacks();
      const key = keyOf(second!);
      const sound = await world.bytes(key);
      const aside = quarantinePrefix(project.id) + key.slice(projectPrefix(project.id).length);
      const zeros = new Uint8Array(sound.length);
      await world.overwrite(key, zeros);
      expect((await repair()).quarantined).toEqual([aside]);
      expect(await world.bytes(key)).toEqual(zeros);
      expect(await world.bytes(aside)).toEqual(zeros);
      expect((await namedPacks()).map(({ pack }) => pack)).toContain(second!.pack);
      expect((await repair()).quarantined).toEqual([]);
      const ones = zeros.slice().fill(1);
      await world.overwrite(key, ones);
      const [other] = (await repair()).quarantined;
      expect(other).toBe(`${aside}-${hashObject(ones)}`);
      expect([await world.bytes(aside), await world.bytes(other!)]).toEqual([zeros, ones]);
      await world.overwrite(key, sound);
      expect((await world.open().fsck(project.id)).findings).toEqual([]);
    });

    test("a head, a meta and a session that are damaged are copied aside and stay", async () => {
      const id = mintSessionId(world.random);
      await world.open().startSession(project.id, { id, goal: "g", owner: "Ada" });
      for (const key of [sessionKey(project.id, id), metaKey(project.id), headKey(project.id)]) {
        const sound = await world.bytes(key);
        await flip(key, 9);
        const damaged = await world.bytes(key);
        const { quarantined } = await repair();
        expect(quarantined).toEqual([
          quarantinePrefix(project.id) + key.slice(projectPrefix(project.id).length),
        ]);
        expect([await world.bytes(quarantined[0]!), await world.bytes(key)]).toEqual([damaged, damaged]);
        await world.overwrite(key, sound);
      }
      expect((await world.open().fsck(project.id)).findings).toEqual([]);
    });

    test("a second repair changes nothing more", async () => {
      const [, second] = await namedPacks();
      await damageFrame(second!);
      await repair();
      const keys = await world.keys();
      const again = await repair();
      expect(again.after).toEqual(again.before);
      expect(await world.keys()).toEqual(keys);
    });

    test("what another place has is taken from there", async () => {
      const before = await everything();
      const elsewhere = await copyOf(world);
      const packs = await namedPacks();
      for (const entry of packs) await damageFrame(entry);
      world.pass(OLD_MS);
      const report = await repair([elsewhere]);
      expect(errors(report.before).length).toBeGreaterThan(0);
      expect(report.after.findings).toEqual([]);
      expect(await everything()).toBe(before);
      expect(report.quarantined).toHaveLength(packs.length);
    });

    test("a place that lies is not believed", async () => {
      const liar: CopySource = {
        description: "a liar",
        find: async () => ({ kind: "blob", content: Buffer.from("wrong"), sidecar: new Uint8Array(0) }),
      };
      const [, second] = await namedPacks();
      await damageFrame(second!);
      const report = await repair([liar]);
      expect(errors(report.after).length).toBeGreaterThan(0);
      expect(await world.keys()).toContain(keyOf(second!));
    });
  });

  test("records of attempts that did not land are not taken for the log's", async () => {
    const before = await everything();
    const packs = await namedPacks();
    const last = packs.at(-1)!;
    // Another landing at the last position, whose swap was lost.
    const head = await world.bytes(headKey(project.id));
    const rival = await world.copy();
    await rival.changeHead(project.id, () => ({}));
    const other = Object.assign(Object.create(project), { forge: rival.open() }) as TestProject;
    await other.land({ put: { rival: "x" }, base: { position: 5 as Position, root: project.base.root } });
    const made = (await rival.head(project.id)).packs.at(-1)!;
    await world.memory.put(packKey(project.id, made.epoch, made.pack), await rival.bytes(keyOf(made)));
    await project.land({ put: { ours: "y" } });
    const ours = (await namedPacks()).at(-1)!;
    await world.memory.delete([keyOf(ours)]);
    const report = await repair();
    expect(errors(report.after).length).toBeGreaterThan(0);
    expect((await namedPacks()).map(({ pack }) => pack)).toContain(ours.pack);
    await world.overwrite(headKey(project.id), head);
    expect(last.last).toBe(5);
    expect(await everything()).toBe(before);
  });

  describe("pages of the manifest", () => {
    async function pageKeys(): Promise<string[]> {
      return await world.keys(`${projectPrefix(project.id)}pages/`);
    }

    beforeEach(async () => {
      const noise = encodeNoise(world);
      const pack = await world.open().putPack(project.id, noise.bytes);
      const operation = { kind: "put" as const, path: path("uploaded"), entry: noise.entry, hint: 0 };
      const request = { packs: [pack], operations: [operation], frames: [] };
      await project.land({ request });
      for (let i = 0; i < 4; i++) await project.land({ put: { later: `${i}` } });
      await world.spillPacks(project.id, 8);
      // A landing whose swap was lost leaves a pack like those that the page lists.
      const rival = await world.copy();
      const other = Object.assign(Object.create(project), { forge: rival.open() }) as TestProject;
      await other.land({ put: { rival: "x" } });
      const made = (await rival.head(project.id)).packs.at(-1)!;
      await world.memory.put(packKey(project.id, made.epoch, made.pack), await rival.bytes(keyOf(made)));
    });

    test("are written anew when they are missing or damaged, from what they listed", async () => {
      const before = await everything();
      const [key] = await pageKeys();
      const sound = await world.bytes(key!);
      for (let i = 0; i < 25; i++) {
        if (i === 24) await world.memory.delete([key!]);
        else await flip(key!, Math.min(sound.length - 1, Math.round((i * sound.length) / 23)));
        const report = await repair();
        expect(errors(report.before).length).toBeGreaterThan(0);
        expect(report.after.findings).toEqual([]);
        expect(await world.bytes(key!)).toEqual(sound);
      }
      expect(await everything()).toBe(before);
    });

    test("of pages are written anew too", async () => {
      const [key] = await pageKeys();
      const { pages } = await world.head(project.id);
      const epoch = world.epoch();
      const bytes = encodeManifestPage({ level: 1, pages });
      const upper = { ...pages[0]!, level: 1, epoch, hash: hashObject(bytes) };
      await world.changeHead(project.id, () => ({ pages: [upper] }));
      const report = await repair();
      expect(errors(report.before).length).toBeGreaterThan(0);
      expect(report.after.findings).toEqual([]);
      expect(await pageKeys()).toHaveLength(2);
      expect(await pageKeys()).toContain(key);
    });
  });

  describe("rollups", () => {
    beforeEach(async () => {
      for (let i = 0; i < 100; i++) await project.land({ put: { [`r${i % 9}`]: `${i}` } });
      const { store, clock, random } = world;
      const limits = { cacheBytes: 1 << 20, trustWriters: true };
      const opened = new ProjectStore({ store, project: project.id, clock, random, ...limits });
      const built = await buildRollup({ store }, await opened.snapshot(), 1, 1 as Position);
      expect(await opened.attach(built.change)).toBe("applied");
      expect((await world.open().fsck(project.id)).findings).toEqual([]);
    });

    test.each(["missing", "damaged"])("that are %s are built again", async (how) => {
      world.pass(DAY_MS);
      const keys = (await world.keys(projectPrefix(project.id))).filter((key) =>
        key.includes("/landing-log/"),
      );
      expect(keys.length).toBeGreaterThan(0);
      const size = (await world.bytes(keys[0]!)).length;
      for (let i = 0; i < FLIPS; i++) {
        world.pass(OLD_MS);
        const [key] = (await world.keys(projectPrefix(project.id)))
          .filter((each) => each.startsWith(`${projectPrefix(project.id)}landing-log/level-1/`))
          .slice(-1);
        if (how === "missing") await world.memory.delete([key!]);
        else await flip(key!, Math.min(size - 1, Math.round((i * size) / (FLIPS - 1))));
        const report = await repair();
        expect(report.before.findings).toContainEqual(
          expect.objectContaining({ severity: "warning", code: "rollup", object: key }),
        );
        expect(report.rebuilt).toBe(1);
        expect(report.after.findings).toEqual([]);
        if (how === "missing") break;
      }
    });

    test("that say something else than the log are built again", async () => {
      const { rollups } = await world.head(project.id);
      const other = await collectedProject();
      for (let i = 0; i < 100; i++) await other.project.land({ put: { [`q${i % 9}`]: `${i}` } });
      const opened = new ProjectStore({
        store: other.world.memory,
        project: other.project.id,
        clock: other.world.clock,
        random: other.world.random,
        cacheBytes: 1 << 20,
        trustWriters: true,
      });
      const { ref, puts } = await buildRollup(
        { store: other.world.memory },
        await opened.snapshot(),
        1,
        1 as Position,
      );
      const key = puts[0]!.key.replace(other.project.id, project.id);
      await world.memory.put(key, puts[0]!.bytes);
      await world.changeHead(project.id, () => ({ rollups: [ref] }));
      const report = await repair();
      expect(report.before.findings).toEqual([
        expect.objectContaining({
          severity: "warning",
          code: "rollup",
          message: expect.stringContaining("log"),
        }),
      ]);
      expect(report.after.findings).toEqual([]);
      expect((await world.head(project.id)).rollups.map(({ hash }) => hash)).toEqual(
        rollups.map(({ hash }) => hash),
      );
    });
  });

  test("packs that stand beside the log are not needed to know that it is sound", async () => {
    const packs = await world.keys(packsPrefix(project.id));
    expect(packs).toHaveLength(5);
    expect((await repair()).after).toMatchObject({ packs: 5, unreferenced: 0 });
  });
});

/** A pack as it is uploaded, and the file in it. */
function encodeNoise(world: CollectedForge) {
  const content = world.random.bytes(5000);
  const id = hashObject(content);
  const frames = new FrameBuilder({ rawTarget: 1 << 16 });
  frames.add("blob", id, content);
  const entry = { kind: "file" as const, size: content.length, id };
  return { bytes: encodePack(frames.finish()).bytes, entry };
}

/** Every object of a project, in another place. */
async function copyOf(world: CollectedForge): Promise<CopySource> {
  const { salvage } = await import("../../src/core/forge/repair/salvage.ts");
  const objects = new Map<ObjectId, ObjectContent>();
  for (const key of await world.keys()) {
    if (!key.endsWith(".pack")) continue;
    for (const { id, kind, content, sidecar } of salvage(await world.bytes(key))) {
      objects.set(id, { kind, content: new Uint8Array(content), sidecar: new Uint8Array(sidecar) });
    }
  }
  return { description: "another place", find: async (id) => objects.get(id) };
}

/** The process ends before a request. */
function endingAt(inner: ObjectStore, at: number): ObjectStore {
  let requests = 0;
  return new Proxy(inner, {
    get(target, name) {
      const method = target[name as keyof ObjectStore] as unknown;
      if (typeof method !== "function") return method;
      if (name === "nowMs") return method.bind(target);
      return async (...args: unknown[]) => {
        requests++;
        if (requests >= at) throw new MicError("forbidden", "the process has ended");
        return await (method as (...all: unknown[]) => Promise<unknown>).apply(target, args);
      };
    },
  });
}
