/**
 * `mic status` with the watcher against `git status` on the same 100,000 files of about 370 MB, in the same run.
 *
 *   npm run bench -- watch [--files 100000] [--runs 15]
 *
 * Prints the ratio of medians and exits 1 when the bar is missed. Every answer is checked to be the watcher's.
 */
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  type Comparison,
  changeFiles,
  type Measured,
  MIC,
  peerEnvironment,
  report,
  run,
  scratch,
} from "./harness.ts";
import { type TreeFile, writeTree } from "./tree.ts";

const { values } = parseArgs({
  options: {
    files: { type: "string", default: "100000" },
    runs: { type: "string", default: "15" },
  },
});
const FILES = Number(values.files);
const RUNS = Number(values.runs);
const BYTES_MEAN = 3700;
const CHANGED = 100;
const BAR = 0.2;

using directory = scratch("watch");
const gitTree = join(directory.path, "git-work");
const micTree = join(directory.path, "mic-work");
const home = join(directory.path, "home");
const env = peerEnvironment(home);

const git = (...args: string[]): Measured => run(["git", ...args], { cwd: gitTree, env });
const mic = (...args: string[]): Measured => run([MIC, ...args], { cwd: micTree, env });

console.log(`writing ${FILES} files…`);
const files = writeTree(gitTree, FILES, BYTES_MEAN);
const bytes = files.reduce((total, file) => total + file.bytes, 0);
cpSync(gitTree, micTree, { recursive: true, preserveTimestamps: true });
console.log(`${FILES} files, ${(bytes / 1e6).toFixed(0)} MB, ${RUNS} runs, ${directory.path}`);
git("init", "--quiet");
git("add", "-A");
git("commit", "--quiet", "-m", "first");
mic("init");
mic("land", "first");
git("status");
const without = mic("status");

const start = mic("watch", "--daemon");
const pid = Number(/"pid":(\d+)/.exec(readFileSync(join(micTree, ".mic/watch"), "utf8"))![1]);
try {
  const comparisons = [compare("clean status"), compareChanged(files)];
  const missed = report(comparisons, "git");
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  console.log(
    `without the watcher ${without.wallMs.toFixed(0)} ms; the watcher is ready after ${start.wallMs.toFixed(0)} ms, its peak is ${Math.round(Number(peak) / 1024)} MiB`,
  );
  process.exitCode = missed === 0 ? 0 : 1;
} finally {
  mic("watch", "--stop");
}

function compare(name: string): Comparison {
  const comparison = { name, bar: BAR, mic: [] as Measured[], peer: [] as Measured[] };
  requireWatcher();
  for (let i = 0; i < RUNS; i++) {
    comparison.peer.push(git("status"));
    comparison.mic.push(mic("status"));
  }
  requireWatcher();
  return comparison;
}

function compareChanged(files: readonly TreeFile[]): Comparison {
  for (const root of [gitTree, micTree]) changeFiles(root, files, 0, CHANGED);
  return compare(`status of ${CHANGED} changed files`);
}

function requireWatcher(): void {
  const { stderr } = Bun.spawnSync([MIC, "status", "--verbose"], {
    cwd: micTree,
    env: { ...process.env, ...env },
  });
  if (!stderr.toString().includes("answered by the watcher")) throw new Error(`not watched: ${stderr}`);
}
