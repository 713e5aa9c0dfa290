import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/base/system.ts";
import {
  type CachedStore,
  type CacheOptions,
  openCachedStore,
} from "../../src/core/store/cache/cached-store.ts";
import { parseCdnBaseUrl } from "../../src/core/store/cache/cdn-request.ts";
import type { TierFigures } from "../../src/core/store/cache/tier-stats.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { type CdnBehaviour, type CdnServer, startCdn } from "../support/cdn-server.ts";

const KEY = "packs/a";
const BYTES = Uint8Array.from({ length: 5000 }, (_, i) => (i * 31) & 255);
const RANGE = { offset: 1000, length: 300 };
let memory: MemoryStore;
let origin: CountingStore;
let cdn: CdnServer;

beforeEach(async () => {
  memory = new MemoryStore(systemClock);
  origin = new CountingStore(memory);
  cdn = await startCdn(memory, async () => BYTES.slice(0, 4000).reverse());
  await memory.put(KEY, BYTES);
});
afterEach(() => cdn[Symbol.asyncDispose]());

function open(options: Partial<NonNullable<CacheOptions["cdn"]>> = {}, clock = systemClock): CachedStore {
  return openCachedStore(origin, {
    scopeOf: (key) =>
      key.startsWith("packs/") ? "everywhere" : key.startsWith("blobs/") ? "nearby" : undefined,
    clock,
    cdn: { baseUrl: cdn.url, timeoutMs: 150, fetch, ...options },
  });
}

function cdnFigures(store: CachedStore): TierFigures {
  return store.figures().find(({ tier }) => tier === "cdn")!;
}

function isRight(found: { readonly bytes: Uint8Array } | undefined, range?: typeof RANGE): boolean {
  const wanted = range === undefined ? BYTES : BYTES.slice(range.offset, range.offset + range.length);
  return found !== undefined && Buffer.compare(found.bytes, wanted) === 0;
}

describe("the CDN tier", () => {
  test("answers what it has, whole and in ranges, without the store", async () => {
    await using store = open();
    expect(isRight(await store.get(KEY))).toBe(true);
    expect(isRight(await store.get(KEY, { range: RANGE }), RANGE)).toBe(true);
    const tail = { offset: 4900, length: 500 };
    expect((await store.get(KEY, { range: tail }))?.bytes).toEqual(BYTES.slice(4900));
    expect(origin.reads).toBe(0);
    expect(cdn.requests.map(({ path, range }) => [path, range])).toEqual([
      ["/mic/packs/a", undefined],
      ["/mic/packs/a", "bytes=1000-1299"],
      ["/mic/packs/a", "bytes=4900-5399"],
    ]);
    expect(cdnFigures(store)).toMatchObject({ hits: 3, misses: 0, failures: 0, bytes: 5400 });
  });

  test("readers who ask for the same at the same time ask it once", async () => {
    await using store = open();
    const reads = await Promise.all(Array.from({ length: 20 }, () => store.get(KEY, { range: RANGE })));
    expect(reads.every((found) => isRight(found, RANGE))).toBe(true);
    expect(cdn.requests).toHaveLength(1);
  });

  test("is not asked for what changes, nor for what is kept on this machine only", async () => {
    await using store = open();
    await memory.put("head", BYTES);
    await memory.put("blobs/b", BYTES);
    for (const key of ["head", "blobs/b", "blobs/none"]) await store.get(key);
    await store.revalidate("head", "x");
    expect(cdn.requests).toHaveLength(0);
  });

  // What is plainly no answer is never given to a reader.
  const refused: CdnBehaviour[] = [
    "html-page",
    "wrong-range",
    "hangs",
    "hangs-in-body",
    "cuts-connection",
    "redirects-away",
    "not-found",
    "server-error",
    "encoded",
  ];
  test.each(refused)("that %s is passed over", async (behaviour) => {
    cdn.behaviour = behaviour;
    await using store = open();
    expect(isRight(await store.get(KEY, { range: RANGE }), RANGE)).toBe(true);
    if (behaviour !== "wrong-range") expect(isRight(await store.get(KEY))).toBe(true);
    const { failures, misses } = cdnFigures(store);
    expect(failures + misses).toBeGreaterThan(0);
    expect(origin.reads).toBeGreaterThan(0);
  });

  // What only its reader can know to be wrong is right when it is asked for again.
  const poisoned: CdnBehaviour[] = ["flips", "truncates", "answers-another"];
  test.each(poisoned)("that %s is counted and left alone for that key", async (behaviour) => {
    cdn.behaviour = behaviour;
    await using store = open();
    for (const range of [undefined, RANGE]) {
      const options = range === undefined ? {} : { range };
      const first = await store.get(KEY, options);
      if (isRight(first, range)) continue;
      expect(isRight(await store.get(KEY, { ...options, fresh: true }), range)).toBe(true);
    }
    expect(cdnFigures(store).poisoned).toBe(1);
    const asked = cdn.requests.length;
    expect(isRight(await store.get(KEY))).toBe(true);
    expect(cdn.requests).toHaveLength(asked);
  });

  test("may answer a range with a whole object that is not much larger", async () => {
    cdn.behaviour = "ignores-range";
    await using store = open();
    expect(
      isRight(await store.get(KEY, { range: { offset: 10, length: 6000 } }), { offset: 10, length: 6000 }),
    ).toBe(true);
    expect(origin.reads).toBe(0);
    expect(isRight(await store.get(KEY, { range: RANGE }), RANGE)).toBe(true);
    expect(origin.reads).toBe(1);
  });

  test("may redirect within its origin", async () => {
    cdn.behaviour = "redirects-within";
    await using store = open();
    expect(isRight(await store.get(KEY))).toBe(true);
    expect(origin.reads).toBe(0);
  });

  test("that fails again and again is left alone for a while, then tried once", async () => {
    let nowMs = 0;
    const clock = { ...systemClock, nowMs: () => nowMs };
    cdn.behaviour = "server-error";
    await using store = open({}, clock);
    for (let i = 0; i < 9; i++) expect(isRight(await store.get(KEY))).toBe(true);
    expect(cdn.requests).toHaveLength(5);
    nowMs += 11_000;
    await store.get(KEY);
    await store.get(KEY);
    expect(cdn.requests).toHaveLength(6);
    nowMs += 21_000;
    cdn.behaviour = "honest";
    await store.get(KEY);
    await store.get(KEY);
    expect(cdn.requests).toHaveLength(8);
  });

  test("that does not have what is nowhere goes on being asked", async () => {
    await using store = open();
    for (let i = 0; i < 9; i++) expect(await store.get(`packs/none-${i}`)).toBeUndefined();
    expect(cdn.requests).toHaveLength(9);
    expect(isRight(await store.get(KEY))).toBe(true);
    expect(cdnFigures(store)).toMatchObject({ hits: 1, misses: 9, failures: 0 });
  });

  test("that lacks what the store has is left alone as one that fails, and tried by what it may have", async () => {
    let nowMs = 0;
    const clock = { ...systemClock, nowMs: () => nowMs };
    cdn.behaviour = "not-found";
    await using store = open({}, clock);
    for (let i = 0; i < 9; i++) expect(isRight(await store.get(KEY))).toBe(true);
    expect(cdn.requests).toHaveLength(5);
    expect(cdnFigures(store)).toMatchObject({ misses: 5, failures: 0 });
    nowMs += 11_000;
    expect(await store.get("packs/none")).toBeUndefined();
    cdn.behaviour = "honest";
    for (let i = 0; i < 3; i++) await store.get(KEY);
    expect(cdn.requests).toHaveLength(9);
  });

  test("sends nothing but the key", async () => {
    const sent: [string, Record<string, string>][] = [];
    await using store = open({
      fetch: (url, init) => {
        sent.push([url, init.headers]);
        return fetch(url, init);
      },
    });
    await memory.put("packs/a?b#c%2F", BYTES);
    await store.get("packs/a?b#c%2F");
    expect(sent).toEqual([[`${cdn.url}/packs/a%3Fb%23c%252F`, { "accept-encoding": "identity" }]]);
  });
});

test("parseCdnBaseUrl() refuses what is not plainly a place on the web", () => {
  for (const bad of [
    "",
    "cdn.example.com",
    "file:///x",
    "ftp://x/",
    "https://u:p@x/",
    "https://x/?a",
    "https://x/#a",
  ]) {
    expect(() => parseCdnBaseUrl(bad), bad).toThrow(/base URL of a CDN/);
  }
  expect(parseCdnBaseUrl("https://x/a").href).toBe("https://x/a/");
});
