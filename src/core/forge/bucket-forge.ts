/** A forge in a bucket, without a server: the service in this process, over S3. */
import type { Clock } from "../base/clock.ts";
import { MicError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { Environment, S3Defaults, S3Flags } from "../store/s3/environment.ts";
import type { S3Store } from "../store/s3/open.ts";
import type { S3RequestStats } from "../store/s3/options.ts";
import type { Forge } from "./forge.ts";

export interface OpenBucket {
  readonly env: Environment;
  /** Of the configuration. */
  readonly defaults: S3Defaults;
  readonly clock: Clock;
  readonly random: Random;
  /** Of one request, and of one call with all its repetitions; defaults: options.ts of the store. */
  readonly timeoutMs?: number;
  readonly patienceMs?: number;
  readonly onRequest?: (stats: S3RequestStats) => void;
}

const ADDRESS = /^s3:\/\/([^/]*)(?:\/(.*))?$/i;

/** `s3://bucket[/prefix]`. Errors: `usage`. */
export function bucketOfAddress(address: string): Required<Pick<S3Flags, "bucket" | "prefix">> {
  const match = ADDRESS.exec(address);
  if (match === null)
    throw new MicError("usage", `${address} is not the address of a bucket`, { hint: EXAMPLE });
  return { bucket: match[1]!, prefix: match[2] ?? "" };
}

const EXAMPLE = "write s3://bucket/prefix";

/** The store at an address. Nothing is sent yet. Errors: `usage`, `unsupported`, `unauthenticated`. */
export async function openBucketStore(address: string, options: OpenBucket): Promise<S3Store> {
  const { env, defaults, clock, random, timeoutMs, patienceMs, onRequest } = options;
  const [{ connectS3 }, { readS3Settings }] = await Promise.all([
    import("../store/s3/connect.ts"),
    import("../store/s3/environment.ts"),
  ]);
  return await connectS3(readS3Settings(env, bucketOfAddress(address), defaults), {
    env,
    clock,
    random,
    transport: "fetch",
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(patienceMs === undefined ? {} : { patienceMs }),
    ...(onRequest === undefined ? {} : { onRequest }),
  });
}

/** Over a store that is given up to the forge. Whoever lands is this process itself. */
export async function openForgeOnStore(
  store: ObjectStore,
  address: string,
  options: Pick<OpenBucket, "clock" | "random"> & {
    /** How long a landing without a definite answer is retried. */
    readonly landTimeoutMs: number;
  },
): Promise<Forge> {
  const { ForgeService } = await import("./service.ts");
  return new ForgeService({ store, address, trustWriters: true, ...options });
}
