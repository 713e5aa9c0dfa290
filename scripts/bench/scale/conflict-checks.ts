/**
 * `bun conflict-checks.ts DIRECTORY LANDINGS`: what it costs to find out, exactly, which of 100 paths others changed
 * since a base far back: 10 were, 90 were not, in directories where much else was. Prints ConflictCosts as JSON. It
 * is a process of its own for each log: what wrote gigabytes before is another process than what is measured.
 */
import type { ObjectId, Position } from "../../../src/core/base/ids.ts";
import { comparePaths } from "../../../src/core/base/path.ts";
import { systemClock } from "../../../src/core/base/system.ts";
import type { Operation } from "../../../src/core/forge/forge.ts";
import { findConflicts } from "../../../src/core/forge/landing/conflicts.ts";
import type { ProjectStore } from "../../../src/core/forge/project-store.ts";
import { CountingStore } from "../../../src/core/store/counting-store.ts";
import { openLocalStore } from "../../../src/core/store/local-store.ts";
import { generator, percentiles } from "../harness.ts";
import { FILES, landingAt, openProject, quietPath, touchedPath } from "./synthetic-log.ts";

const PATHS = 100;
const CHANGED = 10;
const COLD_READERS = 10;
/** Not measured: until then the engine is still compiling what runs. */
const WARMING_CHECKS = 1500;
const WARM_CHECKS = 500;
/** A check through as many rollups as there can be takes long enough to be steady sooner. */
const WARMING_MS_MAX = 5000;

export interface ConflictCosts {
  readonly landings: number;
  /** Rollups in the head, and landings after them. */
  readonly rollups: number;
  readonly tail: number;
  /** Requests and bytes of a process that has nothing, head included. */
  readonly coldRequests: number;
  readonly coldBytes: number;
  /** Of a process that has asked before: the same paths again, and paths that are new to it, in milliseconds. */
  readonly warm: { readonly p50: number; readonly p99: number };
  readonly otherPaths: { readonly p50: number; readonly p99: number; readonly requests: number };
}

interface Question {
  readonly operations: readonly Operation[];
  readonly expected: readonly string[];
}

/** Paths of which others changed some in (0, landings]. */
function question(landings: number, seed: number): Question {
  const random = generator(seed);
  const changed = new Set<string>();
  while (changed.size < CHANGED) {
    const { files } = landingAt(1 + Math.floor(random() * landings));
    changed.add(touchedPath(files[0]!));
  }
  const paths = new Set(changed);
  while (paths.size < PATHS) paths.add(quietPath(Math.floor(random() * FILES)));
  const entry = { kind: "file", size: 5, id: "5".repeat(64) as ObjectId } as const;
  const operations = [...paths].sort(comparePaths).map((path): Operation => {
    return { kind: "put", path: path as ReturnType<typeof touchedPath>, entry, hint: 0 };
  });
  return { operations, expected: [...changed].sort(comparePaths) };
}

async function check(project: ProjectStore, { operations, expected }: Question): Promise<number> {
  const snapshot = await project.snapshot();
  const began = performance.now();
  const found = await findConflicts(snapshot, operations, 0 as Position);
  const took = performance.now() - began;
  if (found.join() !== expected.join())
    throw new Error(`found ${found.length} conflicts: ${found.slice(0, 3)}`);
  if (snapshot.rollups.fallbacks > 0) throw new Error("a rollup was passed over");
  return took;
}

/** Costs of conflict checks from the beginning of a log. */
export function measureChecks(directory: string, landings: number): ConflictCosts {
  const command = [process.execPath, import.meta.filename, directory, String(landings)];
  const child = Bun.spawnSync(command, { stdout: "pipe", stderr: "inherit" });
  if (child.exitCode !== 0) throw new Error(`${command.join(" ")} exited ${child.exitCode}`);
  return JSON.parse(child.stdout.toString()) as ConflictCosts;
}

async function measure(directory: string, landings: number): Promise<ConflictCosts> {
  await using inner = await openLocalStore(directory, { clock: systemClock, create: false });
  const store = new CountingStore(inner);
  let requests = 0;
  let bytes = 0;
  for (let reader = 0; reader < COLD_READERS; reader++) {
    store.reset();
    await check(openProject(store), question(landings, reader));
    requests = Math.max(requests, store.reads);
    bytes = Math.max(bytes, store.counts.bytesRead);
  }
  const project = openProject(store);
  const same = question(landings, 1);
  const began = performance.now();
  for (let i = 0; i < WARMING_CHECKS && performance.now() - began < WARMING_MS_MAX; i++) {
    await check(project, same);
  }
  const warm: number[] = [];
  for (let i = 0; i < WARM_CHECKS; i++) warm.push(await check(project, same));
  store.reset();
  const other: number[] = [];
  for (let i = 0; i < WARM_CHECKS; i++) other.push(await check(project, question(landings, 1000 + i)));
  const { gets } = store.counts;
  const { head } = await project.snapshot();
  return {
    landings,
    rollups: head.rollups.length,
    tail: head.position - (head.rollups.at(-1)?.last ?? 0),
    coldRequests: requests,
    coldBytes: bytes,
    warm: percentiles(warm),
    otherPaths: { ...percentiles(other), requests: gets / WARM_CHECKS },
  };
}

if (import.meta.main) {
  const [directory, landings] = process.argv.slice(2);
  console.log(JSON.stringify(await measure(directory!, Number(landings))));
}
