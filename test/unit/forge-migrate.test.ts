import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Clock } from "../../src/core/base/clock.ts";
import { mintSessionId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { type MigrateReport, migrateStore } from "../../src/core/forge/migrate/migrate-store.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { statForge, statProject } from "../../src/core/forge/storage-stat.ts";
import { collectorPassKey, headKey, metaKey, packsPrefix } from "../../src/core/objects/keys.ts";
import { openLocalStore } from "../../src/core/store/local-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { CommitOutcome, ObjectStore, Put, Swap } from "../../src/core/store/object-store.ts";
import { openS3Store } from "../../src/core/store/s3/open.ts";
import { TestProject } from "../support/forge-project.ts";
import { S3Server } from "../support/s3-server.ts";

/** Waits end at once. */
const clock: Clock = { nowMs: () => systemClock.nowMs(), sleep: () => Promise.resolve() };
const random = systemRandom;
const root = mkdtempSync(path.join(tmpdir(), "mic-migrate-"));
afterAll(() => rmSync(root, { recursive: true }));

const forgeOn = (store: ObjectStore): ForgeService =>
  new ForgeService({ store, address: store.description, clock, random, trustWriters: false });
const migrate = (source: ObjectStore, target: ObjectStore, project?: string): Promise<MigrateReport> =>
  migrateStore({ source, target, clock, random, ...(project === undefined ? {} : { project }) });
const memory = (): MemoryStore => new MemoryStore(clock);

/** Two projects with landings, a session that is open, a rename, one project that was deleted. */
async function fill(
  store: ObjectStore,
): Promise<{ readonly notes: TestProject; readonly code: TestProject }> {
  const forge = forgeOn(store);
  const notes = await TestProject.create(forge, "ada/notes");
  const code = await TestProject.create(forge, "bob/code");
  for (let i = 0; i < 5; i++) await notes.land({ put: { [`file ${i}`]: `content ${i}`.repeat(i * 50) } });
  await code.land({ put: { large: new Uint8Array(3_000_000).map((_, at) => (at * at) >> 7) } });
  await forge.updateProject(code.id, { name: "bob/program" });
  const gone = await TestProject.create(forge, "ada/gone");
  await gone.land({ put: { a: "b" } });
  await forge.deleteProject(gone.id);
  const session = await forge.startSession(notes.id, {
    id: mintSessionId(random),
    goal: "a goal",
    owner: "Ada",
    base: notes.base,
  } as never);
  await forge.recordDecision(notes.id, session.id, "because");
  return { notes, code };
}

async function contentOf(store: ObjectStore): Promise<ReadonlyMap<string, string>> {
  const all = new Map<string, string>();
  for (let after: string | undefined; ; ) {
    const page = await store.list("", after === undefined ? {} : { after });
    for (const { key } of page.objects) {
      all.set(key, Buffer.from((await store.get(key))!.bytes).toString("base64"));
    }
    after = page.next;
    if (after === undefined) return all;
  }
}

async function expectWhole(target: ObjectStore, project: TestProject): Promise<void> {
  const forge = forgeOn(target);
  const report = await forge.fsck(project.id);
  expect(report.findings.filter(({ severity }) => severity === "error")).toEqual([]);
  expect(report.positions).toBe(project.base.position);
}

describe("migrateStore()", () => {
  test("refuses a source without a project or a name, and writes nothing", async () => {
    const target = memory();
    const source = memory();
    await source.put("probe/left", new Uint8Array(1));
    await expect(migrate(source, target)).rejects.toMatchObject({
      code: "not-found",
      hint: expect.stringContaining("prefix"),
    });
    expect((await contentOf(target)).size).toBe(0);
  });

  test("moves a forge to a bucket and back, byte for byte", async () => {
    await using server = await S3Server.start();
    await using local = await openLocalStore(path.join(root, "from"), { clock, create: true });
    await using bucket = await openS3Store(server.options({ prefix: "team/" }));
    await using back = await openLocalStore(path.join(root, "back"), { clock, create: true });
    const { notes, code } = await fill(local);
    const report = await migrate(local, bucket);
    expect(report.projects.map(({ name, position }) => [name, position])).toEqual([
      ["ada/gone", 1],
      ["ada/notes", 5],
      ["bob/program", 1],
    ]);
    expect(report.copied).toBe(report.objects);
    await migrate(bucket, back);
    const expected = await contentOf(local);
    expect(await contentOf(bucket)).toEqual(expected);
    expect(await contentOf(back)).toEqual(expected);
    for (const project of [notes, code]) await expectWhole(back, project);
    const again = await migrate(local, bucket);
    expect(again).toEqual({ ...report, copied: 0, bytesCopied: 0 });
  });

  test("moves one project beside others, with its old names", async () => {
    const source = memory();
    const target = memory();
    const { notes, code } = await fill(source);
    await TestProject.create(forgeOn(target), "eve/other");
    const report = await migrate(source, target, "bob/code");
    expect(report.projects).toEqual([{ id: code.id, name: "bob/program", position: 1 }]);
    await expectWhole(target, code);
    const forge = forgeOn(target);
    expect((await forge.getProject("bob/code")).id).toBe(code.id);
    await expect(forge.getProject(notes.id)).rejects.toMatchObject({ code: "not-found" });
    await expect(migrate(source, target, "ada/gone")).rejects.toMatchObject({ code: "not-found" });
  });

  test("stopped after any write, it is finished by running it again, and no project is there before it is whole", async () => {
    const source = memory();
    const { notes, code } = await fill(source);
    const expected = await contentOf(source);
    for (let writes = 0; ; writes++) {
      const target = memory();
      const stopped = await migrate(source, stoppingAfter(target, writes)).catch((error: Error) => error);
      for (const project of [notes, code]) {
        if ((await target.get(headKey(project.id))) !== undefined) await expectWhole(target, project);
      }
      await migrate(source, target);
      expect(await contentOf(target)).toEqual(expected);
      if (!(stopped instanceof Error)) break;
      expect(stopped.message).toBe("stopped");
    }
  });

  test("follows what lands meanwhile", async () => {
    const source = memory();
    const { notes } = await fill(source);
    let left = 8;
    const target = new (class extends MemoryStore {
      override async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
        if (left-- > 0) await notes.land({ put: { late: `${left}` } });
        return await super.commit(puts, swap);
      }
    })(clock);
    const report = await migrate(source, target);
    expect(report.projects.find(({ id }) => id === notes.id)?.position).toBe(13);
    expect(await contentOf(target)).toEqual(await contentOf(source));
    await expectWhole(target, notes);
  });

  test.each(["applied", "not applied"])("settles a swap without an answer that was %s", async (what) => {
    const source = memory();
    await fill(source);
    let turn = 0;
    const target = new (class extends MemoryStore {
      override async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
        if (turn++ % 2 === 1) return await super.commit(puts, swap);
        if (what === "applied") await super.commit(puts, swap);
        return { kind: "unknown", cause: new Error("no answer") };
      }
    })(clock);
    await migrate(source, target);
    expect(await contentOf(target)).toEqual(await contentOf(source));
  });

  test("refuses a target that holds another forge, another lineage, or a name of its own", async () => {
    const source = memory();
    const { notes } = await fill(source);
    const foreign = memory();
    await TestProject.create(forgeOn(foreign), "eve/other");
    await expect(migrate(source, foreign)).rejects.toMatchObject({ code: "already-exists" });
    const taken = memory();
    await TestProject.create(forgeOn(taken), "ada/notes");
    await expect(migrate(source, taken, "ada/notes")).rejects.toMatchObject({ code: "already-exists" });
    const lineage = memory();
    await forgeOn(lineage).createProject({ id: notes.id, name: "ada/notes" });
    await expect(migrate(source, lineage, "ada/notes")).rejects.toMatchObject({ code: "different-lineage" });
    for (const store of [foreign, taken, lineage]) expect((await statForge(store)).projects).toHaveLength(1);
  });

  test("refuses a target where somebody landed, or changed something, since it was moved", async () => {
    const source = memory();
    const { notes } = await fill(source);
    const landed = memory();
    await migrate(source, landed);
    const there = new TestProject(forgeOn(landed), notes.id);
    there.base = notes.base;
    await there.land({ put: { theirs: "x" } });
    const before = await contentOf(landed);
    await expect(migrate(source, landed)).rejects.toMatchObject({ code: "history-changed" });
    await notes.land({ put: { ours: "y" } });
    await expect(migrate(source, landed)).rejects.toMatchObject({ code: "history-changed" });
    expect(await contentOf(landed)).toEqual(before);
    const changed = memory();
    await migrate(source, changed);
    await forgeOn(changed).updateProject(notes.id, { description: "new" });
    await expect(migrate(source, changed)).rejects.toMatchObject({ code: "history-changed" });
  });

  test("carries a later change of the source over an earlier copy", async () => {
    const source = memory();
    const target = memory();
    const { notes } = await fill(source);
    await migrate(source, target);
    await notes.land({ put: { more: "x" } });
    await notes.forge.updateProject(notes.id, { name: "ada/log" });
    await migrate(source, target);
    expect(await contentOf(target)).toEqual(await contentOf(source));
  });

  test("does not copy damage, and mends what is damaged in the target", async () => {
    const source = memory();
    const target = memory();
    const { notes } = await fill(source);
    await migrate(source, target);
    const packs = [...(await contentOf(source)).keys()].filter(
      (key) => key.includes(notes.id) && key.endsWith(".pack"),
    );
    const good = (await source.get(packs[0]!))!.bytes;
    const bad = good.slice();
    bad[40]! ^= 1;
    await target.put(packs[0]!, bad);
    expect((await migrate(source, target)).copied).toBe(1);
    expect((await target.get(packs[0]!))!.bytes).toEqual(good);
    await source.put(packs[0]!, bad);
    const fresh = memory();
    await expect(migrate(source, fresh)).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining(packs[0]!),
    });
    expect(await fresh.get(headKey(notes.id))).toBeUndefined();
    await source.delete([packs[0]!]);
    await expect(migrate(source, fresh)).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("is missing"),
    });
  });

  test("notices a target that does not keep what it is given", async () => {
    const source = memory();
    await fill(source);
    class Forgetful extends MemoryStore {
      override async put(key: string, bytes: Uint8Array): Promise<void> {
        await super.put(key, bytes.subarray(1));
      }
    }
    await expect(migrate(source, new Forgetful(clock))).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("does not give back"),
    });
  });

  test("brings back what the target's collector deleted before the head named it", async () => {
    const source = memory();
    const { notes } = await fill(source);
    let left = 1;
    const target = new (class extends MemoryStore {
      override async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
        if (swap.key === headKey(notes.id) && left-- > 0) {
          const packs = (await this.list(packsPrefix(notes.id))).objects.map(({ key }) => key);
          await this.delete(packs.slice(0, 2));
        }
        return await super.commit(puts, swap);
      }
    })(clock);
    await target.put(collectorPassKey(notes.id), new Uint8Array(1));
    await migrate(source, target, "ada/notes");
    await expectWhole(target, notes);
    expect(await target.get(collectorPassKey(notes.id))).toBeUndefined();
  });

  test("leaves behind what is no part of the project: unproven uploads, the collector's notes, other objects", async () => {
    const source = memory();
    const { notes } = await fill(source);
    const expected = await contentOf(source);
    const below = `projects/${notes.id}`;
    for (const key of [
      `${below}/staging/2026-01-02/0123456789abcdef0123456789abcdef`,
      `${below}/quarantine/packs/2026-01-02/00/${"0".repeat(64)}.pack`,
      collectorPassKey(notes.id),
      "probe/1-2/x",
      "somebody/elses",
    ]) {
      await source.put(key, new Uint8Array(3));
    }
    const target = memory();
    await migrate(source, target);
    expect(await contentOf(target)).toEqual(expected);
  });

  test("copies what a listing does not show yet", async () => {
    const source = memory();
    const { notes } = await fill(source);
    const target = memory();
    const late = new Proxy(source, {
      get(store, name) {
        if (name !== "list") {
          const value = Reflect.get(store, name);
          return typeof value === "function" ? value.bind(store) : value;
        }
        return async (...args: Parameters<MemoryStore["list"]>) => {
          const page = await store.list(...args);
          const isHidden = (key: string): boolean => key.includes(notes.id) && key.endsWith(".pack");
          return { ...page, objects: page.objects.filter(({ key }) => !isHidden(key)) };
        };
      },
    });
    await migrate(late, target);
    expect(await contentOf(target)).toEqual(await contentOf(source));
  });
});

/** Fails every write after the first `writes`. */
function stoppingAfter(store: MemoryStore, writes: number): ObjectStore {
  let left = writes;
  const write = <Args extends readonly unknown[], Result>(call: (...args: Args) => Promise<Result>) => {
    return async (...args: Args): Promise<Result> => {
      if (left-- <= 0) throw new Error("stopped");
      return await call(...args);
    };
  };
  return {
    description: "stopping",
    get: store.get.bind(store),
    revalidate: store.revalidate.bind(store),
    list: store.list.bind(store),
    nowMs: store.nowMs.bind(store),
    delete: store.delete.bind(store),
    put: write(store.put.bind(store)),
    commit: write(store.commit.bind(store)),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

describe("statForge() and statProject()", () => {
  test("count every object once, by kind and by project", async () => {
    const store = memory();
    const { notes } = await fill(store);
    await store.put("something/else", new Uint8Array(7));
    const content = await contentOf(store);
    const all = await statForge(store);
    expect(all.objects).toBe(content.size);
    expect(all.byKind.reduce((sum, { objects }) => sum + objects, 0)).toBe(content.size);
    const kinds = Object.fromEntries(all.byKind.map(({ kind, objects }) => [kind, objects]));
    expect(kinds).toMatchObject({ heads: 3, meta: 3, names: 4, organizations: 2, sessions: 1, other: 1 });
    expect(all.byKind.find(({ kind }) => kind === "other")?.bytes).toBe(7);
    expect(all.projects).toHaveLength(3);
    const one = await statProject(store, notes.id);
    expect(all.projects.find(({ id }) => id === notes.id)).toEqual({ id: notes.id, ...one });
    expect(one.byKind.map(({ kind }) => kind).sort()).toEqual(["heads", "meta", "packs", "sessions"]);
    expect(await store.get(metaKey(notes.id))).toBeDefined();
  });
});
