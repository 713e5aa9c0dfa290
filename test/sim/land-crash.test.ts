import { afterEach, beforeEach, expect, test } from "vitest";
import type { Position } from "../../src/core/base/ids.ts";
import { parseTreePath } from "../../src/core/base/path.ts";
import { landWorkspace } from "../../src/core/workspace/commands/land.ts";
import { workspaceStatus } from "../../src/core/workspace/commands/status.ts";
import type { TestWorkspace } from "../support/workspaces.ts";
import { CrashWorld } from "./crash-world.ts";

/**
 * A process that lands a part of a workspace's changes over a bucket, while others have landed, dies before or after
 * every single request to the store. The next process finds its disk and the bucket as they are at that moment.
 */
const NINE = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const LANDED = ["own", "dir/changed"].map(parseTreePath);

let world: CrashWorld;
let b: TestWorkspace;

beforeEach(async () => {
  world = await CrashWorld.open();
  const a = await world.clone();
  a.write({ f: NINE, "dir/changed": "1\n", "dir/gone": "1\n" });
  await a.land("first");
  b = await world.clone();
  a.write({ f: NINE.replace("1", "one"), "sub/new": "n\n" });
  a.remove("dir/gone");
  await a.land("second");
  b.write({ f: NINE.replace("9", "nine"), own: "mine\n", "dir/changed": "2\n" });
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

function land({ ws }: TestWorkspace, goal: string): ReturnType<typeof landWorkspace> {
  return landWorkspace(ws, { goal, paths: LANDED });
}

test("a landing that dies at any request to the store is there once, and nothing else is lost", async () => {
  const deaths = await world.dieEverywhere(
    b,
    (dying) => land(dying, "mine"),
    async ({ dir, bucket }) => {
      const image = world.imageOf(dir);
      // It is written down before the first request.
      const left = await workspaceStatus(world.offline(image).ws);
      expect(left).toMatchObject({ pending: expect.any(String), position: 1 });
      const next = world.workspaceOf(image, world.forge(bucket));
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
      const forge = world.forge(bucket);
      const { position: head } = await forge.getHead(next.ws.settings.project);
      expect(head).toBe(3);
      const { goal, operations } = await forge.getLanding(next.ws.settings.project, 3 as Position);
      expect(goal).toBe("mine");
      expect(operations.map(({ path }) => path)).toEqual(["dir/changed", "own"]);
    },
  );
  expect(deaths).toBeGreaterThan(15);
});
