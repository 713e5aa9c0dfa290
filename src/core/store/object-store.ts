/**
 * The only thing that the forge asks of the world: named bytes, and one compare-and-swap. Adapters: memory,
 * local directory, S3. Every adapter passes the conformance kit in test/conformance/object-store.ts.
 *
 * Keys are `/`-separated ASCII without empty, `.` or `..` components. An ETag is opaque and compared byte
 * for byte.
 */

export type ETag = string;

export interface StoredObject {
  readonly bytes: Uint8Array;
  readonly etag: ETag;
}

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** How long the caller waits. */
export interface WaitOptions {
  readonly signal?: AbortSignal;
  /**
   * Unix milliseconds by the caller's clock, after which nobody waits for the answer. A store that can be left
   * without one (over a network) gives up about then, as it does on any answer that does not come: what was sent
   * may still be applied. Others need not look at it.
   */
  readonly untilMs?: number;
}

export interface ReadOptions extends WaitOptions {
  /** Part of the object. A range that passes the end is cut short; one that starts beyond it is empty. */
  readonly range?: ByteRange;
  /**
   * Past every cache: an earlier answer turned out to be damaged. A cache drops what it has under the key and
   * asks the next tier for the same.
   */
  readonly fresh?: boolean;
}

export interface Put {
  readonly key: string;
  readonly bytes: Uint8Array;
}

export interface Swap {
  readonly key: string;
  /** The version that must be current; `null`: the key must not exist. */
  readonly expected: ETag | null;
  readonly bytes: Uint8Array;
  /**
   * The store's time, in Unix milliseconds, at which what the swap relies on was checked. A store whose requests
   * expire signs the swap with it, so that a late delivery is refused.
   */
  readonly checkedAtMs?: number;
}

/**
 * `committed`: puts and swap are durable. `lost`: the store said that the precondition failed (which, on a
 * store that may deliver a request twice, does not prove that our own swap was not applied). `missing`: an
 * expected key does not exist. `unknown`: something was sent and no definite answer came; it may be applied
 * now, later, or never. An error that is thrown means that the swap was never sent.
 */
export type CommitOutcome =
  | { readonly kind: "committed"; readonly etag: ETag }
  | { readonly kind: "lost" }
  | { readonly kind: "missing" }
  | { readonly kind: "unknown"; readonly cause: unknown };

export interface ListedObject {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
}

export interface ListPage {
  /** Not empty, but on the last page. */
  readonly objects: readonly ListedObject[];
  /** Pass as `after` for the next page; absent on the last. */
  readonly next?: string;
}

export interface ListOptions {
  /** Only keys greater than this. */
  readonly after?: string;
  /** 1 to 1000, default 1000. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface ObjectStore extends AsyncDisposable {
  /** For messages: `memory`, a directory, `s3://bucket/prefix`. */
  readonly description: string;
  /** A cache may answer wrongly: readers verify what they pass on, and read again with `fresh` what is wrong. */
  readonly mayBeDamaged?: boolean;

  /** `undefined` when there is no such key. Errors: `unreachable`, `corrupt`. */
  get(key: string, options?: ReadOptions): Promise<StoredObject | undefined>;

  /** A conditional read: `unchanged` when the key still has this ETag. */
  revalidate(key: string, etag: ETag, options?: WaitOptions): Promise<StoredObject | "unchanged" | undefined>;

  /**
   * Stores an immutable object, durable on return. Repeating it with the same bytes is harmless; the caller
   * never puts other bytes under the same key. A failed put leaves nothing readable under the key.
   */
  put(key: string, bytes: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<void>;

  /**
   * Makes `puts` durable and then swaps one object. Atomic where the store can (memory, local directory: all
   * or nothing); elsewhere the puts come first, and are left in place when the swap is not applied. Never
   * repeats the swap by itself. A signal or a time that ends the wait for a swap that was sent makes it `unknown`.
   */
  commit(puts: readonly Put[], swap: Swap, options?: WaitOptions): Promise<CommitOutcome>;

  /** Keys that start with `prefix`, in byte order. */
  list(prefix: string, options?: ListOptions): Promise<ListPage>;

  /** Missing keys are not an error. */
  delete(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<void>;

  /** The store's own time in Unix milliseconds: the epoch of new objects and the bound on clock skew. */
  nowMs(): Promise<number>;
}
