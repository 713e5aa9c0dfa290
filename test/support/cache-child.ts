/**
 * A process that reads through a cache directory until it is killed or has made its reads: `DIRECTORY SEED READS`.
 * Exits 1 when an answer is not the store's.
 */
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { openCachedStore } from "../../src/core/store/cache/cached-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { fillStore, OBJECTS, randomRange, sameRange } from "./cache-objects.ts";
import { SeededRandom } from "./seeded-random.ts";

const [directory, seed, reads] = process.argv.slice(2);
const random = new SeededRandom(Number(seed));
const origin = new MemoryStore(systemClock);
const objects = await fillStore(origin);
await using store = openCachedStore(origin, {
  scopeOf: () => "everywhere",
  identity: "test",
  clock: systemClock,
  disk: {
    directory: directory!,
    bytesMax: 24 << 20,
    clock: systemClock,
    random: systemRandom,
    warn: (message) => {
      console.log(message);
      process.exitCode = 2;
    },
  },
});
console.log("reading");
for (let i = 0; i < Number(reads); i++) {
  const key = `packs/${random.below(OBJECTS)}`;
  const bytes = objects.get(key)!;
  const range = randomRange(random, bytes.length);
  const found = await store.get(key, range === undefined ? {} : { range });
  if (!sameRange(found?.bytes, bytes, range)) {
    console.log(`wrong: ${key} ${JSON.stringify(range)}`);
    process.exit(1);
  }
}
const disk = store.figures().find(({ tier }) => tier === "disk")!;
console.log(`hits ${disk.hits} poisoned ${disk.poisoned}`);
