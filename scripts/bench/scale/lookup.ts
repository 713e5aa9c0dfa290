/**
 * What a reader that knows nothing asks of the store for one path of the newest position, after a long history with
 * its upkeep: head, list of packs, index and node of each level.
 */
import { systemClock, systemRandom } from "../../../src/core/base/system.ts";
import { openDirectoryForge } from "../../../src/core/forge/forge-directory.ts";
import { ForgeService } from "../../../src/core/forge/service.ts";
import { CountingStore } from "../../../src/core/store/counting-store.ts";
import { openLocalStore } from "../../../src/core/store/local-store.ts";
import { generator, scratch } from "../harness.ts";
import { landHistory } from "./history.ts";
import { filePath } from "./tree.ts";

const READERS = 50;
const UPKEEP_EVERY = 10_000;

export interface LookupCosts {
  readonly landings: number;
  readonly files: number;
  readonly landMs: number;
  readonly upkeepMs: number;
  readonly requestsMax: number;
  readonly requestsMean: number;
  readonly bytesMean: number;
  readonly packs: number;
  readonly storedBytes: number;
}

/** Makes the history, then asks for one path each from readers that have nothing cached. */
export async function measureLookups(landings: number, files: number): Promise<LookupCosts> {
  using directory = scratch("scale-lookup");
  const ports = { clock: systemClock, random: systemRandom };
  const forgeDirectory = `${directory.path}/forge`;
  let upkeepMs = 0;
  const began = performance.now();
  const writer = (await openDirectoryForge(forgeDirectory, { ...ports, create: true })) as ForgeService;
  const { project } = await landHistory(writer, {
    files,
    landings,
    every: UPKEEP_EVERY,
    between: async (id) => {
      const start = performance.now();
      await writer.upkeep(id);
      upkeepMs += performance.now() - start;
    },
  });
  await writer.upkeep(project);
  const { position } = await writer.getHead(project);
  const { byKind, bytes: storedBytes } = await writer.stat(project);
  const packs = byKind.find(({ kind }) => kind === "packs")?.objects ?? 0;
  await writer[Symbol.asyncDispose]();
  const landMs = performance.now() - began - upkeepMs;

  const random = generator(landings);
  const requests: number[] = [];
  let bytes = 0;
  for (let reader = 0; reader < READERS; reader++) {
    const store = new CountingStore(
      await openLocalStore(forgeDirectory, { clock: systemClock, create: false }),
    );
    await using forge = new ForgeService({ store, address: forgeDirectory, ...ports, trustWriters: true });
    const path = filePath(Math.floor(random() * files));
    const found = await forge.getPath(project, position, path);
    if (found?.kind !== "entry") throw new Error(`${path} is not found`);
    const { gets, misses, unchanged, lists, bytesRead } = store.counts;
    requests.push(gets + misses + unchanged + lists);
    bytes += bytesRead;
  }
  return {
    landings,
    files,
    landMs,
    upkeepMs,
    requestsMax: Math.max(...requests),
    requestsMean: requests.reduce((sum, count) => sum + count, 0) / READERS,
    bytesMean: bytes / READERS,
    packs,
    storedBytes,
  };
}
