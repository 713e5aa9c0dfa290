import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { hlcToMs } from "../../src/core/base/hlc.ts";
import type { ObjectId, PackId, Position, SessionId } from "../../src/core/base/ids.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import { encodeChunkList } from "../../src/core/codec/chunk-list.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { Operation } from "../../src/core/forge/forge.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import {
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
import { REFUSED_LANDINGS } from "../support/refused-landings.ts";

const DAY_MS = 86_400_000;

describe("land()", () => {
  test("gives the next position, the tree, and a record of everything that was said", async () => {
    const { project, clock } = await makeFixture();
    const request = landRequest(
      EMPTY_BASE,
      { a: "1", "d/b": "2" },
      {
        goal: "first 🚀",
        agent: "robot",
        session: "5e".repeat(16) as SessionId,
        decisions: ["keep it", ""],
        conversation: [{ role: "user", text: "hello" }],
      },
    );
    const result = await project.land(request);
    const snapshot = await project.snapshot();
    expect(result).toEqual({
      kind: "landed",
      position: 1,
      root: snapshot.head.root,
      session: "5e".repeat(16),
    });
    const record = await snapshot.record(1 as Position);
    expect(record).toMatchObject({
      landingId: request.landingId,
      position: 1,
      parentRoot: EMPTY_BASE.root,
      base: EMPTY_BASE,
      goal: "first 🚀",
      author: "Ada <ada@example.org>",
      agent: "robot",
      decisions: ["keep it", ""],
      conversation: [{ role: "user", text: "hello" }],
      operationCount: 2,
    });
    expect(hlcToMs(record.hlc)).toBe(clock.ms);
    const hinted = request.operations.map((operation) => ({ ...operation, hint: 1 }));
    expect(await snapshot.operations(1 as Position)).toEqual(hinted);
    expect(await filesOf(project)).toEqual(idsOf({ a: "1", "d/b": "2" }));
  });

  test("another process sees the same project", async () => {
    const { project, store, clock } = await makeFixture();
    await landNow(project, { a: "1" });
    await landNow(project, { a: "2", b: "3" });
    const other = openFixture(store, clock);
    expect(await filesOf(other)).toEqual(idsOf({ a: "2", b: "3" }));
    expect(await filesOf(other, 1)).toEqual(idsOf({ a: "1" }));
    expect(await filesOf(other, 0)).toEqual({});
  });

  test("without operations is a position with the tree before it", async () => {
    const { project, store, clock } = await makeFixture();
    const first = await landNow(project, { a: "1" });
    const second = await landNow(project, {});
    expect(second).toMatchObject({ position: 2, root: first.root });
    expect(await filesOf(openFixture(store, clock))).toEqual(idsOf({ a: "1" }));
    expect(await landNow(project, { b: "2" })).toMatchObject({ position: 3 });
    expect(await filesOf(openFixture(store, clock), 2)).toEqual(idsOf({ a: "1" }));
  });

  test("deleting everything gives the empty tree, and content that comes back is found", async () => {
    const { project, store, clock } = await makeFixture();
    const first = await landNow(project, { a: "1", b: "2" });
    expect((await landNow(project, { a: undefined, b: undefined })).root).toBe(EMPTY_BASE.root);
    // Not sent again: the content is already in the project.
    const back = await landNow(project, { a: "1", b: "2" }, { frames: [] });
    expect(back.root).toBe(first.root);
    const snapshot = await openFixture(store, clock).snapshot();
    for await (const page of snapshot.headTree().pages()) for (const { hint } of page) expect(hint).toBe(1);
  });

  test("large landings keep their operations in segments", async () => {
    const { project, store, clock } = await makeFixture();
    const contents = Object.fromEntries(
      Array.from({ length: 20_000 }, (_, i) => [`dir${i % 83}/file${i}`, `content ${i % 100}`]),
    );
    await landNow(project, contents);
    const snapshot = await openFixture(store, clock).snapshot();
    const record = await snapshot.record(1 as Position);
    expect(record.operationCount).toBe(20_000);
    expect(
      record.operations.kind === "segments" && record.operations.segments.map(({ count }) => count),
    ).toEqual([8192, 8192, 3616]);
    const operations = await snapshot.operations(record);
    expect(operations.map(({ path }) => path)).toEqual(operationsOf(contents).map(({ path }) => path));
    expect(await filesOf(project)).toEqual(idsOf(contents));
  });

  test("the same id again is the same landing, through any process and however late", async () => {
    const { project, store, clock } = await makeFixture();
    const request = landRequest(EMPTY_BASE, { a: "1" });
    const landed = await project.land(request);
    for (let i = 0; i < 300; i++) await landNow(project, { [`f${i}`]: "x" });
    expect(await project.land(request)).toEqual(landed);
    expect(await openFixture(store, clock).land(request)).toEqual(landed);
    expect((await newest(project)).position).toBe(301);
  });

  test("the same id with other content, base or author is refused", async () => {
    const { project } = await makeFixture();
    const request = landRequest(EMPTY_BASE, { a: "1" });
    await project.land(request);
    const other = { landingId: request.landingId };
    for (const again of [
      landRequest(EMPTY_BASE, { a: "2" }, other),
      landRequest(EMPTY_BASE, { a: "1", b: "1" }, other),
      landRequest(await newest(project), { a: "1" }, other),
      { ...request, author: "Eve" },
    ]) {
      await expect(project.land(again)).rejects.toMatchObject({ code: "landing-id-reused" });
    }
    expect((await newest(project)).position).toBe(1);
  });

  test("a base that is not in this history is refused", async () => {
    const { project } = await makeFixture();
    await landNow(project, { a: "1" });
    const { root } = await newest(project);
    for (const base of [
      { position: 0 as Position, root },
      { position: 1 as Position, root: EMPTY_BASE.root },
      { position: 2 as Position, root },
    ]) {
      await expect(project.land(landRequest(base, { b: "1" }))).rejects.toMatchObject({
        code: "history-changed",
      });
    }
  });

  test("a base that is newer than what the process knows makes it look again", async () => {
    const { project, store, clock } = await makeFixture();
    const other = openFixture(store, clock);
    await other.snapshot();
    await landNow(project, { a: "1" });
    const result = await other.land(landRequest(await newest(project), { b: "2" }));
    expect(result).toMatchObject({ kind: "landed", position: 2 });
  });

  test("refuses requests that no project could take, and lands nothing", async () => {
    const { project } = await makeFixture();
    for (const [change, code] of REFUSED_LANDINGS) {
      const request = { ...landRequest(EMPTY_BASE, { a: "1", b: "2" }), ...change };
      await expect(project.land(request), JSON.stringify(change).slice(0, 100)).rejects.toMatchObject({
        code,
      });
    }
    expect((await newest(project)).position).toBe(0);
  });

  test("never makes a path a file and a directory at once", async () => {
    const { project } = await makeFixture();
    await landNow(project, { f: "1", "d/x": "2", "d/y/z": "3", "d-": "4" });
    for (const changes of [
      { "f/below": "5" },
      { "f/far/below": "5" },
      { d: "5" },
      { "d/y": "5" },
      { d: "5", "d/x": undefined },
    ]) {
      await expect(landNow(project, changes)).rejects.toMatchObject({ code: "usage" });
    }
    await landNow(project, { f: undefined, "f/far/below": "5" });
    await landNow(project, { d: "6", "d/x": undefined, "d/y/z": undefined });
    expect(await filesOf(project)).toEqual(idsOf({ "f/far/below": "5", d: "6", "d-": "4" }));
  });

  test("a clock more than five minutes ahead of the store's is refused, except for what has landed", async () => {
    const { project, store, clock } = await makeFixture();
    const request = landRequest(EMPTY_BASE, { a: "1" });
    await project.land(request);
    const ahead = { nowMs: () => clock.ms + 301_000, sleep: clock.sleep.bind(clock) };
    const fast = openFixture(store, clock, { clock: ahead });
    await expect(landNow(fast, { b: "1" })).rejects.toMatchObject({ code: "out-of-range" });
    expect(await fast.land(request)).toMatchObject({ kind: "landed", position: 1 });
    const almost = { nowMs: () => clock.ms + 299_000, sleep: clock.sleep.bind(clock) };
    expect(await landNow(openFixture(store, clock, { clock: almost }), { b: "1" })).toMatchObject({
      position: 2,
    });
    // A clock that is behind does not make time run back.
    const behind = { nowMs: () => clock.ms - 10 * DAY_MS, sleep: clock.sleep.bind(clock) };
    const slow = openFixture(store, clock, { clock: behind });
    await landNow(slow, { c: "1" });
    const snapshot = await slow.snapshot();
    const [second, third] = [await snapshot.record(2 as Position), await snapshot.record(3 as Position)];
    expect(third.hlc).toBe(second.hlc + 1n);
  });
});

describe("the budget of a landing", () => {
  test("is one pack, one swap, and no read when the process landed just before", async () => {
    let counting: CountingStore | undefined;
    const { project, clock } = await makeFixture({
      wrap: (store) => {
        counting = new CountingStore(store);
        return counting;
      },
    });
    await landNow(project, { a: "1" });
    let base = await newest(project);
    for (let i = 0; i < 20; i++) {
      counting!.reset();
      const result = await project.land(landRequest(base, { a: `content ${i}`, [`d/${i}`]: "x" }));
      if (result.kind !== "landed") throw new Error("conflict");
      base = { position: result.position, root: result.root };
      expect(counting!.counts).toMatchObject({
        gets: 0,
        misses: 0,
        unchanged: 0,
        puts: 1,
        swaps: 1,
        lists: 0,
      });
    }
    clock.ms += 60_000;
    counting!.reset();
    await project.land(landRequest(base, { a: "later" }));
    expect(counting!.counts).toMatchObject({ gets: 0, misses: 0, unchanged: 1, puts: 1, swaps: 1, lists: 0 });
  });

  test("a warm read is one conditional read, a cold one the head and little more", async () => {
    const { project, store, clock } = await makeFixture();
    for (let i = 0; i < 10; i++) await landNow(project, { [`f${i}`]: `${i}` });
    const counting = new CountingStore(store);
    const other = openFixture(counting, clock);
    await filesOf(other);
    expect(counting.reads).toBeLessThanOrEqual(3);
    counting.reset();
    await filesOf(other);
    expect(counting.counts).toMatchObject({ gets: 0, unchanged: 1 });
  });
});

describe("uploaded packs", () => {
  function packOf(...texts: string[]): Uint8Array {
    const frames = new FrameBuilder({ rawTarget: 1024 });
    for (const text of texts) frames.add("blob", hashObject(utf8(text)), utf8(text));
    return encodePack(frames.finish()).bytes;
  }

  test("are named by the landing, also when another process received them", async () => {
    const { project, store, clock } = await makeFixture();
    const pack = await project.putPack(packOf("one", "two"));
    const other = openFixture(store, clock);
    const base = EMPTY_BASE;
    const result = await other.land(landRequest(base, { a: "one", b: "two" }, { frames: [], packs: [pack] }));
    expect(result).toMatchObject({ kind: "landed" });
    const snapshot = await openFixture(store, clock).snapshot();
    expect(snapshot.head.packs).toMatchObject([
      { pack, hasRecords: false, first: 1, last: 1 },
      { hasRecords: true, first: 1, last: 1 },
    ]);
    const { content } = await snapshot.reader.read({ id: hashObject(utf8("two")), hint: 1 });
    expect(Buffer.from(content).toString()).toBe("two");
  });

  test("of the day before yesterday are copied before a head names them", async () => {
    const { project, clock, store } = await makeFixture();
    const pack = await project.putPack(packOf("one"));
    clock.ms += 2 * DAY_MS;
    for (const lander of [project, openFixture(store, clock)]) {
      const at = lander === project ? "a" : "b";
      await landNow(lander, { [at]: "one" }, { frames: [], packs: [pack] });
      expect((await lander.snapshot()).head.packs[0]).toMatchObject({ pack, epoch: "2026-01-03" });
    }
  });

  test("that are too old to be there are asked for again", async () => {
    const { project, clock } = await makeFixture();
    const pack = "ab".repeat(32) as PackId;
    clock.ms += 10 * DAY_MS;
    await expect(landNow(project, { a: "one" }, { frames: [], packs: [pack] })).rejects.toMatchObject({
      code: "not-found",
      data: { object: pack },
    });
  });

  test("hold content only: records and nodes of others prove nothing", async () => {
    const { project } = await makeFixture();
    for (const kind of ["record", "node", "operations"] as const) {
      const frames = new FrameBuilder({ rawTarget: 1024 });
      frames.add(kind, hashObject(utf8("x")), utf8("x"));
      const made = frames.finish();
      await expect(project.putPack(encodePack(made).bytes)).rejects.toMatchObject({ code: "usage" });
      await expect(landNow(project, { a: "x" }, { frames: made })).rejects.toMatchObject({ code: "usage" });
    }
  });
});

describe("writers that are not trusted", () => {
  const untrusted = { trustWriters: false };

  test("cannot land content under another id or with another size", async () => {
    const { project } = await makeFixture(untrusted);
    const honest = landRequest(EMPTY_BASE, { a: "1" });
    const [frame] = honest.frames;
    const forged = { ...frame!, objects: [{ ...frame!.objects[0]!, id: "cd".repeat(32) as ObjectId }] };
    await expect(project.land({ ...honest, frames: [forged] })).rejects.toMatchObject({ code: "corrupt" });
    const [operation] = honest.operations as [Extract<Operation, { kind: "put" }>];
    const longer = [{ ...operation, entry: { ...operation.entry, size: 2 } }];
    await expect(project.land({ ...honest, operations: longer })).rejects.toMatchObject({ code: "corrupt" });
    await landNow(project, { a: "1" });
    const known = landRequest(
      await newest(project),
      {},
      { operations: [{ ...longer[0]!, path: "b" as TreePath }] },
    );
    await expect(project.land(known)).rejects.toMatchObject({ code: "corrupt" });
  });

  test("cannot upload a pack with a flipped byte", async () => {
    const { project } = await makeFixture(untrusted);
    const frames = new FrameBuilder({ rawTarget: 1024 });
    frames.add("blob", hashObject(utf8("hello hello")), utf8("hello hello"));
    const { bytes } = encodePack(frames.finish());
    for (let i = 0; i < bytes.length; i++) {
      const flipped = bytes.slice();
      flipped[i]! ^= 0x10;
      await expect(project.putPack(flipped), `byte ${i}`).rejects.toMatchObject({
        code: expect.stringMatching(/corrupt|unsupported|too-large/),
      });
    }
  });

  test.each([true, false])(
    "chunked files are checked, as a whole where writers are not trusted (%s)",
    async (trust) => {
      const { project } = await makeFixture({ trustWriters: trust });
      const whole = Buffer.alloc(3000, "abc");
      const chunks = [whole.subarray(0, 2000), whole.subarray(2000)];
      const frames = new FrameBuilder({ rawTarget: 4096 });
      for (const chunk of chunks) frames.add("blob", hashObject(chunk), chunk);
      const make = (ids: readonly Uint8Array[]) =>
        encodeChunkList({
          chunks: ids.map((chunk) => ({ id: hashObject(chunk), length: chunk.length, hint: 0 })),
        });
      const list = make(chunks);
      frames.add("chunk-list", hashObject(list.content), list.content, list.sidecar);
      const swapped = make([whole.subarray(0, 1000), Buffer.alloc(2000)]);
      frames.add("chunk-list", hashObject(swapped.content), swapped.content, swapped.sidecar);
      const entry = {
        kind: "file",
        size: 3000,
        id: hashObject(whole),
        chunks: hashObject(list.content),
      } as const;
      const made = frames.finish();
      const land = (change: object) =>
        landNow(
          project,
          {},
          {
            frames: made,
            operations: [{ kind: "put", path: "big" as TreePath, entry: { ...entry, ...change }, hint: 0 }],
          },
        );
      await expect(land({ size: 2999 })).rejects.toMatchObject({ code: "corrupt" });
      await expect(land({ chunks: hashObject(swapped.content) })).rejects.toMatchObject({
        code: "not-found",
      });
      if (!trust)
        await expect(land({ id: hashObject(utf8("other")) })).rejects.toMatchObject({ code: "corrupt" });
      expect(await land({})).toMatchObject({ position: 1 });
      // Named again without being sent again.
      const again = await landNow(
        project,
        {},
        {
          operations: [{ kind: "put", path: "copy" as TreePath, entry, hint: 1 }],
        },
      );
      expect(again).toMatchObject({ position: 2 });
    },
  );
});
