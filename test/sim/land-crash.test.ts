import { cpSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import type { Position } from "../../src/core/base/ids.ts";
import { parseTreePath } from "../../src/core/base/path.ts";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { landWorkspace } from "../../src/core/workspace/commands/land.ts";
import { workspaceStatus } from "../../src/core/workspace/commands/status.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

/**
 * A process that lands a part of a workspace's changes over a bucket, while others have landed, dies before or after
 * every single request to the store. The next process finds its disk and the bucket as they are at that moment.
 */
const ADDRESS = "s3://bucket";
const MOMENTS = ["before", "after"] as const;
const REQUESTS_MAX = 100;
const NINE = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const LANDED = ["own", "dir/changed"].map(parseTreePath);

let spaces: TestWorkspaces;
let store: MemoryStore;
let b: TestWorkspace;

beforeEach(async () => {
  spaces = new TestWorkspaces();
  store = new MemoryStore(systemClock);
  await open(store).createProject({ id: mintProjectId(systemRandom), name: "acme/app" });
  const a = await clone(open(store));
  a.write({ f: NINE, "dir/changed": "1\n", "dir/gone": "1\n" });
  await a.land("first");
  b = await clone(open(store));
  a.write({ f: NINE.replace("1", "one"), "sub/new": "n\n" });
  a.remove("dir/gone");
  await a.land("second");
  b.write({ f: NINE.replace("9", "nine"), own: "mine\n", "dir/changed": "2\n" });
});
afterEach(async () => {
  await spaces[Symbol.asyncDispose]();
});

function open(over: ObjectStore): ForgeService {
  const ports = { clock: systemClock, random: systemRandom, trustWriters: true };
  return new ForgeService({ store: over, address: ADDRESS, ...ports });
}

async function clone(forge: Forge): Promise<TestWorkspace> {
  const dir = spaces.newDir();
  const options = { address: ADDRESS, projectName: "acme/app", dir };
  await cloneWorkspace(options, spaces.context({ openForge: async () => forge }));
  return spaces.open(dir, { openForge: async () => forge });
}

function workspaceOf(dir: string, forge: Forge): TestWorkspace {
  return spaces.open(dir, { openForge: async () => forge });
}

function imageOf(dir: string): string {
  const image = spaces.newDir();
  cpSync(dir, image, { recursive: true, preserveTimestamps: true });
  return image;
}

async function copyOf(original: MemoryStore): Promise<MemoryStore> {
  const copy = new MemoryStore(systemClock);
  const { objects } = await original.list("");
  for (const { key } of objects) await copy.put(key, (await original.get(key))!.bytes);
  return copy;
}

function land({ ws }: TestWorkspace, goal: string): ReturnType<typeof landWorkspace> {
  return landWorkspace(ws, { goal, paths: LANDED });
}

test("a landing that dies at any request to the store is there once, and nothing else is lost", async () => {
  let crashes = 0;
  for (const moment of MOMENTS) {
    for (let step = 0; ; step++) {
      if (step === REQUESTS_MAX) throw new Error(`more than ${REQUESTS_MAX} requests`);
      const bucket = await copyOf(store);
      const dir = imageOf(b.dir);
      const faults = new FaultWorld(bucket, { clock: systemClock, random: new SeededRandom(1), rates: {} });
      const actor = faults.actor();
      const died = actor.crashAt(step, moment).then(() => "died" as const);
      const landing = land(workspaceOf(dir, open(actor)), "mine");
      if ((await Promise.race([died, landing])) !== "died") break;
      const image = imageOf(dir);
      const offline = spaces.open(image, {
        openForge: () => Promise.reject(new MicError("unreachable", "there is no network")),
      });
      // It is written down before the first request.
      expect(await workspaceStatus(offline.ws)).toMatchObject({ pending: expect.any(String), position: 1 });
      crashes++;
      const next = workspaceOf(image, open(bucket));
      // The dead had landed it, or it is landed for them.
      await expect(land(next, "mine again")).rejects.toMatchObject({ code: "nothing-to-land" });
      expect(next.position).toBe(3);
      expect(next.files()).toEqual({
        "dir/changed": "2\n",
        f: NINE.replace("1", "one").replace("9", "nine"),
        own: "mine\n",
        "sub/new": "n\n",
      });
      expect(await next.changes()).toEqual(["modify f"]);
      const forge = open(bucket);
      const { position: head } = await forge.getHead(next.ws.settings.project);
      expect(head).toBe(3);
      const { goal, operations } = await forge.getLanding(next.ws.settings.project, 3 as Position);
      expect(goal).toBe("mine");
      expect(operations.map(({ path }) => path)).toEqual(["dir/changed", "own"]);
    }
  }
  expect(crashes).toBeGreaterThan(15);
});
