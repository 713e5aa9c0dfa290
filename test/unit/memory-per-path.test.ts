/**
 * A million files fit in memory because nothing keeps an object for each of them but its path. Counted are the
 * objects that live when a phase holds most, per file: what they weigh together depends on the collector.
 */
import { heapStats } from "bun:jsc";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { CommitOutcome, Put, Swap } from "../../src/core/store/object-store.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { initWorkspace } from "../../src/core/workspace/commands/init.ts";
import { landWorkspace } from "../../src/core/workspace/commands/land.ts";
import type { WorkspaceContext } from "../../src/core/workspace/context.ts";
import { loadSettings, Workspace } from "../../src/core/workspace/workspace.ts";
import { TestWorkspaces } from "../support/workspaces.ts";

/** More than travel with a landing: their content is in a pack. */
const FEW = 9_000;
const MANY = 50_000;
const FILES_PER_DIRECTORY = 1_000;
/**
 * A path is one object; a check needs none. Each further object per file would be one more. A clone may still find
 * the paths of the landing before it.
 */
const OBJECTS_PER_FILE_MAX = { packed: 2, committed: 2, landed: 2, listed: 3, checked: 1 } as const;

type Phase = keyof typeof OBJECTS_PER_FILE_MAX;
type Counts = Partial<Record<Phase, number>>;

function livingObjects(): number {
  Bun.gc(true);
  return heapStats().objectCount;
}

class CountingStore extends MemoryStore {
  onCommit: () => void = () => undefined;

  override commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
    this.onCommit();
    return super.commit(puts, swap);
  }
}

/** Says when a landing is handed over, and when the first content of a fetch comes. */
function counting(forge: Forge, onLand: () => void, onListed: () => void): Forge {
  return new Proxy(forge, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      if (key === "land") {
        return (...args: Parameters<Forge["land"]>) => {
          onLand();
          return target.land(...args);
        };
      }
      if (key === "fetch") {
        return async function* (...args: Parameters<Forge["fetch"]>) {
          for await (const item of target.fetch(...args)) {
            // The list is complete and has been checked.
            if (item.kind === "frame") onListed();
            yield item;
          }
        };
      }
      return value.bind(target);
    },
  });
}

function writeFiles(root: string, count: number): void {
  for (let i = 0; i < count; i++) {
    const parent = join(root, `directory-${Math.floor(i / FILES_PER_DIRECTORY)}`);
    if (i % FILES_PER_DIRECTORY === 0) mkdirSync(parent);
    writeFileSync(join(parent, `file-${i}.txt`), `the content of file ${i}\n`);
  }
}

async function landAll(root: string, context: WorkspaceContext, files: number, onLanded: () => void) {
  const outcome = await landWorkspace(Workspace.openRoot(root, context), { goal: "many" });
  onLanded();
  expect(outcome.landed).toHaveLength(files);
}

/** Objects alive in each phase of landing, cloning and checking so many files. */
async function countPhases(files: number): Promise<Counts> {
  await using spaces = new TestWorkspaces();
  const counts: Counts = {};
  const note = (phase: Phase) => (): void => {
    counts[phase] ??= livingObjects();
  };
  const store = new CountingStore(systemClock);
  const ports = { clock: systemClock, random: systemRandom };
  const service = new ForgeService({ store, address: "memory", ...ports, trustWriters: true });
  const forge = counting(service, note("packed"), note("listed"));
  const context = spaces.context({ openForge: async () => forge });
  const root = spaces.newDir();
  await initWorkspace(root, {}, context);
  writeFiles(root, files);
  store.onCommit = note("committed");
  await landAll(root, context, files, note("landed"));
  const { project, projectName, address } = loadSettings(root);
  await cloneWorkspace({ address, projectName, dir: spaces.newDir() }, context);
  const { findings } = await service.fsck(project, {
    onProgress: ({ unit }) => {
      if (unit === "positions") note("checked")();
    },
  });
  expect(findings).toEqual([]);
  return counts;
}

test("no phase of a landing, a clone or a check keeps an object for each file but its path", async () => {
  await countPhases(100);
  const few = await countPhases(FEW);
  const many = await countPhases(MANY);
  for (const [phase, max] of Object.entries(OBJECTS_PER_FILE_MAX) as [Phase, number][]) {
    expect((many[phase]! - few[phase]!) / (MANY - FEW), phase).toBeLessThan(max);
  }
}, 120_000);
