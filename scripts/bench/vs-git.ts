/**
 * mic against git on the same work, in the same run, in memory: 100,000 files of about 370 MB.
 *
 *   npm run bench -- vs-git [--files 100000] [--runs 5]
 *
 * Prints the ratio of medians for each step and exits 1 when a bar is missed.
 */
import { cpSync, rmSync } from "node:fs";
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
  runAll,
  scratch,
  warmMemory,
} from "./harness.ts";
import { writeTree } from "./tree.ts";

const { values } = parseArgs({
  options: {
    files: { type: "string", default: "100000" },
    runs: { type: "string", default: "5" },
  },
});
const FILES = Number(values.files);
const RUNS = Number(values.runs);
const BYTES_MEAN = 3700;
const CHANGED = 100;
const PEAK_BYTES_MAX = 500 * 1000 * 1000;

using directory = scratch("vs-git");
const gitTree = join(directory.path, "git-work");
const micTree = join(directory.path, "mic-work");
const home = join(directory.path, "home");
const env = peerEnvironment(home);

const git = (cwd: string, ...args: string[]): Measured => run(["git", ...args], { cwd, env });
const mic = (cwd: string, ...args: string[]): Measured => run([MIC, ...args], { cwd, env });

console.log(`writing ${FILES} files…`);
const files = writeTree(gitTree, FILES, BYTES_MEAN);
const bytes = files.reduce((total, file) => total + file.bytes, 0);
cpSync(gitTree, micTree, { recursive: true, preserveTimestamps: true });
console.log(`${FILES} files, ${(bytes / 1e6).toFixed(0)} MB, ${RUNS} runs, ${directory.path}`);

interface Step {
  readonly name: string;
  readonly bar: number;
  readonly mic: Measured[];
  readonly peer: Measured[];
}
const step = (name: string, bar: number): Step => ({ name, bar, mic: [], peer: [] });
const firstLand = step("first land", 0.25);
const clone = step("clone from the directory", 0.25);
const status = step("clean status", 1.0);
const land100 = step(`land ${CHANGED} changed files`, 0.7);
const back = step("goto the previous position", 0.7);

for (let round = 0; round < RUNS; round++) {
  rmSync(join(gitTree, ".git"), { recursive: true, force: true });
  git(gitTree, "init", "--quiet");
  firstLand.peer.push(
    runAll(
      [
        ["git", "add", "-A"],
        ["git", "commit", "--quiet", "-m", "first"],
      ],
      { cwd: gitTree, env },
    ),
  );
  rmSync(join(micTree, ".mic"), { recursive: true, force: true });
  mic(micTree, "init", "--name", "local/bench");
  firstLand.mic.push(mic(micTree, "land", "first"));

  git(gitTree, "repack", "-a", "-d", "--quiet");
  const gitClone = join(directory.path, "git-clone");
  const micClone = join(directory.path, "mic-clone");
  warmMemory(directory.path);
  clone.peer.push(git(directory.path, "clone", "--quiet", "--no-local", gitTree, gitClone));
  warmMemory(directory.path);
  clone.mic.push(mic(directory.path, "clone", micTree, micClone));
  rmSync(gitClone, { recursive: true });
  rmSync(micClone, { recursive: true });

  // The first status after a land refreshes what was too fresh to trust, for both.
  git(gitTree, "status", "--porcelain");
  mic(micTree, "status");
  for (let i = 0; i < 3; i++) {
    status.peer.push(git(gitTree, "status", "--porcelain"));
    status.mic.push(mic(micTree, "status"));
  }

  changeFiles(gitTree, files, round, CHANGED);
  changeFiles(micTree, files, round, CHANGED);
  land100.peer.push(
    runAll(
      [
        ["git", "add", "-A"],
        ["git", "commit", "--quiet", "-m", "hundred"],
      ],
      { cwd: gitTree, env },
    ),
  );
  land100.mic.push(mic(micTree, "land", "hundred"));

  back.peer.push(git(gitTree, "checkout", "--quiet", "HEAD~1"));
  back.mic.push(mic(micTree, "goto", "@latest~1"));
  git(gitTree, "checkout", "--quiet", "-");
  mic(micTree, "goto", "@latest");
  console.log(`run ${round + 1} of ${RUNS} done`);
}

const comparisons: Comparison[] = [firstLand, clone, status, land100, back];
let missed = report(comparisons, "git");
const peak = Math.max(...comparisons.flatMap((comparison) => comparison.mic.map((one) => one.peakBytes)));
console.log(
  `peak memory ${(peak / 1e6).toFixed(0)} MB, bar 500 MB  ${peak < PEAK_BYTES_MAX ? "met" : "MISSED"}`,
);
if (peak >= PEAK_BYTES_MAX) missed++;
process.exitCode = missed === 0 ? 0 : 1;
