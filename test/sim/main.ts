/**
 * `bun test/sim/main.ts [--story landing|life|workspace] [--seed N] [--count N] [--trace]`: runs seeds in a row, says what
 * happened in one line of JSON, and stops at the first that fails.
 *
 * `--serve`: runs what each line of its input asks for (`life 17`) and answers each with one line of JSON, a
 * `SeedAnswer`. A process that has run some seeds is several times as fast as one that begins.
 */
import { createInterface } from "node:readline";
import { FaultTable } from "../../src/core/store/fault-table.ts";
import type { Story } from "./failure.ts";
import { simulateLife } from "./life/simulate.ts";
import { simulate } from "./simulate.ts";
import { simulateWorkspaces } from "./workspace/simulate.ts";

/** What one seed came to. */
export interface SeedAnswer {
  readonly counts: Readonly<Record<string, number>>;
  readonly table: ReturnType<FaultTable["toJSON"]>;
  /** Why it failed; then nothing is counted. */
  readonly failure?: string;
}

interface Ran {
  readonly counts: Readonly<Record<string, number>>;
  readonly table: FaultTable;
  readonly fingerprint: string;
  readonly failure?: string;
}

const options = process.argv.slice(2);
function option(name: string, fallback: string): string {
  const at = options.indexOf(name);
  return at === -1 ? fallback : (options[at + 1] ?? fallback);
}

const SIMULATORS = { landing: simulate, life: simulateLife, workspace: simulateWorkspaces } as const;

/** An error that nobody hears would end a server. */
let unheard: unknown;
process.on("unhandledRejection", (reason) => {
  unheard ??= reason;
});

if (options.includes("--serve")) await serve();
else await runInARow();

async function runSeed(story: Story, seed: number, onTrace?: (line: string) => void): Promise<Ran> {
  try {
    const summary = await SIMULATORS[story](seed, onTrace);
    await new Promise((resolve) => setImmediate(resolve));
    if (unheard !== undefined) throw new Error(`seed ${seed}: nobody hears of this:`, { cause: unheard });
    const numbers = Object.entries(summary).filter(
      ([key, value]) => typeof value === "number" && key !== "seed",
    );
    const { table, fingerprint } = summary;
    return { counts: Object.fromEntries(numbers) as Record<string, number>, table, fingerprint };
  } catch (error) {
    const failure = [error instanceof Error ? error.message : String(error)];
    if (unheard instanceof Error) failure.push(unheard.stack ?? unheard.message);
    unheard = undefined;
    return { counts: {}, table: new FaultTable(), fingerprint: "", failure: failure.join("\n") };
  }
}

async function serve(): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const [story, seed] = line.split(" ");
    const { counts, table, failure } = await runSeed(story as Story, Number(seed));
    const answer: SeedAnswer = {
      counts,
      table: table.toJSON(),
      ...(failure === undefined ? {} : { failure }),
    };
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

async function runInARow(): Promise<void> {
  const story = option("--story", "landing") as Story;
  const first = Number(option("--seed", "1"));
  const count = Number(option("--count", "1"));
  const onTrace = options.includes("--trace") ? (line: string) => console.log(line) : undefined;
  const table = new FaultTable();
  const total: Record<string, number> = {};
  let fingerprint = "";
  let failed: number | undefined;
  let seeds = 0;
  for (let seed = first; seed < first + count && failed === undefined; seed++) {
    const ran = await runSeed(story, seed, onTrace);
    for (const [key, value] of Object.entries(ran.counts)) total[key] = (total[key] ?? 0) + value;
    table.add(ran.table);
    if (ran.failure === undefined) {
      seeds++;
      ({ fingerprint } = ran);
    } else {
      failed = seed;
      console.log(ran.failure);
    }
  }
  const counts = { seeds, ...total, faults: table.total, ...(failed === undefined ? {} : { failed }) };
  console.log(JSON.stringify({ ...counts, fingerprint }));
  process.exitCode = failed === undefined ? 0 : 1;
}
