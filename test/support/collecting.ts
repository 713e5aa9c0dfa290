/** A forge over a store in memory whose days pass as a test says, and whose heads a test changes by hand. */
import { bytesToHex } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import {
  type Epoch,
  epochOf,
  type ObjectId,
  type Position,
  type ProjectId,
} from "../../src/core/base/ids.ts";
import { decodeHead, encodeHead, type Head } from "../../src/core/codec/head.ts";
import { KeyColumn } from "../../src/core/codec/key-column.ts";
import { encodeManifestPage } from "../../src/core/codec/manifest-page.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { ManifestPack } from "../../src/core/codec/pack-entry.ts";
import { encodeRollupFront, type RollupTable } from "../../src/core/codec/rollup.ts";
import { Manifest, PageCache } from "../../src/core/forge/head/manifest.ts";
import { type MergedPack, mergePacks } from "../../src/core/forge/merge-packs/merge-packs.ts";
import { Pace } from "../../src/core/forge/merge-packs/pace.ts";
import { ForgeService, type ForgeServiceOptions } from "../../src/core/forge/service.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import {
  headKey,
  packKey,
  pageKey,
  projectPrefix,
  rollupKey,
  rollupPartKey,
} from "../../src/core/objects/keys.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { TestProject } from "./forge-project.ts";
import { StillClock } from "./project-fixture.ts";
import { SeededRandom } from "./seeded-random.ts";

export const DAY_MS = 86_400_000;
export const HOUR_MS = 3_600_000;

/** The same packs make the same one, which takes long to compress. */
const merges = new Map<string, MergedPack>();

export class CollectedForge {
  readonly clock = new StillClock();
  readonly memory: MemoryStore = new MemoryStore(this.clock);
  /** What forges are opened on. */
  store: ObjectStore = this.memory;
  readonly random = new SeededRandom(11);

  open(options: Partial<ForgeServiceOptions> = {}): ForgeService {
    const { store, clock, random } = this;
    const ports = { store, address: "memory", clock, random };
    return new ForgeService({ ...ports, trustWriters: true, ...options });
  }

  pass(ms: number): void {
    this.clock.ms += ms;
  }

  epoch(): Epoch {
    return epochOf(this.clock.ms);
  }

  async keys(prefix = ""): Promise<string[]> {
    const keys: string[] = [];
    for (let after: string | undefined; ; ) {
      const page = await this.memory.list(prefix, after === undefined ? {} : { after });
      keys.push(...page.objects.map(({ key }) => key));
      if (page.next === undefined) return keys;
      after = page.next;
    }
  }

  async bytes(key: string): Promise<Uint8Array> {
    return (await this.memory.get(key))!.bytes;
  }

  /** Writes behind the forge's back. */
  async overwrite(key: string, bytes: Uint8Array): Promise<void> {
    const current = await this.memory.get(key);
    const outcome = await this.memory.commit([], { key, expected: current?.etag ?? null, bytes });
    if (outcome.kind !== "committed") throw new Error(`${key}: ${outcome.kind}`);
  }

  async changeHead(project: ProjectId, change: (head: Head) => Partial<Head>): Promise<void> {
    const head = decodeHead(await this.bytes(headKey(project)));
    const nonce = bytesToHex(this.random.bytes(16));
    await this.overwrite(headKey(project), encodeHead({ ...head, ...change(head), nonce }));
  }

  async head(project: ProjectId): Promise<Head> {
    return decodeHead(await this.bytes(headKey(project)));
  }

  /** Stores a pack that nothing names, under today's epoch. Its key. */
  async leftOver(project: ProjectId, text: string): Promise<string> {
    const builder = new FrameBuilder({ rawTarget: 1000 });
    builder.add("blob", hashObject(Buffer.from(text)), Buffer.from(text));
    const { id, bytes } = encodePack(builder.finish());
    const key = packKey(project, this.epoch(), id);
    await this.memory.put(key, bytes);
    return key;
  }

  /**
   * One pack with every object of all packs takes their place, and that of the pages; these stay in the store. Their
   * keys.
   */
  async mergePacks(project: ProjectId): Promise<string[]> {
    const head = await this.head(project);
    const pages = new PageCache(this.memory, project);
    const packs: ManifestPack[] = [];
    for await (const page of new Manifest(head, pages).newestFirst()) packs.push(...page);
    packs.reverse();
    const name = packs.map(({ pack }) => pack).join();
    const merged = merges.get(name) ?? (await this.#merge(project, packs, head.salt));
    merges.set(name, merged);
    const entry = { ...merged.entry, epoch: this.epoch() };
    await this.memory.put(packKey(project, entry.epoch, entry.pack), merged.bytes);
    await this.changeHead(project, () => ({ packs: [entry], pages: [] }));
    return [
      ...packs.map(({ pack, epoch: of }) => packKey(project, of, pack)),
      ...head.pages.map(({ hash, epoch: of }) => pageKey(project, of, hash)),
    ];
  }

  async #merge(project: ProjectId, entries: readonly ManifestPack[], salt: string): Promise<MergedPack> {
    return await mergePacks({ store: this.memory, project, entries, salt, pace: new Pace(this.clock) });
  }

  /** Moves the oldest of the head's packs to a page, half of them if it is not said how many. */
  async spillPacks(project: ProjectId, count?: number): Promise<void> {
    const { packs } = await this.head(project);
    const older = packs.slice(0, count ?? packs.length >> 1);
    const bytes = encodeManifestPage({ level: 0, packs: older });
    const hash = hashObject(bytes);
    const epoch = this.epoch();
    await this.memory.put(pageKey(project, epoch, hash), bytes);
    const page = { hash, epoch, level: 0, first: older[0]!.first, last: older.at(-1)!.last };
    await this.changeHead(project, () => ({ pages: [page], packs: packs.slice(older.length) }));
  }

  /** Another world with the same objects and the same time. */
  async copy(): Promise<CollectedForge> {
    const copy = new CollectedForge();
    copy.clock.ms = this.clock.ms;
    for (const key of await this.keys()) await copy.memory.put(key, await this.bytes(key));
    return copy;
  }
}

/** A forge with a project of some landings. */
export async function collectedProject(): Promise<{
  readonly world: CollectedForge;
  readonly forge: ForgeService;
  readonly project: TestProject;
}> {
  const world = new CollectedForge();
  const forge = world.open();
  const project = await TestProject.create(forge, "acme/app");
  for (let i = 0; i < 5; i++) await project.land({ put: { [`f${i}`]: `content ${i}`, same: `v${i}` } });
  return { world, forge, project };
}

export function below(project: ProjectId, key: string): string {
  return key.slice(projectPrefix(project).length);
}

/** Front and part, front first. What is in it does not matter here. */
export async function putRollup(
  world: CollectedForge,
  project: TestProject,
  text: string,
  isNamed: boolean,
): Promise<string[]> {
  const epoch = world.epoch();
  const part = Buffer.from(`part of ${text}`);
  const parts = [{ hash: hashObject(part), length: part.length }];
  const content = "00".repeat(32);
  const keys = new KeyColumn(new Uint8Array(16), Uint32Array.of(16));
  const pages = [{ offset: 0, length: part.length, checksum: new Uint8Array(16) }];
  const table: RollupTable = { entries: 100, content, keys, positions: [0], pages };
  const tables = { touched: table, landings: table, sessions: table };
  const inline = new Uint8Array(0);
  const digest = hashObject(Buffer.from(text));
  const bytes = encodeRollupFront({ level: 1, first: 1 as Position, digest, parts, tables, inline });
  const hash = hashObject(bytes);
  const first = 1 as Position;
  const stored = [
    rollupKey(project.id, epoch, 1, first, hash),
    rollupPartKey(project.id, epoch, parts[0]!.hash),
  ];
  await world.memory.put(stored[0]!, bytes);
  await world.memory.put(stored[1]!, part);
  const ref = { level: 1, epoch, first, last: 100 as Position, hash: hash as ObjectId };
  if (isNamed) await world.changeHead(project.id, () => ({ rollups: [ref] }));
  return stored;
}
