/** A forge over a store in memory whose days pass as a test says, and whose heads a test changes by hand. */
import { bytesToHex } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { type Epoch, epochOf, type PackId, type ProjectId } from "../../src/core/base/ids.ts";
import { decodeHead, encodeHead, type Head } from "../../src/core/codec/head.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { headKey, packKey, projectPrefix } from "../../src/core/objects/keys.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { TestProject } from "./forge-project.ts";
import { StillClock } from "./project-fixture.ts";
import { SeededRandom } from "./seeded-random.ts";

export const DAY_MS = 86_400_000;
export const HOUR_MS = 3_600_000;

export class CollectedForge {
  readonly clock = new StillClock();
  readonly memory: MemoryStore = new MemoryStore(this.clock);
  /** What forges are opened on. */
  store: ObjectStore = this.memory;
  readonly random = new SeededRandom(11);

  open(): ForgeService {
    const { store, clock, random } = this;
    return new ForgeService({ store, address: "memory", clock, random, trustWriters: true });
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

  /** One pack with every object of the head's packs takes their place; they stay in the store. Their keys. */
  async mergePacks(project: ProjectId): Promise<string[]> {
    const head = await this.head(project);
    const first = head.packs[0]!.first;
    const merged = await mergedPack(this.memory, project, head);
    const epoch = this.epoch();
    await this.memory.put(packKey(project, epoch, merged.id), merged.bytes);
    const entry = {
      pack: merged.id,
      epoch,
      hasRecords: true,
      first,
      last: head.position,
      size: merged.bytes.length,
      indexLength: merged.indexLength,
    };
    await this.changeHead(project, () => ({ packs: [entry] }));
    return head.packs.map(({ pack, epoch: of }) => packKey(project, of, pack));
  }
}

/** Every object once, in the order of the packs. */
async function mergedPack(store: ObjectStore, project: ProjectId, head: Head) {
  const { decodePackIndex } = await import("../../src/core/codec/pack.ts");
  const { expandFrame, sliceObject } = await import("../../src/core/objects/read-frame.ts");
  const builder = new FrameBuilder({ rawTarget: 32 << 10 });
  const seen = new Set<string>();
  for (const { pack, epoch, indexLength } of head.packs) {
    const { bytes } = (await store.get(packKey(project, epoch, pack)))!;
    const index = decodePackIndex(bytes.subarray(bytes.length - indexLength));
    for (let frame = 0; frame < index.frameCount; frame++) {
      const location = index.frame(frame);
      const stored = bytes.subarray(location.offset, location.offset + location.storedLength);
      const raw = expandFrame({ ...location, stored });
      for (let row = index.firstRow(frame); row < index.firstRow(frame + 1); row++) {
        const id = index.idOfRow(row);
        if (seen.has(id)) continue;
        seen.add(id);
        const { kind, content, sidecar } = sliceObject(raw, index.locate(row));
        builder.add(kind, id, new Uint8Array(content), new Uint8Array(sidecar));
      }
    }
  }
  return encodePack(builder.finish()) as {
    readonly id: PackId;
    readonly bytes: Uint8Array;
    readonly indexLength: number;
  };
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
