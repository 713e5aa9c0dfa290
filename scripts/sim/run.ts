/**
 * The long run of the simulator:
 * `npm run sim -- --seeds 10000 [--from 1] [--workers 2] [--story landing|life|workspace] [--out FILE]
 * [--every SEEDS] [--lives N] [--workspaces N]`.
 * One seed again, with everything that happened: `npm run sim -- --story life --sizes small --seed 7 --trace`.
 *
 * Works on a copy of the sources as they are when it starts. Prints each failure with the command that replays it,
 * and the table of faults: every so many seeds (default 1000) as it is so far, and at the end. `--out`: the last
 * table that was printed, in a file. `--lives N`: one in N seeds (in blocks of 50) runs the long story as well as the
 * short one, which takes a twentieth of its time; default 1. `--workspaces N`: the same for the story of people with
 * workspaces; default 5. Exits with 1 when a seed failed, or when a run of at
 * least 10,000 seeds falls short of what docs/simulation.md asks for (`shortfalls`).
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FaultTable } from "../../src/core/store/fault-table.ts";
import { copySimulator } from "../../test/sim/copy.ts";
import { SMALL_SIZES } from "../../test/sim/sizes.ts";
import { WORKSPACE_SIZES } from "../../test/sim/workspace/sizes.ts";
import { SeedRunner } from "./seed-runner.ts";
import { formatTable, shortfalls } from "./table.ts";

const CHUNK = 50;
const SEEDS_FOR_BARS = 10_000;
const OUTPUT_BYTES_MAX = 64 << 20;
const SIZES = ["small", "real"] as const;

type Sizes = (typeof SIZES)[number];

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
    copySimulator(copy, sizes === "small" ? [...SMALL_SIZES, ...WORKSPACE_SIZES] : []);
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
  for (const sizes of SIZES) copyOf(sizes);
  let done = 0;
  let saidAt = 0;
  const work = async (): Promise<void> => {
    await using small = runnerOf("small");
    await using real = runnerOf("real");
    const runners: Readonly<Record<Sizes, SeedRunner>> = { small, real };
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      await runJob(job, runners[job.sizes]);
      done++;
      if (done % 20 === 0) console.log(progress(done, count));
      const reached = Math.floor(((done / count) * seeds) / every);
      if (reached === saidAt || done === count) continue;
      saidAt = reached;
      say(progress(done, count));
    }
  };
  await Promise.all(Array.from({ length: Number(option("--workers") ?? "1") }, work));
  const short = say(progress(done, count));
  return failed.length > 0 || (seeds >= SEEDS_FOR_BARS && short > 0) ? 1 : 0;
}

function runnerOf(sizes: Sizes): SeedRunner {
  return new SeedRunner({
    command: process.execPath,
    args: ["test/sim/main.ts", "--serve"],
    cwd: copyOf(sizes),
  });
}

/** The table as it is now. Returns in how many ways it falls short. */
function say(heading: string): number {
  const short = shortfalls(table);
  const lines = [heading, "", formatTable(table), "", ...short.map((what) => `short: ${what}`)];
  lines.push(`falls short in ${short.length} ways; ${failed.length} seeds failed`, ...failed, "");
  const text = lines.join("\n");
  console.log(text);
  const out = option("--out");
  if (out !== undefined) writeFileSync(out, text);
  return short.length;
}

/**
 * Every seed runs the short story; all or one in some of them the long one, mostly with small sizes, and that of the
 * workspaces.
 */
function jobsOf(from: number, seeds: number, only: string | undefined): Job[] {
  const lives = Number(option("--lives") ?? "1");
  const workspaces = Number(option("--workspaces") ?? "5");
  const isWanted = (story: string): boolean => only === undefined || only === story;
  const jobs: Job[] = [];
  for (let first = from; first < from + seeds; first += CHUNK) {
    const count = Math.min(CHUNK, from + seeds - first);
    const block = Math.floor((first - 1) / CHUNK);
    const sizesOf = (every: number, real: number): Sizes =>
      Math.floor(block / every) % real === real - 1 ? "real" : "small";
    if (isWanted("landing")) jobs.push({ story: "landing", sizes: "real", first, count });
    if (isWanted("life") && block % lives === 0) {
      jobs.push({ story: "life", sizes: sizesOf(lives, 4), first, count });
    }
    if (isWanted("workspace") && block % workspaces === 0) {
      jobs.push({ story: "workspace", sizes: sizesOf(workspaces, 2), first, count });
    }
  }
  return jobs;
}

async function runJob({ story, sizes, first, count }: Job, runner: SeedRunner): Promise<void> {
  for (let seed = first; seed < first + count; seed++) {
    let result = await runner.run(story, seed);
    if (result.kind === "ended" && result.signal !== undefined) {
      // A process that somebody else ends is no failure of a seed.
      console.log(
        `ended by ${result.signal}, and run again: ${commandOf(story, sizes, seed)}\n${result.words}`,
      );
      result = await runner.run(story, seed);
    }
    if (result.kind === "ended") fail(story, sizes, seed, `the process ended: ${result.words}`);
    else {
      table.add(FaultTable.from(result.table));
      for (const [key, value] of Object.entries(result.counts)) total[key] = (total[key] ?? 0) + value;
      if (result.failure !== undefined) fail(story, sizes, seed, result.failure);
    }
    const runs = `${story} runs`;
    total[runs] = (total[runs] ?? 0) + 1;
  }
}

function commandOf(story: string, sizes: Sizes, seed: number): string {
  return `npm run sim -- --story ${story} --sizes ${sizes} --seed ${seed} --trace`;
}

function fail(story: string, sizes: Sizes, seed: number, output: string): void {
  const command = commandOf(story, sizes, seed);
  failed.push(command);
  console.log(`FAILED ${command}\n${output.split("\n").slice(0, 12).join("\n")}\n`);
}

function progress(done: number, count: number): string {
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  return `${seconds} s, ${done} of ${count} jobs: ${JSON.stringify(total)}`;
}

function runMain(sizes: Sizes, args: readonly string[]): Promise<{ code: number; output: string }> {
  const cwd = copyOf(sizes);
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ["test/sim/main.ts", ...args],
      { cwd, maxBuffer: OUTPUT_BYTES_MAX },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, output: stdout + stderr });
      },
    );
  });
}
