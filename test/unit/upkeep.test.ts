import { beforeEach, describe, expect, test } from "vitest";
import type { Position } from "../../src/core/base/ids.ts";
import type { ForgeService } from "../../src/core/forge/service.ts";
import { rollupKey } from "../../src/core/objects/keys.ts";
import { type CollectedForge, collectedProject, DAY_MS } from "../support/collecting.ts";
import type { TestProject } from "../support/forge-project.ts";
import { collect as collectPages, path } from "../support/forge-project.ts";

/** With the five that the project has. */
const LANDINGS = 110;

describe("upkeep()", () => {
  let world: CollectedForge;
  let project: TestProject;

  beforeEach(async () => {
    ({ world, project } = await collectedProject());
    for (let i = 5; i < LANDINGS; i++) await project.land({ put: { [`r${i % 9}`]: `${i}` } });
  });

  async function rollupKeys(): Promise<string[]> {
    const { rollups } = await world.head(project.id);
    return rollups.map(({ epoch, level, first, hash }) => rollupKey(project.id, epoch, level, first, hash));
  }

  /** Reads the log as `mic log --path` does. */
  async function readLog(forge: ForgeService): Promise<number> {
    const pages = await collectPages(forge.listLandings(project.id, { paths: [path("r7")] }));
    return pages.length;
  }

  test("leaves a rollup that is larger than it may build", async () => {
    const upkeep = (rollupEntriesMax: number) => world.open().upkeep(project.id, { rollupEntriesMax });
    // Five of the first hundred landings touched two paths.
    expect(await upkeep(104)).toMatchObject({ rollups: 0 });
    expect(await rollupKeys()).toEqual([]);
    expect(await upkeep(105)).toMatchObject({ rollups: 1 });
    expect(await rollupKeys()).toHaveLength(1);
  });

  test("looks for rollups that are small enough no longer than its budget", async () => {
    for (let i = LANDINGS; i < 210; i++) await project.land({ put: { [`r${i % 9}`]: `${i}` } });
    const { memory, clock } = world;
    const get = memory.get.bind(memory);
    memory.get = async (...args) => {
      clock.ms += 10;
      return await get(...args);
    };
    const beganMs = clock.ms;
    const options = { rollupEntriesMax: 10, budgetMs: 100 };
    expect(await world.open().upkeep(project.id, options)).toMatchObject({ rollups: 0 });
    expect(clock.ms - beganMs).toBeLessThan(1_000);
  });

  describe("of rollups that are there", () => {
    let key: string;

    beforeEach(async () => {
      await world.open().upkeep(project.id);
      [key] = (await rollupKeys()) as [string];
      world.pass(DAY_MS);
    });

    test.each(["missing", "damaged"])("builds one again that a reader found %s", async (how) => {
      const forge = world.open();
      const matching = await readLog(world.open());
      if (how === "missing") await world.memory.delete([key]);
      else await world.overwrite(key, (await world.bytes(key)).slice(1));
      expect(await forge.upkeep(project.id, { onlyIfSeen: true })).toMatchObject({ rollups: 0 });
      expect(await readLog(forge)).toBe(matching);
      expect(forge.rollupDamage().damaged).toBe(1);
      expect(await forge.upkeep(project.id, { onlyIfSeen: true, rollupEntriesMax: 104 })).toMatchObject({
        rollups: 0,
      });
      expect(await forge.upkeep(project.id, { onlyIfSeen: true, rollupEntriesMax: 105 })).toMatchObject({
        rollups: 1,
      });
      expect(forge.rollupDamage().damaged).toBe(0);
      expect(await readLog(forge)).toBe(matching);
      expect(await forge.upkeep(project.id)).toMatchObject({ rollups: 0 });
      const { findings } = await world.open().fsck(project.id);
      expect(findings.filter(({ severity, code }) => severity === "error" && code !== "corrupt")).toEqual([]);
      expect(findings.filter(({ code }) => code === "rollup")).toEqual([]);
    });

    test("does nothing where another process has built it again", async () => {
      const forge = world.open();
      await world.memory.delete([key]);
      await readLog(forge);
      const other = world.open();
      await readLog(other);
      expect(await other.upkeep(project.id)).toMatchObject({ rollups: 1 });
      expect(await forge.upkeep(project.id)).toMatchObject({ rollups: 0 });
      expect(forge.rollupDamage().damaged).toBe(0);
      expect((await world.head(project.id)).rollups).toMatchObject([{ first: 1 as Position, level: 1 }]);
    });
  });
});
