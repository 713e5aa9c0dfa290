/**
 * `bun test/sim/main.ts [--story landing|life] [--seed N] [--count N] [--trace] [--json]`: runs seeds in a row and
 * stops at the first that fails. `--json`: the table of faults too.
 */
import { FaultTable } from "../../src/core/store/fault-table.ts";
import { simulateLife } from "./life/simulate.ts";
import { simulate } from "./simulate.ts";

const options = process.argv.slice(2);
function option(name: string, fallback: string): string {
  const at = options.indexOf(name);
  return at === -1 ? fallback : (options[at + 1] ?? fallback);
}

const first = Number(option("--seed", "1"));
const count = Number(option("--count", "1"));
const run = option("--story", "landing") === "life" ? simulateLife : simulate;
const onTrace = options.includes("--trace") ? (line: string) => console.log(line) : undefined;
const table = new FaultTable();
const total: Record<string, number> = {};
let fingerprint = "";
let failed: number | undefined;
let seeds = 0;
/** An error that nobody hears would end a server. */
let unheard: unknown;
process.on("unhandledRejection", (reason) => {
  unheard ??= reason;
});
for (let seed = first; seed < first + count && failed === undefined; seed++) {
  try {
    const summary = await run(seed, onTrace);
    for (const [key, value] of Object.entries(summary)) {
      if (typeof value === "number" && key !== "seed") total[key] = (total[key] ?? 0) + value;
    }
    seeds++;
    table.add(summary.table);
    fingerprint = summary.fingerprint;
    await new Promise((resolve) => setImmediate(resolve));
    if (unheard !== undefined) throw new Error(`seed ${seed}: nobody hears of this:`, { cause: unheard });
  } catch (error) {
    failed = seed;
    console.log(error instanceof Error ? error.message : error);
    if (unheard instanceof Error) console.log(unheard.stack);
  }
}
const counts = { seeds, ...total, faults: table.total, ...(failed === undefined ? {} : { failed }) };
const more = options.includes("--json") ? { table } : { fingerprint };
console.log(JSON.stringify({ ...counts, ...more }));
process.exitCode = failed === undefined ? 0 : 1;
