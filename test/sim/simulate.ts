/** One run of the landing simulator. The same seed gives the same run, byte for byte. */
import { bytesToHex, utf8 } from "../../src/core/base/bytes.ts";
import { hashBytes } from "../../src/core/base/hash.ts";
import type { FaultTable } from "../../src/core/store/fault-table.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { type AuditSummary, audit } from "./auditor.ts";
import { Client } from "./client.ts";
import { SimulationFailure } from "./failure.ts";
import { openProject, World } from "./world.ts";

export interface RunSummary extends AuditSummary {
  readonly seed: number;
  /** Faults that somebody saw. */
  readonly table: FaultTable;
  /** Hash of everything that happened. */
  readonly fingerprint: string;
}

/** Throws SimulationFailure with the seed and what happened. */
export async function simulate(seed: number, onTrace?: (line: string) => void): Promise<RunSummary> {
  const world = new World(seed);
  try {
    const summary = await world.clock.run(runWorld(world));
    const { faults, trace } = world;
    for (const line of trace) onTrace?.(line);
    const all = JSON.stringify([trace, summary, faults.table.toJSON()]);
    return { seed, table: faults.table, fingerprint: bytesToHex(hashBytes(utf8(all))), ...summary };
  } catch (cause) {
    throw new SimulationFailure("landing", seed, world.trace, cause);
  }
}

async function runWorld(world: World): Promise<AuditSummary> {
  await openProject(world.memory, world.clock, new SeededRandom(world.seed)).create();
  const clients = Array.from({ length: 3 + world.random.below(2) }, (_, i) => new Client(`C${i}`, world));
  await Promise.all(clients.map((client) => client.work(2 + world.random.below(4))));
  world.note("calm");
  await world.calm();
  for (const client of clients) await client.settle();
  const project = openProject(world.memory, world.clock, new SeededRandom(1));
  return await audit(await project.snapshot(), clients);
}
