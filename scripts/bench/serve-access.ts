/**
 * What accounts cost: the same reads and landings on this binary, where a user with a role calls with a token of the
 * auth database, and on a binary from before there were accounts, in turns.
 *
 *   npm run bench -- serve-access --against FILE [--files 2000] [--seconds 4] [--rounds 5]
 *
 * FILE: `git worktree add ../before 86a222c`, and build there. Compared are calls per second of the server's processor
 * time, because the load runs on the same machine; the ratio is that of the medians. Exits 1 below RATIO_MIN.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { accountsFile } from "../../src/server/auth/owner-token.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { MIC, run, scratch } from "./harness.ts";
import type { LoadResult } from "./load.ts";
import { cpuMsOf, type ServedForge, serve } from "./server.ts";
import { writeTree } from "./tree.ts";

const RATIO_MIN = 0.85;
const PROJECT = "bench/serve";
const PROJECT_IN_URL = encodeURIComponent(PROJECT);

const { values } = parseArgs({
  options: {
    against: { type: "string" },
    files: { type: "string", default: "2000" },
    seconds: { type: "string", default: "4" },
    rounds: { type: "string", default: "5" },
  },
});
const { against, seconds } = values;
if (against === undefined) throw new Error("which binary? --against FILE");

interface Side {
  readonly name: string;
  readonly server: ServedForge;
  readonly token: string;
  readonly blob: string;
}

using directory = scratch("serve-access");

async function open(
  name: string,
  binary: string,
  makeToken: (server: ServedForge, data: string) => Promise<string>,
): Promise<Side> {
  const base = join(directory.path, name);
  const work = join(base, "work");
  mkdirSync(work, { recursive: true });
  const data = join(base, "forge");
  const server = await serve({ data, binary });
  const env = {
    MIC_HOME: join(base, "home"),
    MIC_AUTHOR: "Bench <bench@example.org>",
    MIC_TOKEN: server.token,
    MIC_SERVER: server.url,
  };
  writeTree(work, Number(values.files), 3700);
  run([binary, "project", "create", PROJECT], { cwd: base, env });
  run([binary, "link", `${server.url}/${PROJECT}`, "--at", "0"], { cwd: work, env });
  run([binary, "land", "first"], { cwd: work, env });
  const headers = { authorization: `Bearer ${server.token}` };
  const tree = await fetch(`${server.url}/api/mic/projects/${PROJECT_IN_URL}/tree?at=1&recursive=true`, {
    headers,
  });
  const { items } = (await tree.json()) as { items: readonly { kind: string; hash?: string }[] };
  const blob = items.find((item) => item.kind === "file")?.hash;
  if (blob === undefined) throw new Error("no file in the tree");
  return { name, server, blob, token: await makeToken(server, data) };
}

/** Of a user with the role `write`. */
async function memberToken(server: ServedForge, data: string): Promise<string> {
  const { url, token } = server;
  await using forge = await openRemoteForge(url, { token, clock: systemClock, random: systemRandom });
  const { id } = await forge.getProject(PROJECT);
  using database = new AuthDatabase({ file: accountsFile(data) });
  using accounts = new SqliteAccounts({ database, clock: systemClock, random: systemRandom });
  const user = await accounts.createUser({ name: "bench-user" });
  accounts.setProjectRole(id, user.id, "write");
  return accounts.createToken({ user: user.id, kind: "personal", name: "bench", scope: "write" }).secret;
}

const script = (name: string): string => join(import.meta.dirname, name);
const rest = (connections: number, path: (side: Side) => string) => (side: Side) => [
  script("load.ts"),
  new URL(side.server.url).port,
  side.token,
  String(connections),
  seconds,
  `/api/mic/projects/${PROJECT_IN_URL}${path(side)}`,
];
const grpc = (call: string) => (side: Side) => [
  script("grpc-load.ts"),
  side.server.url,
  side.token,
  PROJECT,
  call,
  "64",
  seconds,
  side.blob,
];
const LOADS: Readonly<Record<string, (side: Side) => string[]>> = {
  "REST head, 64 connections": rest(64, () => "/head"),
  "REST tree page": rest(64, () => "/tree?at=1&limit=100"),
  "REST blob": rest(64, ({ blob }) => `/blobs/${blob}`),
  "gRPC head, 64 at a time": grpc("head"),
  "gRPC tree page": grpc("tree"),
  "gRPC blob": grpc("blob"),
};

/** Calls per second of the server's processor time. */
async function perCore({ server }: Side, command: readonly string[]): Promise<number> {
  const before = cpuMsOf(server.pid);
  const child = Bun.spawn([process.execPath, ...command], { stdout: "pipe", stderr: "inherit" });
  const result = JSON.parse(await new Response(child.stdout).text()) as LoadResult;
  if (result.failures > 0) throw new Error(`${result.failures} calls failed`);
  return result.requests / ((cpuMsOf(server.pid) - before) / 1000);
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;
}

const without = await open("without", against, async ({ token }) => token);
await using _without = without.server;
const withAccounts = await open("with", MIC, memberToken);
await using _with = withAccounts.server;
let missed = 0;
for (const [name, command] of Object.entries(LOADS)) {
  const figures = { without: [] as number[], with: [] as number[] };
  for (let round = 0; round < Number(values.rounds); round++) {
    figures.without.push(await perCore(without, command(without)));
    figures.with.push(await perCore(withAccounts, command(withAccounts)));
  }
  const [before, after] = [median(figures.without), median(figures.with)];
  const isMet = after / before >= RATIO_MIN;
  if (!isMet) missed++;
  console.log(
    `${name.padEnd(28)} ${before.toFixed(0).padStart(7)} -> ${after.toFixed(0).padStart(7)}/s and core  ${(after / before).toFixed(2)}  ${isMet ? "met" : "MISSED"}`,
  );
}
process.exitCode = missed === 0 ? 0 : 1;
