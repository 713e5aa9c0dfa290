/**
 * How costs grow with the length of the log and the size of the tree, against the model of docs/scale.md.
 *
 *   npm run bench -- scale [--landings 1000,10000] [--history 2000] [--files 1000,10000]
 *   npm run bench -- scale --full
 *
 * --landings: logs whose conflict checks are measured, ten times longer each; from 3,000,000 on they are generated.
 * --history: real landings, after which single paths are looked up by readers that have nothing. --files: trees of
 * which single files are changed. --full: 10^4 to 10^7 of the first and the last, 10^6 real landings; takes half an
 * hour and 10 GB below BENCH_DIR. Prints requests, bytes, times and what the model says of the largest size, and
 * exits 1 when a bar is missed.
 */
import { parseArgs } from "node:util";
import type { ConflictCosts } from "./scale/conflict-checks.ts";
import { type BuildCosts, measureConflicts } from "./scale/conflicts.ts";
import { measureLookups } from "./scale/lookup.ts";
import { type MeasuredLog, needsOf, type Prediction, predictEdit, predictLog } from "./scale/model.ts";
import { type EditCosts, measureEdits } from "./scale/tree.ts";

const { values } = parseArgs({
  options: {
    landings: { type: "string", default: "1000,10000" },
    history: { type: "string", default: "2000" },
    files: { type: "string", default: "1000,10000" },
    full: { type: "boolean", default: false },
  },
});
const FULL_SIZES = "10000,100000,1000000,10000000";
const sizesOf = (text: string): number[] => text.split(",").filter(Boolean).map(Number);
const LANDINGS = sizesOf(values.full ? FULL_SIZES : values.landings);
const FILES = sizesOf(values.full ? FULL_SIZES : values.files);
const HISTORY = Number(values.full ? 1_000_000 : values.history);
const HISTORY_FILES = 100_000;

const COLD_CHECK_REQUESTS_MAX = 20;
const WARM_CHECK_MS_MAX = 5;
const COLD_LOOKUP_REQUESTS_MAX = 12;
const EDIT_MS_MAX = 10;
const PREDICTION_ERROR_MAX = 0.2;

const KIB = 1024;
const MIB = 1024 * KIB;

let missed = 0;
function bar(name: string, met: boolean): void {
  if (!met) missed++;
  console.log(`  ${name}  ${met ? "met" : "MISSED"}`);
}

function conflictRow({ landings, ...costs }: ConflictCosts): string {
  return [
    String(landings).padEnd(12),
    `${costs.rollups} + ${costs.tail}`.padStart(10),
    String(costs.coldRequests).padStart(9),
    `${(costs.coldBytes / KIB).toFixed(0)} KiB`.padStart(12),
    `${costs.warm.p50.toFixed(2)} ms`.padStart(10),
    `${costs.warm.p99.toFixed(2)} ms`.padStart(10),
    `${costs.otherPaths.p50.toFixed(2)} ms`.padStart(10),
    costs.otherPaths.requests.toFixed(1).padStart(9),
  ].join(" ");
}

function buildRow({ level, seconds, peakBytes, front, parts, partBytes }: BuildCosts): string {
  const sizes = `front ${(front / KIB).toFixed(0)} KiB, ${parts} parts of ${(partBytes / MIB).toFixed(1)} MiB`;
  return `  its rollup, level ${level}, in ${seconds.toFixed(1)} s and ${(peakBytes / MIB).toFixed(0)} MiB: ${sizes}`;
}

async function conflicts(): Promise<MeasuredLog[]> {
  console.log(`
conflict check of 100 paths, 10 of them changed since the base at position 0
landings     rollups+tail cold: requests     bytes   warm p50        p99  other paths   requests`);
  const logs: MeasuredLog[] = [];
  for (const landings of LANDINGS) {
    const costs: ConflictCosts[] = [];
    const builds: BuildCosts[] = [];
    await measureConflicts(landings, {
      onCosts: (found) => {
        costs.push(found);
        console.log(conflictRow(found));
      },
      onBuilt: (found) => {
        builds.push(found);
        console.log(buildRow(found));
      },
    });
    logs.push({ costs: costs.at(-1)!, built: builds.at(-1)! });
  }
  const { coldRequests, warm } = logs.at(-1)!.costs;
  bar(`at most ${COLD_CHECK_REQUESTS_MAX} requests cold`, coldRequests <= COLD_CHECK_REQUESTS_MAX);
  bar(`at most ${WARM_CHECK_MS_MAX} ms warm`, warm.p50 <= WARM_CHECK_MS_MAX);
  return logs;
}

async function lookups(): Promise<void> {
  const found = await measureLookups(HISTORY, HISTORY_FILES);
  const perLanding = (ms: number): string => `${((ms * 1000) / found.landings).toFixed(0)} µs`;
  console.log(`
one path looked up by readers that have nothing, after ${found.landings} real landings in a tree of ${found.files} files
  landing took ${perLanding(found.landMs)} each, upkeep ${perLanding(found.upkeepMs)}; ${found.packs} packs of ${(found.storedBytes / MIB).toFixed(0)} MiB
  requests: ${found.requestsMean.toFixed(1)} in the mean, ${found.requestsMax} at most; ${(found.bytesMean / KIB).toFixed(0)} KiB`);
  bar(`at most ${COLD_LOOKUP_REQUESTS_MAX} requests`, found.requestsMax <= COLD_LOOKUP_REQUESTS_MAX);
}

async function edits(): Promise<EditCosts[]> {
  console.log(`
one file changed and landed, warm
files        levels        p50        p99    stored`);
  const measured: EditCosts[] = [];
  for (const files of FILES) {
    const found = await measureEdits(files);
    measured.push(found);
    const times = [found.p50, found.p99].map((ms) => `${ms.toFixed(2)} ms`.padStart(10)).join(" ");
    console.log(
      `${String(files).padEnd(12)} ${String(found.levels).padStart(6)} ${times} ${`${(found.bytes / KIB).toFixed(1)} KiB`.padStart(9)}`,
    );
  }
  bar(`at most ${EDIT_MS_MAX} ms`, measured.at(-1)!.p50 <= EDIT_MS_MAX);
  return measured;
}

function compare(predictions: readonly Prediction[]): void {
  for (const { what, unit, predicted, measured, isBound } of predictions) {
    const error = predicted / measured - 1;
    const said = `${isBound ? "at most " : ""}${predicted.toPrecision(3)} ${unit}`;
    const isNear = isBound ? measured <= predicted : Math.abs(error) <= PREDICTION_ERROR_MAX;
    bar(
      `${what}: ${said}, measured ${measured.toPrecision(3)} ${unit}, ${(100 * error).toFixed(0)} %`,
      // Small sizes are not what the model is about.
      !values.full || isNear,
    );
  }
}

function needs(): void {
  const { agents, puts, gets, gigabytesAfterYear, dollars } = needsOf(
    {
      landingsPerDay: 500_000,
      readsPerSecond: 1_000_000,
      openSessions: 100_000,
      sessionUpdatesPerDay: 50,
      hotProjects: 10,
      bytesPerLanding: 10_000,
      bytesBefore: 1e9 * 1500,
    },
    { readsPerCore: 20_000, landingsPerCore: 1000, roundTrip: 0.05 },
  );
  const millions = (count: number): string => `${(count / 1e6).toFixed(0)} M`;
  const total = Object.values(dollars).reduce((sum, part) => sum + part, 0);
  console.log(`
10^9 files, 500,000 landings a day, 100,000 open sessions, 10^6 reads/s, a month
  ${agents} agents of 2 cores ($${dollars.agents.toFixed(0)}), ${millions(puts)} PUT ($${dollars.puts.toFixed(0)}), ${millions(gets)} GET ($${dollars.gets.toFixed(0)}), ${gigabytesAfterYear.toFixed(0)} GB after a year ($${dollars.storage.toFixed(0)}): $${total.toFixed(0)}`);
}

const trees = await edits();
await lookups();
const logs = await conflicts();
if (logs.length > 1 && trees.length > 1) {
  console.log("\nthe model, from what is smaller, of the largest");
  compare([
    ...predictEdit(trees.slice(0, -1), trees.at(-1)!),
    ...predictLog(logs.slice(0, -1), logs.at(-1)!),
  ]);
}
needs();
process.exitCode = missed === 0 ? 0 : 1;
