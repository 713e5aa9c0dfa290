/** One run of the landing simulator. The same seed gives the same run, byte for byte. */
import { bytesToHex, utf8 } from "../../src/core/base/bytes.ts";
import { hashBytes } from "../../src/core/base/hash.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { type AuditSummary, audit } from "./auditor.ts";
import { Client } from "./client.ts";
import { openProject, World } from "./world.ts";

export interface RunSummary extends AuditSummary {
  readonly seed: number;
  /** Faults that somebody saw. */
  readonly faults: number;
  readonly faultKinds: readonly string[];
  /** Hash of everything that happened. */
  readonly fingerprint: string;
}

export class SimulationFailure extends Error {
  constructor(world: World, cause: unknown) {
    const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    const lines = [
      `seed ${world.seed}: ${reason}`,
      ...world.trace,
      `replay: bun test/sim/main.ts --seed ${world.seed} --trace`,
    ];
    super(lines.join("\n"), { cause });
    this.name = "SimulationFailure";
  }
}

/** Throws SimulationFailure with the seed and what happened. */
export async function simulate(seed: number, onTrace?: (line: string) => void): Promise<RunSummary> {
  const world = new World(seed);
  try {
    const summary = await world.clock.run(runWorld(world));
    const { faults, trace } = world;
    for (const line of trace) onTrace?.(line);
    const fingerprint = bytesToHex(hashBytes(utf8(JSON.stringify([trace, summary, faults.observed]))));
    return { seed, faults: faults.observed, faultKinds: [...faults.counts.keys()], fingerprint, ...summary };
  } catch (cause) {
    throw new SimulationFailure(world, cause);
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
