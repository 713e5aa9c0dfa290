/**
 * Landings per second through `mic serve` on one project of 100,000 files, one 1 KiB file per landing, with 1 client
 * and with 64 in two processes: synced to a real disk, or with --bucket on a real object server.
 *
 *   npm run bench -- landing [--files 100000] [--seconds 10] [--delay-ms 0]
 *   npm run bench -- landing --bucket [--store-delay-ms 30]
 *
 * --delay-ms: added to each round trip between clients and server; --store-delay-ms: to each between server and
 * bucket. With --bucket, 16 processes of `mic land` directly on `s3://` follow. Without it, works on a disk, not in
 * memory: set BENCH_DIR. Prints landings per second, percentiles of one landing's time, and the slowest client
 * against the mean. Exits 1 when a bar is missed.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { openBucket, requestsBetween } from "./bucket.ts";
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
    bucket: { type: "boolean", default: false },
    "store-delay-ms": { type: "string", default: "0" },
  },
});
const STORE_DELAY_MS = Number(values["store-delay-ms"]);
const SECONDS = Number(values.seconds);
const PROCESSES = 2;
const CLIENTS = 64;
const DIRECT_PROCESSES = 16;
/** What 64 clients must reach: on a disk, in a bucket on this machine, in one that is some way off. */
const RATE_MIN = !values.bucket ? 1000 : STORE_DELAY_MS === 0 ? 300 : 500;
const FAIRNESS_MIN = 0.5;

interface Result {
  readonly landings: readonly number[];
  readonly latenciesMs: readonly number[];
}

using directory = scratch("landing");
await using bucket = values.bucket ? await openBucket(STORE_DELAY_MS) : undefined;
await using server = await serve({
  data: join(directory.path, "forge"),
  ...(bucket === undefined ? {} : { env: bucket.env, flags: bucket.flags }),
});
await using proxy = await delayed(Number(new URL(server.url).port), Number(values["delay-ms"]));
const url = `http://127.0.0.1:${proxy.port}`;
const work = join(directory.path, "work");
mkdirSync(work);
const env = {
  MIC_HOME: join(directory.path, "home"),
  MIC_AUTHOR: "Bench <bench@example.org>",
  MIC_TOKEN: server.token,
  MIC_SERVER: server.url,
  ...bucket?.env,
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

/** Whole processes, each with a workspace of its own: start, scan, land into the bucket, end. */
async function measureProcesses(address: string): Promise<void> {
  const workspaces = Array.from({ length: DIRECT_PROCESSES }, (_, i) => join(directory.path, `direct-${i}`));
  for (const [i, workspace] of workspaces.entries()) {
    run([MIC, "clone", address, workspace, "--path", `direct/${i}`], { cwd: directory.path, env });
  }
  const latenciesMs: number[] = [];
  const end = performance.now() + SECONDS * 1000;
  const writer = async (workspace: string, index: number): Promise<number> => {
    let landed = 0;
    for (; performance.now() < end; landed++) {
      const path = join(workspace, "direct", String(index), `file-${landed}`);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, crypto.getRandomValues(new Uint8Array(1024)));
      const began = performance.now();
      const child = Bun.spawn([MIC, "land", "direct"], {
        cwd: workspace,
        env: { ...process.env, ...env },
        stdio: ["ignore", "ignore", "pipe"],
      });
      if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
      latenciesMs.push(performance.now() - began);
    }
    return landed;
  };
  const began = performance.now();
  const landings = await Promise.all(workspaces.map(writer));
  const seconds = (performance.now() - began) / 1000;
  const { p50, p95, p99, max } = percentiles(latenciesMs);
  const total = latenciesMs.length;
  const slowest = Math.min(...landings) / (total / DIRECT_PROCESSES);
  console.log(
    `${DIRECT_PROCESSES} processes of \`mic land\` on s3://: ${(total / seconds).toFixed(1)} landings/s, p50 ${ms(p50)}, p95 ${ms(p95)}, p99 ${ms(p99)}, max ${ms(max)}; slowest ${slowest.toFixed(2)} of the mean`,
  );
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
  const requestsBefore = await bucket?.requests();
  const { landings, latenciesMs } = await measure(clients, processes);
  const cpuMs = cpuMsOf(server.pid) - cpuBefore;
  const { p50, p95, p99, max } = percentiles([...latenciesMs]);
  const total = latenciesMs.length;
  const rate = total / SECONDS;
  const slowest = Math.min(...landings) / (total / clients);
  console.log(
    `${String(clients).padStart(3)} clients: ${rate.toFixed(0)} landings/s, p50 ${ms(p50)}, p95 ${ms(p95)}, p99 ${ms(p99)}, max ${ms(max)}; slowest client ${slowest.toFixed(2)} of the mean; ${((cpuMs * 1000) / total).toFixed(0)} µs of the server's time each`,
  );
  if (requestsBefore !== undefined) {
    const made = requestsBetween(requestsBefore, await bucket!.requests());
    console.log(`     requests of the bucket per landing: ${(made.total / total).toFixed(2)} (${made.text})`);
  }
  if (clients > 1) {
    if (Number(values["delay-ms"]) === 0) bar(`at least ${RATE_MIN}/s`, rate >= RATE_MIN);
    bar(`the slowest client at least ${FAIRNESS_MIN} of the mean`, slowest >= FAIRNESS_MIN);
  }
}
const peakBytes = server.peakBytes();
if (bucket !== undefined) {
  await server.stop();
  await measureProcesses(bucket.address("bench/landing"));
}
// Without the server: the bucket itself, or what the workspace is linked to.
const checked = bucket === undefined ? [] : [bucket.address("bench/landing")];
const fsck = run([MIC, "fsck", ...checked, "--json"], { cwd: work, env });
console.log(
  `fsck clean in ${(fsck.wallMs / 1000).toFixed(1)} s; server peak ${(peakBytes / 1e6).toFixed(0)} MB`,
);
process.exitCode = missed === 0 ? 0 : 1;
