/** From the options of `mic serve` to the replica of its accounts, with Litestream or without. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import type { Clock } from "../../../core/base/clock.ts";
import { MicError } from "../../../core/base/errors.ts";
import type { Random } from "../../../core/base/random.ts";
import { connectS3 } from "../../../core/store/s3/connect.ts";
import {
  type Environment,
  formatBucketAddress,
  type S3Settings,
} from "../../../core/store/s3/environment.ts";
import { probeBucket } from "../../../core/store/s3/probe.ts";
import type { ServerLog } from "../../context.ts";
import type { AccountsReplica } from "./accounts-replica.ts";
import { AuthReplica } from "./auth-replica.ts";
import { Lease } from "./lease.ts";
import { findLitestream, LITESTREAM_HINT } from "./litestream.ts";
import { readReplicaState } from "./replica-state.ts";
import type { ReplicaOptions } from "./replica-target.ts";

export interface OpenReplica {
  readonly options: ReplicaOptions;
  /** Of the auth database. */
  readonly file: string;
  /** The forge's own bucket, which is probed at every start anyway. */
  readonly probed: S3Settings | undefined;
  readonly env: Environment;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
}

/** Of a request: well below the length of the lease. */
const STORE_MS_MAX = 4_000;

/**
 * Before the database is opened: its file is there afterwards, unless there are no accounts anywhere yet. Errors:
 * those of `AuthReplica.open`; `unsupported` for a store without conditional writes, and where the accounts are in the
 * replica alone and Litestream is not installed.
 */
export async function openReplica(request: OpenReplica): Promise<AccountsReplica> {
  const { options, file, probed, env, clock, random, log } = request;
  const { settings, role, advertiseUrl } = options;
  const directory = path.dirname(file);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const store = await connectS3(settings, {
    env,
    clock,
    random,
    transport: "undici",
    timeoutMs: STORE_MS_MAX,
  });
  const elapsedMs = (): number => performance.now();
  let isHandedOver = false;
  try {
    if (probed?.bucket !== settings.bucket || probed.endpoint !== settings.endpoint) {
      await probeBucket(store, { clock, random });
    }
    const executable = findLitestream(env);
    if (executable !== undefined) {
      const program = { executable, env, clock, log };
      isHandedOver = true;
      return await AuthReplica.open({
        file,
        store,
        settings,
        role,
        advertiseUrl,
        program,
        clock,
        random,
        elapsedMs,
        log,
      });
    }
    const state = readReplicaState(directory, random);
    const lease = new Lease({ store, clock, random, elapsedMs, holder: state.holder });
    const record = await lease.look();
    const isOwn = record?.holder === state.holder && state.origin === "own";
    if (role !== "follower" && (record === undefined || record.source === 0 || isOwn)) {
      isHandedOver = true;
      await store[Symbol.asyncDispose]();
      log.warn("litestream-missing", { message: UNREPLICATED, hint: LITESTREAM_HINT });
      return new Unreplicated();
    }
    throw new MicError(
      "unsupported",
      `the accounts are in ${formatBucketAddress(settings)}, and Litestream, which reads them, is not installed`,
      { hint: LITESTREAM_HINT },
    );
  } catch (error) {
    if (!isHandedOver) await store[Symbol.asyncDispose]();
    throw error;
  }
}

const UNREPLICATED = "Litestream is not installed: the accounts are on this disk and nowhere else";

/** A replica was asked for and cannot be had. Everything else works, and /readyz says so. */
class Unreplicated implements AccountsReplica {
  readonly isPrimary = true;
  readonly primaryUrl = undefined;

  status(): ReturnType<AccountsReplica["status"]> {
    return { role: "primary", generation: 0, lagMs: 0, restarts: 0, problem: UNREPLICATED };
  }

  attach(): Promise<void> {
    return Promise.resolve();
  }

  announce(): void {
    // Nobody follows.
  }

  flushed(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
