/** Those who keep projects small and fast: upkeep and collection, several of each at once. */
import type { LifeProject } from "./project.ts";
import { HOUR_MS, type LifeAgent, type LifeWorld } from "./world.ts";

const UPKEEP_TIMEOUT_MS = 2 * HOUR_MS;

export async function keepUp(name: string, world: LifeWorld, project: LifeProject): Promise<void> {
  const { random, stats, clock } = world;
  while (!world.isOver) {
    const restMs = (world.temper === "tidy" ? 3 : 8) * HOUR_MS;
    await clock.sleep(random.below(random.below(3) === 0 ? HOUR_MS : restMs));
    await call(name, world, "keeps up", async ({ forge }) => {
      const { rollups, packsMerged } = await forge.upkeep(project.id);
      stats.rollups += rollups;
      stats.merged += packsMerged;
      if (rollups + packsMerged > 0) world.note(`${name}: ${rollups} rollups, ${packsMerged} packs merged`);
    });
  }
}

export async function collect(name: string, world: LifeWorld, project: LifeProject): Promise<void> {
  const { random, stats, clock } = world;
  while (!world.isOver) {
    await clock.sleep(random.below((world.temper === "tidy" ? 16 : 40) * HOUR_MS));
    // Whoever starts it does so again after an error, and sometimes too early.
    for (let times = 1 + random.below(3); times > 0 && !world.isOver; times--) {
      await call(name, world, "collects", async ({ forge }) => {
        const { deleted, waiting } = await forge.collect(project.id);
        stats.collected += deleted;
        world.note(`${name}: ${deleted} deleted, ${waiting} wait`);
      });
    }
  }
}

async function call(
  name: string,
  world: LifeWorld,
  what: string,
  run: (agent: LifeAgent) => Promise<void>,
): Promise<void> {
  const agent = world.agent();
  const since = world.since(agent);
  try {
    const task = run(agent);
    task.catch(() => undefined);
    await Promise.race([task, world.clock.sleep(UPKEEP_TIMEOUT_MS)]);
  } catch (error) {
    if (!since.excuses(error)) throw error;
    world.note(`${name} ${what} through ${agent.name}: ${error.code} (${error.message})`);
  }
}
