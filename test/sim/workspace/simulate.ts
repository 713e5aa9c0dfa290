/** People with workspaces, over faults. The same seed gives the same run, byte for byte. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { bytesToHex, utf8 } from "../../../src/core/base/bytes.ts";
import { hashBytes } from "../../../src/core/base/hash.ts";
import { mintProjectId } from "../../../src/core/base/random.ts";
import { ProjectStore } from "../../../src/core/forge/project-store.ts";
import type { FaultTable } from "../../../src/core/store/fault-table.ts";
import { acquireWorkspaceLock } from "../../../src/core/workspace/disk/lock.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { must, readLog } from "../auditor.ts";
import { SimulationFailure } from "../failure.ts";
import { collect, keepUp } from "../life/keepers.ts";
import { LifeProject } from "../life/project.ts";
import { HOUR_MS, openForge } from "../life/world.ts";
import { auditWorkspaces } from "./audit.ts";
import { temporaryRoot } from "./disk.ts";
import { Person } from "./person.ts";
import { Truth, WorkspaceWorld } from "./world.ts";

export interface WorkspaceSummary {
  readonly seed: number;
  readonly landings: number;
  readonly commands: number;
  readonly deaths: number;
  readonly resumed: number;
  readonly table: FaultTable;
  /** Hash of everything that happened. */
  readonly fingerprint: string;
}

const CACHE_BYTES = 8 << 20;

/** Throws SimulationFailure with the seed and what happened. */
export async function simulateWorkspaces(
  seed: number,
  onTrace?: (line: string) => void,
): Promise<WorkspaceSummary> {
  const root = mkdtempSync(join(temporaryRoot(), "mic-sim-workspaces-"));
  const world = new WorkspaceWorld(seed);
  try {
    await loadLock(root, world);
    const running = run(world, root);
    running.catch(() => undefined);
    const landings = await world.clock.run(Promise.race([running, world.breach]));
    const { faults, trace } = world;
    for (const line of trace) onTrace?.(line);
    const fingerprint = bytesToHex(hashBytes(utf8(JSON.stringify([trace, faults.table.toJSON()]))));
    return { seed, landings, ...world.counts, table: faults.table, fingerprint };
  } catch (cause) {
    throw new SimulationFailure("workspace", seed, world.trace, cause);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** What is loaded when it is first needed takes real time, during which the virtual clock would run. */
async function loadLock(root: string, { clock }: WorkspaceWorld): Promise<void> {
  const { mkdirSync } = await import("node:fs");
  mkdirSync(join(root, "warm", ".mic"), { recursive: true });
  await using _lock = await acquireWorkspaceLock(join(root, "warm"), { timeoutMs: 0, clock });
  await import("../../../src/core/workspace/scan/read-content.ts");
}

async function run(world: WorkspaceWorld, root: string): Promise<number> {
  const { random, clock } = world;
  const calm = openForge(world.store, clock, new SeededRandom(random.next()), "calm");
  const project = await calm.createProject({ id: mintProjectId(random), name: "org/project" });
  const truth = new Truth(world, project.id);
  const lifeProject = new LifeProject(project.id, project.name);
  const count = 2 + random.below(2);
  const people = Array.from({ length: count }, (_, i) => {
    const reach = random.below(2) === 0 ? "bucket" : "server";
    return new Person(`P${i}`, reach, { world, truth, project, root });
  });
  void world.weather();
  const keepers = [keepUp("K", world, lifeProject), collect("G", world, lifeProject)];
  for (const keeper of keepers) keeper.catch((error: unknown) => world.fail(String(error)));
  await Promise.all(people.map((person) => person.live(8 + random.below(16))));
  world.isDone = true;
  world.note("calm");
  await world.calm();
  await clock.sleep(2 * HOUR_MS);
  for (let round = 0; round < 2; round++) for (const person of people) await person.settle();
  for (const person of people) await person.finish();
  const store = new ProjectStore({
    store: world.store,
    project: project.id,
    clock,
    random: new SeededRandom(random.next()),
    cacheBytes: CACHE_BYTES,
    trustWriters: true,
  });
  const log = await readLog(await store.snapshot());
  await auditWorkspaces(log, people, truth);
  const { findings } = await calm.fsck(project.id);
  const errors = findings.filter(({ severity }) => severity === "error");
  must(errors.length === 0, `fsck finds ${JSON.stringify(errors.slice(0, 3))}`);
  return log.length - 1;
}
