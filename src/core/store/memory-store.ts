/** An object store in memory, for tests, the simulator and forges that are thrown away. */
import { type Clock, throwIfAborted } from "../base/clock.ts";
import type {
  CommitOutcome,
  ETag,
  ListedObject,
  ListOptions,
  ListPage,
  ObjectStore,
  Put,
  ReadOptions,
  StoredObject,
  Swap,
} from "./object-store.ts";
import {
  checkCommit,
  checkListLimit,
  checkStoreKey,
  checkStorePrefix,
  clampRange,
  LIST_LIMIT_MAX,
} from "./store-key.ts";

interface Version {
  readonly bytes: Uint8Array;
  readonly etag: ETag;
}

interface SignalOption {
  readonly signal?: AbortSignal;
}

/** Bytes are copied on the way in and on the way out, so no caller can change what another one reads. */
export class MemoryStore implements ObjectStore {
  readonly description = "memory";
  readonly #clock: Clock;
  readonly #objects = new Map<string, Version>();
  /** Keys in byte order; rebuilt by the first list after a key came or went. */
  #sortedKeys: string[] | undefined = [];
  #lastVersion = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async get(key: string, options: ReadOptions = {}): Promise<StoredObject | undefined> {
    throwIfAborted(options.signal);
    checkStoreKey(key);
    const found = this.#objects.get(key);
    if (found === undefined) return undefined;
    const { start, end } = clampRange(options.range, found.bytes.length);
    return { bytes: found.bytes.slice(start, end), etag: found.etag };
  }

  async revalidate(
    key: string,
    etag: ETag,
    options: SignalOption = {},
  ): Promise<StoredObject | "unchanged" | undefined> {
    const found = await this.get(key, options);
    return found?.etag === etag ? "unchanged" : found;
  }

  async put(key: string, bytes: Uint8Array, options: SignalOption = {}): Promise<void> {
    throwIfAborted(options.signal);
    checkStoreKey(key);
    this.#write(key, bytes);
  }

  async commit(puts: readonly Put[], swap: Swap, options: SignalOption = {}): Promise<CommitOutcome> {
    throwIfAborted(options.signal);
    checkCommit(puts, swap);
    const current = this.#objects.get(swap.key);
    if (current === undefined && swap.expected !== null) return { kind: "missing" };
    if (current !== undefined && current.etag !== swap.expected) return { kind: "lost" };
    for (const put of puts) this.#write(put.key, put.bytes);
    return { kind: "committed", etag: this.#write(swap.key, swap.bytes) };
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    throwIfAborted(options.signal);
    checkStorePrefix(prefix);
    const limit = options.limit ?? LIST_LIMIT_MAX;
    checkListLimit(limit);
    this.#sortedKeys ??= [...this.#objects.keys()].sort();
    const keys = this.#sortedKeys;
    const objects: ListedObject[] = [];
    for (let i = firstAtLeast(keys, prefix, options.after); i < keys.length; i++) {
      const key = keys[i]!;
      if (!key.startsWith(prefix)) break;
      if (objects.length === limit) return { objects, next: objects[limit - 1]!.key };
      objects.push({ key, size: this.#objects.get(key)!.bytes.length });
    }
    return { objects };
  }

  async delete(keys: readonly string[], options: SignalOption = {}): Promise<void> {
    throwIfAborted(options.signal);
    for (const key of keys) checkStoreKey(key);
    for (const key of keys) if (this.#objects.delete(key)) this.#sortedKeys = undefined;
  }

  async nowMs(): Promise<number> {
    return this.#clock.nowMs();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Other holders may still use it; the memory goes with the last of them.
  }

  #write(key: string, bytes: Uint8Array): ETag {
    if (!this.#objects.has(key)) this.#sortedKeys = undefined;
    this.#lastVersion++;
    const etag = String(this.#lastVersion);
    this.#objects.set(key, { bytes: new Uint8Array(bytes), etag });
    return etag;
  }
}

/** Index of the first key that is ≥ `prefix` and > `after`. Keys are ASCII, so string order is byte order. */
function firstAtLeast(keys: readonly string[], prefix: string, after: string | undefined): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const key = keys[middle]!;
    if (key < prefix || (after !== undefined && key <= after)) low = middle + 1;
    else high = middle;
  }
  return low;
}
