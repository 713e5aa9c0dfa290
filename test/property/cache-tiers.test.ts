import { spawn } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../src/core/base/system.ts";
import { type CachedStore, openCachedStore } from "../../src/core/store/cache/cached-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { fillStore, OBJECTS, randomRange, sameRange } from "../support/cache-objects.ts";
import { type CdnBehaviour, startCdn } from "../support/cdn-server.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const CHILD = join(import.meta.dirname, "..", "support", "cache-child.ts");
/** Raised in long runs. */
const RUNS = Number(process.env["MIC_TEST_RUNS"] ?? 12);
const KILLS = Number(process.env["MIC_TEST_KILLS"] ?? 6);
const READS = 150;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mic-cache-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function cachedFiles(): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((item) => item.isFile())
    .map((item) => join(item.parentPath, item.name));
}

/** Flips a byte of a cached file, cuts it, or swaps it for another. */
function damage(random: SeededRandom): void {
  const files = cachedFiles();
  if (files.length === 0) return;
  const file = files[random.below(files.length)]!;
  // It may just have been removed to make room.
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size === 0) return;
  const kind = random.below(3);
  if (kind === 0) truncateSync(file, random.below(size));
  else if (kind === 1) writeFileSync(file, readFileSync(files[random.below(files.length)]!));
  else {
    const bytes = readFileSync(file);
    bytes[random.below(size)]! ^= 1 << random.below(8);
    writeFileSync(file, bytes);
  }
}

const HARMLESS: CdnBehaviour[] = [
  "honest",
  "html-page",
  "not-found",
  "ignores-range",
  "server-error",
  "wrong-range",
];

test("reads through any tiers equal reads of the store, whatever happens to the cache", async () => {
  const origin = new MemoryStore(systemClock);
  const objects = await fillStore(origin);
  await using cdn = await startCdn(origin);
  const runs = fc.asyncProperty(
    fc.record({
      seed: fc.nat(),
      memory: fc.option(fc.constantFrom(1000, 100_000, 10_000_000)),
      disk: fc.option(fc.constantFrom(1 << 20, 8 << 20, 1 << 30)),
      cdn: fc.option(fc.constantFrom(...HARMLESS)),
      width: fc.constantFrom(1, 4, 16),
    }),
    async (tiers) => {
      rmSync(directory, { recursive: true, force: true });
      const random = new SeededRandom(tiers.seed);
      if (tiers.cdn !== null) cdn.behaviour = tiers.cdn;
      const stores: CachedStore[] = [0, 1].map(() =>
        openCachedStore(origin, {
          scopeOf: () => "everywhere",
          clock: systemClock,
          ...(tiers.memory === null ? {} : { memory: { bytesMax: tiers.memory } }),
          ...(tiers.disk === null
            ? {}
            : { disk: { directory, bytesMax: tiers.disk, clock: systemClock, random, warn: expect.fail } }),
          ...(tiers.cdn === null ? {} : { cdn: { baseUrl: cdn.url, timeoutMs: 1000, fetch } }),
        }),
      );
      const reader = async (): Promise<void> => {
        for (let i = 0; i < READS / tiers.width; i++) {
          const key = `packs/${random.below(OBJECTS)}`;
          const bytes = objects.get(key)!;
          const range = randomRange(random, bytes.length);
          const fresh = random.below(20) === 0;
          const options = { ...(range === undefined ? {} : { range }), fresh };
          const found = await stores[random.below(2)]!.get(key, options);
          if (!sameRange(found?.bytes, bytes, range)) throw new Error(`${key} ${JSON.stringify(range)}`);
          found!.bytes.fill(1);
          if (tiers.disk !== null && random.below(10) === 0) damage(random);
        }
      };
      await Promise.all(Array.from({ length: tiers.width }, reader));
      for (const store of stores) await store[Symbol.asyncDispose]();
    },
  );
  await fc.assert(runs, { numRuns: RUNS });
});

function startReader(seed: number, reads: number): { kill(): void; done: Promise<string> } {
  const child = spawn(process.execPath, [CHILD, directory, String(seed), String(reads)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  const done = new Promise<string>((resolve) => {
    child.on("close", (code, signal) => resolve(`${output}${signal ?? code}`));
  });
  return { kill: () => child.kill("SIGKILL"), done };
}

test("processes share a directory, and one that is killed leaves nothing wrong in it", async () => {
  for (let round = 0; round < KILLS; round++) {
    const readers = [0, 1].map((i) => startReader(round * 10 + i, 100_000));
    await new Promise((resolve) => setTimeout(resolve, 120 + round * 20));
    for (const reader of readers) reader.kill();
    for (const reader of readers) expect(await reader.done).toMatch(/^(?:reading\n)?SIGKILL$/);
  }
  const [a, b] = await Promise.all([startReader(1, 300).done, startReader(2, 300).done]);
  expect(a).toMatch(/^reading\nhits [1-9]\d* poisoned \d+\n0$/);
  expect(b).toMatch(/^reading\nhits [1-9]\d* poisoned \d+\n0$/);
});
