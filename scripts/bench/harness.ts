/**
 * What every benchmark here shares: whole processes, run alternately with the peer in the same run, measured
 * by the operating system's own accounting, and compared by the ratio of medians.
 */
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));
export const MIC = process.env["MIC_BINARY"] ?? join(REPOSITORY, "dist/mic");

export interface Measured {
  readonly wallMs: number;
  /** User plus system time of the process and the children it waited for. */
  readonly cpuMs: number;
  /** Peak resident memory of the largest process, in bytes. */
  readonly peakBytes: number;
}

export interface RunOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a command to its end; a failure stops the benchmark with the command's own words. */
export function run(command: readonly string[], options: RunOptions): Measured {
  const start = performance.now();
  const child = Bun.spawnSync([...command], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const wallMs = performance.now() - start;
  if (child.exitCode !== 0) {
    throw new Error(
      `${command.join(" ")} in ${options.cwd} exited ${child.exitCode}\n${child.stdout}\n${child.stderr}`,
    );
  }
  const usage = child.resourceUsage;
  return {
    wallMs,
    cpuMs: Number(usage.cpuTime.total) / 1000,
    peakBytes: usage.maxRSS,
  };
}

/** Several commands measured as one: times added, the largest peak. */
export function runAll(commands: readonly (readonly string[])[], options: RunOptions): Measured {
  const parts = commands.map((command) => run(command, options));
  return {
    wallMs: sum(parts.map((part) => part.wallMs)),
    cpuMs: sum(parts.map((part) => part.cpuMs)),
    peakBytes: Math.max(...parts.map((part) => part.peakBytes)),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export interface Comparison {
  readonly name: string;
  readonly mic: readonly Measured[];
  readonly peer: readonly Measured[];
  /** The ratio that is asked for. */
  readonly bar: number;
}

const MIB = 1024 * 1024;

/** One line per comparison; returns how many bars were missed. */
export function report(comparisons: readonly Comparison[], peerName: string): number {
  const rows = comparisons.map((comparison) => {
    const mic = median(comparison.mic.map((run) => run.wallMs));
    const peer = median(comparison.peer.map((run) => run.wallMs));
    const ratio = mic / peer;
    const peak = Math.max(...comparison.mic.map((run) => run.peakBytes));
    const cpu =
      median(comparison.mic.map((run) => run.cpuMs)) / median(comparison.peer.map((run) => run.cpuMs));
    return { ...comparison, micMs: mic, peerMs: peer, ratio, cpu, peak, met: ratio <= comparison.bar };
  });
  console.log(
    `${"".padEnd(28)} ${"mic".padStart(10)} ${peerName.padStart(10)} ${"ratio".padStart(7)} ${"bar".padStart(6)} ${"cpu".padStart(6)} ${"mic peak".padStart(9)}`,
  );
  for (const row of rows) {
    console.log(
      `${row.name.padEnd(28)} ${`${row.micMs.toFixed(1)} ms`.padStart(10)} ${`${row.peerMs.toFixed(1)} ms`.padStart(10)} ${row.ratio.toFixed(3).padStart(7)} ${row.bar.toFixed(2).padStart(6)} ${row.cpu.toFixed(2).padStart(6)} ${`${Math.round(row.peak / MIB)} MiB`.padStart(9)}  ${row.met ? "met" : "MISSED"}`,
    );
  }
  return rows.filter((row) => !row.met).length;
}

/** A directory in memory, so that the disk is not measured; removed at the end. */
export function scratch(name: string): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(process.env["BENCH_DIR"] ?? "/dev/shm", `mic-${name}-`));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

const WARM_BYTES = 1200 << 20;
const WARM_PIECE_BYTES = 4 << 20;

/**
 * Takes memory from the system and gives it back. A virtual machine that returns free memory to its host waits for
 * each page that it takes for the first time: a clone that has to touch a gigabyte of such pages takes twice as
 * long as the next one, whichever tool makes it. To be called before each run of a step that writes much.
 */
export function warmMemory(directory: string): void {
  const path = join(directory, "warm");
  const piece = new Uint8Array(WARM_PIECE_BYTES);
  const file = openSync(path, "w");
  for (let done = 0; done < WARM_BYTES; done += piece.length) writeSync(file, piece);
  closeSync(file);
  rmSync(path);
}

/** Deterministic generator (mulberry32): the same tree on every machine. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The same person and no housekeeping in the background for both; settings are kept below `home`, which is made. */
export function peerEnvironment(home: string): Record<string, string> {
  mkdirSync(home, { recursive: true });
  writeFileSync(
    join(home, ".gitconfig"),
    "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[init]\n\tdefaultBranch = main\n",
  );
  return {
    HOME: home,
    MIC_HOME: join(home, "mic"),
    MIC_AUTHOR: "Bench <bench@example.org>",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_AUTHOR_NAME: "Bench",
    GIT_AUTHOR_EMAIL: "bench@example.org",
    GIT_COMMITTER_NAME: "Bench",
    GIT_COMMITTER_EMAIL: "bench@example.org",
  };
}

/** Appends a line to `count` files, the same ones in every tree for the same round. */
export function changeFiles(
  root: string,
  files: readonly { readonly path: string }[],
  round: number,
  count: number,
): void {
  const random = generator(1000 + round);
  for (let i = 0; i < count; i++) {
    const file = files[Math.floor(random() * files.length)]!;
    appendFileSync(join(root, file.path), `\n// changed in round ${round}, ${i}\n`);
  }
}

/** Lines of a process's output as they come. */
export async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    rest += decoder.decode(bytes, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

/** Sorts `values`. */
export function percentiles(values: number[]): Percentiles {
  values.sort((a, b) => a - b);
  const at = (part: number): number =>
    values[Math.min(values.length - 1, Math.floor(values.length * part))] ?? Number.NaN;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}
