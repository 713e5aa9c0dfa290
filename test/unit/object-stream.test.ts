import { describe, expect, test } from "vitest";
import { releaseBytes } from "../../src/core/base/bytes.ts";
import { MicError } from "../../src/core/base/errors.ts";
import type { Frame, ObjectRef } from "../../src/core/objects/frame.ts";
import { packKey } from "../../src/core/objects/keys.ts";
import { ObjectReader } from "../../src/core/objects/object-reader.ts";
import { PackCache } from "../../src/core/objects/pack-cache.ts";
import { verifyFrame } from "../../src/core/objects/verify-pack.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import {
  framesOf,
  objectsIn,
  storePack,
  TEST_PROJECT,
  TestDirectory,
  type TestObject,
  testObject,
} from "../support/packs.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const random = new SeededRandom(12);

function setUp() {
  const memory = new MemoryStore(new VirtualClock());
  const store = new CountingStore(memory);
  const directory = new TestDirectory();
  const cache = new PackCache({ store, project: TEST_PROJECT, budgetBytes: 64 << 20 });
  return { memory, store, directory, cache, reader: new ObjectReader(cache, directory) };
}

function blobs(count: number, bytes: number): TestObject[] {
  return Array.from({ length: count }, () => testObject(random.bytes(bytes)));
}

function refsTo(objects: readonly TestObject[], hint: number): ObjectRef[] {
  return objects.map(({ id }) => ({ id, hint }));
}

async function collect(frames: AsyncIterable<Frame>): Promise<Frame[]> {
  const all: Frame[] = [];
  for await (const frame of frames) {
    verifyFrame(frame);
    all.push(frame);
  }
  return all;
}

function idsIn(frames: readonly Frame[]): string[] {
  return frames.flatMap((frame) => frame.objects.map(({ id }) => id));
}

describe("ObjectReader.frames()", () => {
  test("passes stored frames on as they are when all of them is wanted", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(40, 10_000);
    const stored = framesOf(objects, 30_000);
    await storePack(store, directory, stored, 1);
    const frames = await collect(reader.frames(refsTo(objects, 1)));
    expect(frames).toEqual(stored);
  });

  test("gives the receiver bytes of its own", async () => {
    const { store, directory, reader } = setUp();
    const small = blobs(3, 10_000);
    const large = [...blobs(40, 40_000), ...blobs(2, 600_000)];
    await storePack(store, directory, framesOf(small, 20_000), 1);
    const stored = framesOf(large, 100_000);
    await storePack(store, directory, stored, 2);
    // Every third object of the large pack is framed again from a part of what was read.
    const wanted = [...small, ...large.filter((_, i) => i > 20 || i % 3 === 0)];
    const refs = wanted.map((object) => ({ id: object.id, hint: small.includes(object) ? 1 : 2 }));
    const memory = new Set<ArrayBufferLike>();
    for (let round = 0; round < 2; round++) {
      const found = new Set<string>();
      for await (const frame of reader.frames(refs)) {
        verifyFrame(frame);
        for (const { id } of frame.objects) found.add(id);
        expect(memory.has(frame.stored.buffer)).toBe(false);
        memory.add(frame.stored.buffer);
        frame.stored.fill(0);
        releaseBytes(frame.stored);
      }
      expect(wanted.every(({ id }) => found.has(id))).toBe(true);
    }
  });

  test("reads neighbouring frames together", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(256, 40_000);
    const entry = await storePack(store, directory, framesOf(objects, 256 << 10), 1);
    store.reset();
    expect(idsIn(await collect(reader.frames(refsTo(objects, 1))))).toEqual(objects.map(({ id }) => id));
    expect(store.reads).toBeLessThanOrEqual(2 + Math.ceil(entry.size / (3 << 19)));
    expect(store.counts.bytesRead).toBeLessThan(entry.size);
  });

  test("reads neighbouring frames together in whatever order they are needed", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(256, 40_000);
    const entry = await storePack(store, directory, framesOf(objects, 40_000), 1);
    const disordered = Array.from({ length: 16 }, (_, i) =>
      objects.slice(i * 16, (i + 1) * 16).reverse(),
    ).flat();
    store.reset();
    const found = await collect(reader.frames(refsTo(disordered, 1)));
    expect(idsIn(found)).toEqual(disordered.map(({ id }) => id));
    expect(store.reads).toBeLessThanOrEqual(2 + Math.ceil(entry.size / (3 << 19)));
  });

  test("holds no read for long whose frames are needed far apart", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(800, 40_000);
    await storePack(store, directory, framesOf(objects, 40_000), 1);
    // The first and the second frame of each pair, with half of the pack between them.
    const apart = [...objects.filter((_, i) => i % 2 === 0), ...objects.filter((_, i) => i % 2 === 1)];
    const frames = reader.frames(refsTo(apart, 1), { borrowed: true, unchecked: true });
    store.reset();
    let held = 0;
    let passed = 0;
    for await (const frame of frames) {
      passed += frame.stored.length;
      held = Math.max(held, store.counts.bytesRead - passed);
    }
    expect(passed).toBe(800 * 40_000);
    expect(held).toBeLessThan(15 << 20);
  });

  test("has the next references under way before it is done with those before", async () => {
    const { store, directory, reader } = setUp();
    const objects = Array.from({ length: 16_000 }, (_, i) => testObject(`${i} `.padEnd(300, "#")));
    const entry = await storePack(store, directory, framesOf(objects, 30_000, "store"), 1);
    await reader.has({ id: objects[0]!.id, hint: 1 });
    store.reset();
    const frames = reader.frames(refsTo(objects, 1));
    await frames.next();
    await expect.poll(() => store.counts.bytesRead, { interval: 5 }).toBeGreaterThan(entry.size * 0.7);
    const rest = await collect(frames);
    expect(idsIn(rest).length).toBe(objects.length - 100);
  });

  test("does not read what lies far between wanted frames", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(60, 20_000);
    await storePack(store, directory, framesOf(objects, 20_000), 1);
    const wanted = [objects[0]!, objects[1]!, objects[50]!];
    store.reset();
    await collect(reader.frames(refsTo(wanted, 1)));
    expect(store.reads).toBe(3);
    expect(store.counts.bytesRead).toBeLessThan(70_000);
  });

  test("frames again what is wanted of a frame when that is less than half", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(40, 10_000);
    await storePack(store, directory, framesOf(objects, 50_000), 1);
    const wanted = [objects[0]!, objects[1]!, objects[5]!, objects[12]!];
    const frames = await collect(reader.frames(refsTo(wanted, 1)));
    expect(frames).toHaveLength(1);
    expect(objectsIn(frames[0]!)).toEqual(wanted);
    const half = await collect(reader.frames(refsTo(objects.slice(0, 3), 1)));
    expect(half.map((frame) => frame.objects.length)).toEqual([5]);
  });

  test("keeps the order of first need across packs, and each object once", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(60, 10_000);
    const packs = [0, 1, 2].map((pack) => objects.filter((_, i) => i % 3 === pack));
    for (const [i, pack] of packs.entries()) await storePack(store, directory, framesOf(pack, 10_000), i + 1);
    const small = testObject("in a small pack", "chunk-list");
    await storePack(store, directory, framesOf([small], 100, "store"), 4);
    const refs = objects.map(({ id }, i) => ({ id, hint: (i % 3) + 1 }));
    refs.splice(30, 0, { id: small.id, hint: 4 });
    const doubled = [...refs, ...refs.map((ref) => ({ ...ref, hint: 0 }))];
    store.reset();
    const found = await collectWithoutVerifying(reader.frames(doubled));
    expect(idsIn(found)).toEqual(refs.map(({ id }) => id));
    expect(store.reads).toBeLessThan(20);
  });

  test("finds objects whose hints are unknown or wrong", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(20, 100);
    for (const [i, object] of objects.entries()) await storePack(store, directory, framesOf([object]), i + 1);
    const refs = objects.map(({ id }, i) => ({ id, hint: i % 2 === 0 ? 0 : 3 }));
    expect(idsIn(await collect(reader.frames(refs)))).toEqual(refs.map(({ id }) => id));
  });

  test("sends a frame once even when its objects are asked for far apart", async () => {
    const { store, directory, reader } = setUp();
    const objects = Array.from({ length: 20_000 }, (_, i) => testObject(`object ${i}`));
    const stored = framesOf(objects, 4096);
    await storePack(store, directory, stored, 1);
    const refs = refsTo(objects, 1);
    const far = [...refs.slice(0, 9000), ...refs.slice(9000).reverse()];
    const frames = await collect(reader.frames(far));
    const ids = idsIn(frames);
    expect(new Set(ids).size).toBe(objects.length);
    expect(ids.length).toBeLessThan(objects.length + 300);
  });

  test("can leave what it frames again uncompressed", async () => {
    const { store, directory, reader } = setUp();
    const objects = Array.from({ length: 30 }, (_, i) => testObject(`${i} text `.repeat(500)));
    await storePack(store, directory, framesOf(objects, 1 << 20), 1);
    const wanted = refsTo(objects.slice(0, 4), 1);
    const compressed = await collect(reader.frames(wanted));
    const raw = await collect(reader.frames(wanted, { uncompressed: true }));
    expect(compressed.map((frame) => frame.compressed)).toEqual([true]);
    expect(raw.map((frame) => frame.compressed)).toEqual([false]);
    expect(raw.map(objectsIn)).toEqual(compressed.map(objectsIn));
  });

  test("uses frames that are in memory instead of reading them again", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(60, 10_000);
    await storePack(store, directory, framesOf(objects, 60_000), 1);
    await reader.read({ id: objects[0]!.id, hint: 1 });
    store.reset();
    const frames = await collect(reader.frames(refsTo([objects[0]!], 1)));
    expect(objectsIn(frames[0]!)).toEqual([objects[0]!]);
    expect(store.reads).toBe(0);
  });

  test("yields nothing for nothing", async () => {
    const { reader } = setUp();
    expect(await collect(reader.frames([]))).toEqual([]);
  });

  test("says which object is in no pack, and which pack is missing", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(40, 10_000);
    const entry = await storePack(store, directory, framesOf(objects, 20_000), 1);
    const absent = { id: testObject("absent").id, hint: 1 };
    await expect(collect(reader.frames([absent]))).rejects.toMatchObject({
      code: "not-found",
      data: { object: absent.id },
    });
    await store.delete([packKey(TEST_PROJECT, entry.epoch, entry.pack)]);
    await expect(collect(reader.frames(refsTo(objects, 1)))).rejects.toMatchObject({
      code: "not-found",
      data: { missingPack: entry.pack },
    });
  });

  test("refuses a stored frame whose bytes changed", async () => {
    const { memory, directory, reader } = setUp();
    const objects = blobs(40, 10_000);
    const entry = await storePack(memory, directory, framesOf(objects, 20_000), 1);
    const key = packKey(TEST_PROJECT, entry.epoch, entry.pack);
    const { bytes } = (await memory.get(key))!;
    bytes[100_000]! ^= 1;
    await memory.put(key, bytes);
    await expect(collectWithoutVerifying(reader.frames(refsTo(objects, 1)))).rejects.toMatchObject({
      code: "corrupt",
    });
    const unchecked = { unchecked: true, distinct: true };
    const passed = await collectWithoutVerifying(reader.frames(refsTo(objects, 1), unchecked));
    expect(idsIn(passed)).toEqual(objects.map(({ id }) => id));
    expect(() => passed.forEach(verifyFrame)).toThrow(expect.objectContaining({ code: "corrupt" }));
  });

  test("finds every object in whatever order the rows of two packs are asked for", async () => {
    const { store, directory, reader } = setUp();
    const objects = Array.from({ length: 300 }, (_, i) => testObject(`object ${i}`));
    const twice = objects[70]!;
    await storePack(store, directory, framesOf([...objects.slice(0, 150), twice], 200), 1);
    await storePack(store, directory, framesOf(objects.slice(150), 200), 2);
    const inOrder = objects.map(({ id }, i) => ({ id, hint: i < 150 ? 1 : 2 }));
    const alternating = inOrder.flatMap((ref, i) => (i < 150 ? [ref, inOrder[i + 150]!] : []));
    const backwards = [...inOrder].reverse();
    const runs = [...inOrder.slice(200), ...inOrder.slice(50, 200), ...inOrder.slice(0, 50)];
    for (const refs of [inOrder, alternating, backwards, runs]) {
      for (const distinct of [false, true]) {
        const frames = await collect(reader.frames(refs, { distinct }));
        const ids = idsIn(frames);
        expect(new Set(ids)).toEqual(new Set(objects.map(({ id }) => id)));
        expect(frames[0]!.objects.some(({ id }) => id === refs[0]!.id)).toBe(true);
      }
    }
  });

  test("stops when it is aborted, and leaves no read unhandled when the caller stops", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(300, 40_000);
    await storePack(store, directory, framesOf(objects, 256 << 10), 1);
    const controller = new AbortController();
    const frames = reader.frames(refsTo(objects, 1), { signal: controller.signal });
    await frames.next();
    controller.abort();
    await expect(frames.next()).rejects.toMatchObject({ code: "aborted" });
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => void unhandled.push(error);
    process.on("unhandledRejection", note);
    const failing = new PackCache({
      store: new FailingRanges(store),
      project: TEST_PROJECT,
      budgetBytes: 1 << 20,
    });
    const stopped = new ObjectReader(failing, directory).frames(refsTo(objects, 1));
    await stopped.next();
    await stopped.return();
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });
});

/** Fails every read but the first two: the index and the first frames. */
class FailingRanges extends CountingStore {
  #started = 0;

  override async get(key: string, options?: Parameters<CountingStore["get"]>[1]) {
    this.#started++;
    if (this.#started > 2) throw new MicError("unreachable", "the store is gone");
    return super.get(key, options);
  }
}

/** For objects whose content is not what their kind says. */
async function collectWithoutVerifying(frames: AsyncIterable<Frame>): Promise<Frame[]> {
  const all: Frame[] = [];
  for await (const frame of frames) all.push(frame);
  return all;
}
