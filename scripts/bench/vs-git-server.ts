/**
 * mic through `mic serve` against git through `git daemon`, on the same work, in the same run, in memory:
 * 100,000 files of about 370 MB.
 *
 *   npm run bench -- vs-git-server [--files 100000] [--runs 5] [--delay-ms 0]
 *
 * Prints the ratio of medians for each step and exits 1 when a bar is missed. With --delay-ms every round trip to
 * the server takes that much longer, for both.
 */
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { delayed } from "./delayed.ts";
import { startGitDaemon } from "./git-daemon.ts";
import {
  type Comparison,
  changeFiles,
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
    runs: { type: "string", default: "5" },
    "delay-ms": { type: "string", default: "0" },
  },
});
const FILES = Number(values.files);
const RUNS = Number(values.runs);
const DELAY_MS = Number(values["delay-ms"]);
const BYTES_MEAN = 3700;
const CHANGED = 100;
const PEAK_BYTES_MAX = 500 * 1000 * 1000;

using directory = scratch("vs-git-server");
const at = (name: string): string => join(directory.path, name);
const home = at("home");
await using server = await serve({ data: at("forge") });
await using proxy = await delayed(Number(new URL(server.url).port), DELAY_MS);
const url = `http://127.0.0.1:${proxy.port}`;
const env = { ...peerEnvironment(home), MIC_TOKEN: server.token, MIC_SERVER: url };

const git = (cwd: string, ...args: string[]): Measured => run(["git", ...args], { cwd, env });
const mic = (cwd: string, ...args: string[]): Measured => run([MIC, ...args], { cwd, env });

const gitServed = at("git-served");
mkdirSync(gitServed);
await using daemon = await startGitDaemon(gitServed, env);
await using gitProxy = await delayed(daemon.port, DELAY_MS);
const gitUrl = (round: number): string => `git://127.0.0.1:${gitProxy.port}/bench-${round}`;

const gitTree = at("git-work");
const micTree = at("mic-work");
console.log(`writing ${FILES} files…`);
const files = writeTree(gitTree, FILES, BYTES_MEAN);
const bytes = files.reduce((total, file) => total + file.bytes, 0);
cpSync(gitTree, micTree, { recursive: true, preserveTimestamps: true });
console.log(
  `${FILES} files, ${(bytes / 1e6).toFixed(0)} MB, ${RUNS} runs, ${DELAY_MS} ms added to a round trip`,
);

const step = (name: string, bar: number) => ({
  name,
  bar,
  mic: [] as Measured[],
  peer: [] as Measured[],
});
const firstLand = step("first land", 0.15);
const clone = step("clone / clone --depth 1", 0.25);
const land100 = step(`land ${CHANGED} changed files`, 0.5);
const sync = step("sync them / git pull", 1.0);

for (let round = 0; round < RUNS; round++) {
  const project = `bench/round-${round}`;
  rmSync(join(gitTree, ".git"), { recursive: true, force: true });
  git(gitServed, "init", "--quiet", "--bare", `bench-${round}`);
  git(gitTree, "init", "--quiet");
  git(gitTree, "remote", "add", "origin", gitUrl(round));
  firstLand.peer.push(
    runAll(
      [
        ["git", "add", "-A"],
        ["git", "commit", "--quiet", "-m", "first"],
        ["git", "push", "--quiet", "-u", "origin", "main"],
      ],
      { cwd: gitTree, env },
    ),
  );
  rmSync(join(micTree, ".mic"), { recursive: true, force: true });
  mic(directory.path, "project", "create", project, "--server", url);
  mic(micTree, "link", `${url}/${project}`, "--at", "0");
  firstLand.mic.push(mic(micTree, "land", "first"));

  const gitClone = at("git-clone");
  const micClone = at("mic-clone");
  warmMemory(directory.path);
  clone.peer.push(git(directory.path, "clone", "--quiet", "--depth", "1", gitUrl(round), gitClone));
  warmMemory(directory.path);
  clone.mic.push(mic(directory.path, "clone", `${url}/${project}`, micClone));
  // What follows needs history on git's side and a trusted index on both.
  rmSync(gitClone, { recursive: true });
  git(directory.path, "clone", "--quiet", gitUrl(round), gitClone);
  for (const [tool, tree] of [
    ["git", gitTree],
    ["git", gitClone],
  ] as const) {
    run([tool, "status", "--porcelain"], { cwd: tree, env });
  }
  for (const tree of [micTree, micClone]) mic(tree, "status");

  changeFiles(gitTree, files, round, CHANGED);
  changeFiles(micTree, files, round, CHANGED);
  land100.peer.push(
    runAll(
      [
        ["git", "add", "-A"],
        ["git", "commit", "--quiet", "-m", "hundred"],
        ["git", "push", "--quiet"],
      ],
      { cwd: gitTree, env },
    ),
  );
  land100.mic.push(mic(micTree, "land", "hundred"));
  sync.peer.push(git(gitClone, "pull", "--quiet"));
  sync.mic.push(mic(micClone, "sync"));
  rmSync(gitClone, { recursive: true });
  rmSync(micClone, { recursive: true });
  rmSync(join(gitServed, `bench-${round}`), { recursive: true });
  console.log(`run ${round + 1} of ${RUNS} done`);
}

const comparisons: Comparison[] = [firstLand, clone, land100, sync];
let missed = report(comparisons, "git");
const clientPeak = Math.max(...comparisons.flatMap(({ mic: runs }) => runs.map((one) => one.peakBytes)));
for (const [who, peak] of [
  ["client", clientPeak],
  ["server", server.peakBytes()],
] as const) {
  const met = peak < PEAK_BYTES_MAX;
  if (!met) missed++;
  console.log(
    `peak memory of the ${who} ${(peak / 1e6).toFixed(0)} MB, bar 500 MB  ${met ? "met" : "MISSED"}`,
  );
}
process.exitCode = missed === 0 ? 0 : 1;
