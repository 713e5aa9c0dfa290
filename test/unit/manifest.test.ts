import { describe, expect, test } from "vitest";
import type { Epoch, PackId, Position } from "../../src/core/base/ids.ts";
import { HEAD_BYTES_MAX } from "../../src/core/base/limits.ts";
import { encodeHead, type Head } from "../../src/core/codec/head.ts";
import type { ManifestPack } from "../../src/core/codec/pack-entry.ts";
import {
  appendPacks,
  HEAD_PACKS_MAX,
  Manifest,
  type PackLists,
  PageCache,
} from "../../src/core/forge/head/manifest.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { landNow, makeFixture, openFixture, PROJECT, StillClock } from "../support/project-fixture.ts";

const epoch = "2026-01-01" as Epoch;

function packAt(first: number, last: number, hasRecords = true): ManifestPack {
  const pack = `${hasRecords ? "a" : "b"}${first.toString(16)}`.padEnd(64, "0") as PackId;
  return {
    pack,
    epoch,
    hasRecords,
    first: first as Position,
    last: last as Position,
    size: 1000,
    indexLength: 100,
  };
}

/** A history of `landings`, each with `uploads` packs beside its own, stored in `store`. */
async function history(
  store: MemoryStore,
  landings: number,
  uploads = 0,
): Promise<PackLists & { heads: number }> {
  const cache = new PageCache(store, PROJECT);
  let lists: PackLists = { pages: [], packs: [] };
  let heads = 0;
  for (let position = 1; position <= landings; position++) {
    const added = Array.from({ length: uploads }, (_, i) => ({
      ...packAt(position, position, false),
      pack: `c${i.toString(16)}`.padEnd(64, position.toString(16)) as PackId,
    }));
    const { puts, ...next } = appendPacks(lists, [...added, packAt(position, position)], {
      project: PROJECT,
      epoch,
      cache,
    });
    for (const { key, bytes } of puts) await store.put(key, bytes);
    lists = next;
    if (position % 97 === 0 || position === landings) heads = Math.max(heads, headSize(lists));
  }
  return { ...lists, heads };
}

function headSize(lists: PackLists): number {
  const head: Head = {
    position: 9_000_000 as Position,
    root: "ab".repeat(32) as Head["root"],
    hlc: 1n,
    leastReader: 1,
    leastWriter: 1,
    salt: "00".repeat(8),
    nonce: "00".repeat(16),
    rootHint: 1,
    ring: Array.from({ length: 256 }, () => "cd".repeat(16) as Head["ring"][number]),
    rollups: [],
    ...lists,
  };
  return encodeHead(head).length;
}

describe("the list of packs", () => {
  test("spills to pages, and to pages of pages, and finds every position from a cold start", async () => {
    const store = new MemoryStore(new StillClock());
    const landings = 20_000;
    const lists = await history(store, landings);
    expect(lists.packs.length).toBeLessThanOrEqual(HEAD_PACKS_MAX);
    expect(lists.pages.some(({ level }) => level === 1)).toBe(true);
    expect(lists.heads).toBeLessThan(HEAD_BYTES_MAX / 2);
    const manifest = new Manifest(lists, new PageCache(store, PROJECT));
    for (let position = 1; position <= landings; position += 37) {
      expect((await manifest.recordPack(position as Position)).first).toBe(position);
      expect((await manifest.at(position)).length).toBe(1);
    }
    expect(await manifest.at(0)).toEqual([]);
    expect(await manifest.at(landings + 1)).toEqual([]);
    let expected = landings;
    for await (const page of manifest.newestFirst()) {
      for (const { first } of page) expect(first).toBe(expected--);
    }
    expect(expected).toBe(0);
  });

  test("a landing with a thousand uploaded packs fits", async () => {
    const store = new MemoryStore(new StillClock());
    const lists = await history(store, 3, 1000);
    expect(lists.packs.length).toBeLessThanOrEqual(HEAD_PACKS_MAX);
    expect(lists.heads).toBeLessThan(HEAD_BYTES_MAX / 2);
    const manifest = new Manifest(lists, new PageCache(store, PROJECT));
    for (const position of [1, 2, 3]) {
      expect((await manifest.at(position)).length).toBe(1001);
      expect(await manifest.recordPack(position as Position)).toEqual(packAt(position, position));
    }
  });

  test("packs of one batch that a page divides are found whole", async () => {
    const store = new MemoryStore(new StillClock());
    const cache = new PageCache(store, PROJECT);
    const place = { project: PROJECT, epoch, cache };
    const before = await history(store, 100);
    const uploads = Array.from({ length: 120 }, (_, i) => packAt(101 + i, 101 + i, false));
    const { puts, ...lists } = appendPacks(before, [...uploads, packAt(101, 220)], place);
    for (const { key, bytes } of puts) await store.put(key, bytes);
    expect(lists.pages.length).toBe(1);
    const manifest = new Manifest(lists, new PageCache(store, PROJECT));
    for (let position = 101; position <= 220; position++) {
      const found = await manifest.at(position);
      expect(found.map(({ hasRecords }) => hasRecords).sort()).toEqual([false, true]);
    }
  });

  test("a page that is missing or damaged is corrupt", async () => {
    const store = new MemoryStore(new StillClock());
    const lists = await history(store, 300);
    const [page] = (await store.list("")).objects;
    const manifest = new Manifest(lists, new PageCache(store, PROJECT));
    const bytes = (await store.get(page!.key))!.bytes;
    bytes[20]! ^= 1;
    await store.put(page!.key, bytes);
    await expect(manifest.at(1)).rejects.toMatchObject({ code: "corrupt" });
    await store.delete([page!.key]);
    await expect(manifest.at(1)).rejects.toMatchObject({ code: "corrupt" });
  });

  test("a thousand landings keep their log and their trees", async () => {
    const { project, store, clock } = await makeFixture();
    for (let i = 1; i <= 1000; i++) await landNow(project, { [`f${i % 7}`]: `${i}` });
    const snapshot = await openFixture(store, clock).snapshot();
    expect(snapshot.head.pages.length).toBeGreaterThan(3);
    let expected = 1000;
    for await (const page of snapshot.records(0 as Position, 1000 as Position)) {
      for (const { position } of page) expect(position).toBe(expected--);
    }
    expect(expected).toBe(0);
    const middle: number[] = [];
    for await (const page of snapshot.records(400 as Position, 403 as Position)) {
      middle.push(...page.map(({ position }) => position));
    }
    expect(middle).toEqual([403, 402, 401]);
    const old = await snapshot.treeAt(3 as Position);
    expect(await old.count()).toBe(3);
  });
});
