/** What the parts of a replica are given: its place, its role, and the world around it. */
import type { Clock } from "../../../core/base/clock.ts";
import type { Random } from "../../../core/base/random.ts";
import type { ObjectStore } from "../../../core/store/object-store.ts";
import type { S3Settings } from "../../../core/store/s3/environment.ts";
import type { ServerLog } from "../../context.ts";
import type { LitestreamProgram } from "./litestream.ts";
import type { AuthRole } from "./replica-target.ts";

export interface AuthReplicaOptions {
  /** Of the database; its directory is this server's alone. */
  readonly file: string;
  /** Of the lease and the replica: the same place that `settings` name. Disposed of with the replica. */
  readonly store: ObjectStore;
  readonly settings: S3Settings;
  readonly role: AuthRole;
  readonly advertiseUrl: string | undefined;
  /** Undefined: Litestream is not installed. */
  readonly program: LitestreamProgram | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly elapsedMs: () => number;
  readonly log: ServerLog;
}
