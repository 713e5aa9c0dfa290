/** From the options of `mic serve` to the replica of its accounts, with Litestream or without. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import type { Clock } from "../../../core/base/clock.ts";
import type { Random } from "../../../core/base/random.ts";
import { connectS3 } from "../../../core/store/s3/connect.ts";
import type { Environment, S3Settings } from "../../../core/store/s3/environment.ts";
import { probeBucket } from "../../../core/store/s3/probe.ts";
import type { ServerLog } from "../../context.ts";
import type { AccountsReplica } from "./accounts-replica.ts";
import { AuthReplica } from "./auth-replica.ts";
import { findLitestream } from "./litestream.ts";
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
 * those of `AuthReplica.open`; `unsupported` for a store without conditional writes.
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
  try {
    if (probed?.bucket !== settings.bucket || probed.endpoint !== settings.endpoint) {
      await probeBucket(store, { clock, random });
    }
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
  const executable = findLitestream(env);
  return await AuthReplica.open({
    file,
    store,
    settings,
    role,
    advertiseUrl,
    program: executable === undefined ? undefined : { executable, env, clock, log },
    clock,
    random,
    elapsedMs: () => performance.now(),
    log,
  });
}
