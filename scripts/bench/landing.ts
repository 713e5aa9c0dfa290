/**
 * Landings per second through `mic serve` on one project of 100,000 files, synced to a real disk: one 1 KiB file
 * per landing, with 1 client and with 64 in two processes.
 *
 *   npm run bench -- landing [--files 100000] [--seconds 10] [--delay-ms 0]
 *
 * Works on a disk, not in memory: set BENCH_DIR. Prints landings per second, percentiles of one landing's time, and
 * the slowest client against the mean. Exits 1 when a bar is missed.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { delayed } from "./delayed.ts";
import { MIC, percentiles, readLines, run, scratch } from "./harness.ts";
import { cpuMsOf, serve } from "./server.ts";
import { writeTree } from "./tree.ts";

process.env["BENCH_DIR"] ??= "/var/tmp";

const { values } = parseArgs({
  options: {
    files: { type: "string", default: "100000" },
    seconds: { type: "string", default: "10" },
    "delay-ms": { type: "string", default: "0" },
  },
});
const SECONDS = Number(values.seconds);
const PROCESSES = 2;
const CLIENTS = 64;
const RATE_MIN = 1000;
const FAIRNESS_MIN = 0.5;

interface Result {
  readonly landings: readonly number[];
  readonly latenciesMs: readonly number[];
}

using directory = scratch("landing");
await using server = await serve({ data: join(directory.path, "forge") });
await using proxy = await delayed(Number(new URL(server.url).port), Number(values["delay-ms"]));
const url = `http://127.0.0.1:${proxy.port}`;
const work = join(directory.path, "work");
mkdirSync(work);
const env = {
  MIC_HOME: join(directory.path, "home"),
  MIC_AUTHOR: "Bench <bench@example.org>",
  MIC_TOKEN: server.token,
};
console.log(`landing ${values.files} files…`);
writeTree(work, Number(values.files), 500);
run([MIC, "project", "create", "bench/landing", "--server", server.url], { cwd: directory.path, env });
run([MIC, "link", `${server.url}/bench/landing`, "--at", "0"], { cwd: work, env });
run([MIC, "land", "first"], { cwd: work, env });

async function measure(clients: number, processes: number): Promise<Result> {
  const children = Array.from({ length: processes }, (_, i) =>
    Bun.spawn(
      [
        process.execPath,
        join(import.meta.dirname, "landing-client.ts"),
        url,
        server.token,
        "bench/landing",
        String(clients / processes),
        String(SECONDS),
        `${clients}-clients-${i}`,
      ],
      { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
    ),
  );
  const readers = children.map((child) => readLines(child.stdout));
  for (const reader of readers) {
    const { value } = await reader.next();
    if (value !== "ready") throw new Error(`a client said ${value}`);
  }
  for (const child of children) {
    child.stdin.write("go\n");
    child.stdin.flush();
  }
  const results = await Promise.all(readers.map(async (reader) => (await reader.next()).value as string));
  const parsed = results.map((text) => JSON.parse(text) as Result);
  return {
    landings: parsed.flatMap((result) => result.landings),
    latenciesMs: parsed.flatMap((result) => result.latenciesMs),
  };
}

const ms = (value: number): string => `${value.toFixed(1)} ms`;

let missed = 0;
function bar(name: string, met: boolean): void {
  if (!met) missed++;
  console.log(`  ${name}  ${met ? "met" : "MISSED"}`);
}

for (const [clients, processes] of [
  [1, 1],
  [CLIENTS, PROCESSES],
] as const) {
  const cpuBefore = cpuMsOf(server.pid);
  const { landings, latenciesMs } = await measure(clients, processes);
  const cpuMs = cpuMsOf(server.pid) - cpuBefore;
  const { p50, p95, p99, max } = percentiles([...latenciesMs]);
  const total = latenciesMs.length;
  const rate = total / SECONDS;
  const slowest = Math.min(...landings) / (total / clients);
  console.log(
    `${String(clients).padStart(3)} clients: ${rate.toFixed(0)} landings/s, p50 ${ms(p50)}, p95 ${ms(p95)}, p99 ${ms(p99)}, max ${ms(max)}; slowest client ${slowest.toFixed(2)} of the mean; ${((cpuMs * 1000) / total).toFixed(0)} µs of the server's time each`,
  );
  if (clients > 1) {
    if (Number(values["delay-ms"]) === 0) bar(`at least ${RATE_MIN}/s`, rate >= RATE_MIN);
    bar(`the slowest client at least ${FAIRNESS_MIN} of the mean`, slowest >= FAIRNESS_MIN);
  }
}
const fsck = run([MIC, "fsck", "--json"], { cwd: work, env });
console.log(
  `fsck clean in ${(fsck.wallMs / 1000).toFixed(1)} s; server peak ${(server.peakBytes() / 1e6).toFixed(0)} MB`,
);
process.exitCode = missed === 0 ? 0 : 1;
