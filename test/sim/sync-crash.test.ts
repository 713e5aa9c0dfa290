import { cpSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { workspaceStatus } from "../../src/core/workspace/commands/status.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

/**
 * A process that works on a workspace and asks the forge itself (`mic sync` over a bucket) dies before or after every
 * single request to the store. What is on the disk at that moment is what the next process finds.
 */
const ADDRESS = "https://forge.test";
const MOMENTS = ["before", "after"] as const;
const REQUESTS_MAX = 60;
const FILES = 24;
/** Each with some of the files: their content is in as many packs, too large to be read whole. */
const LANDINGS = 4;

const NINE = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const filler = new SeededRandom(7);
/** Does not compress. */
const bulk = (): string => Buffer.from(filler.bytes(60_000)).toString("base64");

let spaces: TestWorkspaces;
let store: MemoryStore;
let b: TestWorkspace;
/** Files of `b` before and after it is in step with the project. */
let before: Record<string, string>;
let after: Record<string, string>;

beforeEach(async () => {
  spaces = new TestWorkspaces();
  store = new MemoryStore(systemClock);
  await open(store).createProject({ id: mintProjectId(systemRandom), name: "acme/app" });
  const a = await clone(open(store));
  const many = (version: string): Record<string, string> =>
    Object.fromEntries(Array.from({ length: FILES }, (_, i) => [`dir/f${i}`, `${version} ${i}\n${bulk()}`]));
  a.write({ f: NINE, g: "g\n", gone: "gone\n", "way/x": "in the way\n", ...many("old") });
  await a.land("first");
  b = await clone(open(store));
  a.write({ f: NINE.replace("1", "one"), g: "new g\n", "sub/new": "n\n" });
  a.remove("gone", "way");
  a.write({ way: "now a file\n" });
  const theirs = Object.entries(many("new"));
  for (let i = 0; i < LANDINGS; i++) {
    a.write(Object.fromEntries(theirs.filter((_, k) => k % LANDINGS === i)));
    await a.land(`part ${i}`);
  }
  // Local edits: one to be merged, one of the same path, one of their own.
  b.write({ f: NINE.replace("9", "nine"), own: "mine\n", "dir/own": "mine too\n" });
  before = b.files();
  const merged = NINE.replace("1", "one").replace("9", "nine");
  after = { ...a.files(), f: merged, own: "mine\n", "dir/own": "mine too\n" };
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
  return workspaceOf(dir, forge);
}

/** The same files for another process, over another forge. */
function workspaceOf(dir: string, forge: Forge): TestWorkspace {
  return spaces.open(dir, { openForge: async () => forge });
}

/** A workspace whose process has the files of `dir` and cannot reach the forge. */
function offline(dir: string): TestWorkspace {
  const openForge = async (): Promise<never> => {
    throw new MicError("unreachable", "there is no network");
  };
  return spaces.open(dir, { openForge });
}

/** What the disk holds now, in a directory of its own. */
function imageOf(dir: string): string {
  const image = spaces.newDir();
  cpSync(dir, image, { recursive: true, preserveTimestamps: true });
  return image;
}

/** Everything that stands in a file stood there before or is what it will be. */
function checkHalfWay(files: Record<string, string>): void {
  for (const [path, content] of Object.entries(files)) {
    // A directory that was emptied, or is about to be filled.
    if (path.endsWith("/")) continue;
    expect([before[path], after[path]], path).toContain(content);
  }
  for (const path of Object.keys(before)) if (path in after) expect(files, path).toHaveProperty([path]);
}

/** Runs `command` once for each request that it makes, and dies there. */
async function dieEverywhere(
  command: (workspace: TestWorkspace) => Promise<unknown>,
  check: (image: string, isBegun: boolean) => Promise<void>,
): Promise<{ crashes: number; begun: number }> {
  const counts = { crashes: 0, begun: 0 };
  for (const moment of MOMENTS) {
    for (let step = 0; ; step++) {
      if (step === REQUESTS_MAX) throw new Error(`more than ${REQUESTS_MAX} requests`);
      const dir = imageOf(b.dir);
      const world = new FaultWorld(store, { clock: systemClock, random: new SeededRandom(1), rates: {} });
      const actor = world.actor();
      const crashed = actor.crashAt(step, moment).then(() => "crashed" as const);
      const dying = command(workspaceOf(dir, open(actor)));
      if ((await Promise.race([crashed, dying])) !== "crashed") break;
      counts.crashes++;
      // Killed at once, or a little later, while it waits for an answer.
      const images = [imageOf(dir)];
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      images.push(imageOf(dir));
      for (const image of images) {
        const { unfinished } = await workspaceStatus(offline(image).ws);
        if (unfinished !== null) counts.begun++;
        await check(image, unfinished !== null);
      }
    }
  }
  return counts;
}

describe("a process that dies before or after any request to the store", () => {
  test("while it syncs leaves the base or a sync that the next command finishes, and every local edit", async () => {
    const { crashes, begun } = await dieEverywhere(
      ({ ws }) => syncWorkspace(ws),
      async (image, isBegun) => {
        const left = offline(image);
        expect(left.position).toBe(1);
        if (isBegun) checkHalfWay(left.files());
        else {
          expect(left.files()).toEqual(before);
          expect(await left.changes()).toEqual(["add dir/own", "modify f", "add own"]);
        }
        const next = workspaceOf(image, open(store));
        await syncWorkspace(next.ws);
        expect(next.position).toBe(1 + LANDINGS);
        expect(next.files()).toEqual(after);
        expect(await offline(image).changes()).toEqual(["add dir/own", "modify f", "add own"]);
      },
    );
    expect(crashes).toBeGreaterThan(10);
    expect(begun).toBeGreaterThan(6);
  });
});
