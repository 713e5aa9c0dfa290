import { lstatSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import type { Position } from "../../src/core/base/ids.ts";
import { IMPORT_LANDINGS_MAX } from "../../src/core/base/limits.ts";
import { mintLandingId, mintSessionId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge, Operation } from "../../src/core/forge/forge.ts";
import { BATCH_LANDINGS_MAX } from "../../src/core/forge/landing/batch.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { publishWorkspace } from "../../src/core/workspace/commands/publish.ts";
import {
  abandonSession,
  landSession,
  recordDecision,
  recordNote,
  startSession,
} from "../../src/core/workspace/commands/session.ts";
import { readContent } from "../../src/core/workspace/content/content.ts";
import { collect, collectBytes, path, TestProject } from "../support/forge-project.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

const SERVER = "https://forge.example.org";
const LARGE = Buffer.alloc(3_000_000);
for (let i = 0; i < LARGE.length; i++) LARGE[i] = (i * i * 31 + (i >> 7)) & 0xff;

let all: TestWorkspaces;
let work: TestWorkspace;

beforeEach(async () => {
  all = new TestWorkspaces();
  work = await all.init({
    "a.txt": "one\n",
    "bin/run": { run: "#!/bin/sh\n" },
    link: { link: "a.txt" },
    large: LARGE,
  });
});
afterEach(async () => {
  await all[Symbol.asyncDispose]();
});

/** A history with everything in it: chunked content, renames, sessions in every state. */
async function fill(): Promise<void> {
  await work.land("first");
  const changed = Buffer.from(LARGE);
  changed.fill(7, 1_000_000, 1_000_100);
  work.write({ large: changed, "b.txt": "two\n" });
  await startSession(work.ws, "with a session");
  await recordDecision(work.ws, "why");
  await recordNote(work.ws, "how");
  await landSession(work.ws, {});
  for (let i = 0; i < 6; i++) {
    work.write({ [`d/${i % 4}`]: `${i}\n`, "copy.txt": "one\n" });
    await work.land(`goal ${i}`);
  }
  await startSession(work.ws, "given up");
  await abandonSession(work.ws);
  await startSession(work.ws, "still open");
  await recordDecision(work.ws, "later");
}

function readOnDisk(dir: string, name: string): Buffer {
  const file = join(dir, name);
  return lstatSync(file).isSymbolicLink() ? readlinkSync(file, "buffer") : readFileSync(file);
}

async function history(forge: Forge, id = work.ws.settings.project) {
  const { position } = await forge.getHead(id);
  const landings = [];
  const trees = [];
  for (let each = 1; each <= position; each++) {
    landings.push(await forge.getLanding(id, each as Position));
    trees.push(await collect(forge.listEntries(id, each as Position, undefined)));
  }
  const { items } = await forge.listSessions(id, { limit: 100 });
  const sessions = await Promise.all(items.map((item) => forge.getSession(id, item.id)));
  sessions.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { landings, trees, sessions };
}

async function expectWhole(forge: Forge): Promise<void> {
  const source = await all.openForge(join(work.dir, ".mic/forge"), false);
  expect(await history(forge)).toEqual(await history(source));
  const { project } = work.ws.settings;
  expect(await forge.getHead(project)).toEqual(await source.getHead(project));
  expect((await forge.fsck(project)).findings.filter(({ code }) => code !== "unreferenced")).toEqual([]);
  const { position } = await forge.getHead(project);
  for (const entry of await collect(forge.listEntries(project, position, undefined))) {
    const [here, there] = await Promise.all([
      collectBytes(source.readFile(project, entry)),
      collectBytes(forge.readFile(project, entry)),
    ]);
    expect(Buffer.compare(here, there)).toBe(0);
  }
}

test("one import takes no more landings than one batch of the forge", () => {
  expect(IMPORT_LANDINGS_MAX).toBeLessThanOrEqual(BATCH_LANDINGS_MAX);
});

test("a published project is the same project, and the workspace belongs to it", async () => {
  await fill();
  const { settings } = work.ws;
  const target = all.addRemoteForge(SERVER);
  const result = await publishWorkspace(work.ws, { address: SERVER, target, name: "acme/app" });
  expect(result).toEqual({
    project: "acme/app",
    projectId: settings.project,
    positions: 8,
    sessions: 3,
    from: join(work.dir, ".mic/forge"),
  });
  await expectWhole(target);
  expect(await target.getProject("acme/app")).toMatchObject({ id: settings.project, salt: settings.salt });
  const after = all.open(work.dir);
  expect(after.ws.settings).toEqual({ ...settings, address: SERVER, projectName: "acme/app" });
  expect(after.ws.embedded).toBe(false);
  after.write({ "new.txt": "new\n" });
  expect(await landSession(after.ws, {})).toMatchObject({ position: 9 });
  expect(await target.getHead(settings.project)).toMatchObject({ position: 9 });
});

test("what is needed of the base is at hand when the server cannot be reached", async () => {
  await fill();
  let isGone = false;
  const target = all.addRemoteForge(
    SERVER,
    (forge) =>
      new Proxy(forge, {
        get(inner, key) {
          if (isGone && key !== "address" && key !== Symbol.asyncDispose) {
            throw new MicError("unreachable", "the connection is gone");
          }
          const value = Reflect.get(inner, key) as unknown;
          return typeof value === "function" ? value.bind(inner) : value;
        },
      }),
  );
  await publishWorkspace(work.ws, { address: SERVER, target });
  isGone = true;
  const { ws } = all.open(work.dir);
  const source = await all.openForge(join(work.dir, ".mic/forge"), false);
  const entries = await collect(source.listEntries(ws.settings.project, ws.index.base.position, undefined));
  expect(entries.some(({ entry }) => entry.chunks !== undefined)).toBe(true);
  for (const side of entries) {
    const content = await readContent(ws, side);
    expect(Buffer.compare(content, readOnDisk(work.dir, side.path))).toBe(0);
  }
  isGone = false;
});

test("publishing again changes nothing", async () => {
  await fill();
  const target = all.addRemoteForge(SERVER);
  const options = { address: SERVER, target, name: "acme/app" };
  const first = await publishWorkspace(work.ws, options);
  const again = await publishWorkspace(all.open(work.dir).ws, options);
  expect(again).toEqual({ ...first, sessions: 0, from: SERVER });
  await expectWhole(target);
});

test("a project published to a directory and back is one project in both", async () => {
  await fill();
  const directory = join(all.root, "forge");
  const target = await all.openForge(directory, true);
  await publishWorkspace(work.ws, { address: directory, target });
  await expectWhole(target);
  const there = all.open(work.dir);
  expect(there.ws.settings).toMatchObject({ address: directory, projectName: work.ws.settings.projectName });
  await recordDecision(there.ws, "recorded there");
  there.write({ "there.txt": "there\n" });
  await there.land("landed there");
  const embedded = join(work.dir, ".mic/forge");
  const back = await publishWorkspace(there.ws, {
    address: embedded,
    target: await all.openForge(embedded, false),
  });
  expect(back).toMatchObject({ positions: 9, from: directory });
  expect(all.open(work.dir).ws.settings.address).toBe(".mic/forge");
  await expectWhole(target);
});

test("a publish that stops at any call is finished by the next", async () => {
  // Enough for a pack of its own.
  work.write({ random: new SeededRandom(1).bytes(9_000_000) });
  await fill();
  const source = await all.openForge(join(work.dir, ".mic/forge"), false);
  const stopped = new Set<string>();
  for (let stopAt = 0; ; stopAt++) {
    let calls = 0;
    const name = `acme/app${stopAt}`;
    const stopping = all.addRemoteForge(`${SERVER}/${stopAt}`);
    const limited = new Proxy(stopping, {
      get(forge, key) {
        const value = Reflect.get(forge, key) as unknown;
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          if (calls++ === stopAt) {
            stopped.add(String(key));
            throw new MicError("unreachable", "the connection is gone");
          }
          return (value as (...args: unknown[]) => unknown).apply(forge, args);
        };
      },
    });
    const options = { address: SERVER, name };
    let isDone = false;
    try {
      await publishWorkspace(all.open(work.dir).ws, { ...options, target: limited });
      isDone = true;
    } catch (error) {
      expect(error).toMatchObject({ code: "unreachable" });
      expect(all.open(work.dir).ws.embedded).toBe(true);
      await publishWorkspace(all.open(work.dir).ws, { ...options, target: stopping });
    }
    expect(await history(stopping)).toEqual(await history(source));
    const { ws } = all.open(work.dir);
    ws.saveSettings({ ...ws.settings, address: ".mic/forge", projectName: work.ws.settings.projectName });
    if (isDone) break;
  }
  for (const call of ["createProject", "putPack", "importLandings", "importSession", "getHead"]) {
    expect(stopped).toContain(call);
  }
});

test("a publish that stops before or after any request to the store is finished by the next", async () => {
  const small = await all.init({ a: "1\n" });
  await small.land("one");
  small.write({ a: "2\n" });
  await small.land("two");
  await startSession(small.ws, "open");
  const { project, projectName } = small.ws.settings;
  const source = await all.openForge(join(small.dir, ".mic/forge"), false);
  const expected = await history(source, project);
  let stops = 0;
  for (const moment of ["before", "after"] as const) {
    for (let stopAt = 0; ; stopAt++) {
      const store = new MemoryStore(systemClock);
      const ports = { address: SERVER, clock: systemClock, random: systemRandom, trustWriters: false };
      const stopping = new ForgeService({ store: stoppingStore(store, stopAt, moment), ...ports });
      const target = new ForgeService({ store, ...ports });
      const options = { address: SERVER, name: "acme/app" };
      let isDone = true;
      try {
        await publishWorkspace(all.open(small.dir).ws, { ...options, target: stopping });
      } catch (error) {
        expect(error).toMatchObject({ message: "the process was stopped" });
        isDone = false;
        stops++;
        expect(all.open(small.dir).ws.embedded).toBe(true);
        await publishWorkspace(all.open(small.dir).ws, { ...options, target });
      }
      expect(await history(target, project)).toEqual(expected);
      const { findings } = await target.fsck(project);
      expect(findings.filter(({ code }) => code !== "unreferenced")).toEqual([]);
      expect(await target.getProject("acme/app")).toMatchObject({ id: project });
      expect((await target.listOrganizations({})).items).toMatchObject([{ name: "acme" }]);
      const { ws } = all.open(small.dir);
      ws.saveSettings({ ...ws.settings, address: ".mic/forge", projectName });
      if (isDone) break;
    }
  }
  expect(stops).toBeGreaterThan(20);
});

/** A store whose network goes away for good before or after one of its requests. */
function stoppingStore(store: MemoryStore, stopAt: number, moment: "before" | "after"): ObjectStore {
  let calls = 0;
  const gone = (): never => {
    throw new MicError("internal", "the process was stopped");
  };
  return new Proxy(store, {
    get(inner, key) {
      const value = Reflect.get(inner, key) as unknown;
      if (typeof value !== "function") return value;
      return async (...args: unknown[]) => {
        const call = calls++;
        if (call > stopAt || (call === stopAt && moment === "before")) gone();
        const result = await (value as (...args: unknown[]) => Promise<unknown>).apply(inner, args);
        return call === stopAt ? gone() : result;
      };
    },
  });
}

test("a name of another project and another history are refused, and the workspace stays", async () => {
  await fill();
  const target = all.addRemoteForge(SERVER);
  await TestProject.create(target, "acme/app");
  const options = { address: SERVER, target, name: "acme/app" };
  await expect(publishWorkspace(work.ws, options)).rejects.toMatchObject({ code: "already-exists" });
  const { project, salt } = work.ws.settings;
  await target.createProject({ id: project, salt, name: "acme/other" });
  await expect(publishWorkspace(work.ws, { ...options, name: "acme/third" })).rejects.toMatchObject({
    code: "already-exists",
    message: "the project is there already, as acme/other",
  });
  await new TestProject(target, project).land({ put: { mine: "1" } });
  await expect(publishWorkspace(work.ws, { address: SERVER, target })).rejects.toMatchObject({
    code: "history-changed",
  });
  expect(all.open(work.dir).ws.embedded).toBe(true);
});

test("an id with another lineage is refused", async () => {
  await work.land("first");
  const target = all.addRemoteForge(SERVER);
  await target.createProject({ id: work.ws.settings.project, name: "acme/app", salt: "00".repeat(8) });
  await expect(publishWorkspace(work.ws, { address: SERVER, target })).rejects.toMatchObject({
    code: "different-lineage",
  });
});

test("content that came beside the landing that names it is copied too", async () => {
  await work.land("first");
  const source = await all.openForge(join(work.dir, ".mic/forge"), false);
  const { project } = work.ws.settings;
  const author = new TestProject(source, project);
  author.base = await source.getPosition(project, 1 as Position);
  // Both contents come with the second landing; the third names one of them without sending it.
  const both = author.request({ put: { x: "named at once", y: "named later" } });
  const [x, y] = both.operations as Operation[];
  author.base = (await source.land(project, { ...both, operations: [x!] })) as never;
  const later = { ...author.request({}), operations: [y!], landingId: mintLandingId(systemRandom) };
  await source.land(project, later);
  const target = all.addRemoteForge(SERVER);
  await publishWorkspace(work.ws, { address: SERVER, target });
  await expectWhole(target);
  expect(await new TestProject(target, project).read(3, "y")).toBe("named later");
});

test("what an open session recorded comes with its content", async () => {
  await work.land("first");
  const source = await all.openForge(join(work.dir, ".mic/forge"), false);
  const { project } = work.ws.settings;
  const id = mintSessionId(systemRandom);
  await source.startSession(project, { id, goal: "g", owner: "o" });
  async function* bytes(content: Uint8Array) {
    yield content;
  }
  const changed = Buffer.from(LARGE).fill(1, 0, 10);
  const [small, large] = [
    await source.putBlob(project, bytes(Buffer.from("recorded"))),
    await source.putBlob(project, bytes(changed)),
  ];
  const entry = (stored: typeof small) => ({ kind: "file" as const, ...stored });
  await source.recordOperations(project, id, [
    { kind: "put", path: path("rec/large"), entry: entry(large), hint: 0 },
    { kind: "put", path: path("rec/small"), entry: entry(small), hint: 0 },
  ]);
  const target = all.addRemoteForge(SERVER);
  await publishWorkspace(work.ws, { address: SERVER, target });
  expect(await target.getSession(project, id)).toEqual(await source.getSession(project, id));
  const landingId = mintLandingId(systemRandom);
  const landed = await target.landSession(project, { session: id, landingId, author: "o", agent: "" });
  expect(landed).toMatchObject({ kind: "landed", position: 2 });
  expect(await new TestProject(target, project).read(2, "rec/small")).toBe("recorded");
});

test("more landings than one call takes are copied in several", async () => {
  await work.land("first");
  const source = await all.openForge(join(work.dir, ".mic/forge"), false);
  const { project } = work.ws.settings;
  const author = new TestProject(source, project);
  author.base = await source.getPosition(project, 1 as Position);
  for (let i = 0; i < 300; i++) await author.land({ goal: `g${i}`, put: { [`f${i % 10}`]: `${i}` } });
  const counts: number[] = [];
  const target = all.addRemoteForge(SERVER, (forge) => {
    const { importLandings } = forge;
    forge.importLandings = (id, request, options) => {
      counts.push(request.landings.length);
      return importLandings.call(forge, id, request, options);
    };
    return forge;
  });
  const seen: number[] = [];
  const { ws } = all.open(work.dir, { onProgress: ({ done }) => seen.push(done) });
  await publishWorkspace(ws, { address: SERVER, target });
  expect(counts).toEqual([128, 128, 45]);
  expect(seen).toEqual([0, 128, 256, 301]);
  await expectWhole(target);
});

test("a target that takes less at once is given less", async () => {
  await fill();
  const counts: number[] = [];
  const target = all.addRemoteForge(SERVER, (forge) => {
    const { importLandings } = forge;
    forge.importLandings = async (id, request, options) => {
      counts.push(request.landings.length);
      if (request.landings.length > 2) throw new MicError("too-large", "too much at once");
      return await importLandings.call(forge, id, request, options);
    };
    return forge;
  });
  await publishWorkspace(work.ws, { address: SERVER, target });
  expect(counts).toEqual([8, 4, 2, 2, 2, 2]);
  await expectWhole(target);
});

test("history that its own policy refuses today is published when somebody answers for it", async () => {
  await work.land("first");
  const source = await all.openForge(join(work.dir, ".mic/forge"), false);
  const author = new TestProject(source, work.ws.settings.project);
  author.base = await source.getPosition(author.id, 1 as Position);
  await author.land({ put: { ".micpolicy": "secrets = refuse\n" } });
  // As it was landed before the rule was known.
  await author.land({ put: { "prod.env": "A=1\n" }, request: { isSearched: true } });
  const target = all.addRemoteForge(SERVER);
  await expect(publishWorkspace(work.ws, { address: SERVER, target })).rejects.toMatchObject({
    code: "unsafe-path",
    hint: expect.stringContaining("--allow-secrets"),
    data: { paths: ["prod.env"], position: 3 },
  });
  const { ws } = all.open(work.dir);
  await publishWorkspace(ws, { address: SERVER, target, allowSecrets: true });
  await expectWhole(target);
});

test("an empty project is published too", async () => {
  const target = all.addRemoteForge(SERVER);
  const result = await publishWorkspace(work.ws, { address: SERVER, target, name: "acme/app" });
  expect(result).toMatchObject({ project: "acme/app", positions: 0 });
  expect(await target.getProject("acme/app")).toMatchObject({ id: work.ws.settings.project });
});
