/**
 * What one `mic serve` carries: reads per second and core, many connections, many sessions, many live streams,
 * and whether its memory stays where it is.
 *
 *   npm run bench -- serve [--files 10000] [--seconds 5] [--sessions 100000] [--streams 1000] [--minutes 10]
 *
 * Reads per second and core are requests divided by the processor time that the server took for them, because the
 * load runs on the same machine. Exits 1 when a bar is missed.
 */
import { mkdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { MIC, run, scratch } from "./harness.ts";
import type { LoadResult } from "./load.ts";
import { cpuMsOf, serve, statusField } from "./server.ts";
import { writeTree } from "./tree.ts";

const { values } = parseArgs({
  options: {
    files: { type: "string", default: "10000" },
    seconds: { type: "string", default: "5" },
    sessions: { type: "string", default: "100000" },
    streams: { type: "string", default: "1000" },
    minutes: { type: "string", default: "10" },
  },
});
const SECONDS = values.seconds;
const HEADS_PER_CORE_MIN = 20_000;
const SESSION_P99_MS_MAX = 100;
/** Between the first and the last tenth of the long run. */
const GROWTH_BYTES_MAX = 64 << 20;
const PROJECT = "bench/serve";
const PROJECT_IN_URL = encodeURIComponent(PROJECT);

let missed = 0;
function bar(name: string, met: boolean): void {
  if (!met) missed++;
  console.log(`  ${name}  ${met ? "met" : "MISSED"}`);
}

using directory = scratch("serve");
await using server = await serve({ data: join(directory.path, "forge") });
const api = `${server.url}/api/mic/projects/${PROJECT_IN_URL}`;
const headers = { authorization: `Bearer ${server.token}` };
const work = join(directory.path, "work");
mkdirSync(work);
const env = {
  MIC_HOME: join(directory.path, "home"),
  MIC_AUTHOR: "Bench <bench@example.org>",
  MIC_TOKEN: server.token,
  MIC_SERVER: server.url,
};
writeTree(work, Number(values.files), 3700);
run([MIC, "project", "create", PROJECT, "--server", server.url], { cwd: directory.path, env });
run([MIC, "link", `${server.url}/${PROJECT}`, "--at", "0"], { cwd: work, env });
run([MIC, "land", "first"], { cwd: work, env });

async function json<T>(path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${api}${path}`, {
    headers: { ...headers, "content-type": "application/json" },
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return JSON.parse(text) as T;
}

async function load(name: string, command: readonly string[]): Promise<number> {
  const before = cpuMsOf(server.pid);
  const began = performance.now();
  const child = Bun.spawn([process.execPath, ...command], { stdout: "pipe", stderr: "inherit" });
  const result = JSON.parse(await new Response(child.stdout).text()) as LoadResult;
  const seconds = (performance.now() - began) / 1000;
  const cpuSeconds = (cpuMsOf(server.pid) - before) / 1000;
  const perCore = result.requests / cpuSeconds;
  console.log(
    `${name.padEnd(30)} ${(result.requests / seconds).toFixed(0).padStart(7)}/s  ${perCore.toFixed(0).padStart(7)}/s and core  p50 ${result.p50.toFixed(1)} ms  p99 ${result.p99.toFixed(1)} ms  max ${result.max.toFixed(0)} ms${result.failures > 0 ? `  ${result.failures} FAILED` : ""}`,
  );
  if (result.failures > 0) missed++;
  return perCore;
}

const { items } = await json<{ items: readonly { kind: string; hash?: string }[] }>(
  "/tree?at=1&recursive=true",
);
const blob = items.find((item) => item.kind === "file")?.hash;
if (blob === undefined) throw new Error("no file in the tree");
const port = new URL(server.url).port;
const script = (name: string): string => join(import.meta.dirname, name);
const rest = (connections: number, path: string): string[] => [
  script("load.ts"),
  port,
  server.token,
  String(connections),
  SECONDS,
  `/api/mic/projects/${PROJECT_IN_URL}${path}`,
];
const grpc = (call: string): string[] => [
  script("grpc-load.ts"),
  server.url,
  server.token,
  PROJECT,
  call,
  "64",
  SECONDS,
  blob,
];

const heads = await load("REST head, 64 connections", rest(64, "/head"));
await load("REST tree page", rest(64, "/tree?at=1&limit=100"));
await load("REST blob", rest(64, `/blobs/${blob}`));
await load("REST head, 1,000 connections", rest(1000, "/head"));
await load("gRPC head, 64 at a time", grpc("head"));
await load("gRPC tree page", grpc("tree"));
await load("gRPC blob", grpc("blob"));
bar(`at least ${HEADS_PER_CORE_MIN}/s and core for head over REST`, heads >= HEADS_PER_CORE_MIN);

await sessions(Number(values.sessions));
await streams(Number(values.streams));
await longRun(Number(values.minutes));
console.log(`server peak ${(server.peakBytes() / 1e6).toFixed(0)} MB`);
process.exitCode = missed === 0 ? 0 : 1;

/** Opens so many sessions, then works among them. */
async function sessions(count: number): Promise<void> {
  if (count === 0) return;
  const began = performance.now();
  const opened: string[] = [];
  const open = async (): Promise<void> => {
    while (opened.length < count) {
      opened.push("");
      const { id } = await json<{ id: string }>("/sessions", { goal: "one of very many", owner: "bench" });
      opened[opened.length - 1] = id;
    }
  };
  await Promise.all(Array.from({ length: 32 }, open));
  console.log(`${count} sessions opened in ${((performance.now() - began) / 1000).toFixed(0)} s`);
  const times = new Map<string, number[]>();
  const timed = async <T>(name: string, action: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const result = await action();
    const list = times.get(name) ?? [];
    list.push(performance.now() - start);
    times.set(name, list);
    return result;
  };
  const { hash, size } = (await (
    await fetch(`${api}/blobs`, { method: "POST", headers, body: "content of many landings\n" })
  ).json()) as { hash: string; size: number };
  for (let k = 0; k < 200; k++) {
    await timed("list a page", () => json("/sessions?state=open&limit=100"));
    const { id } = await timed("start", () => json<{ id: string }>("/sessions", { goal: `work ${k}` }));
    const path = `from-sessions/${k}.txt`;
    await timed("record", () =>
      json(`/sessions/${id}/operations`, { operations: [{ op: "put", path, kind: "file", hash, size }] }),
    );
    await timed("land", () => json(`/sessions/${id}/land`, {}));
  }
  for (const [name, list] of times) {
    list.sort((a, b) => a - b);
    const p99 = list[Math.floor(list.length * 0.99)]!;
    console.log(
      `  ${name.padEnd(12)} p50 ${list[list.length >> 1]!.toFixed(1)} ms  p99 ${p99.toFixed(1)} ms`,
    );
    bar(`${name} among ${count} sessions: p99 below ${SESSION_P99_MS_MAX} ms`, p99 < SESSION_P99_MS_MAX);
  }
}

/** So many live streams of one project see every landing. */
async function streams(count: number): Promise<void> {
  if (count === 0) return;
  const head = await json<{ position: number }>("/head");
  const seen: number[] = [];
  const before = statusField(server.pid, "VmRSS");
  const readers = await Promise.all(
    Array.from({ length: count }, (_, i) =>
      follow(`/landings/events?after=${head.position}`, (events) => {
        seen[i] = (seen[i] ?? 0) + events;
      }),
    ),
  );
  await Bun.sleep(2000);
  const LANDINGS = 20;
  const began = performance.now();
  for (let k = 0; k < LANDINGS; k++) {
    const { id } = await json<{ id: string }>("/sessions", { goal: `streamed ${k}` });
    const { hash, size } = (await (
      await fetch(`${api}/blobs`, { method: "POST", headers, body: `streamed ${k}\n` })
    ).json()) as { hash: string; size: number };
    await json(`/sessions/${id}/operations`, {
      operations: [{ op: "put", path: `streamed/${k}`, kind: "file", hash, size }],
    });
    await json(`/sessions/${id}/land`, {});
  }
  const complete = (): boolean => seen.length === count && seen.every((events) => events === LANDINGS);
  for (let wait = 0; wait < 100 && !complete(); wait++) await Bun.sleep(50);
  const grown = (statusField(server.pid, "VmRSS") - before) * 1024;
  console.log(
    `${count} live streams: ${LANDINGS} landings seen by all after ${(performance.now() - began).toFixed(0)} ms, ${(grown / 1e6).toFixed(0)} MB more`,
  );
  bar(`${count} live streams see every landing once`, complete());
  for (const reader of readers) reader.destroy();
}

/** An event stream over a socket of its own: the platform's client has a limit of connections. */
function follow(path: string, onEvents: (count: number) => void): Promise<Socket> {
  const target = `/api/mic/projects/${PROJECT_IN_URL}${path}`;
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(port), host: "127.0.0.1" }, () => {
      socket.write(
        `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${server.token}\r\n\r\n`,
      );
      resolve(socket);
    });
    socket.on("error", reject);
    socket.on("data", (bytes) => {
      const events = bytes.toString().match(/^id:/gm)?.length ?? 0;
      if (events > 0) onEvents(events);
    });
  });
}

/** Reads all the while; memory has to stay where it is. */
async function longRun(minutes: number): Promise<void> {
  if (minutes === 0) return;
  const samples: number[] = [];
  const sampler = setInterval(() => samples.push(statusField(server.pid, "VmRSS") * 1024), 1000);
  const end = performance.now() + minutes * 60_000;
  while (performance.now() < end) {
    for (const path of ["/head", "/tree?at=1&limit=100", `/blobs/${blob}`]) {
      const child = Bun.spawn([process.execPath, ...rest(64, path)], { stdout: "pipe", stderr: "inherit" });
      await child.exited;
    }
  }
  clearInterval(sampler);
  const tenth = Math.max(1, Math.floor(samples.length / 10));
  const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length;
  const first = mean(samples.slice(tenth, 2 * tenth));
  const last = mean(samples.slice(-tenth));
  console.log(
    `${minutes} minutes of reads: ${(first / 1e6).toFixed(0)} MB early, ${(last / 1e6).toFixed(0)} MB late`,
  );
  bar("memory is flat", last - first < GROWTH_BYTES_MAX);
}
