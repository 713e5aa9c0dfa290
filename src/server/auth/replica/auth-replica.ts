/**
 * The accounts of several servers: one, the primary, writes them and has Litestream replicate them; the others restore
 * what it replicated and only read. Who is the primary is a lease in the same bucket (./lease.ts), which also says how
 * far the replica is: a follower reads one small object until that changes.
 *
 * Every primary replicates to a place of its own, its generation, so what a primary of the past still writes reaches
 * nobody. A change is durable when Litestream has put it into the bucket and *afterwards* the lease could be swapped:
 * a next primary swaps the lease before it restores, so it restores that change.
 *
 * Here is who this server is, and how that changes; ./admission.ts is how it begins, ./tenure.ts what a primary
 * does, ./followed-copy.ts what a follower does.
 */
import path from "node:path";
import type { AuthDatabase } from "../database/auth-database.ts";
import type { AccountsReplica, ReplicaStatus } from "./accounts-replica.ts";
import { admit } from "./admission.ts";
import { FlushQueue } from "./flush-queue.ts";
import { FollowedCopy } from "./followed-copy.ts";
import { Lease } from "./lease.ts";
import { notInstalled, prepareLocal } from "./local-copy.ts";
import { Pauses } from "./pauses.ts";
import { frozen, notFlushed, notPrimary } from "./replica-errors.ts";
import type { AuthReplicaOptions } from "./replica-options.ts";
import { lockDirectory, ReplicaStateFile } from "./replica-state.ts";
import { ReplicatedTenure } from "./replicated-tenure.ts";
import { type Tenure, UnreplicatedTenure } from "./tenure.ts";

const FOLLOW_MS = 750;
const FLUSH_MS_MAX = 10_000;
const WATCH_MS = 250;

export class AuthReplica implements AccountsReplica {
  readonly #options: AuthReplicaOptions;
  readonly #lease: Lease;
  readonly #lock: Disposable;
  readonly #stopping = new AbortController();
  readonly #state: ReplicaStateFile;
  readonly #copy: FollowedCopy | undefined;
  readonly #waiting: FlushQueue;
  readonly #pauses: Pauses;
  #url: string;
  #database: AuthDatabase | undefined;
  #isPrimary = false;
  /** There is a replica of these accounts that cannot be kept: they are not changed. */
  #isFrozen = false;
  /** Since this server is the primary, and until what it began is ended. */
  #tenure: Tenure | undefined;
  #endedRestarts = 0;
  /** Of a follower. */
  #behindSince: number | undefined;
  #problem: string | undefined;
  #running: Promise<unknown> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(options: AuthReplicaOptions, lock: Disposable) {
    const { store, clock, random, elapsedMs, file, program, settings, log } = options;
    this.#options = options;
    this.#lock = lock;
    this.#url = options.advertiseUrl ?? "";
    const state = new ReplicaStateFile(path.dirname(file), random);
    this.#state = state;
    this.#copy =
      program === undefined ? undefined : new FollowedCopy({ file, program, settings, state, log });
    this.#waiting = new FlushQueue(elapsedMs);
    this.#pauses = new Pauses(clock, this.#stopping.signal);
    this.#lease = new Lease({ store, clock, random, elapsedMs, holder: state.holder });
  }

  /** Becomes the primary or a follower, and leaves a database at `file` that may be opened. Errors: those of `admit`. */
  static async open(options: AuthReplicaOptions): Promise<AuthReplica> {
    const replica = new AuthReplica(options, lockDirectory(path.dirname(options.file)));
    try {
      await replica.#start();
      return replica;
    } catch (error) {
      await replica.close();
      throw error;
    }
  }

  get isPrimary(): boolean {
    return this.#isPrimary;
  }

  get primaryUrl(): string | undefined {
    const { record } = this.#lease;
    const isOwn = record?.holder === this.#state.holder;
    return isOwn || record?.url === "" ? undefined : record?.url;
  }

  status(): ReplicaStatus {
    const since = this.#isPrimary ? this.#tenure?.behindSince : this.#behindSince;
    return {
      role: this.#isPrimary ? "primary" : "follower",
      generation: this.#lease.record?.generation ?? 0,
      lagMs: since === undefined ? 0 : Math.max(0, this.#options.elapsedMs() - since),
      restarts: this.#endedRestarts + (this.#tenure?.restarts ?? 0),
      problem: this.#isPrimary ? this.#tenure?.problem : this.#problem,
    };
  }

  async attach(database: AuthDatabase): Promise<void> {
    this.#database = database;
    // A process that was stopped for a while wakes up with calls at hand, before it looks at its lease.
    database.guardWrites(() => {
      if (this.#isPrimary && this.#lease.leftMs <= 0) return notPrimary();
      return this.#isFrozen ? frozen() : undefined;
    });
    database.setReadOnly(!this.#isPrimary || this.#isFrozen);
    database.onWrite(() => {
      if (!this.#isPrimary) return;
      this.#tenure?.wrote();
      this.#pauses.end();
    });
    if (this.#isPrimary) {
      this.#tenure = this.#beginTenure();
      await this.#tenure.round();
    }
    this.#running = Promise.all([this.#run(), this.#watch()]);
  }

  announce(url: string): void {
    if (this.#options.advertiseUrl === undefined) this.#url = url;
    this.#pauses.end();
  }

  flushed(): Promise<void> {
    if (!this.#isPrimary) return Promise.reject(notPrimary());
    const flushed = this.#waiting.add();
    this.#pauses.end();
    return flushed;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { log, store } = this.#options;
    this.#stopping.abort();
    await this.#running;
    if (this.#isPrimary) {
      this.#database?.setReadOnly(true);
      await this.#tenure?.round();
      await this.#endTenure(false);
      this.#isPrimary = false;
      await this.#lease
        .release()
        .catch((error: unknown) => log.warn("auth-lease", { message: textOf(error) }));
    }
    this.#waiting.reject(notPrimary());
    this.#lock[Symbol.dispose]();
    await store[Symbol.asyncDispose]();
  }

  async #start(): Promise<void> {
    const { file, program, settings, log } = this.#options;
    const admitted = await admit(this.#options, this.#lease, this.#state, this.#url);
    if (admitted.role === "follower") {
      const { record } = admitted;
      await this.#copy!.install(record);
      log.info("auth-follower", { generation: record.generation, primary: record.url });
      return;
    }
    const { before, isFrozen } = admitted;
    this.#isFrozen = isFrozen;
    const local = { file, settings, state: this.#state, before, log };
    this.#begin(
      program === undefined ? "local" : await this.#lease.whileHeld(prepareLocal({ ...local, program })),
    );
  }

  #begin(kept: "local" | "restored" | "new"): void {
    const { generation } = this.#lease.record!;
    this.#state.remember({ generation, origin: "own" });
    this.#isPrimary = true;
    this.#options.log.info("auth-primary", { generation, accounts: kept });
  }

  #beginTenure(): Tenure {
    const { program, file, store, settings, elapsedMs, log } = this.#options;
    const common = {
      lease: this.#lease,
      waiting: this.#waiting,
      pauses: this.#pauses,
      url: () => this.#url,
      elapsedMs,
      log,
    };
    if (program === undefined) {
      return new UnreplicatedTenure(common, this.#isFrozen ? frozen().message : undefined);
    }
    return new ReplicatedTenure({ ...common, program, file, store, settings, state: this.#state });
  }

  async #endTenure(isAtOnce: boolean): Promise<void> {
    const tenure = this.#tenure;
    this.#tenure = undefined;
    await tenure?.end(isAtOnce);
    this.#endedRestarts += tenure?.restarts ?? 0;
  }

  async #run(): Promise<void> {
    const { log, elapsedMs } = this.#options;
    while (!this.#stopping.signal.aborted) {
      try {
        if (!this.#isPrimary) await this.#follow();
        else if (!(await this.#tenure!.step()) && this.#isPrimary) this.#stepDown();
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        // Who cannot ask does not know what it misses.
        this.#behindSince ??= elapsedMs();
        const message = textOf(error);
        if (message !== this.#problem) log.warn("auth-replica", { message });
        this.#problem = message;
        await this.#pauses.wait(FOLLOW_MS);
      }
    }
  }

  /** A store that does not answer holds up whoever asked it, and neither the lease nor those who wait. */
  async #watch(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await clock.sleep(WATCH_MS, signal).catch(() => undefined);
      if (this.#isPrimary && this.#lease.leftMs <= 0) this.#stepDown();
      this.#waiting.reject(notFlushed(this.status().problem), FLUSH_MS_MAX);
    }
  }

  /** At once; what the tenure began is ended by the loop, and reaches nobody meanwhile. */
  #stepDown(): void {
    this.#isPrimary = false;
    this.#tenure?.abandon();
    this.#database?.setReadOnly(true);
    this.#options.log.error("auth-primary-lost", { generation: this.#state.generation });
    this.#behindSince = undefined;
    this.#waiting.reject(notPrimary());
  }

  async #follow(): Promise<void> {
    const { role, elapsedMs, program } = this.#options;
    const { signal } = this.#stopping;
    await this.#endTenure(true);
    await this.#pauses.wait(FOLLOW_MS);
    if (signal.aborted) return;
    const record = await this.#lease.look(signal);
    // The lease could not be renewed in time and nobody else took it: what is here is the newest.
    const isOwn = record?.holder === this.#state.holder && record.generation === this.#state.generation;
    if (program === undefined && !isOwn && record !== undefined)
      throw notInstalled(this.#options.store.description);
    if (record !== undefined && !isOwn && this.#copy!.isBehind(record)) {
      this.#behindSince ??= elapsedMs();
      await this.#copy!.follow(record, this.#database!);
    }
    this.#behindSince = undefined;
    this.#problem = undefined;
    if (!(await this.#lease.isFree())) return;
    this.#problem = "the accounts have no primary: they can be read and not changed";
    if (role === "follower" || !(await this.#lease.take(this.#url))) return;
    if (!isOwn && record !== undefined && record.source > 0) {
      await this.#lease.whileHeld(this.#copy!.takeOver(record, this.#database!));
    }
    this.#begin(isOwn ? "local" : "restored");
    this.#tenure = this.#beginTenure();
    this.#database?.setReadOnly(this.#isFrozen);
    if (!(await this.#tenure.round())) this.#stepDown();
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
