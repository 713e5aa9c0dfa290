/** Logs of each length with their rollups, in which conflicts are looked for from the beginning. */
import type { Position } from "../../../src/core/base/ids.ts";
import { systemClock } from "../../../src/core/base/system.ts";
import type { RollupRef } from "../../../src/core/codec/head.ts";
import { rollupSpan } from "../../../src/core/codec/rollup.ts";
import { buildRollup } from "../../../src/core/forge/rollup/build.ts";
import { dueRollups } from "../../../src/core/forge/rollup/levels.ts";
import { rollupKey } from "../../../src/core/objects/keys.ts";
import { openLocalStore } from "../../../src/core/store/local-store.ts";
import type { ObjectStore } from "../../../src/core/store/object-store.ts";
import { scratch } from "../harness.ts";
import { type ConflictCosts, measureChecks } from "./conflict-checks.ts";
import { writeGenerated } from "./generated-rollup.ts";
import { headAt, openProject, PROJECT, putHead, SyntheticLog } from "./synthetic-log.ts";

/** From here on a log has no records, and its rollups are written from the generator up to this level. */
const GENERATED_FROM = 3_000_000;
const GENERATED_LEVEL = 4;

export interface BuildCosts {
  readonly level: number;
  readonly seconds: number;
  readonly peakBytes: number;
  /** Bytes of the front. */
  readonly front: number;
  readonly parts: number;
  readonly partBytes: number;
  /** Index pages of its table of touched paths. */
  readonly pages: number;
}

/** Attaches all that is due; a rollup of `alone` or more positions is built by a process of its own. */
async function rollUp(directory: string, alone: number, report: ConflictReport): Promise<void> {
  for (;;) {
    let due: ReturnType<typeof dueRollups>[number] | undefined;
    {
      await using store = await openLocalStore(directory, { clock: systemClock, create: false });
      const project = openProject(store);
      for (;;) {
        const snapshot = await project.snapshot();
        due = dueRollups(snapshot.head)[0];
        if (due === undefined || rollupSpan(due.level) >= alone) break;
        const built = await buildRollup({ store }, snapshot, due.level, due.first);
        if ((await project.attach(built.change)) !== "applied") throw new Error("a rollup did not fit");
      }
    }
    if (due === undefined) return;
    const script = new URL("build-rollup.ts", import.meta.url).pathname;
    const command = [process.execPath, script, directory, String(due.level), String(due.first)];
    const child = Bun.spawnSync(command, { stdout: "pipe", stderr: "inherit" });
    if (child.exitCode !== 0) throw new Error(`${command.join(" ")} exited ${child.exitCode}`);
    const { ms, peakBytes } = JSON.parse(child.stdout.toString()) as { ms: number; peakBytes: number };
    report.onBuilt({ level: due.level, seconds: ms / 1000, peakBytes, ...(await sizes(directory, due)) });
  }
}

async function sizes(
  directory: string,
  due: { readonly level: number; readonly first: Position },
): Promise<Pick<BuildCosts, "front" | "parts" | "partBytes" | "pages">> {
  await using store = await openLocalStore(directory, { clock: systemClock, create: false });
  const { head, rollups } = await openProject(store).snapshot();
  const ref = head.rollups.find(({ level, first }) => level === due.level && first === due.first)!;
  const opened = await rollups.open(ref);
  const key = rollupKey(PROJECT, ref.epoch, ref.level, ref.first, ref.hash);
  const parts = opened!.front.parts;
  const partBytes = parts.reduce((sum, { length }) => sum + length, 0);
  const pages = opened!.front.tables.touched.pages.length;
  return { front: (await store.get(key))!.bytes.length, parts: parts.length, partBytes, pages };
}

export interface ConflictReport {
  /** First one landing earlier, when as many rollups as there can be stand for the log. */
  onCosts(costs: ConflictCosts): void;
  onBuilt(costs: BuildCosts): void;
}

/** A log of so many landings, 10^n, with its rollups; conflicts are looked for from its beginning. */
export async function measureConflicts(landings: number, report: ConflictReport): Promise<void> {
  using directory = scratch("scale-conflicts");
  if (landings >= GENERATED_FROM) return await measureGenerated(directory.path, landings, report);
  const open = (): Promise<ObjectStore> =>
    openLocalStore(directory.path, { clock: systemClock, create: true });
  let log: SyntheticLog;
  {
    await using store = await open();
    log = new SyntheticLog(store);
    await log.grow(landings - 100);
    await log.grow(landings - 1, 1);
    await log.writeHead([]);
  }
  await rollUp(directory.path, landings, report);
  report.onCosts(measureChecks(directory.path, landings - 1));
  {
    await using store = await open();
    const { head } = await openProject(store).snapshot();
    const grown = await log.continueOn(store, landings);
    await putHead(store, headAt(landings, head.rollups, grown));
  }
  await rollUp(directory.path, landings, report);
  report.onCosts(measureChecks(directory.path, landings));
}

async function measureGenerated(directory: string, landings: number, report: ConflictReport): Promise<void> {
  const span = rollupSpan(GENERATED_LEVEL);
  const refs: RollupRef[] = [];
  {
    await using store = await openLocalStore(directory, { clock: systemClock, create: true });
    for (let first = 1; first < landings; first += span) {
      refs.push(await writeGenerated(store, GENERATED_LEVEL, first as Position));
    }
    // What is smaller than the generated ones stands in the place of the last: as many as there can be.
    const last = refs.at(-1)!;
    const small: RollupRef[] = [];
    for (let level = GENERATED_LEVEL - 1, first: number = last.first; level >= 1; level--) {
      for (let i = 0; i < 9; i++, first += rollupSpan(level)) {
        small.push(await writeGenerated(store, level, first as Position));
      }
    }
    const log = new SyntheticLog(store);
    const lists = await log.tail(landings - 100, landings - 1);
    await putHead(store, headAt(landings - 1, [...refs.slice(0, -1), ...small], lists));
  }
  const large = span * 10;
  await rollUp(directory, large, report);
  report.onCosts(measureChecks(directory, landings - 1));
  {
    await using store = await openLocalStore(directory, { clock: systemClock, create: true });
    const { head } = await openProject(store).snapshot();
    const kept = head.rollups.filter(({ first }) => first < refs.at(-1)!.first);
    await putHead(store, headAt(landings, [...kept, refs.at(-1)!], { pages: [], packs: [] }));
  }
  await rollUp(directory, large, report);
  report.onCosts(measureChecks(directory, landings));
}
