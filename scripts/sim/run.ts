/**
 * The long run of the simulator:
 * `npm run sim -- --seeds 10000 [--from 1] [--workers 2] [--story landing|life] [--out FILE] [--every SEEDS]
 * [--lives N]`.
 * One seed again, with everything that happened: `npm run sim -- --story life --sizes small --seed 7 --trace`.
 *
 * Works on a copy of the sources as they are when it starts. Prints each failure with the command that replays it,
 * and the table of faults: every so many seeds (default 1000) as it is so far, and at the end. `--out`: the last
 * table that was printed, in a file. `--lives N`: one in N seeds (in blocks of 50) runs the long story as well as the
 * short one, which takes a twentieth of its time; default 1. Exits with 1 when a seed failed, or when a table of at
 * least 10,000 seeds has a cell with fewer than 100 faults.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FaultTable } from "../../src/core/store/fault-table.ts";
import { copySimulator } from "../../test/sim/copy.ts";
import { SMALL_SIZES } from "../../test/sim/sizes.ts";
import { cellsOf, formatTable } from "./table.ts";

const CHUNK = 50;
const CELL_MIN = 100;
const SEEDS_FOR_CELLS = 10_000;
const OUTPUT_BYTES_MAX = 64 << 20;

type Sizes = "small" | "real";

interface Job {
  readonly story: string;
  readonly sizes: Sizes;
  readonly first: number;
  readonly count: number;
}

const options = process.argv.slice(2);
function option(name: string): string | undefined {
  const at = options.indexOf(name);
  return at === -1 ? undefined : options[at + 1];
}

const directory = mkdtempSync(join(tmpdir(), "mic-sim-"));
const copies = new Map<Sizes, string>();
const table = new FaultTable();
const total: Record<string, number> = {};
const failed: string[] = [];
const startedMs = performance.now();

try {
  process.exitCode = option("--seed") === undefined ? await runAll() : await replay(option("--seed")!);
} finally {
  rmSync(directory, { recursive: true, force: true });
}

function copyOf(sizes: Sizes): string {
  let copy = copies.get(sizes);
  if (copy === undefined) {
    copy = join(directory, sizes);
    copySimulator(copy, sizes === "small" ? SMALL_SIZES : []);
    copies.set(sizes, copy);
  }
  return copy;
}

async function replay(seed: string): Promise<number> {
  const sizes = option("--sizes") === "small" ? "small" : "real";
  const story = option("--story") ?? "landing";
  const trace = options.includes("--trace") ? ["--trace"] : [];
  const { code, output } = await runMain(sizes, ["--story", story, "--seed", seed, ...trace]);
  console.log(output);
  return code;
}

async function runAll(): Promise<number> {
  const seeds = Number(option("--seeds") ?? "1000");
  const from = Number(option("--from") ?? "1");
  const every = Number(option("--every") ?? "1000");
  const queue = jobsOf(from, seeds, option("--story"));
  const count = queue.length;
  for (const sizes of ["small", "real"] as const) copyOf(sizes);
  let done = 0;
  let saidAt = 0;
  const work = async (): Promise<void> => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      await runJob(job);
      done++;
      if (done % 20 === 0) console.log(progress(done, count));
      const reached = Math.floor(((done / count) * seeds) / every);
      if (reached === saidAt || done === count) continue;
      saidAt = reached;
      say(progress(done, count));
    }
  };
  await Promise.all(Array.from({ length: Number(option("--workers") ?? "1") }, work));
  const few = say(progress(done, count));
  return failed.length > 0 || (seeds >= SEEDS_FOR_CELLS && few > 0) ? 1 : 0;
}

/** The table as it is now. Returns how many cells are too small. */
function say(heading: string): number {
  const few = cellsOf(table).filter((cell) => cell.count < CELL_MIN);
  const lines = [heading, "", formatTable(table), ""];
  for (const { what, kind, count } of few) lines.push(`few: ${what}: ${kind}: ${count}`);
  lines.push(`${few.length} cells below ${CELL_MIN}; ${failed.length} seeds failed`, ...failed, "");
  const text = lines.join("\n");
  console.log(text);
  const out = option("--out");
  if (out !== undefined) writeFileSync(out, text);
  return few.length;
}

/** Every seed runs both stories, or one in some the longer one; days in the life of a project mostly with small sizes. */
function jobsOf(from: number, seeds: number, story: string | undefined): Job[] {
  const lives = Number(option("--lives") ?? "1");
  const jobs: Job[] = [];
  for (let first = from; first < from + seeds; first += CHUNK) {
    const count = Math.min(CHUNK, from + seeds - first);
    const block = Math.floor((first - 1) / CHUNK);
    if (story !== "life") jobs.push({ story: "landing", sizes: "real", first, count });
    if (story === "landing" || block % lives !== 0) continue;
    const sizes: Sizes = Math.floor(block / lives) % 4 === 3 ? "real" : "small";
    jobs.push({ story: "life", sizes, first, count });
  }
  return jobs;
}

async function runJob({ story, sizes, first, count }: Job): Promise<void> {
  for (let next = first; next < first + count; ) {
    const left = first + count - next;
    const args = ["--story", story, "--seed", String(next), "--count", String(left), "--json"];
    const { output } = await runUnlessKilled(sizes, args);
    const last = output.trimEnd().split("\n").at(-1) ?? "";
    const data = last.startsWith("{") ? JSON.parse(last) : undefined;
    if (data !== undefined) {
      table.add(FaultTable.from(data.table));
      for (const [key, value] of Object.entries(data)) {
        if (typeof value === "number") total[key] = (total[key] ?? 0) + value;
      }
    }
    if (data?.failed === undefined) {
      if (data === undefined) fail(story, sizes, next, output);
      return;
    }
    fail(story, sizes, data.failed, output);
    next = data.failed + 1;
  }
}

function fail(story: string, sizes: Sizes, seed: number, output: string): void {
  const command = `npm run sim -- --story ${story} --sizes ${sizes} --seed ${seed} --trace`;
  failed.push(command);
  console.log(`FAILED ${command}\n${output.split("\n").slice(0, 12).join("\n")}\n`);
}

function progress(done: number, count: number): string {
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  return `${seconds} s, ${done} of ${count} jobs: ${JSON.stringify(total)}`;
}

/** A process that somebody else ends is no failure of a seed: once more. */
async function runUnlessKilled(sizes: Sizes, args: readonly string[]): Promise<{ output: string }> {
  const first = await runMain(sizes, args);
  if (first.signal === undefined) return first;
  console.log(`ended by ${first.signal}, and run again: ${args.join(" ")}`);
  return await runMain(sizes, args);
}

interface Ended {
  readonly code: number;
  readonly signal: string | undefined;
  readonly output: string;
}

function runMain(sizes: Sizes, args: readonly string[]): Promise<Ended> {
  const cwd = copyOf(sizes);
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ["test/sim/main.ts", ...args],
      { cwd, maxBuffer: OUTPUT_BYTES_MAX },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, signal: error?.signal ?? undefined, output: stdout + stderr });
      },
    );
  });
}
