import { expect, test } from "vitest";
import { World } from "./support.ts";

const LANDINGS = 36;

test("landing without a server keeps the list of packs short, and says nothing about it", async () => {
  const world = await World.create();
  world.ok(["init", "work"]);
  const inside = { in: "work" };
  for (let i = 1; i <= LANDINGS; i++) {
    world.write(`work/f${i % 3}`, `content ${i}\n`);
    // Every command that lands takes its turn.
    const args = i % 8 === 0 ? ["revert", String(i - 1)] : ["land", `goal ${i}`];
    if (args[0] === "revert") world.ok(["restore", `f${i % 3}`], inside);
    const { code, stderr } = world.run(args, inside);
    expect([code, stderr]).toEqual([0, ""]);
  }
  const { document } = world.json(["fsck"], inside);
  expect(document.positions).toBe(LANDINGS);
  expect(document.packs).toBeLessThan(LANDINGS / 2);
  expect(document.findings).toEqual([]);
  for (const position of [1, 7, LANDINGS]) {
    expect(world.ok(["cat", `f${position % 3}`, "--at", String(position)], inside)).toBe(
      `content ${position}\n`,
    );
  }
});
