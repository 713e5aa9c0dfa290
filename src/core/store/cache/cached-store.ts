/** A store with caches in front of what never changes. Everything else is asked of the store itself, every time. */
import { throwIfAborted } from "../../base/clock.ts";
import type {
  CommitOutcome,
  ETag,
  ListOptions,
  ListPage,
  ObjectStore,
  Put,
  ReadOptions,
  StoredObject,
  Swap,
} from "../object-store.ts";
import { canPresign, type PresignedUrl, type PresigningStore } from "../presign.ts";
import { checkStoreKey } from "../store-key.ts";
import type { Fetch } from "./cdn-request.ts";
import { CdnTier } from "./cdn-tier.ts";
import { DiskTier } from "./disk-tier.ts";
import { MemoryTier } from "./memory-tier.ts";
import { OriginTier } from "./origin-tier.ts";
import { SegmentFiles, type SegmentFilesOptions } from "./segment-files.ts";
import { SharedReads } from "./shared-reads.ts";
import type { CacheScopeOf, ReadTier } from "./tier.ts";
import type { TierFigures, TierStats } from "./tier-stats.ts";

/** A larger range is passed on as it is asked for, also to be interrupted. */
const SHARED_READ_BYTES_MAX = 32 << 20;

export interface CacheOptions {
  readonly scopeOf: CacheScopeOf;
  /** Which store it is, among all that a directory may be a cache of. Default: its description. */
  readonly identity?: string;
  /** Absent: no tier in memory. */
  readonly memory?: { readonly bytesMax: number };
  /** Absent: none on disk. */
  readonly disk?: SegmentFilesOptions;
  /** Absent: no CDN. Its base URL stands for the root of the store. */
  readonly cdn?: { readonly baseUrl: string; readonly timeoutMs: number; readonly fetch: Fetch };
  readonly clock: SegmentFilesOptions["clock"];
  /** A stopwatch in milliseconds, for the figures. Default: the clock. */
  readonly elapsedMs?: () => number;
}

interface SignalOption {
  readonly signal?: AbortSignal;
}

/** Disposes of the origin with it. Errors: `usage` for a CDN's URL that cannot be one. */
export function openCachedStore(origin: ObjectStore, options: CacheOptions): CachedStore {
  return canPresign(origin)
    ? new PresigningCachedStore(origin, origin, options)
    : new CachedStore(origin, options);
}

export class CachedStore implements ObjectStore {
  readonly mayBeDamaged = true;
  readonly #origin: ObjectStore;
  readonly #scopeOf: CacheScopeOf;
  readonly #first: ReadTier;
  readonly #disk: DiskTier | undefined;
  readonly #shared = new SharedReads();
  readonly #stats: readonly TierStats[];

  constructor(origin: ObjectStore, options: CacheOptions) {
    const elapsedMs = options.elapsedMs ?? (() => options.clock.nowMs());
    this.#origin = origin;
    this.#scopeOf = options.scopeOf;
    const last = new OriginTier(origin, elapsedMs);
    const stats: TierStats[] = [last.stats];
    let first: ReadTier = last;
    if (options.cdn !== undefined) {
      const cdn = new CdnTier(first, { ...options.cdn, clock: options.clock, elapsedMs });
      stats.unshift(cdn.stats);
      first = cdn;
    }
    if (options.disk !== undefined) {
      const files = new SegmentFiles(options.disk);
      const identity = options.identity ?? origin.description;
      this.#disk = new DiskTier(first, { files, identity, elapsedMs });
      stats.unshift(this.#disk.stats);
      first = this.#disk;
    }
    if (options.memory !== undefined) {
      const memory = new MemoryTier(first, { bytesMax: options.memory.bytesMax, elapsedMs });
      stats.unshift(memory.stats);
      first = memory;
    }
    this.#first = first;
    this.#stats = stats;
  }

  get description(): string {
    return this.#origin.description;
  }

  /** From the fastest tier to the store. */
  figures(): TierFigures[] {
    return this.#stats.map((stats) => stats.figures());
  }

  /** The ETag of an object that never changes is its key, whichever tier it comes from. */
  async get(key: string, options: ReadOptions = {}): Promise<StoredObject | undefined> {
    const { range, fresh, signal } = options;
    const scope = this.#scopeOf(key);
    if (scope === undefined) return await this.#origin.get(key, options);
    throwIfAborted(signal);
    checkStoreKey(key);
    if (range !== undefined && range.length > SHARED_READ_BYTES_MAX) {
      const stored = await this.#origin.get(key, options);
      return stored === undefined ? undefined : { bytes: stored.bytes, etag: key };
    }
    const read = { ...(range === undefined ? {} : { range }), ...(fresh ? { fresh } : {}), scope };
    const what = `${key} ${range?.offset} ${range?.length} ${fresh === true}`;
    const bytes = await this.#shared.get(what, () => this.#first.read(key, read), signal);
    return bytes === undefined ? undefined : { bytes, etag: key };
  }

  async revalidate(
    key: string,
    etag: ETag,
    options?: SignalOption,
  ): Promise<StoredObject | "unchanged" | undefined> {
    if (this.#scopeOf(key) === undefined) return await this.#origin.revalidate(key, etag, options);
    const found = await this.#origin.get(key, options);
    if (found === undefined) return undefined;
    return etag === key ? "unchanged" : { bytes: found.bytes, etag: key };
  }

  async put(key: string, bytes: Uint8Array, options?: SignalOption): Promise<void> {
    await this.#origin.put(key, bytes, options);
    if (this.#scopeOf(key) !== undefined) this.#disk?.stored(key, bytes);
  }

  async commit(puts: readonly Put[], swap: Swap, options?: SignalOption): Promise<CommitOutcome> {
    const outcome = await this.#origin.commit(puts, swap, options);
    if (outcome.kind === "committed") {
      for (const { key, bytes } of puts) {
        if (this.#scopeOf(key) !== undefined) this.#disk?.stored(key, bytes);
      }
    }
    return outcome;
  }

  list(prefix: string, options?: ListOptions): Promise<ListPage> {
    return this.#origin.list(prefix, options);
  }

  delete(keys: readonly string[], options?: SignalOption): Promise<void> {
    return this.#origin.delete(keys, options);
  }

  nowMs(): Promise<number> {
    return this.#origin.nowMs();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disk?.flush();
    await this.#origin[Symbol.asyncDispose]();
  }
}

/** The same for a store that can presign. */
class PresigningCachedStore extends CachedStore implements PresigningStore {
  readonly #presigning: PresigningStore;

  constructor(origin: ObjectStore, presigning: PresigningStore, options: CacheOptions) {
    super(origin, options);
    this.#presigning = presigning;
  }

  presignGet(key: string, seconds: number): Promise<PresignedUrl> {
    return this.#presigning.presignGet(key, seconds);
  }

  presignPut(key: string, seconds: number, options?: { readonly size?: number }): Promise<PresignedUrl> {
    return this.#presigning.presignPut(key, seconds, options);
  }
}
