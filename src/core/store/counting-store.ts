/** Counts what a caller asks of a store, so that tests can hold operations to a budget of requests. */
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
} from "./object-store.ts";

/** Requests as an S3 store would be charged for them: a commit of two puts and a swap is three writes. */
export interface StoreCounts {
  /** Reads that were answered with content. */
  readonly gets: number;
  /** Reads of a missing key. */
  readonly misses: number;
  /** Conditional reads answered `unchanged`. */
  readonly unchanged: number;
  readonly puts: number;
  readonly swaps: number;
  readonly lists: number;
  /** Keys. */
  readonly deletes: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

export interface StoreRequest {
  readonly operation: "get" | "revalidate" | "put" | "swap" | "list" | "delete";
  /** The prefix for a list. */
  readonly key: string;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function zero(): Mutable<StoreCounts> {
  return {
    gets: 0,
    misses: 0,
    unchanged: 0,
    puts: 0,
    swaps: 0,
    lists: 0,
    deletes: 0,
    bytesRead: 0,
    bytesWritten: 0,
  };
}

interface SignalOption {
  readonly signal?: AbortSignal;
}

export class CountingStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #onRequest: ((request: StoreRequest) => void) | undefined;
  #counts = zero();

  /** `onRequest` is called before each request is passed on. */
  constructor(inner: ObjectStore, onRequest?: (request: StoreRequest) => void) {
    this.#inner = inner;
    this.#onRequest = onRequest;
  }

  get description(): string {
    return this.#inner.description;
  }

  /** A copy: later requests do not change it. */
  get counts(): StoreCounts {
    return { ...this.#counts };
  }

  /** All requests that read: conditional or not, answered with content or not. */
  get reads(): number {
    return this.#counts.gets + this.#counts.misses + this.#counts.unchanged;
  }

  /** All requests that store something. */
  get writes(): number {
    return this.#counts.puts + this.#counts.swaps;
  }

  /** Starts again from zero and returns what was counted so far. */
  reset(): StoreCounts {
    const counts = this.#counts;
    this.#counts = zero();
    return counts;
  }

  async get(key: string, options?: ReadOptions): Promise<StoredObject | undefined> {
    this.#onRequest?.({ operation: "get", key });
    const found = await this.#inner.get(key, options);
    this.#countRead(found);
    return found;
  }

  async revalidate(
    key: string,
    etag: ETag,
    options?: SignalOption,
  ): Promise<StoredObject | "unchanged" | undefined> {
    this.#onRequest?.({ operation: "revalidate", key });
    const found = await this.#inner.revalidate(key, etag, options);
    this.#countRead(found);
    return found;
  }

  #countRead(found: StoredObject | "unchanged" | undefined): void {
    if (found === undefined) this.#counts.misses++;
    else if (found === "unchanged") this.#counts.unchanged++;
    else {
      this.#counts.gets++;
      this.#counts.bytesRead += found.bytes.length;
    }
  }

  async put(key: string, bytes: Uint8Array, options?: SignalOption): Promise<void> {
    this.#countWrite("put", key, bytes);
    await this.#inner.put(key, bytes, options);
  }

  async commit(puts: readonly Put[], swap: Swap, options?: SignalOption): Promise<CommitOutcome> {
    for (const { key, bytes } of puts) this.#countWrite("put", key, bytes);
    this.#countWrite("swap", swap.key, swap.bytes);
    return this.#inner.commit(puts, swap, options);
  }

  #countWrite(operation: "put" | "swap", key: string, bytes: Uint8Array): void {
    this.#onRequest?.({ operation, key });
    if (operation === "put") this.#counts.puts++;
    else this.#counts.swaps++;
    this.#counts.bytesWritten += bytes.length;
  }

  async list(prefix: string, options?: ListOptions): Promise<ListPage> {
    this.#onRequest?.({ operation: "list", key: prefix });
    this.#counts.lists++;
    return this.#inner.list(prefix, options);
  }

  async delete(keys: readonly string[], options?: SignalOption): Promise<void> {
    for (const key of keys) this.#onRequest?.({ operation: "delete", key });
    this.#counts.deletes += keys.length;
    await this.#inner.delete(keys, options);
  }

  nowMs(): Promise<number> {
    return this.#inner.nowMs();
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#inner[Symbol.asyncDispose]();
  }
}
