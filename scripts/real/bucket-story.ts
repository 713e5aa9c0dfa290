/**
 * The story of a bucket: two servers and the command line directly on `s3://`, 64 writers, 1,000 landings, everything
 * through a proxy that drops, delays, duplicates and truncates, the servers and the store killed and restarted throughout.
 *
 * Afterwards, without any of that: the log holds every acknowledged landing at exactly the position that was
 * acknowledged, none that was refused, none twice; positions are dense; the tree of every position is its landings
 * applied in order; all workspaces come to be equal; fsck is clean.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generator, readLines, scratch } from "../bench/harness.ts";
import { type ServedForge, serve } from "../bench/server.ts";
import { auditRoots } from "./audit-roots.ts";
import { type ChaosProxy, describeChaos, startChaosProxy } from "./chaos-proxy.ts";
import type { Checks } from "./checks.ts";
import { setEnvironment } from "./environment.ts";
import { freePort, type ObjectServer, type ObjectServerKind, startObjectServer } from "./object-servers.ts";
import { CONFLICT, expectDone, mic, UNREACHABLE } from "./run-mic.ts";
import { takeSnapshot } from "./snapshot.ts";
import { type StoryAttempt, storyPath } from "./story-attempts.ts";

export interface StoryOptions {
  readonly server: ObjectServerKind;
  readonly seed: number;
  /** Processes of writers behind the servers. */
  readonly processes: number;
  readonly writersPerProcess: number;
  readonly landingsPerWriter: number;
  /** Between two landings of a writer, at most: without it the story is over before a server could be killed twice. */
  readonly pauseMs: number;
  /** Command lines directly on the bucket. */
  readonly commandLines: number;
  readonly landingsPerCommandLine: number;
  /** Part of the requests to the bucket that something happens to. */
  readonly chaosRate: number;
  /** Part of the commands that are killed. */
  readonly killRate: number;
  /** How often a server has to have been killed. */
  readonly killsMin: number;
}

/** 64 writers, 1,000 landings. */
export const STORY: StoryOptions = {
  server: "minio",
  seed: 1,
  processes: 2,
  writersPerProcess: 28,
  landingsPerWriter: 14,
  pauseMs: 3000,
  commandLines: 8,
  landingsPerCommandLine: 27,
  chaosRate: 0.2,
  killRate: 0.15,
  killsMin: 10,
};

const BUCKET = "story";
const PROJECT = "acme/story";
const ADDRESS = `s3://${BUCKET}/${PROJECT}`;
const SERVERS = 2;
const STORE_KILL_EVERY = 4;
const RESTART_ATTEMPTS_MAX = 10;
/** Positions at which a clone is compared file by file. */
const CLONES = 5;

export async function bucketStory(checks: Checks, options: StoryOptions): Promise<void> {
  using directory = scratch("story");
  const home = join(directory.path, "home");
  await using store = await startObjectServer(options.server);
  await store.makeBucket(BUCKET);
  await using proxy = await startChaosProxy({ targetPort: store.port, seed: options.seed, rate: 0 });
  using _environment = setEnvironment(store.environment(BUCKET, proxy.url));
  const servers = await Promise.all(
    Array.from({ length: SERVERS }, (_, i) => KillableServer.start(join(directory.path, `server-${i}`))),
  );
  await using _servers = { [Symbol.asyncDispose]: () => endAll(servers) };
  {
    using _token = setEnvironment(servers[0]!.env);
    await expectDone(directory.path, ["project", "create", PROJECT, "--server", servers[0]!.url], home);
  }
  const workspaces = Array.from({ length: options.commandLines }, (_, i) =>
    join(directory.path, `writer-${i}`),
  );
  for (const workspace of workspaces) await expectDone(directory.path, ["clone", ADDRESS, workspace], home);

  const attempts = await work(checks, options, servers, workspaces, home, proxy, store);
  proxy.setRate(0);
  using _direct = setEnvironment(store.environment(BUCKET));
  await audit(checks, options, attempts, workspaces, directory.path, home, store);
}

async function work(
  checks: Checks,
  options: StoryOptions,
  servers: readonly KillableServer[],
  workspaces: readonly string[],
  home: string,
  proxy: ChaosProxy,
  store: ObjectServer,
): Promise<StoryAttempt[]> {
  const random = generator(options.seed + 1);
  const attempts: StoryAttempt[] = [];
  const began = performance.now();
  proxy.setRate(options.chaosRate);
  let finished = false;
  const reaper = reap(servers, store, () => finished, random);
  const working = [
    ...Array.from({ length: options.processes }, (_, i) => runWriters(`p${i}`, options, servers, attempts)),
    ...workspaces.map((workspace, i) => commandLine(i, workspace, home, options, random, attempts)),
  ];
  const settled = await Promise.allSettled(working);
  finished = true;
  const kills = await reaper;
  for (const result of settled) {
    if (result.status === "rejected") checks.fail("every writer came to its end", String(result.reason));
  }
  const seconds = (performance.now() - began) / 1000;
  const count = (kind: StoryAttempt["fate"]["kind"]): number =>
    attempts.filter(({ fate }) => fate.kind === kind).length;
  console.log(
    `${attempts.length} attempts in ${seconds.toFixed(0)} s: ${count("landed")} landed, ${count("refused")} refused, ${count("unknown")} unknown; ${attempts.filter(({ failures }) => failures > 0).length} had to be asked for again; servers killed ${kills.length} times, back after ${describeTimes(kills)}`,
  );
  for (const line of describeChaos(proxy)) console.log(line);
  const { processes, writersPerProcess, landingsPerWriter, commandLines, landingsPerCommandLine } = options;
  const wanted = processes * writersPerProcess * landingsPerWriter + commandLines * landingsPerCommandLine;
  checks.expect(`${wanted} landings were acknowledged`, count("landed"), wanted);
  checks.expect("servers were killed throughout", kills.length >= options.killsMin, true);
  return attempts;
}

function describeTimes(ms: number[]): string {
  ms.sort((a, b) => a - b);
  const at = (part: number): string => `${((ms[Math.floor(ms.length * part)] ?? 0) / 1000).toFixed(1)} s`;
  return `${at(0.5)}, at most ${at(0.999)}`;
}

/** Kills one server after the other and starts it again, the store every few times as well. Returns how many milliseconds each took to come back. */
async function reap(
  servers: readonly KillableServer[],
  store: ObjectServer,
  finished: () => boolean,
  random: () => number,
): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; !finished(); i++) {
    await Bun.sleep(1000 + random() * 3000);
    if (finished()) break;
    if (i % STORE_KILL_EVERY === STORE_KILL_EVERY - 1) await store.killAndRestart();
    times.push(await servers[i % servers.length]!.killAndRestart());
  }
  return times;
}

class KillableServer {
  readonly #data: string;
  readonly #port: number;
  #server: ServedForge;

  private constructor(data: string, port: number, server: ServedForge) {
    this.#data = data;
    this.#port = port;
    this.#server = server;
  }

  static async start(data: string): Promise<KillableServer> {
    const port = await freePort();
    return new KillableServer(data, port, await serveBucket(data, port));
  }

  get url(): string {
    return this.#server.url;
  }
  get token(): string {
    return this.#server.token;
  }
  get env(): Readonly<Record<string, string>> {
    return this.#server.env;
  }

  async killAndRestart(): Promise<number> {
    await this.#server.kill();
    const began = performance.now();
    for (let attempt = 1; ; attempt++) {
      try {
        this.#server = await serveBucket(this.#data, this.#port);
        return performance.now() - began;
      } catch (error) {
        // As whatever supervises it would: the bucket may be out of reach just now.
        if (attempt === RESTART_ATTEMPTS_MAX) throw error;
      }
    }
  }

  end(): Promise<void> {
    return this.#server.kill();
  }
}

function serveBucket(data: string, port: number): Promise<ServedForge> {
  return serve({ data, port, flags: ["--s3-bucket", BUCKET] });
}

async function endAll(servers: readonly KillableServer[]): Promise<void> {
  for (const server of servers) await server.end();
}

async function runWriters(
  name: string,
  { writersPerProcess, landingsPerWriter, pauseMs }: StoryOptions,
  servers: readonly KillableServer[],
  attempts: StoryAttempt[],
): Promise<void> {
  const child = Bun.spawn(
    [
      process.execPath,
      join(import.meta.dirname, "story-writers.ts"),
      ...[
        name,
        String(writersPerProcess),
        String(landingsPerWriter),
        String(pauseMs),
        PROJECT,
        servers[0]!.token,
      ],
      ...servers.map(({ url }) => url),
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const errors = new Response(child.stderr).text();
  for await (const line of readLines(child.stdout)) attempts.push(JSON.parse(line) as StoryAttempt);
  const code = await child.exited;
  if (code !== 0) throw new Error(`the writers ${name} ended with ${code}: ${(await errors).slice(-2000)}`);
}

/** One writer that calls the command line for each landing, directly on the bucket. */
async function commandLine(
  index: number,
  workspace: string,
  home: string,
  { landingsPerCommandLine, killRate }: StoryOptions,
  random: () => number,
  attempts: StoryAttempt[],
): Promise<void> {
  let landed = 0;
  for (let k = 0; landed < landingsPerCommandLine; k++) {
    const goal = `command line ${index} landing ${k}`;
    const path = storyPath(`cli-${index}`, index, k);
    mkdirSync(join(workspace, path, ".."), { recursive: true });
    writeFileSync(join(workspace, path), `${goal}\n`);
    const killAfterMs = random() < killRate ? 5 + random() * 400 : undefined;
    const run = await mic(workspace, ["land", goal, "--json"], home, killAfterMs);
    if (run.code === 0) {
      landed++;
      const position = JSON.parse(run.stdout).position as number;
      attempts.push({ goal, path, fate: { kind: "landed", position }, failures: 0 });
      continue;
    }
    const isUnknown = run.killed || run.code === UNREACHABLE;
    if (!isUnknown && run.code !== CONFLICT) {
      throw new Error(`${goal} exited ${run.code}\n${run.stdout}\n${run.stderr}`);
    }
    attempts.push({ goal, path, fate: { kind: isUnknown ? "unknown" : "refused" }, failures: 0 });
    await settle(workspace, home);
    // What was not landed is given up, so that it is not landed by the next one.
    if (isUnknown) await expectDone(workspace, ["goto", "@latest", "--discard"], home);
  }
}

async function settle(workspace: string, home: string): Promise<void> {
  await expectDone(workspace, ["sync"], home, [0, CONFLICT]);
  await expectDone(workspace, ["resolve", "--theirs"], home);
}

interface LogLine {
  readonly position: number;
  readonly goal: string;
}

async function audit(
  checks: Checks,
  { seed }: StoryOptions,
  attempts: readonly StoryAttempt[],
  workspaces: readonly string[],
  directory: string,
  home: string,
  store: ObjectServer,
): Promise<void> {
  const fresh = join(directory, "fresh");
  await expectDone(directory, ["clone", ADDRESS, fresh], home);
  const text = (await expectDone(fresh, ["log", "--json"], home)).stdout;
  const log = text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as LogLine)
    .sort((a, b) => a.position - b.position);
  none(
    checks,
    "positions are dense",
    log.flatMap(({ position }, i) => (position === i + 1 ? [] : [`${position} at place ${i + 1}`])),
  );
  none(
    checks,
    "every attempt has the position that it was told, or none, and never two",
    misplaced(attempts, log),
  );
  none(
    checks,
    "the tree of every position is its landings applied in order",
    await auditRoots(store, BUCKET, PROJECT, attempts),
  );

  const random = generator(seed + 2);
  const unequal: string[] = [];
  const chosen = Array.from({ length: CLONES - 1 }, () => 1 + Math.floor(random() * log.length));
  for (const position of new Set([...chosen, log.length])) {
    const clone = join(directory, `at-${position}`);
    await expectDone(directory, ["clone", ADDRESS, clone, "--at", String(position)], home);
    unequal.push(...differences(clone, expectedFiles(log.slice(0, position), attempts)));
  }
  none(checks, `clones at ${CLONES} positions hold what was landed until then`, unequal);

  const reference = [...takeSnapshot(fresh, () => false)].sort().join("\n");
  const stragglers: string[] = [];
  for (const workspace of workspaces) {
    await settle(workspace, home);
    await expectDone(workspace, ["goto", "@latest", "--discard"], home);
    if ([...takeSnapshot(workspace, () => false)].sort().join("\n") !== reference) stragglers.push(workspace);
    const status = JSON.parse((await expectDone(workspace, ["status", "--json"], home)).stdout);
    if (status.pending !== null && status.pending !== false)
      stragglers.push(`${workspace} has a pending landing`);
  }
  none(checks, "workspaces are equal after a sync, with nothing pending", stragglers);
  const stat = JSON.parse((await expectDone(fresh, ["storage", "stat", "--json"], home)).stdout) as {
    readonly byKind: readonly { readonly kind: string; readonly objects: number }[];
  };
  console.log(`in the bucket: ${stat.byKind.map(({ kind, objects }) => `${kind} ${objects}`).join(", ")}`);
  const collected = JSON.parse((await expectDone(fresh, ["gc", "--json"], home)).stdout);
  console.log(
    `for the collector (what merged packs replaced, and what lost a race or was killed): ${collected.unreferenced}`,
  );
  checks.expect("the collector deletes nothing that is young", collected.deleted, 0);
  const fsck = await mic(fresh, ["fsck", "--json"], home);
  none(checks, "fsck is clean", fsck.code === 0 ? [] : [fsck.stdout, fsck.stderr]);
}

function none(checks: Checks, name: string, problems: readonly string[]): void {
  if (problems.length > 0) checks.fail(name, problems.join("\n"));
  else checks.expect(name, true, true);
}

function misplaced(attempts: readonly StoryAttempt[], log: readonly LogLine[]): string[] {
  const placesOf = new Map<string, number[]>();
  for (const { goal, position } of log) placesOf.set(goal, [...(placesOf.get(goal) ?? []), position]);
  const problems: string[] = [];
  for (const { goal, fate } of attempts) {
    const places = placesOf.get(goal) ?? [];
    placesOf.delete(goal);
    if (fate.kind === "landed" && (places.length !== 1 || places[0] !== fate.position)) {
      problems.push(`${goal}: acknowledged @${fate.position}, in the log at [${places}]`);
    }
    if (fate.kind === "refused" && places.length !== 0) problems.push(`${goal}: refused, yet at [${places}]`);
    if (places.length > 1) problems.push(`${goal}: twice, at [${places}]`);
  }
  for (const [goal, places] of placesOf)
    problems.push(`${goal}: in the log at [${places}], asked for by nobody`);
  return problems;
}

function expectedFiles(log: readonly LogLine[], attempts: readonly StoryAttempt[]): Map<string, string> {
  const pathOf = new Map(attempts.map(({ goal, path }) => [goal, path]));
  return new Map(log.map(({ goal }) => [pathOf.get(goal) ?? goal, `${goal}\n`]));
}

function differences(directory: string, expected: ReadonlyMap<string, string>): string[] {
  const snapshot = takeSnapshot(directory, () => false);
  const problems = [...snapshot.keys()]
    .filter((path) => !expected.has(path))
    .map((path) => `${directory}: ${path} is there`);
  for (const [path, content] of expected) {
    const found = snapshot.has(path) ? readFileSync(join(directory, path), "utf8") : undefined;
    if (found !== content) problems.push(`${directory}: ${path} holds ${found}, expected ${content}`);
  }
  return problems;
}
