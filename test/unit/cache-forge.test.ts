/** A forge behind caches that answer wrongly in every way: what is read is right, and what was wrong is counted. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import type { Position } from "../../src/core/base/ids.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { cacheScopeOfKey } from "../../src/core/objects/keys.ts";
import { openVerifiedFrame } from "../../src/core/objects/read-frame.ts";
import { type CacheOptions, openCachedStore } from "../../src/core/store/cache/cached-store.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { type CdnBehaviour, type CdnServer, startCdn } from "../support/cdn-server.ts";
import { path, TestProject } from "../support/forge-project.ts";

const LANDINGS = 8;
const memory = new MemoryStore(systemClock);
const origin = new CountingStore(memory);
const files = new Map<string, Uint8Array>();
let cdn: CdnServer;
let project: TestProject;

function noise(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let state = seed | 1;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

function service(tiers: Partial<CacheOptions>): {
  forge: ForgeService;
  store: ReturnType<typeof openCachedStore>;
} {
  const store = openCachedStore(origin, { scopeOf: cacheScopeOfKey, clock: systemClock, ...tiers });
  const forge = new ForgeService({
    store,
    address: "memory",
    clock: systemClock,
    random: systemRandom,
    trustWriters: false,
  });
  return { forge, store };
}

/** All keys of packs have one size class each: another pack's answer has a good chance to look right. */
async function anotherPack(key: string): Promise<Uint8Array | undefined> {
  const { objects } = await memory.list("projects/");
  const size = (await memory.get(key))?.bytes.length;
  const other = objects.find(
    (each) => each.key !== key && each.size === size && each.key.includes("/packs/"),
  );
  const fallback = objects.find((each) => each.key !== key && each.key.includes("/packs/"));
  return (await memory.get((other ?? fallback)!.key))?.bytes;
}

beforeAll(async () => {
  const forge = new ForgeService({
    store: memory,
    address: "memory",
    clock: systemClock,
    random: systemRandom,
    trustWriters: false,
  });
  project = await TestProject.create(forge, "org/cached");
  for (let i = 0; i < LANDINGS; i++) {
    const put: Record<string, Uint8Array> = {};
    for (let j = 0; j < 6; j++) {
      const name = `d${j}/f${i}.txt`;
      // Every other landing makes a pack that is read in parts.
      const bytes = noise(i % 2 === 0 ? 90_000 : 300, i * 100 + j);
      put[name] = bytes;
      files.set(name, bytes);
    }
    await project.land({ put });
  }
  cdn = await startCdn(memory, anotherPack);
});
afterAll(() => cdn[Symbol.asyncDispose]());

async function readEverything(forge: ForgeService): Promise<void> {
  const { position } = await forge.getHead(project.id);
  for (const [name, wanted] of files) {
    const found = await forge.getPath(project.id, position, path(name));
    if (found?.kind !== "entry") throw new Error(`${name} is not there`);
    const parts: Uint8Array[] = [];
    for await (const part of forge.readFile(project.id, { entry: found.entry, hint: found.hint })) {
      parts.push(part.slice());
    }
    expect(Buffer.compare(Buffer.concat(parts), wanted), name).toBe(0);
  }
}

async function cloneEverything(forge: ForgeService): Promise<void> {
  const { position } = await forge.getHead(project.id);
  const wanted = new Set([...files.values()].map((bytes) => hashObject(bytes)));
  const request = { from: 0 as Position, to: position };
  for await (const item of forge.fetch(project.id, request, { unchecked: true, borrowed: true })) {
    if (item.kind !== "frame") continue;
    openVerifiedFrame(item.frame);
    for (const { id } of item.frame.objects) wanted.delete(id);
  }
  expect(wanted.size).toBe(0);
}

const behaviours: CdnBehaviour[] = [
  "honest",
  "flips",
  "truncates",
  "cuts-connection",
  "answers-another",
  "html-page",
  "wrong-range",
  "hangs",
  "redirects-away",
  "not-found",
  "server-error",
  "encoded",
];
const poisonous: CdnBehaviour[] = ["flips", "truncates", "answers-another"];

test.each(behaviours)("a forge behind a CDN that is %s reads everything right", async (behaviour) => {
  cdn.behaviour = behaviour;
  // One that answers is slow on a busy machine, and not to be given up on.
  const timeoutMs = behaviour === "hangs" ? 100 : 20_000;
  const directory = mkdtempSync(join(tmpdir(), "mic-cache-"));
  try {
    for (const withDisk of [false, true]) {
      for (const readAll of [readEverything, cloneEverything]) {
        origin.reset();
        const { forge, store } = service({
          cdn: { baseUrl: cdn.url, timeoutMs, fetch },
          ...(withDisk
            ? {
                memory: { bytesMax: 1 << 20 },
                disk: {
                  directory: join(directory, readAll.name),
                  bytesMax: 1 << 28,
                  clock: systemClock,
                  random: systemRandom,
                  warn: () => undefined,
                },
              }
            : {}),
        });
        await using _forge = forge;
        await readAll(forge);
        const figures = store.figures().find(({ tier }) => tier === "cdn")!;
        if (poisonous.includes(behaviour)) expect(figures.poisoned).toBeGreaterThan(0);
        else expect(figures.poisoned).toBe(0);
        if (behaviour === "honest") expect(origin.counts.bytesRead).toBeLessThan(10_000);
      }
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a second process with the same directory reads nothing but the head from the store", async () => {
  const directory = mkdtempSync(join(tmpdir(), "mic-cache-"));
  const tiers = {
    disk: { directory, bytesMax: 1 << 28, clock: systemClock, random: systemRandom, warn: () => undefined },
  };
  try {
    for (const isSecond of [false, true]) {
      origin.reset();
      await using forge = service(tiers).forge;
      await readEverything(forge);
      await cloneEverything(forge);
      if (!isSecond) continue;
      const { gets, misses, unchanged, bytesRead } = origin.counts;
      expect(misses).toBe(0);
      expect(gets).toBeLessThanOrEqual(2);
      expect(unchanged).toBeGreaterThan(0);
      expect(bytesRead).toBeLessThan(10_000);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
