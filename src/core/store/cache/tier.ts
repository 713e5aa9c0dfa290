/**
 * What a chain of caches is made of: RAM, then a directory, then a CDN, then the store. Each tier answers or asks
 * the next. Only objects that never change pass through it; the key says which those are.
 */
import type { ByteRange } from "../object-store.ts";

/**
 * Where a key's content may be kept. `nearby`: only on this machine, because readers ask for keys that may not
 * exist, which a CDN would be asked in vain, or because not everybody may read it.
 */
export type CacheScope = "everywhere" | "nearby";

/** Says which keys name content that never changes; `undefined` for all others. */
export type CacheScopeOf = (key: string) => CacheScope | undefined;

export interface TierRead {
  readonly range?: ByteRange;
  /** What the caches have turned out to be damaged: only the store's own answer counts. */
  readonly fresh?: boolean;
  readonly scope: CacheScope;
}

export interface ReadTier {
  /**
   * Bytes that belong to the caller, cut as `ObjectStore.get` cuts them; `undefined` when there is no such key.
   * Errors: those of the store. A cache that fails is passed over in silence and counted.
   */
  read(key: string, read: TierRead): Promise<Uint8Array | undefined>;
}
