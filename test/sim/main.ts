/** `bun test/sim/main.ts [--seed N] [--count N] [--trace]`: runs seeds in a row, stops at the first that fails. */
import { simulate } from "./simulate.ts";

const options = process.argv.slice(2);
function option(name: string, fallback: number): number {
  const at = options.indexOf(name);
  return at === -1 ? fallback : Number(options[at + 1]);
}

const first = option("--seed", 1);
const count = option("--count", 1);
const onTrace = options.includes("--trace") ? (line: string) => console.log(line) : undefined;
const total = { landings: 0, conflicts: 0, failures: 0, faults: 0 };
for (let seed = first; seed < first + count; seed++) {
  try {
    const summary = await simulate(seed, onTrace);
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += summary[key];
  } catch (error) {
    console.log(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
console.log(JSON.stringify({ seeds: count, ...total }));
