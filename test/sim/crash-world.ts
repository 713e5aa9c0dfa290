/** A bucket, workspaces whose processes ask it themselves, and the death of such a process at any request to it. */
import { cpSync } from "node:fs";
import { MicError } from "../../src/core/base/errors.ts";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

const ADDRESS = "s3://bucket";
const PROJECT_NAME = "acme/app";
const MOMENTS = ["before", "after"] as const;
const REQUESTS_MAX = 100;

/** What a process leaves behind that died. */
export interface Remains {
  /** Its workspace as it goes on to be written: copy it with `imageOf`. */
  readonly dir: string;
  readonly bucket: MemoryStore;
}

export class CrashWorld implements AsyncDisposable {
  readonly spaces: TestWorkspaces = new TestWorkspaces();
  readonly bucket: MemoryStore = new MemoryStore(systemClock);

  static async open(): Promise<CrashWorld> {
    const world = new CrashWorld();
    await world.forge().createProject({ id: mintProjectId(systemRandom), name: PROJECT_NAME });
    return world;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.spaces[Symbol.asyncDispose]();
  }

  /** As one process has it. */
  forge(over: ObjectStore = this.bucket): ForgeService {
    const ports = { clock: systemClock, random: systemRandom, trustWriters: true };
    return new ForgeService({ store: over, address: ADDRESS, ...ports });
  }

  async clone(): Promise<TestWorkspace> {
    const forge = this.forge();
    const dir = this.spaces.newDir();
    const options = { address: ADDRESS, projectName: PROJECT_NAME, dir };
    await cloneWorkspace(options, this.spaces.context({ openForge: async () => forge }));
    return this.workspaceOf(dir, forge);
  }

  /** The same files for another process, over another forge. */
  workspaceOf(dir: string, forge: Forge): TestWorkspace {
    return this.spaces.open(dir, { openForge: async () => forge });
  }

  /** A workspace whose process has the files of `dir` and cannot reach the forge. */
  offline(dir: string): TestWorkspace {
    const openForge = async (): Promise<never> => {
      throw new MicError("unreachable", "there is no network");
    };
    return this.spaces.open(dir, { openForge });
  }

  /** What the disk holds now, in a directory of its own. */
  imageOf(dir: string): string {
    const image = this.spaces.newDir();
    cpSync(dir, image, { recursive: true, preserveTimestamps: true });
    return image;
  }

  /**
   * Runs `command` on a copy of `from` and of the bucket once for each request that it makes, and dies there, before
   * the request or after it. Returns how often it died.
   */
  async dieEverywhere(
    from: TestWorkspace,
    command: (workspace: TestWorkspace) => Promise<unknown>,
    onDeath: (remains: Remains) => Promise<void>,
  ): Promise<number> {
    let deaths = 0;
    for (const moment of MOMENTS) {
      for (let step = 0; ; step++) {
        if (step === REQUESTS_MAX) throw new Error(`more than ${REQUESTS_MAX} requests`);
        const bucket = await copyOf(this.bucket);
        const dir = this.imageOf(from.dir);
        const faults = new FaultWorld(bucket, { clock: systemClock, random: new SeededRandom(1), rates: {} });
        const actor = faults.actor();
        const died = actor.crashAt(step, moment).then(() => "died" as const);
        const dying = command(this.workspaceOf(dir, this.forge(actor)));
        if ((await Promise.race([died, dying])) !== "died") break;
        deaths++;
        await onDeath({ dir, bucket });
      }
    }
    return deaths;
  }
}

async function copyOf(original: MemoryStore): Promise<MemoryStore> {
  const copy = new MemoryStore(systemClock);
  const { objects } = await original.list("");
  for (const { key } of objects) await copy.put(key, (await original.get(key))!.bytes);
  return copy;
}
