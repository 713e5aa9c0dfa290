import { afterEach, beforeEach, expect, test } from "vitest";
import { workspaceStatus } from "../../src/core/workspace/commands/status.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import type { TestWorkspace } from "../support/workspaces.ts";
import { CrashWorld } from "./crash-world.ts";

/**
 * A process that works on a workspace and asks the forge itself (`mic sync` over a bucket) dies before or after every
 * single request to the store. What is on the disk at that moment is what the next process finds.
 */
const FILES = 24;
/** Each with some of the files: their content is in as many packs, too large to be read whole. */
const LANDINGS = 4;

const NINE = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const filler = new SeededRandom(7);
/** Does not compress. */
const bulk = (): string => Buffer.from(filler.bytes(60_000)).toString("base64");

let world: CrashWorld;
let b: TestWorkspace;
/** Files of `b` before and after it is in step with the project. */
let before: Record<string, string>;
let after: Record<string, string>;

beforeEach(async () => {
  world = await CrashWorld.open();
  const a = await world.clone();
  const many = (version: string): Record<string, string> =>
    Object.fromEntries(Array.from({ length: FILES }, (_, i) => [`dir/f${i}`, `${version} ${i}\n${bulk()}`]));
  a.write({ f: NINE, g: "g\n", gone: "gone\n", "way/x": "in the way\n", ...many("old") });
  await a.land("first");
  b = await world.clone();
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
  await world[Symbol.asyncDispose]();
});

/** Everything that stands in a file stood there before or is what it will be. */
function checkHalfWay(files: Record<string, string>): void {
  for (const [path, content] of Object.entries(files)) {
    // A directory that was emptied, or is about to be filled.
    if (path.endsWith("/")) continue;
    expect([before[path], after[path]], path).toContain(content);
  }
  for (const path of Object.keys(before)) if (path in after) expect(files, path).toHaveProperty([path]);
}

test("a sync that dies at any request leaves the base or what the next command finishes, and every local edit", async () => {
  let begun = 0;
  const deaths = await world.dieEverywhere(
    b,
    ({ ws }) => syncWorkspace(ws),
    async ({ dir }) => {
      // Killed at once, or a little later, while it waits for an answer.
      const images = [world.imageOf(dir)];
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      images.push(world.imageOf(dir));
      for (const image of images) {
        const left = world.offline(image);
        const { unfinished } = await workspaceStatus(left.ws);
        expect(left.position).toBe(1);
        if (unfinished === null) {
          expect(left.files()).toEqual(before);
          expect(await left.changes()).toEqual(["add dir/own", "modify f", "add own"]);
        } else {
          begun++;
          checkHalfWay(left.files());
        }
        const next = world.workspaceOf(image, world.forge());
        await syncWorkspace(next.ws);
        expect(next.position).toBe(1 + LANDINGS);
        expect(next.files()).toEqual(after);
        expect(await world.offline(image).changes()).toEqual(["add dir/own", "modify f", "add own"]);
      }
    },
  );
  expect(deaths).toBeGreaterThan(10);
  expect(begun).toBeGreaterThan(6);
});
