/**
 * Many processes landing to one project through the binary: calmly, while being killed, and through a server that
 * is killed and restarted meanwhile.
 *
 *   npm run test:concurrency [-- --writers 8 --landings 50 --kills 100 --restarts 3]
 *
 * Half of the landings touch a path of their own, half one of five shared paths. Afterwards the log must hold
 * every acknowledged landing at exactly the position that was acknowledged, no refused landing, no landing
 * twice, positions without a gap, and a tree that is the landings applied in order. Last line:
 * `N passed, N failed`.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { generator, scratch } from "../bench/harness.ts";
import { type ServedForge, serve } from "../bench/server.ts";
import { CONFLICT, expectDone, mic, UNREACHABLE } from "./run-mic.ts";
import { takeSnapshot } from "./snapshot.ts";

const { values } = parseArgs({
  options: {
    writers: { type: "string", default: "8" },
    landings: { type: "string", default: "50" },
    kills: { type: "string", default: "100" },
    restarts: { type: "string", default: "3" },
    seed: { type: "string", default: "1" },
  },
});
const WRITERS = Number(values.writers);
const LANDINGS = Number(values.landings);
const KILLS = Number(values.kills);
const RESTARTS = Number(values.restarts);
const SHARED_PATHS = 5;
let passed = 0;
let failed = 0;
function check(name: string, problems: readonly string[]): void {
  if (problems.length === 0) {
    passed++;
    console.log(`ok      ${name}`);
    return;
  }
  failed++;
  console.log(`FAILED  ${name}`);
  for (const line of problems.slice(0, 10)) console.log(`        ${line}`);
}

type Fate =
  | { readonly kind: "landed"; readonly position: number }
  | { readonly kind: "refused" }
  | { readonly kind: "killed" }
  /** The server did not answer: landed or not, the next command settles it. */
  | { readonly kind: "unknown" };

interface Attempt {
  readonly goal: string;
  readonly path: string;
  readonly fate: Fate;
}

/** Decides, before each `land`, whether and after how many milliseconds to kill it. */
type Executioner = () => number | undefined;

async function writer(
  index: number,
  workspace: string,
  home: string,
  executioner: Executioner,
): Promise<Attempt[]> {
  const attempts: Attempt[] = [];
  for (let k = 0; k < LANDINGS; k++) {
    const goal = `writer ${index} landing ${k}`;
    const shared = k % 2 === 1;
    const path = shared ? `shared/${(k + index) % SHARED_PATHS}` : `own/${index}/${k}`;
    mkdirSync(join(workspace, path, ".."), { recursive: true });
    writeFileSync(join(workspace, path), `${goal}\n`);
    const run = await mic(workspace, ["land", goal, "--json"], home, executioner());
    if (run.code === 0) {
      attempts.push({ goal, path, fate: { kind: "landed", position: JSON.parse(run.stdout).position } });
    } else if (run.code === CONFLICT) {
      attempts.push({ goal, path, fate: { kind: "refused" } });
      // Take what the others landed; the next round writes this writer's own words again.
      await expectDone(workspace, ["sync"], home, [0, CONFLICT]);
      await expectDone(workspace, ["resolve", "--theirs"], home);
    } else if (run.killed || run.code === UNREACHABLE) {
      attempts.push({ goal, path, fate: { kind: run.killed ? "killed" : "unknown" } });
      await expectDone(workspace, ["sync"], home, [0, CONFLICT]);
      await expectDone(workspace, ["resolve", "--theirs"], home, [0]);
      await expectDone(workspace, ["goto", "@latest", "--discard"], home);
    } else {
      throw new Error(`${goal} exited ${run.code}\n${run.stdout}\n${run.stderr}`);
    }
  }
  return attempts;
}

interface LogLine {
  readonly position: number;
  readonly goal: string;
}

function auditLog(attempts: readonly Attempt[], log: readonly LogLine[]): void {
  const positions = log.map((line) => line.position).sort((a, b) => a - b);
  check(
    "positions are dense",
    positions.flatMap((position, index) =>
      position === index + 1 ? [] : [`${position} at place ${index + 1}`],
    ),
  );
  const placesOf = new Map<string, number[]>();
  for (const { goal, position } of log) placesOf.set(goal, [...(placesOf.get(goal) ?? []), position]);
  const problems: string[] = [];
  for (const { goal, fate } of attempts) {
    const places = placesOf.get(goal) ?? [];
    if (fate.kind === "landed" && (places.length !== 1 || places[0] !== fate.position)) {
      problems.push(`${goal}: acknowledged @${fate.position}, in the log at [${places}]`);
    }
    if (fate.kind === "refused" && places.length !== 0) problems.push(`${goal}: refused, yet at [${places}]`);
    if ((fate.kind === "killed" || fate.kind === "unknown") && places.length > 1)
      problems.push(`${goal}: ${fate.kind}, twice at [${places}]`);
  }
  check("every acknowledged landing has exactly one position and no refused one has any", problems);
}

/** Where the writers land. */
interface Place extends AsyncDisposable {
  /** What `mic clone` takes. */
  readonly address: string;
  /** Called while the writers work; resolves when it has done its harm. */
  disturb(finished: () => boolean): Promise<void>;
}

type MakePlace = (directory: string, home: string) => Promise<Place>;

const inDirectory: MakePlace = async (directory, home) => {
  const forge = join(directory, "forge");
  mkdirSync(forge);
  await expectDone(forge, ["init", "--name", "local/shared"], home);
  return { address: forge, disturb: async () => undefined, [Symbol.asyncDispose]: async () => undefined };
};

/** A server that is killed, and once stopped in peace, every so often, and started again on its port. */
function behindServer(restarts: number): MakePlace {
  return async (directory, home) => {
    const data = join(directory, "data");
    let server: ServedForge = await serve({ data });
    const { url, env } = server;
    const port = Number(new URL(url).port);
    Object.assign(process.env, env);
    await expectDone(directory, ["project", "create", "local/shared", "--server", url], home);
    return {
      address: `${url}/local/shared`,
      disturb: async (finished) => {
        let done = 0;
        for (; done < restarts && !finished(); done++) {
          await Bun.sleep(1500 + random() * 2500);
          if (done === 1) await server.stop();
          else await server.kill();
          await Bun.sleep(200);
          server = await serve({ data, port });
        }
        check(`the server was restarted ${restarts} times`, done >= restarts ? [] : [`${done}`]);
      },
      [Symbol.asyncDispose]: async () => {
        for (const name of Object.keys(env)) delete process.env[name];
        await server[Symbol.asyncDispose]();
      },
    };
  };
}

async function story(
  name: string,
  executioner: Executioner,
  makePlace: MakePlace = inDirectory,
): Promise<{ attempts: Attempt[]; kills: number }> {
  using directory = scratch("concurrency");
  const home = join(directory.path, "home");
  await using place = await makePlace(directory.path, home);
  const forge = place.address;
  const workspaces = Array.from({ length: WRITERS }, (_, i) => join(directory.path, `writer-${i}`));
  for (const workspace of workspaces) await expectDone(directory.path, ["clone", forge, workspace], home);

  const started = performance.now();
  let finished = false;
  const disturbed = place.disturb(() => finished);
  const perWriter = await Promise.all(
    workspaces.map((workspace, i) => writer(i, workspace, home, executioner)),
  );
  finished = true;
  await disturbed;
  const seconds = (performance.now() - started) / 1000;
  const attempts = perWriter.flat();
  const count = (kind: Fate["kind"]): number =>
    attempts.filter((attempt) => attempt.fate.kind === kind).length;
  console.log(
    `${name}: ${attempts.length} attempts in ${seconds.toFixed(1)} s: ${count("landed")} landed, ${count("refused")} refused, ${count("killed")} killed, ${count("unknown")} unknown`,
  );

  const fresh = join(directory.path, "fresh");
  await expectDone(directory.path, ["clone", forge, fresh], home);
  const logText = (await expectDone(fresh, ["log", "--json"], home)).stdout;
  const log: LogLine[] = logText
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
  auditLog(attempts, log);

  const pathOf = new Map(attempts.map((attempt) => [attempt.goal, attempt.path]));
  const expected = new Map<string, string>();
  for (const line of [...log].sort((a, b) => a.position - b.position))
    expected.set(pathOf.get(line.goal)!, `${line.goal}\n`);
  const snapshot = takeSnapshot(fresh, () => false);
  const problems: string[] = [];
  if (snapshot.size !== expected.size) problems.push(`${snapshot.size} files, expected ${expected.size}`);
  for (const [path, content] of expected) {
    const found = snapshot.has(path) ? readFileSync(join(fresh, path), "utf8") : undefined;
    if (found !== content)
      problems.push(`${path}: expected ${JSON.stringify(content)}, found ${JSON.stringify(found)}`);
  }
  check("the tree is the landings applied in order", problems);

  const reference = [...snapshot].sort().join("\n");
  const unequal: string[] = [];
  for (const workspace of workspaces) {
    await expectDone(workspace, ["sync"], home, [0, CONFLICT]);
    await expectDone(workspace, ["resolve", "--theirs"], home);
    await expectDone(workspace, ["goto", "@latest", "--discard"], home);
    if ([...takeSnapshot(workspace, () => false)].sort().join("\n") !== reference) unequal.push(workspace);
  }
  check("all workspaces are equal after a sync", unequal);

  const fsck = await mic(fresh, ["fsck", "--json"], home);
  check("fsck is clean", fsck.code === 0 ? [] : [fsck.stdout, fsck.stderr]);
  return { attempts, kills: count("killed") };
}

const random = generator(Number(values.seed));
/** Between process start and a little after a usual landing ends, so that every phase is hit. */
const killHalf: Executioner = () => (random() < 0.5 ? 5 + random() * 200 : undefined);

await story("calm", () => undefined);

let kills = 0;
for (let round = 1; kills < KILLS && round <= 10; round++) {
  kills += (await story(`killed, round ${round}`, killHalf)).kills;
}
check(`at least ${KILLS} processes were killed while landing`, kills >= KILLS ? [] : [`${kills}`]);

if (RESTARTS > 0) await story("through a server, killed and restarted", killHalf, behindServer(RESTARTS));

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
