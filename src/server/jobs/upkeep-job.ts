/**
 * Looks after the projects of a server while it serves: upkeep some time after landings, and once a day upkeep and one
 * pass of the collector for all. One project at a time, with more rest than work. Nothing depends on it: another server
 * or nobody may do the same.
 */
import type { Clock } from "../../core/base/clock.ts";
import { isMicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import { type Random, randomFraction } from "../../core/base/random.ts";
import type { Forge, LandResult } from "../../core/forge/forge.ts";
import type { Maintenance } from "../../core/forge/maintenance.ts";
import type { UpkeepOptions } from "../../core/forge/upkeep.ts";
import type { ServerLog } from "../context.ts";

type Kept = Pick<Maintenance, "collect" | "everyProject"> & {
  upkeep(project: ProjectId, options?: UpkeepOptions): ReturnType<Maintenance["upkeep"]>;
};

export interface UpkeepJobOptions {
  readonly forge: Kept;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
}

const SECOND_MS = 1000;
const HOUR_MS = 3600 * SECOND_MS;
/** From the first landing to upkeep: somewhere in between, so that two servers rarely do the same. */
const DELAY_MS_LEAST = 10 * SECOND_MS;
const DELAY_MS_MOST = 40 * SECOND_MS;
/** After failures the delay doubles up to this. */
const DELAY_MS_MAX = HOUR_MS;
const BUDGET_MS = 300 * SECOND_MS;
const REST_SHARE = 3;
/** Merging takes three times as much memory. */
const MERGE_BYTES_MAX = 32 << 20;
const PASS_MS = 24 * HOUR_MS;
/** A server that is started again and again does not begin with a pass each time. */
const FIRST_PASS_MS_LEAST = HOUR_MS / 2;

export class UpkeepJob implements AsyncDisposable {
  readonly #options: UpkeepJobOptions;
  readonly #stopping = new AbortController();
  readonly #scheduled = new Set<ProjectId>();
  readonly #failures = new Map<ProjectId, number>();
  readonly #tasks = new Set<Promise<void>>();
  /** What is done ends before the next begins. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: UpkeepJobOptions) {
    this.#options = options;
    this.#start(() => this.#everyDay());
  }

  /** Something landed: the project is looked after before long. */
  landed(project: ProjectId): void {
    if (this.#scheduled.has(project) || this.#stopping.signal.aborted) return;
    this.#scheduled.add(project);
    const failures = this.#failures.get(project) ?? 0;
    const delayMs = Math.min(this.#between(DELAY_MS_LEAST, DELAY_MS_MOST) * 2 ** failures, DELAY_MS_MAX);
    this.#start(async () => {
      await this.#options.clock.sleep(delayMs, this.#stopping.signal);
      await this.#inTurn(() => {
        this.#scheduled.delete(project);
        return this.#upkeep(project);
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#tasks);
  }

  async #everyDay(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stopping;
    await clock.sleep(this.#between(FIRST_PASS_MS_LEAST, PASS_MS / 4), signal);
    for (;;) {
      await this.#inTurn(() => this.#pass());
      await clock.sleep(this.#between(PASS_MS, PASS_MS * 1.1), signal);
    }
  }

  /** All projects: also those that others land into, past this server. */
  async #pass(): Promise<void> {
    const { forge, log } = this.#options;
    const { signal } = this.#stopping;
    try {
      const onDamaged = (name: string, error: unknown): void => this.#report("name", name, error);
      for await (const projects of forge.everyProject({ signal, onDamaged })) {
        for (const project of projects) {
          await this.#upkeep(project);
          await this.#attempt("collect", project, async () => {
            const { deleted, bytesDeleted } = await forge.collect(project, { signal });
            if (deleted > 0) log.info("collect", { project, deleted, bytesDeleted });
          });
        }
      }
    } catch (error) {
      this.#report("maintenance", undefined, error);
    }
  }

  async #upkeep(project: ProjectId): Promise<void> {
    const { forge, log } = this.#options;
    await this.#attempt("upkeep", project, async () => {
      const { rollups, packsMerged, packsWritten, bytesBefore, bytesAfter } = await forge.upkeep(project, {
        budgetMs: BUDGET_MS,
        restShare: REST_SHARE,
        aside: true,
        bytesMax: MERGE_BYTES_MAX,
        signal: this.#stopping.signal,
      });
      if (rollups + packsMerged === 0) return;
      log.info("upkeep", { project, rollups, packsMerged, packsWritten, bytesBefore, bytesAfter });
    });
  }

  async #attempt(what: string, project: ProjectId, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#failures.delete(project);
    } catch (error) {
      // A project that was deleted needs no upkeep.
      if (what === "upkeep" && isMicError(error, "not-found") && error.data?.["missingPack"] === undefined)
        return;
      this.#failures.set(project, (this.#failures.get(project) ?? 0) + 1);
      this.#report(what, project, error);
    }
  }

  /** `project`: its id, or the name of one that cannot be found. */
  #report(what: string, project: string | undefined, error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const fields = { what, message: error instanceof Error ? error.message : String(error) };
    this.#options.log.warn("maintenance", project === undefined ? fields : { ...fields, project });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(async () => {
      if (!this.#stopping.signal.aborted) await work();
    });
    this.#turn = turn;
    return turn;
  }

  /** `task` ends with `aborted` when the job is disposed of. */
  #start(task: () => Promise<void>): void {
    const running = task()
      .catch((error: unknown) => this.#report("maintenance", undefined, error))
      .finally(() => this.#tasks.delete(running));
    this.#tasks.add(running);
  }

  #between(leastMs: number, mostMs: number): number {
    return leastMs + randomFraction(this.#options.random) * (mostMs - leastMs);
  }
}

/** Tells the job of landings. Changes the forge's own methods, so that everyone who was given it is covered. */
export function keepUp(forge: Forge, job: Pick<UpkeepJob, "landed">): void {
  const land = forge.land.bind(forge);
  const landSession = forge.landSession.bind(forge);
  const importLandings = forge.importLandings.bind(forge);
  const told = (project: ProjectId, result: LandResult): LandResult => {
    if (result.kind === "landed") job.landed(project);
    return result;
  };
  forge.land = async (project, ...rest) => told(project, await land(project, ...rest));
  forge.landSession = async (project, ...rest) => told(project, await landSession(project, ...rest));
  forge.importLandings = async (project, ...rest) => {
    const head = await importLandings(project, ...rest);
    job.landed(project);
    return head;
  };
}
