/** Days of everything at once. The same seed gives the same run, byte for byte. */
import { bytesToHex, utf8 } from "../../../src/core/base/bytes.ts";
import { isMicError } from "../../../src/core/base/errors.ts";
import { hashBytes } from "../../../src/core/base/hash.ts";
import { mintProjectId } from "../../../src/core/base/random.ts";
import { ProjectStore } from "../../../src/core/forge/project-store.ts";
import type { ForgeService } from "../../../src/core/forge/service.ts";
import type { FaultTable } from "../../../src/core/store/fault-table.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import type { AuditSummary } from "../auditor.ts";
import { SimulationFailure } from "../failure.ts";
import { auditProject } from "./audit.ts";
import { Author } from "./author.ts";
import { collect, keepUp } from "./keepers.ts";
import { LifeProject } from "./project.ts";
import { Reader } from "./reader.ts";
import { SessionWorker } from "./session-worker.ts";
import { SlowReader } from "./slow-reader.ts";
import { HOUR_MS, type LifeStats, LifeWorld, openForge } from "./world.ts";

export interface LifeSummary extends AuditSummary, LifeStats {
  readonly seed: number;
  readonly deletes: number;
  readonly table: FaultTable;
  /** Hash of everything that happened. */
  readonly fingerprint: string;
}

const CACHE_BYTES = 8 << 20;
const CALM_TRIES = 50;

/** Throws SimulationFailure with the seed and what happened. */
export async function simulateLife(seed: number, onTrace?: (line: string) => void): Promise<LifeSummary> {
  const world = new LifeWorld(seed);
  try {
    const running = runLife(world);
    running.catch(() => undefined);
    const summary = await world.clock.run(Promise.race([running, world.breach]));
    const { faults, trace, stats, store } = world;
    for (const line of trace) onTrace?.(line);
    const all = JSON.stringify([trace, summary, stats, faults.table.toJSON()]);
    const fingerprint = bytesToHex(hashBytes(utf8(all)));
    return { seed, ...summary, ...stats, deletes: store.deletes, table: faults.table, fingerprint };
  } catch (cause) {
    throw new SimulationFailure("life", seed, world.trace, cause);
  }
}

async function runLife(world: LifeWorld): Promise<AuditSummary> {
  const { random } = world;
  const calm = openForge(world.store, world.clock, new SeededRandom(random.next()), "calm");
  const projects: LifeProject[] = [];
  for (let i = random.below(4) === 0 ? 2 : 1; i > 0; i--) {
    const { id, name } = await calm.createProject({ id: mintProjectId(random), name: `org/project${i}` });
    projects.push(new LifeProject(id, name));
  }
  const lives: Promise<void>[] = [world.weather()];
  for (const project of projects) lives.push(...people(world, project));
  await Promise.all(lives);
  world.note("calm");
  await world.calm();
  const total = { landings: 0, conflicts: 0, failures: 0 };
  for (const project of projects) {
    for (const author of [...project.authors, ...project.workers]) await author.settle();
    await lastDays(world, project);
    const forge = openForge(world.store, world.clock, new SeededRandom(random.next()), "auditor");
    const store = new ProjectStore({
      store: world.store,
      project: project.id,
      clock: world.clock,
      random: new SeededRandom(random.next()),
      cacheBytes: CACHE_BYTES,
      trustWriters: true,
    });
    const counts = await auditProject(forge, await store.snapshot(), project, random);
    for (const key of ["landings", "conflicts", "failures"] as const) total[key] += counts[key];
  }
  return total;
}

function people(world: LifeWorld, project: LifeProject): Promise<void>[] {
  const { random } = world;
  for (let i = world.temper === "quiet" ? 1 : 1 + random.below(3); i > 0; i--) {
    project.authors.push(new Author(`C${i}`, world, project));
  }
  const hasWorker = world.temper === "tidy" || (world.temper === "usual" && random.below(2) === 0);
  if (hasWorker) project.workers.push(new SessionWorker("S1", world, project));
  const readers = Array.from({ length: 1 + random.below(2) }, (_, i) => new Reader(`R${i}`, world, project));
  const lives = [...project.authors, ...project.workers, ...readers].map((person) => person.live());
  if (world.temper === "tidy" || random.below(3) === 0)
    lives.push(new SlowReader("O1", world, project).live());
  const more = world.temper === "tidy" ? 1 : 0;
  for (let i = 1 + more + random.below(2); i > 0; i--) lives.push(keepUp(`K${i}`, world, project));
  for (let i = 1 + more + random.below(2); i > 0; i--) lives.push(collect(`G${i}`, world, project));
  return lives;
}

/** Without faults whatever is due is done, and what nobody names goes. */
async function lastDays(world: LifeWorld, project: LifeProject): Promise<void> {
  for (let day = 0; day < 2; day++) {
    const { rollups, packsMerged } = await inCalm(world, (forge) => forge.upkeep(project.id));
    world.stats.rollups += rollups;
    world.stats.merged += packsMerged;
    world.stats.collected += (await inCalm(world, (forge) => forge.collect(project.id))).deleted;
    await world.clock.sleep(25 * HOUR_MS);
  }
  world.stats.collected += (await inCalm(world, (forge) => forge.collect(project.id))).deleted;
}

/** Time runs on while others wait, so that something may take too long even now: it says so, and is done again. */
async function inCalm<T>(world: LifeWorld, run: (forge: ForgeService) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await run(world.agent().forge);
    } catch (error) {
      if (!isMicError(error, "unreachable") || tries === CALM_TRIES) throw error;
      world.note(`calm: ${error.message}`);
    }
  }
}
