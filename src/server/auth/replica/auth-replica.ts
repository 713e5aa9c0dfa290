/**
 * The accounts of several servers: one, the primary, writes them and has Litestream replicate them; the others restore
 * what it replicated and only read. Who is the primary is a lease in the same bucket (./lease.ts), which also says how
 * far the replica is: a follower reads one small object until that changes.
 *
 * Every primary replicates to a place of its own, its generation, so what a primary of the past still writes reaches
 * nobody. A change is durable when Litestream has put it into the bucket and *afterwards* the lease could be swapped:
 * a next primary swaps the lease before it restores, so it restores that change.
 */
import { rmSync } from "node:fs";
import path from "node:path";
import type { Clock } from "../../../core/base/clock.ts";
import { isMicError, MicError } from "../../../core/base/errors.ts";
import type { Random } from "../../../core/base/random.ts";
import type { ObjectStore } from "../../../core/store/object-store.ts";
import type { S3Settings } from "../../../core/store/s3/environment.ts";
import type { ServerLog } from "../../context.ts";
import type { AuthDatabase } from "../database/auth-database.ts";
import type { AccountsReplica, ReplicaStatus } from "./accounts-replica.ts";
import { FlushQueue } from "./flush-queue.ts";
import { FollowedCopy } from "./followed-copy.ts";
import { removeOldGenerations } from "./generations.ts";
import { LEASE_MS, Lease } from "./lease.ts";
import type { LeaseRecord } from "./lease-record.ts";
import { LITESTREAM_CONFIG, Litestream, type LitestreamProgram } from "./litestream.ts";
import { prepareLocal } from "./local-copy.ts";
import { endOrphan } from "./orphan.ts";
import { lockDirectory, ReplicaStateFile } from "./replica-state.ts";
import type { AuthRole } from "./replica-target.ts";

export interface OpenAuthReplica {
  /** Of the database; its directory is this server's alone. */
  readonly file: string;
  /** Of the lease and the replica: the same place that `settings` name. Disposed of with the replica. */
  readonly store: ObjectStore;
  readonly settings: S3Settings;
  readonly role: AuthRole;
  readonly advertiseUrl: string | undefined;
  readonly program: LitestreamProgram;
  readonly clock: Clock;
  readonly random: Random;
  readonly elapsedMs: () => number;
  readonly log: ServerLog;
}

const RENEW_MS = LEASE_MS / 3;
const FOLLOW_MS = 750;
/** How long changes that nobody waits for are gathered. */
const GATHER_MS = 100;
const SYNC_MS_MAX = 5_000;
const FLUSH_MS_MAX = 10_000;
const WATCH_MS = 250;
/** How long a start waits for a primary that is starting too. */
const START_MS_MAX = 30_000;
const START_STEP_MS = 250;
/** Litestream ends again and again: it begins anew with a whole snapshot. */
const FAILURES_MAX = 4;
/** Some for each second: the store answers, and Litestream does not get on. */
const COMPLAINTS_MAX = 20;

export class AuthReplica implements AccountsReplica {
  readonly #options: OpenAuthReplica;
  readonly #lease: Lease;
  readonly #lock: Disposable;
  readonly #directory: string;
  readonly #stopping = new AbortController();
  readonly #state: ReplicaStateFile;
  readonly #copy: FollowedCopy;
  readonly #waiting: FlushQueue;
  #url: string;
  #database: AuthDatabase | undefined;
  #litestream: Litestream | undefined;
  #isPrimary = false;
  #behindSince: number | undefined;
  #writtenAt = 0;
  #restarts = 0;
  #problem: string | undefined;
  #wake: (() => void) | undefined;
  #running: Promise<unknown> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(options: OpenAuthReplica, lock: Disposable) {
    const { store, clock, random, elapsedMs, file, program, settings, log } = options;
    this.#options = options;
    this.#lock = lock;
    this.#directory = path.dirname(file);
    this.#url = options.advertiseUrl ?? "";
    this.#state = new ReplicaStateFile(this.#directory, random);
    this.#copy = new FollowedCopy({ file, program, settings, state: this.#state, log });
    this.#waiting = new FlushQueue(elapsedMs);
    this.#lease = new Lease({ store, clock, random, elapsedMs, holder: this.#state.holder });
  }

  /**
   * Becomes the primary or a follower, and leaves a database at `file` that may be opened. Errors: `already-exists`
   * when there is another primary and this server must be it; `unreachable`; `corrupt`.
   */
  static async open(options: OpenAuthReplica): Promise<AuthReplica> {
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
    const since = this.#behindSince;
    return {
      role: this.#isPrimary ? "primary" : "follower",
      generation: this.#lease.record?.generation ?? 0,
      lagMs: since === undefined ? 0 : Math.max(0, this.#options.elapsedMs() - since),
      restarts: this.#restarts + (this.#litestream?.restarts ?? 0),
      problem: this.#problem,
    };
  }

  async attach(database: AuthDatabase): Promise<void> {
    this.#database = database;
    database.setReadOnly(!this.#isPrimary);
    // A process that was stopped for a while wakes up with calls at hand, before it looks at its lease.
    database.guardWrites(() => (this.#isPrimary && this.#lease.leftMs <= 0 ? notPrimary() : undefined));
    database.onWrite(() => {
      if (!this.#isPrimary) return;
      this.#writtenAt = this.#options.elapsedMs();
      this.#behindSince ??= this.#writtenAt;
      this.#wake?.();
    });
    if (this.#isPrimary) {
      this.#startLitestream();
      await this.#round();
    }
    this.#running = Promise.all([this.#run(), this.#watch()]);
  }

  announce(url: string): void {
    if (this.#options.advertiseUrl === undefined) this.#url = url;
    this.#wake?.();
  }

  flushed(): Promise<void> {
    if (!this.#isPrimary) return Promise.reject(notPrimary());
    const flushed = this.#waiting.add();
    this.#wake?.();
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
    this.#wake?.();
    await this.#running;
    if (this.#isPrimary) {
      this.#database?.setReadOnly(true);
      if (this.#litestream !== undefined) await this.#round();
      await this.#litestream?.stop();
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
    const { role, clock, elapsedMs, store, log } = this.#options;
    // The one of a process that was killed would go on with a database that is about to be replaced.
    const config = path.join(this.#directory, LITESTREAM_CONFIG);
    if (await endOrphan(this.#directory, config, (ms) => clock.sleep(ms)))
      log.warn("litestream-orphan-ended");
    const deadline = elapsedMs() + START_MS_MAX;
    for (;;) {
      const record = await this.#lease.look();
      if (role !== "follower" && (await this.#lease.isFree())) {
        if (await this.#lease.take(this.#url)) return await this.#becomePrimary(record);
        continue;
      }
      if (role === "primary") throw heldBy(record);
      if (record !== undefined && record.source > 0) {
        await this.#copy.install(record);
        this.#options.log.info("auth-follower", { generation: record.generation, primary: record.url });
        return;
      }
      if (elapsedMs() > deadline) {
        throw new MicError("unreachable", `there are no accounts to follow in ${store.description}`, {
          hint: "start the server that is to be the primary first",
        });
      }
      await clock.sleep(START_STEP_MS);
    }
  }

  /** `before`: what the lease said before it was taken. */
  async #becomePrimary(before: LeaseRecord | undefined): Promise<void> {
    const { file, program, settings, log } = this.#options;
    const kept = await this.#whileRenewing(
      prepareLocal({ file, program, settings, state: this.#state, before, log }),
    );
    this.#begin(kept);
  }

  #begin(kept: "local" | "restored" | "new"): void {
    const { generation } = this.#lease.record!;
    this.#state.remember({ generation, origin: "own" });
    this.#isPrimary = true;
    this.#problem = undefined;
    this.#options.log.info("auth-primary", { generation, accounts: kept });
  }

  #startLitestream(): void {
    const { file, program, settings } = this.#options;
    const { generation } = this.#lease.record!;
    const base = path.join(this.#directory, "litestream");
    rmSync(base, { recursive: true, force: true });
    const metaDirectory = metaDirectoryOf(this.#directory, generation);
    this.#litestream = new Litestream(
      program,
      { file, metaDirectory, settings, generation },
      this.#directory,
    );
  }

  async #run(): Promise<void> {
    const { log } = this.#options;
    while (!this.#stopping.signal.aborted) {
      try {
        await (this.#isPrimary ? this.#lead() : this.#follow());
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        // Who cannot ask does not know what it misses.
        this.#behindSince ??= this.#options.elapsedMs();
        this.#problem = textOf(error);
        log.warn("auth-replica", { message: this.#problem });
        await this.#pause(FOLLOW_MS);
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
      this.#waiting.reject(notFlushed(this.#problem), FLUSH_MS_MAX);
    }
  }

  async #lead(): Promise<void> {
    if (this.#waiting.isEmpty && this.#behindSince === undefined) await this.#pause(RENEW_MS);
    // More is likely to follow what nobody waits for.
    if (this.#waiting.isEmpty && this.#behindSince !== undefined) await this.#pause(GATHER_MS);
    if (!this.#stopping.signal.aborted) await this.#round();
  }

  /** Everything written so far goes to the bucket, and the lease says so. */
  async #round(): Promise<void> {
    const { log, elapsedMs } = this.#options;
    const resolveWaiting = this.#waiting.mark();
    const beganAt = elapsedMs();
    const litestream = this.#litestream!;
    let failure: unknown;
    try {
      const limitMs = Math.min(SYNC_MS_MAX, Math.max(0, this.#lease.leftMs - RENEW_MS / 2));
      const position = await litestream.sync(limitMs);
      const isFirst = this.#lease.record?.source !== litestream.generation;
      await this.#lease.update({ url: this.#url, source: litestream.generation, position });
      this.#problem = undefined;
      if (!this.#isPrimary) return;
      // What was written meanwhile is the next round's.
      this.#behindSince = this.#writtenAt > beganAt ? this.#writtenAt : undefined;
      resolveWaiting();
      if (isFirst) void removeOldGenerations(this.#options.store, litestream.generation, log);
      return;
    } catch (error) {
      failure = error;
    }
    this.#behindSince ??= beganAt;
    this.#problem = textOf(failure);
    log.warn("auth-replica", { message: this.#problem });
    const isHeld = !isMicError(failure, "forbidden") && (await this.#stillHeld());
    if (!this.#isPrimary) return;
    if (!isHeld) this.#stepDown();
    else if (
      (litestream.failures >= FAILURES_MAX || litestream.complaints >= COMPLAINTS_MAX) &&
      this.#lease.record?.source === litestream.generation
    ) {
      await this.#beginAnew();
    }
  }

  async #stillHeld(): Promise<boolean> {
    try {
      await this.#lease.update({ url: this.#url });
      return true;
    } catch (error) {
      if (isMicError(error, "forbidden")) return false;
      return this.#lease.leftMs > 0;
    }
  }

  /** Local files that Litestream cannot go on with are not worth keeping. */
  async #beginAnew(): Promise<void> {
    await this.#endLitestream();
    await this.#lease.look();
    if (!(await this.#lease.take(this.#url))) {
      this.#stepDown();
      return;
    }
    this.#begin("local");
    this.#startLitestream();
  }

  /** At once; its Litestream is ended by the loop, and reaches nobody meanwhile. */
  #stepDown(): void {
    this.#isPrimary = false;
    this.#database?.setReadOnly(true);
    this.#options.log.error("auth-primary-lost", { generation: this.#state.generation });
    this.#behindSince = undefined;
    this.#waiting.reject(notPrimary());
  }

  async #endLitestream(): Promise<void> {
    const litestream = this.#litestream;
    this.#litestream = undefined;
    await litestream?.stop(true);
    this.#restarts += litestream?.restarts ?? 0;
  }

  async #follow(): Promise<void> {
    const { role, elapsedMs } = this.#options;
    const { signal } = this.#stopping;
    await this.#endLitestream();
    await this.#pause(FOLLOW_MS);
    if (signal.aborted) return;
    const record = await this.#lease.look(signal);
    // The lease could not be renewed in time and nobody else took it: what is here is the newest.
    const isOwn = record?.holder === this.#state.holder && record.generation === this.#state.generation;
    if (record !== undefined && !isOwn && this.#copy.isBehind(record)) {
      this.#behindSince ??= elapsedMs();
      await this.#copy.replace(record, this.#database!);
    }
    this.#behindSince = undefined;
    this.#problem = undefined;
    if (!(await this.#lease.isFree())) return;
    this.#problem = "the accounts have no primary: they can be read and not changed";
    if (role === "follower" || !(await this.#lease.take(this.#url))) return;
    if (!isOwn && record !== undefined && record.source > 0) {
      await this.#whileRenewing(this.#copy.replace(record, this.#database!));
    }
    this.#begin(isOwn ? "local" : "restored");
    this.#database?.setReadOnly(false);
    this.#startLitestream();
    await this.#round();
  }

  async #whileRenewing<T>(work: Promise<T>): Promise<T> {
    const done = new AbortController();
    const renewing = (async () => {
      while (!done.signal.aborted) {
        await this.#options.clock.sleep(RENEW_MS, done.signal).catch(() => undefined);
        if (!done.signal.aborted) await this.#lease.update();
      }
    })();
    try {
      return await Promise.race([work, renewing.then(() => work)]);
    } finally {
      done.abort();
      renewing.catch(() => undefined);
    }
  }

  /** Until there is something to do, or for so long. */
  async #pause(durationMs: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    if (this.#stopping.signal.aborted) return;
    await this.#options.clock.sleep(durationMs, woken.signal).catch(() => undefined);
    this.#wake = undefined;
  }
}

export function metaDirectoryOf(directory: string, generation: number): string {
  return path.join(directory, "litestream", String(generation));
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function notPrimary(): MicError {
  return new MicError("unreachable", "this server is the primary of the accounts no more", {
    hint: "repeat the call: the server that took over will answer it",
  });
}

function notFlushed(problem: string | undefined): MicError {
  return new MicError("unreachable", problem ?? "the replica of the accounts does not answer", {
    hint: "what was changed holds on this server; repeat the call until it is everywhere",
  });
}

function heldBy(record: LeaseRecord | undefined): MicError {
  const where = record === undefined || record.url === "" ? "another server" : record.url;
  return new MicError("already-exists", `${where} is the primary of these accounts`, {
    hint: "stop it first, or start this server as a follower: --auth-role auto",
  });
}
