/**
 * What keeps a project fast and small while it grows: rollups of its log, and merged packs in place of many small
 * ones. Any number of agents may do it at once: what another one did first is work lost, never more.
 */
import { throwIfAborted } from "../base/clock.ts";
import { isMicError } from "../base/errors.ts";
import { epochOf, type Position, type ProjectId } from "../base/ids.ts";
import type { Head } from "../codec/head.ts";
import type { ManifestPack } from "../codec/pack-entry.ts";
import { rollupSpan } from "../codec/rollup.ts";
import { packKey } from "../objects/keys.ts";
import { MissingPackError } from "../objects/pack-cache.ts";
import type { ForgeContext } from "./context.ts";
import type { Progress } from "./forge.ts";
import type { HeadChange } from "./head/change.ts";
import { PageCache } from "./head/manifest.ts";
import type { Snapshot } from "./log/snapshot.ts";
import type { UpkeepReport } from "./maintenance.ts";
import { mergePacks } from "./merge-packs/merge-packs.ts";
import { Pace } from "./merge-packs/pace.ts";
import { MERGE_BYTES_MAX, planMerges } from "./merge-packs/plan.ts";
import { replaceWithMerged } from "./merge-packs/replace-change.ts";
import type { ProjectStore } from "./project-store.ts";
import { buildRollup } from "./rollup/build.ts";
import { type DueRollup, dueRollups, ROLLUP_FANOUT } from "./rollup/levels.ts";
import { rebuildRollup } from "./rollup/rebuild.ts";
import { rollupsWithin } from "./rollup/segments.ts";

/** Of the newest packs, so many are looked at; when they are merged, older ones come into sight. */
const PACKS_PLANNED = 16_384;
/** Rollups that one swap of the head attaches. */
const ROLLUPS_TOGETHER = 16;
/** Stored bytes that are surely merged in a millisecond: what is begun with little time left is small. */
const BYTES_PER_MS = 2 << 10;

export interface UpkeepOptions {
  readonly budgetMs?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Time to rest for each unit of time worked. */
  readonly restShare?: number;
  /** Stored bytes that are merged at a time; they take three times as much memory. Default 128 MiB. */
  readonly bytesMax?: number;
  /** Compresses on another thread. */
  readonly aside?: boolean;
  /** Merges whatever can be merged, due or not. */
  readonly all?: boolean;
  /**
   * Entries of a rollup that is built at most, of the paths that its landings touched: about 500 take a millisecond, and
   * a rollup is not left half done. Larger ones are left to others. Default: any.
   */
  readonly rollupEntriesMax?: number;
  /** Does nothing, and asks the store nothing, unless the head that this process has seen last shows that something is due. */
  readonly onlyIfSeen?: boolean;
}

const NOTHING: UpkeepReport = { rollups: 0, packsMerged: 0, packsWritten: 0, bytesBefore: 0, bytesAfter: 0 };

export async function upkeep(
  context: ForgeContext,
  project: ProjectId,
  options: UpkeepOptions = {},
): Promise<UpkeepReport> {
  if (options.onlyIfSeen === true) {
    const { known, damagedRollups } = context.project(project);
    if (known === undefined) return NOTHING;
    if (!isUpkeepDue(known.head) && damagedRollups.every(({ isNewer }) => isNewer)) return NOTHING;
  }
  await context.requireProject(project, options.signal);
  return await new Upkeep(context, context.project(project), options).run();
}

class Upkeep {
  readonly #context: ForgeContext;
  readonly #project: ProjectStore;
  readonly #options: UpkeepOptions;
  readonly #pages: PageCache;
  readonly #pace: Pace;
  readonly #endsAtMs: number;
  /** Packs that cannot be merged: one of them is damaged. */
  readonly #excluded = new Set<string>();
  readonly #report = { ...NOTHING };
  #steps = 0;
  #failure: unknown;

  constructor(context: ForgeContext, project: ProjectStore, options: UpkeepOptions) {
    this.#context = context;
    this.#project = project;
    this.#options = options;
    this.#pages = new PageCache(context.store, project.project);
    const { restShare, signal } = options;
    this.#pace = new Pace(context.clock, restShare === undefined ? { signal } : { restShare, signal });
    this.#endsAtMs = context.clock.nowMs() + (options.budgetMs ?? Number.POSITIVE_INFINITY);
  }

  /**
   * In turns, so that neither kind of work waits for the end of the other. Errors: what went wrong first, after
   * everything else that was due is done.
   */
  async run(): Promise<UpkeepReport> {
    // What lands meanwhile is for the next time: otherwise there would be no end.
    const { position } = (await this.#snapshot()).head;
    await this.#rebuildDamaged();
    let mayRollUp = true;
    let mayMerge = true;
    while ((mayRollUp || mayMerge) && this.#msLeft > 0) {
      mayRollUp &&= await this.#rollUp(position);
      mayMerge &&= await this.#mergeNext(position);
    }
    if (this.#failure !== undefined) throw this.#failure;
    return this.#report;
  }

  get #msLeft(): number {
    throwIfAborted(this.#options.signal);
    return this.#endsAtMs - this.#context.clock.nowMs();
  }

  /** Rollups of which readers in this process found that they are missing or damaged. */
  async #rebuildDamaged(): Promise<void> {
    for (const { ref, isNewer } of this.#project.damagedRollups) {
      if (this.#msLeft <= 0) return;
      if (isNewer) continue;
      try {
        if (!(await this.#isSmall(await this.#snapshot(), ref))) continue;
        const outcome = await rebuildRollup(this.#context, this.#project, ref, this.#signalOption);
        if (outcome === "rebuilt") this.#report.rollups++;
        this.#stepDone();
      } catch (error) {
        this.#keepDamage(error);
      }
      await this.#pace.step();
    }
  }

  /** Whether a rollup can be built from so few entries that it is begun. */
  async #isSmall(snapshot: Snapshot, { level, first }: DueRollup): Promise<boolean> {
    const { rollupEntriesMax } = this.#options;
    if (rollupEntriesMax === undefined) return true;
    const last = (first + rollupSpan(level) - 1) as Position;
    let entries = 0;
    if (level === 1) {
      for await (const page of snapshot.records((first - 1) as Position, last, this.#signalOption)) {
        for (const { operationCount } of page) entries += operationCount;
        if (entries > rollupEntriesMax) return false;
      }
      return true;
    }
    const below = rollupsWithin(snapshot.head.rollups, { first, last }).filter((ref) => ref.level < level);
    // Otherwise some of it is read from the log.
    if (below.length !== ROLLUP_FANOUT) return false;
    for (const ref of below) {
      const rollup = await snapshot.rollups.open(ref);
      if (rollup === undefined) return false;
      entries += rollup.table("touched").entries;
    }
    return entries <= rollupEntriesMax;
  }

  /** Some rollups of the log up to `upTo`. False when there is nothing left to do. */
  async #rollUp(upTo: Position): Promise<boolean> {
    const signalOption = this.#signalOption;
    const snapshot = await this.#snapshot();
    const changes: HeadChange[] = [];
    try {
      const due = dueRollups(snapshot.head).filter(({ first }) => first <= upTo);
      for (const { level, first } of await this.#firstOfOneLevel(snapshot, due)) {
        if (changes.length > 0 && this.#msLeft <= 0) break;
        changes.push((await buildRollup(this.#context, snapshot, level, first, signalOption)).change);
        await this.#pace.step();
      }
    } catch (error) {
      this.#keepDamage(error);
    }
    if (changes.length === 0) return false;
    const attached = await Promise.all(changes.map((change) => this.#project.attach(change, signalOption)));
    const applied = attached.filter((outcome) => outcome === "applied").length;
    this.#report.rollups += applied;
    this.#stepDone(applied);
    return applied > 0 || !(await this.#isCurrent(snapshot));
  }

  /** Some that do not wait for each other. */
  async #firstOfOneLevel(snapshot: Snapshot, due: readonly DueRollup[]): Promise<readonly DueRollup[]> {
    const chosen: DueRollup[] = [];
    for (const each of due) {
      if (chosen.length === ROLLUPS_TOGETHER || this.#msLeft <= 0) break;
      if (chosen.length > 0 && each.level !== chosen[0]!.level) continue;
      if (await this.#isSmall(snapshot, each)) chosen.push(each);
    }
    return chosen;
  }

  /** One merge of packs of positions up to `upTo`. False when there is nothing left to do. */
  async #mergeNext(upTo: Position): Promise<boolean> {
    const snapshot = await this.#snapshot();
    const [run] = await this.#plan(snapshot, upTo);
    if (run === undefined) return false;
    try {
      await this.#merge(snapshot, run);
    } catch (error) {
      // Replaced by another agent, and collected.
      if (error instanceof MissingPackError && !(await this.#isCurrent(snapshot))) return true;
      this.#keepDamage(error);
      for (const { pack } of run) this.#excluded.add(pack);
    }
    return true;
  }

  #snapshot(): Promise<Snapshot> {
    return this.#project.snapshot(this.#signalOption);
  }

  get #signalOption(): { readonly signal?: AbortSignal } {
    const { signal } = this.#options;
    return signal === undefined ? {} : { signal };
  }

  /** Whether the head is still the one of a snapshot. */
  async #isCurrent(snapshot: Snapshot): Promise<boolean> {
    return (await this.#snapshot()).etag === snapshot.etag;
  }

  async #plan(snapshot: Snapshot, upTo: Position): Promise<ManifestPack[][]> {
    const { signal, budgetMs, all, bytesMax: wantedMax = MERGE_BYTES_MAX } = this.#options;
    const newest: ManifestPack[] = [];
    for await (const page of snapshot.directory.newestFirst()) {
      throwIfAborted(signal);
      newest.push(...page.filter(({ last }) => last <= upTo));
      if (newest.length >= PACKS_PLANNED) break;
    }
    const bytesInTime = budgetMs === undefined ? MERGE_BYTES_MAX : this.#msLeft * BYTES_PER_MS;
    const bytesMax = Math.min(wantedMax, bytesInTime);
    const excluded = this.#excluded;
    return planMerges(newest.reverse(), { bytesMax, excluded, ...(all === undefined ? {} : { all }) });
  }

  async #merge(snapshot: Snapshot, run: readonly ManifestPack[]): Promise<void> {
    const { store } = this.#context;
    const { project, head } = snapshot;
    const { aside = false } = this.#options;
    const signalOption = this.#signalOption;
    const { bytes, entry } = await mergePacks({
      store,
      project,
      entries: run,
      salt: head.salt,
      pace: this.#pace,
      aside,
      ...signalOption,
    });
    const merged: ManifestPack = { ...entry, epoch: epochOf(await store.nowMs()) };
    await store.put(packKey(project, merged.epoch, merged.pack), bytes, signalOption);
    const change = replaceWithMerged({ removed: run, merged }, { project, pages: this.#pages });
    const outcome = await this.#project.attach(change, signalOption);
    if (outcome === "obsolete") {
      // Another agent was first; but what does not fit the head that it was made for will never fit.
      if (await this.#isCurrent(snapshot)) for (const { pack } of run) this.#excluded.add(pack);
      return;
    }
    this.#report.packsMerged += run.length;
    this.#report.packsWritten++;
    this.#report.bytesBefore += run.reduce((sum, { size }) => sum + size, 0);
    this.#report.bytesAfter += merged.size;
    this.#stepDone();
  }

  #stepDone(count = 1): void {
    this.#steps += count;
    this.#options.onProgress?.({ done: this.#steps, total: 0, unit: "objects" });
  }

  /** Damage in one place leaves the rest to be done. */
  #keepDamage(error: unknown): void {
    if (!isMicError(error, "corrupt") && !(error instanceof MissingPackError)) throw error;
    this.#failure ??= error;
  }
}

/** Whether a head's own lists show that there is something to do. */
function isUpkeepDue(head: Head): boolean {
  return dueRollups(head).length > 0 || planMerges(head.packs).length > 0;
}
