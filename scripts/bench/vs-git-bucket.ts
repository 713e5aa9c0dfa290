/**
 * A clone out of a bucket against `git clone --depth 1` from `git daemon`, on the same 100,000 files, in the same run:
 * through a `mic serve` that has just started (its caches are empty), through the same one again, and directly from
 * `s3://`, without a server, by a client whose cache is empty.
 *
 *   npm run bench -- vs-git-bucket [--files 100000] [--runs 3] [--delay-ms 0]
 *
 * The bucket is on a real object server on this machine. Prints the ratios of medians, how many requests each clone
 * made of the bucket and where its time went (the column `cpu` is of the command alone), and exits 1 when a bar is
 * missed.
 */
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Account, accounted, describeAccount } from "./accounting.ts";
import { openBucket, requestsBetween } from "./bucket.ts";
import { startGitDaemon } from "./git-daemon.ts";
import {
  type Comparison,
  type Measured,
  MIC,
  peerEnvironment,
  report,
  run,
  runAll,
  scratch,
  warmMemory,
} from "./harness.ts";
import { serve } from "./server.ts";
import { writeTree } from "./tree.ts";

const { values } = parseArgs({
  options: {
    files: { type: "string", default: "100000" },
    runs: { type: "string", default: "3" },
    "delay-ms": { type: "string", default: "0" },
  },
});
const FILES = Number(values.files);
const RUNS = Number(values.runs);
const BYTES_MEAN = 3700;
const PROJECT = "bench/clone";
const SERVED_BAR = 0.35;
const DIRECT_BAR = 0.25;

using directory = scratch("vs-git-bucket");
const at = (name: string): string => join(directory.path, name);
await using bucket = await openBucket(Number(values["delay-ms"]));
const env = { ...peerEnvironment(at("home")), ...bucket.env };
const git = (cwd: string, ...args: string[]): Measured => run(["git", ...args], { cwd, env });

const tree = at("tree");
console.log(`writing ${FILES} files…`);
writeTree(tree, FILES, BYTES_MEAN);

const gitServed = at("git-served");
mkdirSync(join(gitServed, "tree"), { recursive: true });
cpSync(tree, join(gitServed, "tree"), { recursive: true });
runAll(
  [
    ["git", "init", "--quiet"],
    ["git", "add", "-A"],
    ["git", "commit", "--quiet", "-m", "first"],
    // As a repository is that was pushed to.
    ["git", "repack", "--quiet", "-a", "-d"],
  ],
  { cwd: join(gitServed, "tree"), env },
);
await using daemon = await startGitDaemon(gitServed, env);

run([MIC, "project", "create", PROJECT, "--server", bucket.address("").replace(/\/$/, "")], {
  cwd: directory.path,
  env,
});
run([MIC, "link", bucket.address(PROJECT), "--at", "0"], { cwd: tree, env });
run([MIC, "land", "first"], { cwd: tree, env });

const step = (name: string, bar: number) => ({
  name,
  bar,
  mic: [] as Measured[],
  peer: [] as Measured[],
});
const cold = step("served, agent cold", SERVED_BAR);
const warm = step("served, agent warm", SERVED_BAR);
const direct = step("directly from s3://", DIRECT_BAR);
const requests = new Map<string, string>();
const accounts = new Map<string, Account[]>();

/** `serverPid`: of the process that takes part beside the client and the object server. */
async function counted(name: string, work: () => Measured, serverPid?: number): Promise<Measured> {
  warmMemory(directory.path);
  const before = await bucket.requests();
  const peers = { ...(serverPid === undefined ? {} : { server: serverPid }), "object server": bucket.pid };
  const { measured, account } = accounted(peers, work);
  requests.set(name, requestsBetween(before, await bucket.requests()).text);
  accounts.set(name, [...(accounts.get(name) ?? []), account]);
  return measured;
}

function fastest(name: string): Account {
  return accounts.get(name)!.reduce((best, each) => (each.wallMs < best.wallMs ? each : best));
}

for (let round = 0; round < RUNS; round++) {
  const peer = await counted("git", () =>
    git(directory.path, "clone", "--quiet", "--depth", "1", daemon.url("tree"), at("git-clone")),
  );
  rmSync(at("git-clone"), { recursive: true });
  for (const each of [cold, warm, direct]) each.peer.push(peer);
  await using server = await serve({ data: at(`agent-${round}`), env, flags: bucket.flags });
  const remote = { ...env, MIC_TOKEN: server.token, MIC_SERVER: server.url };
  for (const each of [cold, warm]) {
    // A home of its own: nothing that another clone left helps this one.
    const home = { ...remote, MIC_HOME: at("home-served") };
    each.mic.push(
      await counted(
        each.name,
        () =>
          run([MIC, "clone", `${server.url}/${PROJECT}`, at("clone")], { cwd: directory.path, env: home }),
        server.pid,
      ),
    );
    for (const name of ["clone", "home-served"]) rmSync(at(name), { recursive: true, force: true });
  }
  await server.stop();
  direct.mic.push(
    await counted(direct.name, () =>
      run([MIC, "clone", bucket.address(PROJECT), at("clone")], {
        cwd: directory.path,
        env: { ...env, MIC_HOME: at("home-direct") },
      }),
    ),
  );
  for (const name of ["clone", "home-direct", `agent-${round}`])
    rmSync(at(name), { recursive: true, force: true });
  console.log(`run ${round + 1} of ${RUNS} done`);
}

const comparisons: Comparison[] = [cold, warm, direct];
const missed = report(comparisons, "git");
for (const { name } of comparisons) console.log(`${name}: requests of the last run: ${requests.get(name)}`);
for (const { name } of comparisons) console.log(`${name}: fastest run: ${describeAccount(fastest(name))}`);
process.exitCode = missed === 0 ? 0 : 1;
