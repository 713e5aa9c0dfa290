import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { isMicError } from "../../src/core/base/errors.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { objectIdToBytes, type Position, type ProjectId } from "../../src/core/base/ids.ts";
import { encodeHints } from "../../src/core/codec/hints.ts";
import { encodePack, PACK_TRAILER_BYTES } from "../../src/core/codec/pack.ts";
import type { ObjectRef } from "../../src/core/objects/frame.ts";
import { packKey } from "../../src/core/objects/keys.ts";
import { PackNodeSource } from "../../src/core/objects/node-source.ts";
import { ObjectReader } from "../../src/core/objects/object-reader.ts";
import { MissingPackError, PackCache, WHOLE_PACK_BYTES_MAX } from "../../src/core/objects/pack-cache.ts";
import type { PackEntry } from "../../src/core/objects/pack-directory.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ReadOptions } from "../../src/core/store/object-store.ts";
import {
  framesOf,
  plainObject,
  storePack,
  TEST_EPOCH,
  TEST_PROJECT,
  TestDirectory,
  testObject,
} from "../support/packs.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const random = new SeededRandom(11);

function setUp(budgetBytes = 64 << 20) {
  const memory = new MemoryStore(new VirtualClock());
  const store = new CountingStore(memory);
  const directory = new TestDirectory();
  const cache = new PackCache({ store, project: TEST_PROJECT, budgetBytes });
  return { memory, store, directory, cache, reader: new ObjectReader(cache, directory) };
}

/** Incompressible objects of `bytes` each. */
function blobs(count: number, bytes: number) {
  return Array.from({ length: count }, () => testObject(random.bytes(bytes)));
}

async function contentOf(reader: ObjectReader, ref: ObjectRef): Promise<Uint8Array> {
  return plainObject(await reader.read(ref)).content;
}

function keyOf(entry: PackEntry): string {
  return packKey(TEST_PROJECT, entry.epoch, entry.pack);
}

describe("ObjectReader.read()", () => {
  test("reads a small pack whole, in one get, and then nothing", async () => {
    const { store, directory, reader } = setUp();
    const objects = [testObject("a"), testObject("b", "node", "side"), testObject("c", "record")];
    await storePack(store, directory, framesOf(objects), 4);
    store.reset();
    for (const object of objects) {
      expect(plainObject(await reader.read({ id: object.id, hint: 4 }))).toEqual({
        kind: object.kind,
        content: object.content,
        sidecar: object.sidecar,
      });
    }
    expect(store.reads).toBe(1);
  });

  test("reads a large pack's index and one frame", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(40, 10_000);
    const entry = await storePack(store, directory, framesOf(objects, 20_000), 4);
    expect(entry.size).toBeGreaterThan(WHOLE_PACK_BYTES_MAX);
    store.reset();
    await reader.read({ id: objects[20]!.id, hint: 4 });
    await reader.read({ id: objects[21]!.id, hint: 4 });
    expect(store.reads).toBe(2);
    expect(store.counts.bytesRead).toBe(entry.indexLength + 20_000);
  });

  test("reads the end of a large pack again, past every cache, whichever of its last bytes was damaged", async () => {
    const { memory, directory } = setUp();
    const objects = blobs(40, 10_000);
    const entry = await storePack(memory, directory, framesOf(objects, 20_000), 4);
    for (let fromEnd = 1; fromEnd <= PACK_TRAILER_BYTES; fromEnd++) {
      let damaged = 0;
      const store = new Proxy(memory, {
        get(inner, name) {
          if (name !== "get") return Reflect.get(inner, name) as unknown;
          return async (key: string, options: ReadOptions) => {
            const found = (await inner.get(key, options))!;
            const { offset, length } = options.range!;
            if (options.fresh === true || offset + length < entry.size) return found;
            damaged++;
            found.bytes[length - fromEnd]! ^= 2;
            return found;
          };
        },
      });
      const cache = new PackCache({ store, project: TEST_PROJECT, budgetBytes: 1 << 20 });
      const read = await contentOf(new ObjectReader(cache, directory), { id: objects[3]!.id, hint: 4 });
      expect(read).toEqual(objects[3]!.content);
      expect(damaged).toBe(1);
    }
  });

  test("looks into the packs of the hint before any other", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(6, 100);
    for (const [i, object] of objects.entries()) await storePack(store, directory, framesOf([object]), i + 1);
    store.reset();
    await reader.read({ id: objects[2]!.id, hint: 3 });
    expect(store.reads).toBe(1);
  });

  test("finds an object with an unknown or a wrong hint, newest packs first", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(30, 100);
    for (const [i, object] of objects.entries()) await storePack(store, directory, framesOf([object]), i + 1);
    store.reset();
    expect(await contentOf(reader, { id: objects[29]!.id, hint: 0 })).toEqual(objects[29]!.content);
    expect(store.reads).toBeLessThanOrEqual(3);
    expect(await contentOf(reader, { id: objects[0]!.id, hint: 17 })).toEqual(objects[0]!.content);
    expect(await contentOf(reader, { id: objects[1]!.id, hint: 999 })).toEqual(objects[1]!.content);
    expect(store.reads).toBe(30);
  });

  test("says not-found for an object in no pack", async () => {
    const { store, directory, reader } = setUp();
    await storePack(store, directory, framesOf([testObject("a")]), 1);
    const id = testObject("absent").id;
    for (const hint of [0, 1, 2]) {
      const error = await reader.read({ id, hint }).catch((caught: unknown) => caught);
      expect(isMicError(error, "not-found")).toBe(true);
      expect(error).not.toBeInstanceOf(MissingPackError);
      expect(await reader.has({ id, hint })).toBeUndefined();
    }
  });

  test("tells a pack that is missing from the store from an object that is in none", async () => {
    const { store, directory, cache, reader } = setUp();
    const lost = await storePack(store, directory, framesOf([testObject("lost")]), 1);
    await storePack(store, directory, framesOf([testObject("kept")]), 2);
    await store.delete([keyOf(lost)]);
    for (const hint of [0, 1]) {
      await expect(reader.read({ id: testObject("lost").id, hint })).rejects.toMatchObject({
        code: "not-found",
        data: { missingPack: lost.pack },
      });
    }
    expect((await reader.read({ id: testObject("kept").id, hint: 0 })).kind).toBe("blob");
    await expect(cache.open(lost)).rejects.toBeInstanceOf(MissingPackError);
  });

  test("finds an object in another pack of the position when one is missing", async () => {
    const { store, directory, reader } = setUp();
    await storePack(store, directory, framesOf([testObject("kept")]), 1);
    const lost = await storePack(store, directory, framesOf([testObject("lost")]), 1);
    await store.delete([keyOf(lost)]);
    expect((await reader.read({ id: testObject("kept").id, hint: 1 })).kind).toBe("blob");
  });

  test("a peek that would have to read leaves no error behind", async () => {
    const unheard: unknown[] = [];
    const listen = (reason: unknown): void => void unheard.push(reason);
    process.on("unhandledRejection", listen);
    const { cache } = setUp();
    const reader = new ObjectReader(cache, {
      version: 0,
      at: () => Promise.reject(new Error("the page cannot be read")),
      newestFirst: async function* () {
        yield [];
      },
      renew: async () => false,
    });
    expect(reader.peek(objectIdToBytes(testObject("a").id), 3)).toBeUndefined();
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.off("unhandledRejection", listen);
    expect(unheard).toEqual([]);
  });

  test("forgets an open pack whose frames are gone", async () => {
    const { store, directory, cache, reader } = setUp();
    const objects = blobs(40, 10_000);
    const entry = await storePack(store, directory, framesOf(objects, 20_000), 1);
    await reader.read({ id: objects[0]!.id, hint: 1 });
    await store.delete([keyOf(entry)]);
    await expect(reader.read({ id: objects[30]!.id, hint: 1 })).rejects.toBeInstanceOf(MissingPackError);
    expect(cache.peek(entry)).toBeUndefined();
    expect(cache.usedBytes).toBe(0);
  });

  test("reads an open pack under the day that the directory says", async () => {
    const { store, directory, cache, reader } = setUp();
    const objects = blobs(40, 10_000);
    const entry = await storePack(store, directory, framesOf(objects, 20_000), 1);
    const known = { ...entry, epoch: "2020-01-01" as typeof entry.epoch };
    await store.put(keyOf(known), (await store.get(keyOf(entry)))!.bytes);
    await cache.open(known);
    await store.delete([keyOf(known)]);
    const { id, content } = objects[30]!;
    expect(await contentOf(reader, { id, hint: 1 })).toEqual(content);
  });

  test("joins reads that miss at the same time", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(40, 10_000);
    await storePack(store, directory, framesOf(objects, 20_000), 4);
    store.reset();
    const first = objects.slice(0, 2);
    await Promise.all([...first, ...first, ...first].map(({ id }) => reader.read({ id, hint: 4 })));
    expect(store.reads).toBe(2);
  });

  test("reads ahead when a pack is read from front to back", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(128, 5000);
    await storePack(store, directory, framesOf(objects, 5000), 4);
    store.reset();
    for (const { id, content } of objects) {
      expect(await contentOf(reader, { id, hint: 4 })).toEqual(content);
    }
    expect(store.reads).toBeLessThan(15);
  });

  test("scans frames of which every twelfth is wanted before those in front of it in few reads", async () => {
    const { store, directory, cache } = setUp();
    const nodes = Array.from({ length: 240 }, () => testObject(random.bytes(5000), "node"));
    const others = blobs(200, 5000);
    const all = [...others, ...nodes];
    const entry = await storePack(store, directory, framesOf(all, 5000), 4);
    const pack = await cache.open(entry);
    store.reset();
    for (let parent = 211; parent < 440; parent += 12) {
      for (let frame = parent - 11; frame <= parent; frame++) {
        const wanted = frame === parent - 11 ? parent : frame - 1;
        const found = await cache.frame(pack, wanted, "scan");
        expect(found.raw).toEqual(all[wanted]!.content);
      }
    }
    expect(store.reads).toBeLessThan(10);
    expect(store.counts.bytesRead).toBeLessThan(240 * 5100);
  });

  test("keeps to its budget", async () => {
    const budget = 200_000;
    const { store, directory, cache, reader } = setUp(budget);
    const objects = blobs(60, 10_000);
    await storePack(store, directory, framesOf(objects, 20_000), 4);
    for (let i = 0; i < 200; i++) {
      const object = objects[random.below(objects.length)]!;
      expect(await contentOf(reader, { id: object.id, hint: 4 })).toEqual(object.content);
      expect(cache.usedBytes).toBeLessThanOrEqual(budget);
    }
  });

  test("reads an index that is larger than its budget once, not for every object", async () => {
    const { store, directory, reader } = setUp(100_000);
    const objects = blobs(4000, 100);
    await storePack(store, directory, framesOf(objects, 4000), 4);
    await reader.read({ id: objects[0]!.id, hint: 4 });
    store.reset();
    // One frame each, every time another one.
    for (let i = 40; i < 4000; i += 40) await reader.read({ id: objects[i]!.id, hint: 4 });
    expect(store.counts.bytesRead).toBeLessThan(4000 * 150);
  });

  test("keeps no large frame that is read once", async () => {
    const { store, directory, reader, cache } = setUp();
    const large = blobs(4, 600_000);
    const small = blobs(3, 10_000);
    await storePack(store, directory, framesOf([...large, ...small], 30_000), 4);
    await reader.read({ id: large[0]!.id, hint: 4 });
    const used = cache.usedBytes;
    expect(used).toBeGreaterThan(600_000);
    for (const { id, content } of large) {
      const object = await reader.read({ id, hint: 4 }, { once: true });
      expect(Buffer.compare(object.content, content)).toBe(0);
    }
    expect(cache.usedBytes).toBe(used);
    // One that shares its frame with others is kept.
    for (const { id } of small) await reader.read({ id, hint: 4 }, { once: true });
    expect(cache.usedBytes).toBeGreaterThan(used + 30_000);
    store.reset();
    await reader.read({ id: large[0]!.id, hint: 4 }, { once: true });
    await reader.read({ id: small[2]!.id, hint: 4 });
    expect(store.reads).toBe(0);
  });

  test("works, slowly, with no budget at all", async () => {
    const { store, directory, reader } = setUp(0);
    const objects = blobs(40, 10_000);
    await storePack(store, directory, framesOf(objects, 20_000), 4);
    const found = await Promise.all(objects.map(({ id }) => reader.read({ id, hint: 4 })));
    expect(found.map(({ content }) => hashObject(content))).toEqual(objects.map(({ id }) => id));
  });

  test("detects every changed byte of a pack, or does not see it", async () => {
    const objects = [...blobs(3, 60), testObject("compressible ".repeat(20), "node", "hints of it")];
    for (const isLarge of [false, true]) {
      const { memory, directory } = setUp();
      const entry = await storePack(memory, directory, framesOf(objects, 130), 1);
      const { bytes } = (await memory.get(keyOf(entry)))!;
      for (let at = isLarge ? 8 : 0; at < bytes.length; at += 1) {
        const copy = new Uint8Array(bytes);
        copy[at]! ^= 0x10;
        await memory.put(keyOf(entry), copy);
        const cache = new PackCache({ store: memory, project: TEST_PROJECT, budgetBytes: 1 << 20 });
        if (isLarge) admitIndexOnly(cache, entry, copy);
        const reader = new ObjectReader(cache, directory);
        const results = await Promise.allSettled(objects.map(({ id }) => reader.read({ id, hint: 1 })));
        expect(results.some((result) => result.status === "rejected")).toBe(true);
        for (const result of results) {
          if (result.status === "rejected") expect(["corrupt", "unsupported"]).toContain(result.reason.code);
        }
      }
    }

    /** Makes the cache read frame by frame, as it does from packs too large to be read whole. */
    function admitIndexOnly(cache: PackCache, entry: PackEntry, bytes: Uint8Array): void {
      const size = WHOLE_PACK_BYTES_MAX + 1;
      try {
        const padded = new Uint8Array(size);
        padded.set(bytes, size - bytes.length);
        cache.admit({ ...entry, size }, padded);
      } catch (error) {
        if (!isMicError(error)) throw error;
      }
    }
  });

  test("refuses a pack whose size or index length is not what the directory says", async () => {
    const { store, directory, reader, cache } = setUp();
    const objects = blobs(40, 10_000);
    const entry = await storePack(store, directory, framesOf(objects, 20_000), 4);
    for (const wrong of [
      { ...entry, size: entry.size - 1 },
      { ...entry, size: entry.size + 1 },
      { ...entry, indexLength: entry.indexLength + 1 },
      { ...entry, indexLength: entry.indexLength - 21 },
      { ...entry, indexLength: entry.size + 1 },
    ]) {
      await expect(cache.open(wrong)).rejects.toMatchObject({ code: "corrupt" });
    }
    expect((await reader.read({ id: objects[0]!.id, hint: 4 })).kind).toBe("blob");
  });

  test("refuses content that is not its id, each time it is read", async () => {
    const { store, directory, reader } = setUp();
    const [frame] = framesOf([testObject("content"), testObject("good")], 100);
    const [first, second] = frame!.objects;
    const lie = { ...frame!, objects: [{ ...first!, id: testObject("other").id }, second!] };
    await storePack(store, directory, [lie], 1);
    for (let i = 0; i < 2; i++) {
      await expect(reader.read({ id: testObject("other").id, hint: 1 })).rejects.toMatchObject({
        code: "corrupt",
      });
    }
    expect(await contentOf(reader, { id: second!.id, hint: 1 })).toEqual(utf8("good"));
  });
});

function spanning(entry: PackEntry, first: number, last: number): PackEntry {
  return { ...entry, first: first as Position, last: last as Position };
}

describe("ObjectReader", () => {
  test("has() names the pack without reading the object", async () => {
    const { store, directory, reader } = setUp();
    const objects = blobs(40, 10_000);
    const entry = await storePack(store, directory, framesOf(objects, 20_000), 4);
    store.reset();
    expect(await reader.has({ id: objects[3]!.id, hint: 4 })).toEqual({ entry });
    expect(store.reads).toBe(1);
  });

  test("has() names the pack as the directory lists it, whoever opened it before", async () => {
    const { store, directory, cache, reader } = setUp();
    const object = testObject("a");
    const entry = await storePack(store, directory, framesOf([object]), 6);
    // An attempt to land it at 5, which another landing then took.
    await cache.open({ ...entry, first: 5 as Position, last: 5 as Position });
    for (const hint of [6, 0, 5]) {
      expect(await reader.has({ id: object.id, hint })).toEqual({ entry });
    }
  });

  test("recordsNear() gives the records of one frame, behind or before everything else", async () => {
    const records = ["r1", "r2", "r3", "r4", "r5"].map((text) => testObject(text, "record"));
    const others = [testObject("blob"), testObject("op", "operations")];
    for (const objects of [
      [...others, ...records],
      [...records, ...others],
    ]) {
      const { store, directory, reader } = setUp();
      const frames = [
        ...framesOf(objects.slice(0, 2), 4),
        ...framesOf(objects.slice(2, 5), 4),
        ...framesOf(objects.slice(5), 4),
      ];
      const entry = spanning(await storePack(store, directory, frames, 1), 11, 15);
      const seen: string[] = [];
      for (let position = 11; position <= 15; ) {
        const { first, contents } = await reader.recordsNear(entry, position);
        expect(first).toBe(position);
        expect(contents.length).toBeLessThan(5);
        seen.push(...contents.map((content) => Buffer.from(content).toString()));
        position = first + contents.length;
      }
      expect(seen).toEqual(["r1", "r2", "r3", "r4", "r5"]);
    }
  });

  test("recordsNear() refuses a pack with more or fewer records than positions", async () => {
    const { store, directory, reader } = setUp();
    const objects = [testObject("blob"), ...["r1", "r2", "r3"].map((text) => testObject(text, "record"))];
    const entry = await storePack(store, directory, framesOf(objects, 2), 1);
    for (const last of [2, 4, 9]) {
      await expect(reader.recordsNear(spanning(entry, 1, last), 1)).rejects.toMatchObject({
        code: "corrupt",
      });
    }
    expect((await reader.recordsNear(spanning(entry, 1, 3), 2)).first).toBe(2);
  });
});

describe("PackCache.admit()", () => {
  test("makes a pack readable without reading it back", async () => {
    const { store, directory, cache, reader } = setUp();
    const small = encodePack(framesOf([testObject("new")]));
    const entry = {
      pack: small.id,
      epoch: TEST_EPOCH,
      first: 1,
      last: 1,
      size: small.bytes.length,
      indexLength: small.indexLength,
    } as PackEntry;
    directory.entries.push(entry);
    cache.admit(entry, small.bytes);
    cache.admit(entry, small.bytes);
    const found = reader.peek(objectIdToBytes(testObject("new").id), 1);
    expect(plainObject(found!).content).toEqual(utf8("new"));
    expect(store.reads).toBe(0);
  });
});

describe("PackCache", () => {
  test("reads only below its project", async () => {
    const { store, directory } = setUp();
    const entry = await storePack(store, directory, framesOf([testObject("secret")]), 1);
    const other = new PackCache({ store, project: "cd".repeat(16) as ProjectId, budgetBytes: 1000 });
    await expect(other.open(entry)).rejects.toBeInstanceOf(MissingPackError);
  });
});

describe("PackNodeSource.load()", () => {
  const hints = Float64Array.of(3, 3, 0);
  /** Looks enough like a node: the number of entries is at offset 6. */
  const content = new Uint8Array([...utf8("MPTN"), 1, 0, 3, 0, ...utf8("rest")]);
  const node = testObject(content, "node", encodeHints(hints));
  const withoutHints = testObject(new Uint8Array([...content, 0x21]), "node");

  test("returns at once what is in memory, a promise otherwise", async () => {
    const { store, directory, reader } = setUp();
    await storePack(store, directory, framesOf([node, withoutHints]), 2);
    const source = new PackNodeSource(reader);
    const cold = source.load(objectIdToBytes(node.id), 2);
    expect(cold).toBeInstanceOf(Promise);
    expect(await cold).toEqual({ bytes: content, hints });
    expect(source.load(objectIdToBytes(node.id), 2)).toEqual({ bytes: content, hints });
    expect(source.load(objectIdToBytes(withoutHints.id), 2)).toMatchObject({ hints: new Float64Array(3) });
  });

  test("refuses hints of another number than the node's entries", async () => {
    const { store, directory, reader } = setUp();
    const wrong = testObject(content, "node", encodeHints(Float64Array.of(3, 3)));
    await storePack(store, directory, framesOf([wrong]), 2);
    await expect(new PackNodeSource(reader).load(objectIdToBytes(wrong.id), 2)).rejects.toMatchObject({
      code: "corrupt",
    });
  });
});
