import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { isMicError, type MicError } from "../../src/core/base/errors.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { PackId, ProjectId } from "../../src/core/base/ids.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import { mintLandingId, mintProjectId, mintSessionId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { Landing, LandResult, Operation } from "../../src/core/forge/forge.ts";
import type { ProjectStore } from "../../src/core/forge/project-store.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { LargeContentFramer } from "../../src/core/objects/large-content.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import { holdWrites } from "../../src/core/store/hold-writes.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { inPieces, putOf } from "../conformance/forge-blobs.ts";
import { TestProject } from "../support/forge-project.ts";
import {
  type Changes,
  EMPTY_BASE,
  filesOf,
  idsOf,
  landNow,
  landRequest,
  makeFixture,
  newest,
  openFixture,
  operationsOf,
} from "../support/project-fixture.ts";

const REFUSE = { ".micpolicy": "secrets = refuse\n" };
const REPORT = { ".micpolicy": "secrets = report\n" };
const TOKEN = ["ghp", "q8Zr1Wk5VbT2mXc9LdJ7nYh3PfS6gRw4a0Q2"].join("_");
const SECRET = `first\ntoken: ${TOKEN}\n`;
const FOUND = { path: "key.txt", line: 2, kind: "a GitHub token" };
const REFUSED = { code: "unsafe-path", data: { paths: ["key.txt"], secrets: [FOUND] } };

async function refused(landing: Promise<unknown>): Promise<MicError> {
  const error = await landing.then(
    (result) => new Error(`landed: ${JSON.stringify(result)}`),
    (reason: unknown) => reason,
  );
  if (!isMicError(error)) throw error;
  expect(JSON.stringify([error.message, error.hint, error.data])).not.toContain(TOKEN.slice(4, 12));
  return error;
}

function packOf(changes: Changes): Uint8Array {
  return encodePack(landRequest(EMPTY_BASE, changes).frames).bytes;
}

const forges: readonly (readonly [name: string, trustWriters: boolean])[] = [
  ["a server", false],
  ["a directory or a bucket", true],
];

describe.each(forges)("a policy that refuses secrets, in %s", (_, trustWriters) => {
  async function withPolicy(): Promise<ProjectStore> {
    const { project } = await makeFixture({ trustWriters });
    await landNow(project, REFUSE);
    return project;
  }

  test("stops content that comes with the landing, and says where and what", async () => {
    const project = await withPolicy();
    const error = await refused(landNow(project, { "a.txt": "fine", "key.txt": SECRET }));
    expect(error).toMatchObject(REFUSED);
    expect(error.message).toContain("a GitHub token (key.txt, line 2)");
    expect(error.hint).toContain(".micpolicy");
    expect((await newest(project)).position).toBe(1);
    expect(await landNow(project, { "key.txt": `token: ${TOKEN} # mic:allow-secret` })).toMatchObject({
      position: 2,
    });
  });

  test("stops content that was uploaded in packs", async () => {
    const project = await withPolicy();
    const files = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`f${i}`, `content ${i}`]));
    const packs = [
      await project.putPack(packOf(files)),
      await project.putPack(packOf({ ...files, x: SECRET })),
    ];
    const all = { ...files, "key.txt": SECRET };
    expect(await refused(landNow(project, all, { packs, frames: [] }))).toMatchObject(REFUSED);
    expect(await landNow(project, files, { packs, frames: [] })).toMatchObject({ position: 2 });
  });

  test("stops large content, in its beginning, wherever its chunks are", async () => {
    const project = await withPolicy();
    const filler = "word ".repeat(400_000);
    const content = utf8(`${filler.slice(0, 900_000)}\n${SECRET}${filler}`);
    const builder = new FrameBuilder({ rawTarget: 128 << 10 });
    const framer = new LargeContentFramer({ builder, framed: new Set() });
    framer.push(content);
    const { id, size, list } = framer.finish();
    const chunks = hashObject(list.content);
    const chunkFrames = builder.finish();
    builder.add("chunk-list", chunks, list.content, list.sidecar);
    const listFrames = builder.finish();
    const path = "key.txt" as TreePath;
    const operations: Operation[] = [
      { kind: "put", path, entry: { kind: "file", size, id, chunks }, hint: 0 },
    ];
    const inline = { operations, frames: [...chunkFrames, ...listFrames] };
    const expected = { code: "unsafe-path", data: { secrets: [{ ...FOUND, line: 3 }] } };
    expect(await refused(landNow(project, {}, inline))).toMatchObject(expected);
    const packs = [await project.putPack(encodePack(chunkFrames).bytes)];
    const uploaded = { operations, frames: listFrames, packs };
    expect(await refused(landNow(project, {}, uploaded))).toMatchObject(expected);
    const stored = await project.putBlob(inPieces(content));
    expect(stored).toEqual({ id, size, chunks });
    expect(await refused(landNow(project, {}, { operations, frames: [] }))).toMatchObject(expected);
  });

  test("stops content under each of its paths, and names in which it is a secret", async () => {
    const project = await withPolicy();
    const error = await refused(
      landNow(project, { ".env": "A=1\n", "a/.env": "A=1\n", b: "A=1\n", c: "A=1\n" }),
    );
    expect(error.data["paths"]).toEqual([".env", "a/.env"]);
  });

  test("says twenty and looks for no more", async () => {
    const project = await withPolicy();
    const many = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, `${i} ${TOKEN}`]));
    const error = await refused(landNow(project, many));
    expect(error.data["paths"]).toHaveLength(20);
  });

  test("cannot be lifted by the landing that it judges, and can by one before it", async () => {
    const project = await withPolicy();
    expect(await refused(landNow(project, { ...REPORT, "key.txt": SECRET }))).toMatchObject(REFUSED);
    const gone = { ".micpolicy": undefined, "key.txt": SECRET };
    expect(await refused(landNow(project, gone))).toMatchObject(REFUSED);
    await landNow(project, REPORT);
    expect(await landNow(project, { "key.txt": SECRET })).toMatchObject({ position: 3 });
  });

  test("does not judge the landing that brings it", async () => {
    const { project } = await makeFixture({ trustWriters });
    expect(await landNow(project, { ...REFUSE, "key.txt": SECRET })).toMatchObject({ position: 1 });
  });

  test("counts whatever base a landing names", async () => {
    const { project } = await makeFixture({ trustWriters });
    await landNow(project, { a: "1" });
    const before = await newest(project);
    await landNow(project, REFUSE);
    expect(await refused(project.land(landRequest(before, { "key.txt": SECRET })))).toMatchObject(REFUSED);
    expect(await refused(project.land(landRequest(EMPTY_BASE, { "key.txt": SECRET })))).toMatchObject(
      REFUSED,
    );
  });

  test("leaves alone what the project has: renamed, copied, with another mode, landed as an environment", async () => {
    const { project } = await makeFixture({ trustWriters });
    await landNow(project, { "key.txt": SECRET, ".env": "A=1\n" });
    await landNow(project, REFUSE);
    await landNow(project, { "key.txt": undefined, "old.txt": SECRET }, { frames: [] });
    await landNow(project, { "copy.txt": SECRET }, { frames: [] });
    const [put] = operationsOf({ "copy.txt": SECRET });
    const executable = { ...put, entry: { ...(put as { entry: object }).entry, kind: "executable" } };
    await landNow(project, { "copy.txt": SECRET }, { operations: [executable as Operation] });
    await landNow(project, { ".env": "A=1\nB=2\n" });
    expect(await refused(landNow(project, { "x/.env": "A=1\nB=2\nC=3\n" }))).toMatchObject({
      data: { paths: ["x/.env"] },
    });
    expect((await newest(project)).position).toBe(6);
  });

  test("leaves symlinks and deletions alone", async () => {
    const project = await withPolicy();
    const [put] = operationsOf({ ".env": "A=1" });
    const link = { ...put, entry: { ...(put as { entry: object }).entry, kind: "symlink" } } as Operation;
    await landNow(project, { ".env": "A=1" }, { operations: [link] });
    expect(await landNow(project, { ".env": undefined })).toMatchObject({ position: 3 });
  });

  test("is the strictest where the file cannot be a policy", async () => {
    const { project } = await makeFixture({ trustWriters });
    await landNow(project, { ".micpolicy": "#".repeat(70_000) });
    expect(await refused(landNow(project, { "key.txt": SECRET }))).toMatchObject(REFUSED);
    await landNow(project, REPORT);
    await landNow(project, { "key.txt": SECRET });
  });
});

test("a policy that is damaged refuses, and lets land what puts it right", async () => {
  const { project, store, clock } = await makeFixture();
  await landNow(project, { a: "1" });
  const { objects } = await store.list("projects/");
  const before = new Set(objects.map(({ key }) => key));
  // Alone in a pack of its own: uploaded, so that the tree is somewhere else.
  const pack = await project.putPack(packOf(REPORT));
  const [content] = (await store.list("projects/")).objects.filter(({ key }) => !before.has(key));
  await landNow(project, REPORT, { packs: [pack], frames: [] });
  await store.delete([content!.key]);
  const other = openFixture(store, clock);
  const error = await refused(landNow(other, { "key.txt": SECRET }));
  // An earlier attempt may have been judged while the file could be read.
  expect(error).toMatchObject({ ...REFUSED, data: { ...REFUSED.data, isPolicyUnreadable: true } });
  expect(error.hint).toContain(".micpolicy is damaged");
  await landNow(other, { b: "1" });
  await landNow(other, { ".micpolicy": "secrets = report # again\n" });
  expect(await landNow(other, { "key.txt": SECRET })).toMatchObject({ position: 5 });
});

describe("a policy that comes meanwhile", () => {
  test("holds for a landing of the same batch, from its own position on", async () => {
    const { project, store } = await makeFixture();
    await landNow(project, { a: "1" });
    const base = await newest(project);
    const { promise, resolve } = Promise.withResolvers<void>();
    holdWrites(store, promise);
    const queue: Promise<LandResult>[] = [];
    for (const changes of [
      { b: "1" },
      REFUSE,
      { "key.txt": SECRET },
      { c: "1" },
      { d: SECRET },
      { e: "1" },
    ]) {
      queue.push(project.land(landRequest(base, changes)));
      await new Promise((done) => setTimeout(done, 5));
    }
    const outcomes = Promise.allSettled(queue);
    resolve();
    expect(await outcomes).toMatchObject([
      { status: "fulfilled", value: { position: 2 } },
      { status: "fulfilled", value: { position: 3 } },
      { status: "rejected", reason: REFUSED },
      { status: "fulfilled" },
      { status: "rejected", reason: { code: "unsafe-path" } },
      { status: "fulfilled" },
    ]);
    expect(await filesOf(project)).toEqual(idsOf({ a: "1", b: "1", c: "1", e: "1", ...REFUSE }));
  });

  test("holds for another process that has not heard of it", async () => {
    const { project, store, clock } = await makeFixture();
    const other = openFixture(store, clock);
    await landNow(other, { a: "1" });
    const base = await newest(other);
    await landNow(project, REFUSE);
    // Its head is younger than a second: it builds on it without asking.
    expect(other.known?.head.position).toBe(1);
    expect(await refused(other.land(landRequest(base, { "key.txt": SECRET })))).toMatchObject(REFUSED);
    await landNow(project, REPORT);
    expect(other.known?.head.position).toBe(2);
    expect(await other.land(landRequest(base, { "key.txt": SECRET }))).toMatchObject({ position: 4 });
  });

  test("that is lifted holds no longer for another process, whose landing changes it too", async () => {
    const { project, store, clock } = await makeFixture();
    await landNow(project, REFUSE);
    const other = openFixture(store, clock);
    await newest(other);
    await landNow(project, REPORT);
    expect(other.known?.head.position).toBe(1);
    const changes = { ".micpolicy": "secrets = report # still\n", "key.txt": SECRET };
    const landing = other.land(landRequest(await newest(project), changes));
    expect(await landing).toMatchObject({ kind: "landed", position: 3 });
  });

  test("does not refuse a landing that has landed, asked again of any process", async () => {
    const { project, store, clock } = await makeFixture();
    const base = await newest(project);
    const pack = await project.putPack(packOf({ "key.txt": SECRET }));
    const request = landRequest(base, { "key.txt": SECRET }, { packs: [pack], frames: [] });
    const landed = await project.land(request);
    await landNow(project, REFUSE);
    expect(await project.land(request)).toEqual(landed);
    expect(await openFixture(store, clock).land(request)).toEqual(landed);
    // The packs are looked for in vain after some days.
    clock.ms += 30 * 86_400_000;
    expect(await openFixture(store, clock).land(request)).toEqual(landed);
  });

  test("does not refuse a landing whose swap was applied and not answered", async () => {
    const { store, clock } = await makeFixture();
    const [first, second] = [openFixture(store, clock), openFixture(store, clock)];
    const base = await newest(first);
    await newest(second);
    const request = landRequest(base, { "key.txt": SECRET });
    await first.land(request);
    await landNow(first, REFUSE);
    // It knows the head before the landing, sees no policy, loses the swap, and finds itself in the log.
    expect(second.known?.head.position).toBe(0);
    expect(await second.land(request)).toMatchObject({ kind: "landed", position: 1 });
  });
});

describe("a policy that refuses secrets, in a forge", () => {
  function openForge(trustWriters = false): ForgeService {
    const ports = { clock: systemClock, random: systemRandom };
    return new ForgeService({
      store: new MemoryStore(systemClock),
      address: "memory",
      ...ports,
      trustWriters,
    });
  }

  test("stops sessions that name stored content, which stay open and land once that is gone", async () => {
    const forge = openForge();
    const project = await TestProject.create(forge, "acme/app");
    await project.land({ put: REFUSE });
    const session = mintSessionId(systemRandom);
    await forge.startSession(project.id, { id: session, goal: "a key", owner: "Ada" });
    const stored = await forge.putBlob(project.id, inPieces(utf8(SECRET)));
    await forge.recordOperations(project.id, session, [putOf("key.txt", stored)]);
    const request = { session, landingId: mintLandingId(systemRandom), author: "Ada", agent: "" };
    expect(await refused(forge.landSession(project.id, request))).toMatchObject(REFUSED);
    expect((await forge.getSession(project.id, session)).state).toBe("open");
    const other = await forge.putBlob(project.id, inPieces(utf8("no key")));
    await forge.recordOperations(project.id, session, [putOf("key.txt", other)]);
    expect(await forge.landSession(project.id, request)).toMatchObject({ kind: "landed", position: 2 });
    expect((await forge.getHead(project.id)).position).toBe(2);
  });

  /** Made where writers are believed that they have searched. */
  async function historyOf(changes: readonly Changes[]): Promise<{ landings: Landing[]; salt: string }> {
    const forge = openForge(true);
    const project = await TestProject.create(forge, "acme/app");
    const landings: Landing[] = [];
    const known = new Set<string>();
    for (const change of changes) {
      const put: Record<string, string> = {};
      for (const [name, text] of Object.entries(change)) if (text !== undefined) put[name] = text;
      const gone = Object.keys(change).filter((name) => change[name] === undefined);
      const isKnown = Object.values(put).every((text) => known.has(text));
      for (const text of Object.values(put)) known.add(text);
      const request = isKnown ? { frames: [] } : { isSearched: true };
      const { position } = await project.land({ put, delete: gone, request });
      landings.push(await forge.getLanding(project.id, position));
    }
    return { landings, salt: (await forge.getProject(project.id)).salt };
  }

  /** Every call brings everything. */
  async function importAll(
    changes: readonly Changes[],
    size: number,
    forge: ForgeService,
    more: { readonly allowSecrets?: boolean } = {},
  ): Promise<ProjectId> {
    const { landings, salt } = await historyOf(changes);
    const id = mintProjectId(systemRandom);
    await forge.createProject({ id, name: "acme/copy", salt });
    const frames = changes.flatMap((change) => landRequest(EMPTY_BASE, change).frames);
    for (let from = 0; from < landings.length; from += size) {
      const { position, root } = await forge.getHead(id);
      const some = landings.slice(from, from + size);
      const request = { after: { position, root }, landings: some, packs: [], frames, ...more };
      await forge.importLandings(id, request);
      // What is in is in, whatever would be said of it now.
      expect((await forge.importLandings(id, request)).position).toBe(position + some.length);
    }
    return id;
  }

  const kept: readonly (readonly Changes[])[] = [
    [{ "old.txt": SECRET }, REFUSE, { "copy.txt": SECRET }, { "old.txt": undefined, a: SECRET }],
    [{ ".env": "A=1" }, REFUSE, { ".env": "A=2" }, { b: "1" }],
    [REFUSE, { a: "1" }, REPORT, { "key.txt": SECRET }],
    [REFUSE, { ".micpolicy": undefined }, { "key.txt": SECRET }],
  ];
  test.each(kept)("lets history in that it would have let land (%#)", async (...changes) => {
    for (let size = 1; size <= changes.length; size++) {
      const forge = openForge();
      const id = await importAll(changes, size, forge);
      expect((await forge.getHead(id)).position).toBe(changes.length);
    }
  });

  test("stops history that holds one, however it is cut into calls", async () => {
    const changes = [{ a: "1" }, REFUSE, { b: "1" }, { ...REPORT, "key.txt": SECRET }, { c: "1" }];
    for (let size = 1; size <= changes.length; size++) {
      const forge = openForge();
      const error = await refused(importAll(changes, size, forge));
      expect(error).toMatchObject({ ...REFUSED, data: { ...REFUSED.data, position: 4 } });
      const { items } = await forge.listProjects({});
      expect((await forge.getHead(items[0]!.id)).position).toBe(Math.floor(3 / size) * size);
    }
  });

  test("stops history that came before the one that it follows was in", async () => {
    const { landings, salt } = await historyOf([{ a: "1" }, REFUSE, { "key.txt": SECRET }]);
    const [first, ...others] = landings;
    const store = new MemoryStore(systemClock);
    const ports = { address: "memory", clock: systemClock, random: systemRandom, trustWriters: false };
    const forge = new ForgeService({ ...ports, store });
    const id = mintProjectId(systemRandom);
    await forge.createProject({ id, name: "acme/copy", salt });
    const start = await forge.getHead(id);
    const frames = [{ a: "1" }, REFUSE, { "key.txt": SECRET }].flatMap(
      (changes) => landRequest(EMPTY_BASE, changes).frames,
    );
    const { promise, resolve } = Promise.withResolvers<void>();
    holdWrites(store, promise);
    const one = forge.importLandings(id, { after: start, landings: [first!], packs: [], frames });
    await new Promise((done) => setTimeout(done, 5));
    const rest = { after: first!, landings: others, packs: [], frames };
    const two = refused(forge.importLandings(id, rest));
    await new Promise((done) => setTimeout(done, 5));
    resolve();
    expect((await one).position).toBe(1);
    expect(await two).toMatchObject({ ...REFUSED, data: { ...REFUSED.data, position: 3 } });
    expect((await forge.getHead(id)).position).toBe(1);
  });

  test("lets history in that holds one when somebody answers for it, and holds from then on", async () => {
    const changes = [
      { a: "1" },
      REFUSE,
      { "key.txt": SECRET },
      { ".micpolicy": "secrets = refuse # still\n" },
    ];
    for (let size = 1; size <= changes.length; size++) {
      const forge = openForge();
      const project = new TestProject(forge, await importAll(changes, size, forge, { allowSecrets: true }));
      project.base = await forge.getHead(project.id);
      expect(project.base.position).toBe(changes.length);
      expect(await refused(project.land({ put: { "k.txt": `a ${SECRET}` } }))).toMatchObject({
        code: "unsafe-path",
      });
    }
  });

  test("believes nobody who says that it was searched, and only where writers are believed", async () => {
    for (const trustWriters of [true, false]) {
      const forge = openForge(trustWriters);
      const project = await TestProject.create(forge, "acme/app");
      await project.land({ put: REFUSE });
      const landing = project.land({ put: { "key.txt": SECRET }, request: { isSearched: true } });
      if (trustWriters) expect(await landing).toMatchObject({ position: 2 });
      else expect(await refused(landing)).toMatchObject(REFUSED);
    }
  });
});

describe("what a policy costs", () => {
  const FILES = Object.fromEntries(
    Array.from({ length: 500 }, (_, i) => [`d${i % 7}/f${i}`, `content ${i}`]),
  );

  test("without one nothing is read to land, with one what was uploaded, once", async () => {
    const counting: CountingStore[] = [];
    const wrap = (inner: ObjectStore): ObjectStore => {
      counting.push(new CountingStore(inner));
      return counting[0]!;
    };
    const { project, store, clock } = await makeFixture({ wrap });
    await landNow(project, { a: "1" });
    const measure = async (changes: Changes, packs: readonly PackId[]): Promise<{ gets: number }> => {
      const base = await newest(project);
      const before = counting[0]!.counts;
      await project.land(landRequest(base, changes, { packs, frames: [] }));
      const { gets } = counting[0]!.counts;
      return { gets: gets - before.gets };
    };
    const pack = await project.putPack(packOf(FILES));
    expect(await measure(FILES, [pack])).toEqual({ gets: 0 });
    await landNow(project, REFUSE);
    const more = Object.fromEntries(Object.entries(FILES).map(([name, text]) => [name, `${text} more`]));
    // By another process, so that nothing is in memory.
    const uploaded = await openFixture(store, clock).putPack(packOf(more));
    const { gets } = await measure(more, [uploaded]);
    expect(gets).toBeLessThanOrEqual(2);
    expect(await measure({ "d0/f0": undefined }, [])).toEqual({ gets: 0 });
  });
});
