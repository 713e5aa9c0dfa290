/** The store of a server: the origin that its options name, with the tiers before it. */
import type { Clock } from "../core/base/clock.ts";
import type { Random } from "../core/base/random.ts";
import type { ObjectStore } from "../core/store/object-store.ts";
import { connectS3 } from "../core/store/s3/connect.ts";
import { formatBucketAddress, type S3Settings } from "../core/store/s3/environment.ts";
import { probeBucket } from "../core/store/s3/probe.ts";
import type { ServerLog } from "./context.ts";
import type { ServeOptions } from "./serve-options.ts";

export interface OpenStorage {
  readonly clock: Clock;
  readonly random: Random;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: ServerLog;
}

export interface OpenedStorage {
  /** Disposed of by whoever opened it. */
  readonly store: ObjectStore;
  /** For messages: a directory, or `s3://bucket/prefix`. */
  readonly address: string;
}

/**
 * Errors: `unsupported` for a bucket that does not keep what landing relies on (it is probed at every start), and
 * those of opening the store.
 */
export async function openStorage(options: ServeOptions, world: OpenStorage): Promise<OpenedStorage> {
  const { origin } = options.storage;
  return origin.kind === "s3"
    ? await openBucket(origin.settings, world)
    : await openDirectory(options.dataDirectory, world);
}

async function openDirectory(directory: string, { clock }: OpenStorage): Promise<OpenedStorage> {
  const { openLocalStore } = await import("../core/store/local-store.ts");
  return { store: await openLocalStore(directory, { clock, create: true }), address: directory };
}

async function openBucket(settings: S3Settings, world: OpenStorage): Promise<OpenedStorage> {
  const { clock, random, env, log } = world;
  const address = formatBucketAddress(settings);
  await using cleanup = new AsyncDisposableStack();
  const store = cleanup.use(await connectS3(settings, { env, clock, random, transport: "undici" }));
  const { durationMs } = await probeBucket(store, { clock, random });
  log.info("probed", { store: address, ms: Math.round(durationMs) });
  cleanup.move();
  return { store, address };
}
