/** The store of a server: the origin that its options name, with the tiers before it. */
import type { Clock } from "../core/base/clock.ts";
import type { Random } from "../core/base/random.ts";
import { cacheScopeOfKey } from "../core/objects/keys.ts";
import { type CachedStore, openCachedStore } from "../core/store/cache/cached-store.ts";
import type { ObjectStore } from "../core/store/object-store.ts";
import { connectS3 } from "../core/store/s3/connect.ts";
import { formatBucketAddress, type S3Settings } from "../core/store/s3/environment.ts";
import { probeBucket } from "../core/store/s3/probe.ts";
import type { ServerLog } from "./context.ts";
import type { ServeOptions, TierOptions } from "./serve-options.ts";

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
  /** The same store, when there are caches in front of it. */
  readonly cached: CachedStore | undefined;
}

/** The origin, and what tells it from all others. */
interface Origin {
  readonly store: ObjectStore;
  readonly address: string;
  readonly identity: string;
  readonly isRemote: boolean;
}

/** Of the tier in memory in front of a bucket, unless something else is asked for. */
const MEMORY_BYTES_DEFAULT = 32 << 20;
/** Of the tier on disk. */
const DISK_BYTES_DEFAULT = 16 * 2 ** 30;

/**
 * Errors: `unsupported` for a bucket that does not keep what landing relies on (it is probed at every start), and
 * those of opening the store.
 */
export async function openStorage(options: ServeOptions, world: OpenStorage): Promise<OpenedStorage> {
  const { origin, tiers } = options.storage;
  const opened =
    origin.kind === "s3"
      ? await openBucket(origin.settings, world)
      : await openDirectory(options.dataDirectory, world);
  const { store, address } = opened;
  try {
    const cached = addTiers(opened, tiers, world);
    return { store: cached ?? store, address, cached };
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

async function openDirectory(directory: string, { clock }: OpenStorage): Promise<Origin> {
  const { openLocalStore } = await import("../core/store/local-store.ts");
  const store = await openLocalStore(directory, { clock, create: true });
  return { store, address: directory, identity: directory, isRemote: false };
}

async function openBucket(settings: S3Settings, world: OpenStorage): Promise<Origin> {
  const { clock, random, env, log } = world;
  const address = formatBucketAddress(settings);
  await using cleanup = new AsyncDisposableStack();
  const store = cleanup.use(await connectS3(settings, { env, clock, random, transport: "undici" }));
  const { durationMs } = await probeBucket(store, { clock, random });
  log.info("probed", { store: address, ms: Math.round(durationMs) });
  cleanup.move();
  return { store, address, identity: `${settings.endpoint ?? "aws"} ${address}`, isRemote: true };
}

/** Nothing for a directory on this machine, unless it is asked for. Errors: `usage` for a CDN that cannot be one. */
function addTiers(
  { store, identity, isRemote }: Origin,
  { cachePath, cacheMaxBytes, cacheMemoryMaxBytes, cdnBaseUrl, cdnTimeoutMs }: TierOptions,
  { clock, random, log }: OpenStorage,
): CachedStore | undefined {
  const memoryBytes = cacheMemoryMaxBytes ?? (isRemote ? MEMORY_BYTES_DEFAULT : 0);
  if (memoryBytes === 0 && cachePath === undefined && cdnBaseUrl === undefined) return undefined;
  return openCachedStore(store, {
    scopeOf: cacheScopeOfKey,
    identity,
    clock,
    elapsedMs: () => performance.now(),
    ...(memoryBytes === 0 ? {} : { memory: { bytesMax: memoryBytes } }),
    ...(cachePath === undefined
      ? {}
      : {
          disk: {
            directory: cachePath,
            bytesMax: cacheMaxBytes ?? DISK_BYTES_DEFAULT,
            clock,
            random,
            warn: (message) => log.warn("cache", { message }),
          },
        }),
    ...(cdnBaseUrl === undefined
      ? {}
      : { cdn: { baseUrl: cdnBaseUrl, timeoutMs: cdnTimeoutMs, fetch: (url, init) => fetch(url, init) } }),
  });
}
