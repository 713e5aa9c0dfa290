/**
 * Kills commands at every single system call that changes something, one run per call, and checks after each
 * that the next command recovers: a landing has one position or none, nothing that was not landed is lost, and
 * the same command finishes what the killed one began. With `--errors` the calls fail instead, as on a device
 * that is full (ENOSPC) or broken (EIO): the command has to say so, and the same has to hold.
 *
 *   npm run test:kill-steps [-- [--errors] [scenario…]]
 *
 * Needs strace. It counts per kind of call (and thread): a first run lists them, then each one is hit by its
 * name and number. Last line: `N passed, N failed`.
 */
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { MIC, scratch } from "../bench/harness.ts";

const CHANGING_CALLS =
  "openat,open,creat,write,pwrite64,writev,pwritev,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,ftruncate,fallocate,fsync,fdatasync,chmod,fchmod,fchmodat,utimensat";
/** Errors that a command has to take from any of these calls. */
const ERRORS = ["ENOSPC", "EIO"];
const RUN_TIMEOUT_MS = 60_000;

using directory = scratch("kill-steps");
const env = {
  ...process.env,
  MIC_HOME: join(directory.path, "home"),
  MIC_AUTHOR: "Writer <writer@example.org>",
};

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(cwd: string, command: readonly string[]): Promise<Run> {
  const child = Bun.spawn([...command], {
    ...{ cwd, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" },
    timeout: RUN_TIMEOUT_MS,
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, stdout, stderr };
}

async function mic(cwd: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(cwd, [MIC, ...args]);
  if (code !== 0) throw new Error(`mic ${args.join(" ")} exited ${code}\n${stdout}${stderr}`);
  return stdout;
}

function write(dir: string, files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content);
}

/** Files of a workspace: name → content. */
function files(dir: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(dir).sort()) {
    if (lstatSync(join(dir, name)).isFile()) found[name] = readFileSync(join(dir, name), "utf8");
  }
  return found;
}

/** `goal|goal`, oldest first. */
async function goals(dir: string): Promise<string> {
  const lines = (await mic(dir, "log", "--json")).split("\n").filter((line) => line !== "");
  const log = lines.map((line) => JSON.parse(line) as { position: number; goal: string });
  return log
    .sort((x, y) => x.position - y.position)
    .map((line) => line.goal)
    .join("|");
}

class Problems {
  readonly found: string[] = [];

  expect(what: string, actual: unknown, expected: unknown): void {
    if (JSON.stringify(actual) !== JSON.stringify(expected)) {
      this.found.push(`${what}: ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`);
    }
  }

  /** Runs a command that has to succeed, or to fail with one of these codes. */
  async expectRun(dir: string, args: readonly string[], ...errors: string[]): Promise<void> {
    const { code, stdout, stderr } = await run(dir, [MIC, "--json", ...args]);
    if (code === 0 || errors.some((error) => stdout.includes(`"code":"${error}"`))) return;
    this.found.push(`${args.join(" ")} exited ${code}: ${stdout}${stderr}`);
  }
}

interface Scenario {
  readonly command: readonly string[];
  /** Makes what the command is run on, below `stage`. Run once, then copied. */
  prepare(stage: string): Promise<void>;
  /** Directory below the stage that the command runs in. */
  readonly cwd: string;
  /** Runs what somebody would run next, and looks at what there is. */
  check(stage: string, problems: Problems): Promise<void>;
}

const numbers = (second: string, ninth: string): string =>
  ["1", second, "3", "4", "5", "6", "7", "8", ninth, "10", ""].join("\n");

/**
 * Two workspaces of one forge. The other one has landed a change that ours has not seen, and ours has changes to
 * land: an edit of other lines of the same file, a new and a deleted file.
 */
async function prepareTwo(stage: string): Promise<void> {
  const [forge, ours] = [join(stage, "forge"), join(stage, "ours")];
  mkdirSync(forge);
  await mic(forge, "init", "--name", "local/steps");
  write(forge, { a: "a 1\n", b: "b 1\n", gone: "gone\n", n: numbers("2", "9"), theirs: "theirs 1\n" });
  await mic(forge, "land", "start");
  await mic(stage, "clone", forge, ours);
  write(ours, { a: "a 2\n", new: "new 1\n" });
  rmSync(join(ours, "b"));
}

async function landTheirs(stage: string, overlapping: boolean): Promise<void> {
  const forge = join(stage, "forge");
  write(forge, {
    theirs: "theirs 2\n",
    ...(overlapping ? { n: numbers("two", "9"), added: "added\n" } : {}),
  });
  if (overlapping) rmSync(join(forge, "gone"));
  await mic(forge, "land", "their change");
}

const MERGED = {
  a: "a 2\n",
  added: "added\n",
  n: numbers("two", "nine"),
  new: "new 1\n",
  theirs: "theirs 2\n",
};

async function prepareOverlap(stage: string): Promise<void> {
  await prepareTwo(stage);
  await landTheirs(stage, true);
  write(join(stage, "ours"), { n: numbers("2", "nine") });
}

async function checkMerged(stage: string, problems: Problems): Promise<void> {
  const ours = join(stage, "ours");
  await problems.expectRun(ours, ["status"]);
  await problems.expectRun(ours, ["sync"]);
  problems.expect("files", files(ours), MERGED);
  await problems.expectRun(ours, ["land", "our change"]);
  await checkLanded(stage, problems, MERGED);
}

async function checkLanded(
  stage: string,
  problems: Problems,
  expected: Readonly<Record<string, string>>,
): Promise<void> {
  const [ours, fresh] = [join(stage, "ours"), join(stage, "fresh")];
  problems.expect("log", await goals(ours), "start|their change|our change");
  await mic(stage, "clone", join(stage, "forge"), fresh);
  problems.expect("files of a fresh clone", files(fresh), expected);
  problems.expect("files", files(ours), expected);
  await problems.expectRun(ours, ["fsck"]);
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  init: {
    command: ["init", "--name", "local/steps"],
    cwd: "new",
    async prepare(stage) {
      mkdirSync(join(stage, "new"));
      write(join(stage, "new"), { a: "a 1\n" });
    },
    async check(stage, problems) {
      const dir = join(stage, "new");
      await problems.expectRun(dir, ["init", "--name", "local/steps"], "already-exists");
      await problems.expectRun(dir, ["land", "first"]);
      problems.expect("log", await goals(dir), "first");
      await problems.expectRun(dir, ["fsck"]);
    },
  },
  land: {
    command: ["land", "our change"],
    cwd: "ours",
    async prepare(stage) {
      await prepareTwo(stage);
      await landTheirs(stage, false);
    },
    async check(stage, problems) {
      const ours = join(stage, "ours");
      await problems.expectRun(ours, ["status"]);
      // Whatever was left: landing again either finds everything landed or lands it now.
      await problems.expectRun(ours, ["land", "our change"], "nothing-to-land");
      await problems.expectRun(ours, ["sync"]);
      const n = numbers("2", "9");
      const expected = { a: "a 2\n", gone: "gone\n", n, new: "new 1\n", theirs: "theirs 2\n" };
      await checkLanded(stage, problems, expected);
    },
  },
  sync: { command: ["sync"], cwd: "ours", prepare: prepareOverlap, check: checkMerged },
  goto: {
    command: ["goto", "1", "--discard"],
    cwd: "ours",
    async prepare(stage) {
      await prepareOverlap(stage);
      await mic(join(stage, "ours"), "sync");
    },
    async check(stage, problems) {
      const ours = join(stage, "ours");
      await problems.expectRun(ours, ["status"]);
      await problems.expectRun(ours, ["goto", "1", "--discard"]);
      const first = { a: "a 1\n", b: "b 1\n", gone: "gone\n", n: numbers("2", "9"), theirs: "theirs 1\n" };
      problems.expect("files at @1", files(ours), first);
      await problems.expectRun(ours, ["undo"]);
      problems.expect("files after undo", files(ours), MERGED);
      await problems.expectRun(ours, ["fsck"]);
    },
  },
  undo: {
    command: ["undo"],
    cwd: "ours",
    async prepare(stage) {
      await prepareOverlap(stage);
      await mic(join(stage, "ours"), "sync");
    },
    check: checkMerged,
  },
  clone: {
    command: ["clone", "../forge", "fresh"],
    cwd: "elsewhere",
    async prepare(stage) {
      mkdirSync(join(stage, "elsewhere"));
      const forge = join(stage, "forge");
      mkdirSync(forge);
      await mic(forge, "init", "--name", "local/steps");
      mkdirSync(join(forge, "d"));
      write(forge, { a: "a\n", b: "b\n", big: "0123456789abcdef\n".repeat(100_000) });
      write(join(forge, "d"), { x: "x\n" });
      await mic(forge, "land", "start");
    },
    async check(stage, problems) {
      const [forge, elsewhere] = [join(stage, "forge"), join(stage, "elsewhere")];
      const fresh = join(elsewhere, "fresh");
      await problems.expectRun(elsewhere, ["clone", "../forge", "fresh"], "already-exists");
      problems.expect("files", files(fresh), files(forge));
      problems.expect("files of d", files(join(fresh, "d")), { x: "x\n" });
      problems.expect("staging", existsSync(join(fresh, ".mic/staging")), false);
      const { position, changes } = JSON.parse(await mic(fresh, "status", "--json"));
      problems.expect("status", { position, changes }, { position: 1, changes: [] });
    },
  },
};

/** Each kind of call with its number, in the order in which the command makes them. */
async function listCalls(scenario: Scenario, stage: string, trace: string): Promise<string[]> {
  const strace = ["strace", "-f", "-qq", "-o", trace, "-e", `trace=${CHANGING_CALLS}`];
  const { code, stdout, stderr } = await run(join(stage, scenario.cwd), [
    ...strace,
    MIC,
    ...scenario.command,
  ]);
  if (code !== 0) throw new Error(`${scenario.command.join(" ")} exited ${code}: ${stdout}${stderr}`);
  const counts = new Map<string, number>();
  const calls = new Set<string>();
  for (const line of readFileSync(trace, "utf8").split("\n")) {
    const match = /^(\d+) +([a-z0-9]+)\((.*)/.exec(line);
    if (match === null) continue;
    const [, thread, name, rest] = match;
    const count = (counts.get(`${thread} ${name}`) ?? 0) + 1;
    counts.set(`${thread} ${name}`, count);
    // Opening for reading changes nothing.
    if (name!.startsWith("open") && !/O_(?:CREAT|WRONLY|RDWR|TRUNC)/.test(rest!)) continue;
    calls.add(`${name}:${count}`);
  }
  return [...calls];
}

interface Tally {
  calls: number;
  passed: number;
  failed: number;
}

async function runScenario(name: string, faults: readonly string[]): Promise<Tally> {
  const scenario = SCENARIOS[name]!;
  const place = join(directory.path, name);
  const [stage, template] = [join(place, "stage"), join(place, "template")];
  // Addresses are absolute: the template is made where its copies will stand.
  mkdirSync(stage, { recursive: true });
  await scenario.prepare(stage);
  cpSync(stage, template, { recursive: true, preserveTimestamps: true });
  const calls = await listCalls(scenario, stage, join(place, "trace"));
  const tally = { calls: calls.length, passed: 0, failed: 0 };
  for (const call of calls) {
    const [kind, number] = call.split(":");
    for (const fault of faults) {
      rmSync(stage, { recursive: true, force: true });
      cpSync(template, stage, { recursive: true, preserveTimestamps: true });
      const inject = `inject=${kind}:${fault}:when=${number}`;
      const strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", `trace=${kind}`, "-e", inject];
      const hit = await run(join(stage, scenario.cwd), [...strace, MIC, ...scenario.command]);
      const problems = new Problems();
      const isCrash = hit.code >= 128 || /^ {4}at /m.test(hit.stderr);
      if (fault.startsWith("error") && isCrash) {
        problems.found.push(`the command crashed (${hit.code}): ${hit.stdout}${hit.stderr}`);
      }
      try {
        await scenario.check(stage, problems);
      } catch (error) {
        problems.found.push(String(error));
      }
      if (problems.found.length === 0) tally.passed++;
      else {
        tally.failed++;
        console.log(`FAILED ${name}, ${fault} at ${kind} number ${number}`);
        for (const problem of problems.found) console.log(`  ${problem}`);
      }
    }
  }
  return tally;
}

if ((await run(directory.path, ["strace", "-V"])).code !== 0) throw new Error("this test needs strace");
const options = process.argv.slice(2);
const withErrors = options.includes("--errors");
const faults = withErrors ? ERRORS.map((error) => `error=${error}`) : ["signal=SIGKILL"];
const chosen = options.filter((option) => option !== "--errors");
const waiting = chosen.length === 0 ? Object.keys(SCENARIOS) : chosen;
const totals = { passed: 0, failed: 0 };

async function work(): Promise<void> {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    const { calls, passed, failed } = await runScenario(name, faults);
    console.log(`${name}: ${faults.join(", ")} at each of ${calls} calls, ${failed} failed`);
    totals.passed += passed;
    totals.failed += failed;
  }
}

await Promise.all(Array.from({ length: Math.min(waiting.length, availableParallelism()) }, work));
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed === 0 ? 0 : 1;
