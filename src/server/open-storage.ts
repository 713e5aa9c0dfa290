/** The store of a server: the origin that its options name, with the tiers before it. */
import type { Clock } from "../core/base/clock.ts";
import type { Random } from "../core/base/random.ts";
import { cacheScopeOfKey } from "../core/objects/keys.ts";
import { type CachedStore, openCachedStore } from "../core/store/cache/cached-store.ts";
import { holdWrites } from "../core/store/hold-writes.ts";
import type { ObjectStore } from "../core/store/object-store.ts";
import { canPresign, type PresigningStore } from "../core/store/presign.ts";
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
  /** What signs URLs for clients, where that is asked for. */
  readonly presigning: PresigningStore | undefined;
  /** Rejects when the store turns out not to be one that may be written. Until it resolves, nothing is. */
  readonly checked: Promise<unknown>;
}

/** The origin, and what tells it from all others. */
interface Origin {
  readonly store: ObjectStore;
  readonly address: string;
  readonly identity: string;
  readonly isRemote: boolean;
  readonly checked: Promise<unknown>;
}

/** How long a start waits for the probe. Beyond it the server answers reads, and writes wait. */
const PROBE_WAIT_MS = 400;
/** Of the tier in memory in front of a bucket, unless something else is asked for. */
const MEMORY_BYTES_DEFAULT = 32 << 20;
/** Of the tier on disk. */
const DISK_BYTES_DEFAULT = 16 * 2 ** 30;

/**
 * A bucket is probed at every start. Errors: `unsupported` for one that does not keep what landing relies on, unless
 * the probe takes long: then `checked` rejects with it. Those of opening the store.
 */
export async function openStorage(options: ServeOptions, world: OpenStorage): Promise<OpenedStorage> {
  const { origin, tiers } = options.storage;
  const opened =
    origin.kind === "s3"
      ? await openBucket(origin.settings, world)
      : await openDirectory(options.dataDirectory, world);
  const { store, address, checked } = opened;
  try {
    const cached = addTiers(opened, tiers, world);
    if (cached !== undefined) holdWrites(cached, checked);
    const presigning = options.storage.presigned && canPresign(store) ? store : undefined;
    return { store: cached ?? store, address, cached, presigning, checked };
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

async function openDirectory(directory: string, { clock }: OpenStorage): Promise<Origin> {
  const { openLocalStore } = await import("../core/store/local-store.ts");
  const store = await openLocalStore(directory, { clock, create: true });
  return { store, address: directory, identity: directory, isRemote: false, checked: Promise.resolve() };
}

async function openBucket(settings: S3Settings, world: OpenStorage): Promise<Origin> {
  const { clock, random, env, log } = world;
  const address = formatBucketAddress(settings);
  await using cleanup = new AsyncDisposableStack();
  const store = cleanup.use(await connectS3(settings, { env, clock, random, transport: "undici" }));
  const checked = probeBucket(store, { clock, random }).then(({ durationMs }) =>
    log.info("probed", { store: address, ms: Math.round(durationMs) }),
  );
  const passed = new AbortController();
  checked.then(
    () => passed.abort(),
    () => passed.abort(),
  );
  await clock.sleep(PROBE_WAIT_MS, passed.signal).catch(() => checked);
  cleanup.move();
  return { store, address, identity: `${settings.endpoint ?? "aws"} ${address}`, isRemote: true, checked };
}

/** Nothing for a directory on this machine, unless it is asked for. Errors: `usage` for a CDN that cannot be one. */
function addTiers(
  { store, identity, isRemote }: Origin,
  { cachePath, cacheMaxBytes, cacheMemoryMaxBytes, cdnBaseUrl, cdnTimeoutMs }: TierOptions,
  { clock, random, log }: OpenStorage,
): CachedStore | undefined {
  const memoryBytes = cacheMemoryMaxBytes ?? (isRemote ? MEMORY_BYTES_DEFAULT : 0);
  const isAsked = memoryBytes > 0 || cachePath !== undefined || cdnBaseUrl !== undefined;
  if (!isRemote && !isAsked) return undefined;
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
