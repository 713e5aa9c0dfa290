/**
 * Kills `mic land` at every single system call that changes something, one run per call, and checks after each
 * that the next command recovers: the landing has one position or none, and nobody's change is reverted.
 *
 *   npm run test:kill-steps
 *
 * Needs strace, whose fault injection delivers SIGKILL at the N-th call. Last line: `N passed, N failed`.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MIC, scratch } from "../bench/harness.ts";

const CHANGING_CALLS =
  "openat,open,creat,write,pwrite64,writev,pwritev,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,ftruncate,fallocate,fsync,fdatasync,chmod,fchmod,fchmodat,utimensat";

let passed = 0;
let failed = 0;

using directory = scratch("kill-steps");
const home = join(directory.path, "home");
const env = { ...process.env, MIC_HOME: home, MIC_AUTHOR: "Writer <writer@example.org>" };

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(cwd: string, command: readonly string[]): Run {
  const child = Bun.spawnSync([...command], { cwd, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  return { code: child.exitCode, stdout: child.stdout.toString(), stderr: child.stderr.toString() };
}

function mic(cwd: string, ...args: string[]): string {
  const result = run(cwd, [MIC, ...args]);
  if (result.code !== 0)
    throw new Error(`mic ${args.join(" ")} exited ${result.code}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

/**
 * Two workspaces of one forge. The other one has landed a change that ours has not seen, and ours has two
 * changed files and a new one to land: landing also has to bring the other's change in.
 */
const template = join(directory.path, "template");
mkdirSync(join(template, "forge"), { recursive: true });
mic(join(template, "forge"), "init", "--name", "local/steps");
writeFileSync(join(template, "forge/a"), "a 1\n");
writeFileSync(join(template, "forge/b"), "b 1\n");
writeFileSync(join(template, "forge/theirs"), "theirs 1\n");
mic(join(template, "forge"), "land", "start");
const stage = join(directory.path, "stage");

function prepare(): string {
  rmSync(stage, { recursive: true, force: true });
  cpSync(template, stage, { recursive: true, preserveTimestamps: true });
  const ours = join(stage, "ours");
  mic(stage, "clone", join(stage, "forge"), ours);
  writeFileSync(join(stage, "forge/theirs"), "theirs 2\n");
  mic(join(stage, "forge"), "land", "their change");
  writeFileSync(join(ours, "a"), "a 2\n");
  writeFileSync(join(ours, "new"), "new 1\n");
  rmSync(join(ours, "b"));
  return ours;
}

function problemsAfterKill(ours: string): string[] {
  const problems: string[] = [];
  const status = run(ours, [MIC, "status", "--json"]);
  if (status.code !== 0) problems.push(`status exited ${status.code}: ${status.stdout}${status.stderr}`);
  // Whatever the kill left: landing again either finds everything landed or lands it now.
  const again = run(ours, [MIC, "land", "our change", "--json"]);
  const nothingLeft = again.code === 1 && again.stdout.includes("nothing-to-land");
  if (again.code !== 0 && !nothingLeft)
    problems.push(`land exited ${again.code}: ${again.stdout}${again.stderr}`);
  mic(ours, "sync");
  const log = mic(ours, "log", "--json")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { position: number; goal: string });
  const goals = log.sort((x, y) => x.position - y.position).map((line) => line.goal);
  if (goals.join("|") !== "start|their change|our change") problems.push(`log is ${goals.join("|")}`);
  const fresh = join(stage, "fresh");
  mic(stage, "clone", join(stage, "forge"), fresh);
  for (const workspace of [ours, fresh]) {
    const content = (name: string): string | undefined => {
      try {
        return readFileSync(join(workspace, name), "utf8");
      } catch {
        return undefined;
      }
    };
    const found = ["a", "b", "new", "theirs"].map((name) => `${name}=${content(name)}`).join("|");
    if (found !== "a=a 2\n|b=undefined|new=new 1\n|theirs=theirs 2\n")
      problems.push(`${workspace}: ${JSON.stringify(found)}`);
  }
  const fsck = run(ours, [MIC, "fsck", "--json"]);
  if (fsck.code !== 0) problems.push(`fsck: ${fsck.stdout}${fsck.stderr}`);
  return problems;
}

if (run(directory.path, ["strace", "-V"]).code !== 0) throw new Error("this test needs strace");

let calls = 0;
for (let step = 1; ; step++) {
  const ours = prepare();
  const killed = run(ours, [
    "strace",
    "-f",
    "-qq",
    "-o",
    "/dev/null",
    "-e",
    `trace=${CHANGING_CALLS}`,
    "-e",
    `inject=${CHANGING_CALLS}:signal=SIGKILL:when=${step}`,
    MIC,
    "land",
    "our change",
  ]);
  const problems = problemsAfterKill(ours);
  if (problems.length === 0) passed++;
  else {
    failed++;
    console.log(`FAILED killed at call ${step}`);
    for (const problem of problems) console.log(`  ${problem}`);
  }
  calls = step;
  if (killed.code === 0) break;
}
console.log(`killed at each of ${calls - 1} calls`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
