/** A primary that replicates: its Litestream, and the rounds after which a change is durable. */
import { rmSync } from "node:fs";
import path from "node:path";
import { isMicError } from "../../../core/base/errors.ts";
import type { ObjectStore } from "../../../core/store/object-store.ts";
import type { S3Settings } from "../../../core/store/s3/environment.ts";
import { removeOldGenerations } from "./generations.ts";
import { RENEW_MS } from "./lease.ts";
import { Litestream, type LitestreamProgram } from "./litestream.ts";
import { metaDirectoryOf } from "./litestream-config.ts";
import type { ReplicaStateFile } from "./replica-state.ts";
import { isAnnounced, type Tenure, type TenureOptions } from "./tenure.ts";

export interface ReplicatedTenureOptions extends TenureOptions {
  readonly program: LitestreamProgram;
  /** Of the accounts. */
  readonly file: string;
  /** Of the lease and the replica. */
  readonly store: ObjectStore;
  readonly settings: S3Settings;
  readonly state: ReplicaStateFile;
}

/** How long changes that nobody waits for are gathered. */
const GATHER_MS = 100;
const SYNC_MS_MAX = 5_000;
/** Litestream ends again and again: it begins anew with a whole snapshot. */
const FAILURES_MAX = 4;
/** Some for each second: the store answers, and Litestream does not get on. */
const COMPLAINTS_MAX = 20;

export class ReplicatedTenure implements Tenure {
  readonly #options: ReplicatedTenureOptions;
  #litestream: Litestream;
  #behindSince: number | undefined;
  #writtenAt = 0;
  #endedRestarts = 0;
  #problem: string | undefined;
  #isOver = false;

  constructor(options: ReplicatedTenureOptions) {
    this.#options = options;
    this.#litestream = this.#start();
  }

  get behindSince(): number | undefined {
    return this.#behindSince;
  }

  get restarts(): number {
    return this.#endedRestarts + this.#litestream.restarts;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  wrote(): void {
    this.#writtenAt = this.#options.elapsedMs();
    this.#behindSince ??= this.#writtenAt;
  }

  async step(): Promise<boolean> {
    const { waiting, pauses } = this.#options;
    const isIdle = waiting.isEmpty && this.#behindSince === undefined && isAnnounced(this.#options);
    if (isIdle) await pauses.wait(RENEW_MS);
    // More is likely to follow what nobody waits for.
    if (waiting.isEmpty && this.#behindSince !== undefined) await pauses.wait(GATHER_MS);
    return this.#isOver || pauses.areOver || (await this.round());
  }

  async round(): Promise<boolean> {
    const { lease, waiting, url, store, log, elapsedMs } = this.#options;
    const resolveWaiting = waiting.mark();
    const beganAt = elapsedMs();
    const litestream = this.#litestream;
    try {
      const limitMs = Math.min(SYNC_MS_MAX, Math.max(0, lease.leftMs - RENEW_MS / 2));
      const position = await litestream.sync(limitMs);
      const isFirst = lease.record?.source !== litestream.generation;
      await lease.update({ url: url(), source: litestream.generation, position });
      if (this.#isOver) return true;
      this.#problem = undefined;
      // What was written meanwhile is the next round's.
      this.#behindSince = this.#writtenAt > beganAt ? this.#writtenAt : undefined;
      resolveWaiting();
      if (isFirst) void removeOldGenerations(store, litestream.generation, log);
      return true;
    } catch (error) {
      return await this.#failed(error, beganAt);
    }
  }

  abandon(): void {
    this.#isOver = true;
    this.#behindSince = undefined;
  }

  async end(isAtOnce: boolean): Promise<void> {
    await this.#litestream.stop(isAtOnce);
  }

  async #failed(failure: unknown, beganAt: number): Promise<boolean> {
    const { lease, log } = this.#options;
    this.#behindSince ??= beganAt;
    this.#problem = failure instanceof Error ? failure.message : String(failure);
    log.warn("auth-replica", { message: this.#problem });
    const isHeld = !isMicError(failure, "forbidden") && (await this.#renew());
    if (this.#isOver || !isHeld) return isHeld;
    const { failures, complaints, generation } = this.#litestream;
    const isStuck = failures >= FAILURES_MAX || complaints >= COMPLAINTS_MAX;
    return isStuck && lease.record?.source === generation ? await this.#beginAnew() : true;
  }

  async #renew(): Promise<boolean> {
    const { lease, url } = this.#options;
    try {
      await lease.update({ url: url() });
      return true;
    } catch (error) {
      return !isMicError(error, "forbidden") && lease.leftMs > 0;
    }
  }

  /** Local files that Litestream cannot go on with are not worth keeping. */
  async #beginAnew(): Promise<boolean> {
    const { lease, url, state, log } = this.#options;
    await this.#litestream.stop(true);
    this.#endedRestarts += this.#litestream.restarts;
    await lease.look();
    if (!(await lease.take(url()))) return false;
    const { generation } = lease.record!;
    state.remember({ generation, origin: "own" });
    log.info("auth-primary", { generation, accounts: "local" });
    this.#litestream = this.#start();
    return true;
  }

  #start(): Litestream {
    const { lease, program, file, settings } = this.#options;
    const { generation } = lease.record!;
    const directory = path.dirname(file);
    rmSync(path.dirname(metaDirectoryOf(directory, generation)), { recursive: true, force: true });
    return new Litestream(program, { file, settings, generation }, directory);
  }
}
