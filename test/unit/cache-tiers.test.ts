import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { type CacheOptions, openCachedStore } from "../../src/core/store/cache/cached-store.ts";
import { BLOCK_BYTES, SEGMENT_BYTES } from "../../src/core/store/cache/segment-file.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { describeObjectStore } from "../conformance/object-store.ts";

const scopeOf: CacheOptions["scopeOf"] = (key) => (key.startsWith("packs/") ? "everywhere" : undefined);
const KEY = "packs/a";
const warnings: string[] = [];
let directory: string;
let memory: MemoryStore;
let origin: CountingStore;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mic-cache-"));
  memory = new MemoryStore(systemClock);
  origin = new CountingStore(memory);
  warnings.length = 0;
});
afterEach(() => {
  chmodSync(directory, 0o700);
  rmSync(directory, { recursive: true, force: true });
});

function disk(bytesMax = 1 << 30, path = directory): NonNullable<CacheOptions["disk"]> {
  return {
    directory: path,
    bytesMax,
    clock: systemClock,
    random: systemRandom,
    warn: (message) => warnings.push(message),
  };
}

function open(tiers: Partial<CacheOptions>, store: ObjectStore = origin) {
  return openCachedStore(store, { scopeOf, clock: systemClock, ...tiers });
}

function pattern(size: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 7 + (i >> 8) * 13 + seed) & 255;
  return bytes;
}

function same(found: { readonly bytes: Uint8Array } | undefined, wanted: Uint8Array): void {
  expect(found?.bytes.length).toBe(wanted.length);
  expect(Buffer.compare(found!.bytes, wanted)).toBe(0);
}

function cachedFiles(): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((item) => item.isFile())
    .map((item) => join(item.parentPath, item.name));
}

const puts: CacheOptions["scopeOf"] = (key) =>
  /^(?:sizes|range|again)\//.test(key) ? "everywhere" : undefined;

describeObjectStore("CachedStore with RAM and disk", async () => {
  const store = new MemoryStore(systemClock);
  const path = mkdtempSync(join(tmpdir(), "mic-cache-"));
  const cached = openCachedStore(store, {
    scopeOf: puts,
    clock: systemClock,
    memory: { bytesMax: 1 << 20 },
    disk: disk(1 << 30, path),
  });
  return {
    store: cached,
    another: async () => store,
    isAtomic: true,
    [Symbol.asyncDispose]: async () => {
      await cached[Symbol.asyncDispose]();
      rmSync(path, { recursive: true });
    },
  };
});

describe("the disk tier", () => {
  test("serves another process what this one read, with no request", async () => {
    for (const size of [
      0,
      1,
      5000,
      BLOCK_BYTES,
      BLOCK_BYTES * 2 + 1,
      SEGMENT_BYTES,
      SEGMENT_BYTES * 2 + 77,
    ]) {
      const bytes = pattern(size);
      await memory.put(`packs/${size}`, bytes);
      await using first = open({ disk: disk() });
      same(await first.get(`packs/${size}`), bytes);
      await first[Symbol.asyncDispose]();
      origin.reset();
      await using second = open({ disk: disk() });
      same(await second.get(`packs/${size}`), bytes);
      const range = { offset: size >> 2, length: (size >> 1) + 1 };
      same(
        await second.get(`packs/${size}`, { range }),
        bytes.slice(range.offset, range.offset + range.length),
      );
      expect(origin.reads, `${size} bytes`).toBe(0);
    }
  });

  test("asks once for what is missing of a range, rounded to blocks", async () => {
    const ranges: (object | undefined)[] = [];
    const bytes = pattern(3 * SEGMENT_BYTES);
    await memory.put(KEY, bytes);
    const get = memory.get.bind(memory);
    memory.get = (key, options) => {
      ranges.push(options?.range);
      return get(key, options);
    };
    await using store = open({ disk: disk() });
    const read = async (offset: number, length: number): Promise<void> =>
      same(await store.get(KEY, { range: { offset, length } }), bytes.slice(offset, offset + length));
    await read(BLOCK_BYTES + 10, 20);
    await read(BLOCK_BYTES, BLOCK_BYTES);
    // Across two segments, with a block in the middle that is there.
    await read(10, SEGMENT_BYTES + 10);
    await read(0, SEGMENT_BYTES);
    expect(ranges).toEqual([
      { offset: BLOCK_BYTES, length: BLOCK_BYTES },
      { offset: 0, length: SEGMENT_BYTES + BLOCK_BYTES },
    ]);
  });

  test("readers of one block at the same time are one read", async () => {
    const bytes = pattern(BLOCK_BYTES * 3);
    await memory.put(KEY, bytes);
    await using store = open({ disk: disk() });
    const reads = Array.from({ length: 50 }, async (_, i) => {
      const range = { offset: i * 100, length: 50 + (i % 3) };
      same(await store.get(KEY, { range }), bytes.slice(range.offset, range.offset + range.length));
    });
    await Promise.all(reads);
    expect(origin.reads).toBe(1);
  });

  test("what is found damaged is read again from the store, whichever byte it is", async () => {
    const bytes = pattern(300);
    await memory.put(KEY, bytes);
    await using first = open({ disk: disk() });
    await first.get(KEY);
    await first[Symbol.asyncDispose]();
    const [file] = cachedFiles();
    const stored = readFileSync(file!);
    for (let at = 0; at < stored.length; at += at < 60 || at >= 4090 ? 1 : 997) {
      const flipped = Buffer.from(stored);
      flipped[at]! ^= 0x10;
      writeFileSync(file!, flipped);
      await using store = open({ disk: disk() });
      same(await store.get(KEY), bytes);
      writeFileSync(file!, stored.subarray(0, at));
      await using cut = open({ disk: disk() });
      same(await cut.get(KEY, { range: { offset: 0, length: 400 } }), bytes);
      await cut[Symbol.asyncDispose]();
    }
    expect(warnings).toEqual([]);
  });

  test("a file under another segment's name is not believed, nor what is left of it in a new one", async () => {
    const [a, b] = [pattern(3 * BLOCK_BYTES, 1), pattern(3 * BLOCK_BYTES, 2)];
    await memory.put(KEY, a);
    await memory.put("packs/b", b);
    const readAll = async (key: string, range?: { offset: number; length: number }) => {
      await using store = open({ disk: disk() });
      return await store.get(key, range === undefined ? {} : { range });
    };
    await readAll(KEY);
    const [fileOfA] = cachedFiles();
    await readAll("packs/b");
    const fileOfB = cachedFiles().find((file) => file !== fileOfA);
    writeFileSync(fileOfB!, readFileSync(fileOfA!));
    // Writes the first block and the right id.
    same(await readAll("packs/b", { offset: 0, length: 10 }), b.slice(0, 10));
    same(await readAll("packs/b"), b);
  });

  test("stores that share a directory do not see each other's keys", async () => {
    const other = new MemoryStore(systemClock);
    await memory.put(KEY, pattern(10, 1));
    await other.put(KEY, pattern(10, 2));
    const named = (store: MemoryStore, description: string): ObjectStore =>
      new Proxy(store, {
        get: (target, name) => {
          const value = name === "description" ? description : Reflect.get(target, name);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    await using a = open({ disk: disk() }, named(memory, "s3://a"));
    await using b = open({ disk: disk() }, named(other, "s3://b"));
    same(await a.get(KEY), pattern(10, 1));
    await a[Symbol.asyncDispose]();
    same(await b.get(KEY), pattern(10, 2));
  });

  test("keeps what was put and what was committed", async () => {
    await using store = open({ disk: disk() });
    await store.put(KEY, pattern(500, 1));
    const puts = [{ key: "packs/b", bytes: pattern(700, 2) }];
    await store.commit(puts, { key: "head", expected: null, bytes: pattern(10) });
    await store[Symbol.asyncDispose]();
    origin.reset();
    await using other = open({ disk: disk() });
    same(await other.get(KEY), pattern(500, 1));
    same(await other.get("packs/b"), pattern(700, 2));
    expect(origin.reads).toBe(0);
  });

  test("what changes is never kept, and neither is what does not exist", async () => {
    await using store = open({ disk: disk(), memory: { bytesMax: 1 << 20 } });
    await memory.put("head", pattern(10, 1));
    same(await store.get("head"), pattern(10, 1));
    await memory.put("head", pattern(10, 2));
    same(await store.get("head"), pattern(10, 2));
    expect(await store.get(KEY)).toBeUndefined();
    await memory.put(KEY, pattern(10, 3));
    same(await store.get(KEY), pattern(10, 3));
  });

  test("stays within its bound and keeps what was used last", async () => {
    const bytesMax = 8 << 20;
    for (let i = 0; i < 24; i++) await memory.put(`packs/${i}`, pattern(900_000, i));
    const options = disk(bytesMax);
    let hours = 0;
    const clock = { ...systemClock, nowMs: () => Date.now() + hours * 3_600_000 };
    await using store = open({ disk: { ...options, clock } });
    for (let i = 0; i < 24; i++) {
      hours += 2;
      await store.get(`packs/${i}`);
      await store.get("packs/0");
      // What is written while files are removed would make the order a matter of chance.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await store[Symbol.asyncDispose]();
    const held = cachedFiles().reduce((sum, file) => sum + statSync(file).blocks * 512, 0);
    expect(held).toBeLessThanOrEqual(bytesMax);
    expect(held).toBeGreaterThan(bytesMax / 2);
    origin.reset();
    await using other = open({ disk: disk(bytesMax) });
    await other.get("packs/0");
    await other.get("packs/23");
    expect(origin.reads).toBe(0);
  });

  test("a directory that cannot be made or written is said once and does no harm", async () => {
    writeFileSync(join(directory, "file"), "");
    await memory.put(KEY, pattern(100));
    await using store = open({ disk: disk(1 << 30, join(directory, "file", "cache")) });
    for (let i = 0; i < 3; i++)
      same(await store.get(KEY, { range: { offset: i, length: 10 } }), pattern(100).slice(i, i + 10));
    await store.put("packs/b", pattern(10));
    await store[Symbol.asyncDispose]();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/cache in .* cannot be .*ENOTDIR/);
  });

  test("a cache that is removed under it is made again", async () => {
    await using store = open({ disk: disk() });
    await memory.put(KEY, pattern(100));
    await memory.put("packs/b", pattern(200));
    await store.get(KEY);
    await store[Symbol.asyncDispose]();
    rmSync(join(directory, "v1"), { recursive: true });
    same(await store.get("packs/b"), pattern(200));
    same(await store.get(KEY), pattern(100));
    await store[Symbol.asyncDispose]();
    expect(cachedFiles()).toHaveLength(2);
    expect(warnings).toEqual([]);
  });

  test.skipIf(process.platform === "win32")("belongs to its user alone", async () => {
    await using store = open({ disk: disk(1 << 30, join(directory, "cache")) });
    await memory.put(KEY, pattern(100));
    await store.get(KEY);
    await store[Symbol.asyncDispose]();
    expect(statSync(join(directory, "cache")).mode & 0o77).toBe(0);
    expect(statSync(cachedFiles()[0]!).mode & 0o77).toBe(0);
  });

  // A file that is always full: whatever is written to it fails with ENOSPC.
  const full = "/dev/full";
  test.skipIf(!existsSync(full))("a full disk does no harm", async () => {
    await memory.put(KEY, pattern(100));
    await using first = open({ disk: disk() });
    await first.get(KEY);
    await first[Symbol.asyncDispose]();
    const [file] = cachedFiles();
    rmSync(file!);
    execFileSync("ln", ["-s", full, file!]);
    await using store = open({ disk: disk() });
    same(await store.get(KEY), pattern(100));
    await store[Symbol.asyncDispose]();
    expect(warnings).toHaveLength(1);
    same(await store.get(KEY), pattern(100));
    expect(warnings).toHaveLength(1);
  });
});

describe("the memory tier", () => {
  test("answers what was asked before, within its bound", async () => {
    for (let i = 0; i < 10; i++) await memory.put(`packs/${i}`, pattern(10_000, i));
    await using store = open({ memory: { bytesMax: 55_000 } });
    for (let i = 0; i < 10; i++) await store.get(`packs/${i}`);
    origin.reset();
    for (let i = 9; i >= 5; i--) same(await store.get(`packs/${i}`), pattern(10_000, i));
    expect(origin.reads).toBe(0);
    await store.get("packs/0");
    expect(origin.reads).toBe(1);
    expect(store.figures()[0]).toMatchObject({ tier: "memory", hits: 5, misses: 11 });
    expect(store.figures()[0]!.heldBytes).toBeLessThanOrEqual(55_000);
  });

  test("gives every reader bytes of its own", async () => {
    await memory.put(KEY, pattern(100));
    await using store = open({ memory: { bytesMax: 55_000 } });
    const [a, b] = await Promise.all([store.get(KEY), store.get(KEY)]);
    a!.bytes.fill(0);
    same(b, pattern(100));
    same(await store.get(KEY), pattern(100));
  });
});

describe("fresh reads", () => {
  test("drop what is kept in every tier and ask the store", async () => {
    await memory.put(KEY, pattern(100, 1));
    await using store = open({ memory: { bytesMax: 1 << 20 }, disk: disk() });
    await store.get(KEY);
    await store.get(KEY, { range: { offset: 5, length: 5 } });
    await store[Symbol.asyncDispose]();
    await memory.put(KEY, pattern(100, 9));
    same(await store.get(KEY), pattern(100, 1));
    same(
      await store.get(KEY, { range: { offset: 5, length: 5 }, fresh: true }),
      pattern(100, 9).slice(5, 10),
    );
    same(await store.get(KEY), pattern(100, 9));
    const [ram, ssd] = store.figures();
    expect(ram!.poisoned).toBe(1);
    expect(ssd!.poisoned).toBe(1);
  });
});

describe("shared reads", () => {
  test("one who gives up leaves the others waiting", async () => {
    await memory.put(KEY, pattern(100));
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const get = memory.get.bind(memory);
    memory.get = async (key, options) => {
      await held;
      return await get(key, options);
    };
    await using store = open({ disk: disk() });
    const abort = new AbortController();
    const first = store.get(KEY, { signal: abort.signal });
    const second = store.get(KEY);
    abort.abort();
    await expect(first).rejects.toMatchObject({ code: "aborted" });
    release();
    same(await second, pattern(100));
    expect(origin.reads).toBe(1);
  });
});
