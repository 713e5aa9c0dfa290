/** An object store on a bucket of S3, or of anything that speaks its language. */
import { throwIfAborted } from "../../base/clock.ts";
import { invariant, isMicError, MicError } from "../../base/errors.ts";
import { PACK_BYTES_MAX } from "../../base/limits.ts";
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
  WaitOptions,
} from "../object-store.ts";
import type { PresignedUrl, PresigningStore } from "../presign.ts";
import {
  checkCommit,
  checkListLimit,
  checkStoreKey,
  checkStorePrefix,
  clampRange,
  LIST_LIMIT_MAX,
} from "../store-key.ts";
import { S3Client } from "./client.ts";
import { Conditions, isEtag } from "./conditions.ts";
import { type Refusal, readRefusal, refusalError, transportMicError } from "./errors.ts";
import { encryptionHeaders, PUT_HEADERS, SWAP_HEADERS } from "./headers.ts";
import { listPage } from "./list.ts";
import { MULTIPART_THRESHOLD_BYTES, putParts } from "./multipart.ts";
import type { S3Options } from "./options.ts";
import { type TransportAnswer, TransportError } from "./transport.ts";

/** A whole object that is read at once; twice the largest pack. */
const OBJECT_BYTES_MAX = 2 * PACK_BYTES_MAX;
/** What AWS allows for a URL: a week. */
const PRESIGN_SECONDS_MAX = 604_800;

interface SignalOption {
  readonly signal?: AbortSignal;
}

export class S3ObjectStore implements ObjectStore, PresigningStore {
  readonly description: string;
  readonly #client: S3Client;
  readonly #conditions: Conditions;
  readonly #prefix: string;
  readonly #encryption: Readonly<Record<string, string>>;
  #hasBatchDelete = true;

  constructor(options: S3Options) {
    this.#client = new S3Client(options);
    const { dialect } = this.#client.endpoint;
    this.#conditions = new Conditions(dialect);
    this.#prefix = options.prefix;
    this.#encryption = encryptionHeaders(options.encryption, dialect);
    this.description = `s3://${options.bucket}/${options.prefix}`;
  }

  async get(key: string, options: ReadOptions = {}): Promise<StoredObject | undefined> {
    throwIfAborted(options.signal);
    checkStoreKey(key);
    clampRange(options.range, 0);
    const { range } = options;
    const headers: Record<string, string> = {};
    // HTTP has no empty range: one byte is read, and dropped.
    if (range !== undefined) {
      const last = Math.min(Number.MAX_SAFE_INTEGER, range.offset + Math.max(range.length, 1) - 1);
      headers["range"] = `bytes=${range.offset}-${last}`;
    }
    if (options.fresh) headers["cache-control"] = "no-cache";
    const doing = `reading ${key}`;
    const answer = await this.#client.ask(
      {
        operation: "get",
        method: "GET",
        key: this.#prefix + key,
        headers,
        answerBytesMax: OBJECT_BYTES_MAX,
        signal: options.signal,
        untilMs: options.untilMs,
      },
      doing,
      ({ status }, refusal) => status === 200 || status === 206 || status === 416 || isMissing(refusal),
    );
    if (answer.status === 404) return undefined;
    if (answer.status === 416) {
      const etag = await this.#headEtag(key, options);
      return etag === undefined ? undefined : { bytes: new Uint8Array(0), etag };
    }
    const etag = this.#etagOf(answer, doing);
    if (range === undefined) return { bytes: answer.body, etag };
    return { bytes: this.#cut(answer, range.offset, range.length, doing), etag };
  }

  async revalidate(
    key: string,
    etag: ETag,
    options: WaitOptions = {},
  ): Promise<StoredObject | "unchanged" | undefined> {
    throwIfAborted(options.signal);
    checkStoreKey(key);
    if (!isEtag(etag)) return this.get(key, options);
    const changed = this.#conditions.ifChanged(etag);
    if (changed === undefined) {
      const current = await this.#headEtag(key, options);
      return current === etag ? "unchanged" : this.get(key, options);
    }
    const doing = `reading ${key}`;
    const answer = await this.#client.ask(
      {
        operation: "get",
        method: "GET",
        key: this.#prefix + key,
        headers: changed,
        answerBytesMax: OBJECT_BYTES_MAX,
        signal: options.signal,
        untilMs: options.untilMs,
      },
      doing,
      ({ status }, refusal) => status === 200 || status === 304 || isMissing(refusal),
    );
    if (answer.status === 304) return "unchanged";
    if (answer.status === 404) return undefined;
    const found = this.#etagOf(answer, doing);
    // Some stores compare more loosely than byte for byte, none more strictly.
    return found === etag ? "unchanged" : { bytes: answer.body, etag: found };
  }

  async put(key: string, bytes: Uint8Array, options: WaitOptions = {}): Promise<void> {
    throwIfAborted(options.signal);
    checkStoreKey(key);
    const headers = { ...PUT_HEADERS, ...this.#encryption };
    const object = { key: this.#prefix + key, name: key, bytes, headers };
    if (bytes.length >= MULTIPART_THRESHOLD_BYTES) {
      await putParts(this.#client, object, options);
      return;
    }
    await this.#client.ask(
      {
        operation: "put",
        method: "PUT",
        key: object.key,
        headers,
        body: bytes,
        signal: options.signal,
        untilMs: options.untilMs,
      },
      `writing ${key}`,
      // A 200 without an ETag is not a store's: nothing may have been written.
      (answer) => answer.status === 200 && this.#conditions.etagOf(answer) !== undefined,
    );
  }

  async commit(puts: readonly Put[], swap: Swap, options: WaitOptions = {}): Promise<CommitOutcome> {
    throwIfAborted(options.signal);
    checkCommit(puts, swap);
    const done = await Promise.allSettled(puts.map(({ key, bytes }) => this.put(key, bytes, options)));
    for (const result of done) if (result.status === "rejected") throw result.reason;
    throwIfAborted(options.signal);
    if (swap.expected !== null && !isEtag(swap.expected)) {
      // No version ever has such an ETag, and a header may not carry it as it is.
      return { kind: (await this.#headEtag(swap.key, options)) === undefined ? "missing" : "lost" };
    }
    return this.#swap(swap, options);
  }

  /**
   * Every outcome of RELIABILITY.md's table. Sent once; only when the store answers that the bucket is elsewhere
   * is the same request sent there, which is what the caller would do on `unknown`.
   */
  async #swap(swap: Swap, options: WaitOptions, isMoved = false): Promise<CommitOutcome> {
    const { signal, untilMs } = options;
    const doing = `swapping ${swap.key}`;
    let answer: TransportAnswer;
    try {
      answer = await this.#client.deliver({
        operation: "swap",
        method: "PUT",
        key: this.#prefix + swap.key,
        headers: { ...SWAP_HEADERS, ...this.#encryption, ...this.#conditions.ifMatch(swap.expected) },
        body: swap.bytes,
        once: true,
        ...(swap.checkedAtMs === undefined ? {} : { atMs: swap.checkedAtMs }),
        signal,
        untilMs: untilMs === undefined ? undefined : this.#client.untilMs(options),
        attempt: isMoved ? 1 : 0,
      });
    } catch (error) {
      if (!(error instanceof TransportError)) {
        if (isMoved) return { kind: "unknown", cause: error };
        throw error;
      }
      const cause = transportMicError(error, this.#client.place, doing);
      if (error.mayBeSent || isMoved) return { kind: "unknown", cause };
      throw cause;
    }
    if (answer.status === 200) {
      const etag = this.#conditions.etagOf(answer);
      if (etag !== undefined) return { kind: "committed", etag };
      return { kind: "unknown", cause: this.#noEtag(doing) };
    }
    const refusal = readRefusal(answer);
    if (answer.status === 412) return this.#lost(swap, options);
    if (swap.expected !== null && isMissing(refusal)) return { kind: "missing" };
    const cause = refusalError(refusal, this.#client.place, doing);
    if (!isMoved && this.#client.follow(refusal)) return this.#swap(swap, options, true);
    try {
      await this.#client.recover(refusal, options);
    } catch (error) {
      if (!isMicError(error)) throw error;
      return { kind: "unknown", cause: error };
    }
    return { kind: "unknown", cause };
  }

  /** Google answers 412 also where the key is gone; it stays gone, since nobody creates what was once there. */
  async #lost(swap: Swap, options: WaitOptions): Promise<CommitOutcome> {
    if (swap.expected === null || !this.#conditions.is412WhenMissing) return { kind: "lost" };
    try {
      const etag = await this.#headEtag(swap.key, options);
      return { kind: etag === undefined ? "missing" : "lost" };
    } catch (error) {
      if (!isMicError(error)) throw error;
      return { kind: "lost" };
    }
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    throwIfAborted(options.signal);
    checkStorePrefix(prefix);
    const limit = options.limit ?? LIST_LIMIT_MAX;
    checkListLimit(limit);
    return listPage(this.#client, this.#prefix, {
      prefix,
      limit,
      after: options.after,
      signal: options.signal,
    });
  }

  async delete(keys: readonly string[], options: SignalOption = {}): Promise<void> {
    throwIfAborted(options.signal);
    for (const key of keys) checkStoreKey(key);
    const { deleteKeys } = await import("./delete.ts");
    this.#hasBatchDelete = await deleteKeys(
      this.#client,
      keys.map((key) => this.#prefix + key),
      { inBatches: this.#hasBatchDelete, signal: options.signal },
    );
  }

  async nowMs(): Promise<number> {
    const { time } = this.#client;
    if (!time.isFresh) {
      const call = { operation: "time", method: "HEAD" } as const;
      // Any answer has the time, whatever it says of the bucket.
      await this.#client.ask(call, "asking for the time", ({ status }) => status < 500);
      if (!time.isFresh) {
        throw new MicError("unsupported", `${this.#client.origin} does not say what time it is (no Date)`, {
          hint: "let the proxy in front of the store pass its Date header",
        });
      }
    }
    return time.nowMs();
  }

  async presignGet(key: string, seconds: number): Promise<PresignedUrl> {
    checkStoreKey(key);
    checkSeconds(seconds);
    return { ...(await this.#client.presign("GET", this.#prefix + key, seconds, {})), headers: {} };
  }

  async presignPut(
    key: string,
    seconds: number,
    options: { readonly size?: number } = {},
  ): Promise<PresignedUrl> {
    checkStoreKey(key);
    checkSeconds(seconds);
    const { size } = options;
    const headers: Record<string, string> = { ...this.#encryption };
    if (size !== undefined) {
      invariant(Number.isSafeInteger(size) && size >= 0, `presigned size ${size}`);
      headers["content-length"] = String(size);
    }
    return { ...(await this.#client.presign("PUT", this.#prefix + key, seconds, headers)), headers };
  }

  /** What HEAD says is the version, for the probe: some stores say another one there. Missing: `undefined`. */
  headEtag(key: string, options: { readonly signal?: AbortSignal } = {}): Promise<ETag | undefined> {
    checkStoreKey(key);
    return this.#headEtag(key, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }

  /** Missing: `undefined`. */
  async #headEtag(key: string, { signal, untilMs }: WaitOptions): Promise<ETag | undefined> {
    const doing = `reading ${key}`;
    const answer = await this.#client.ask(
      { operation: "head", method: "HEAD", key: this.#prefix + key, signal, untilMs },
      doing,
      ({ status }) => status === 200 || status === 404,
    );
    return answer.status === 404 ? undefined : this.#etagOf(answer, doing);
  }

  #etagOf(answer: TransportAnswer, doing: string): ETag {
    const etag = this.#conditions.etagOf(answer);
    if (etag === undefined) throw this.#noEtag(doing);
    return etag;
  }

  #noEtag(doing: string): MicError {
    return new MicError("unsupported", `${doing}: ${this.#client.origin} answers without an ETag`, {
      hint: "check S3_ENDPOINT: this may not be an S3 store, or a proxy in front of it drops headers",
    });
  }

  /** A store may answer with more than the range; never with another one. */
  #cut(answer: TransportAnswer, offset: number, length: number, doing: string): Uint8Array {
    const { body, status } = answer;
    if (status === 200) {
      const { start, end } = clampRange({ offset, length }, body.length);
      return body.slice(start, end);
    }
    const first = /^bytes (\d+)-/.exec(answer.header("content-range") ?? "")?.[1];
    if (Number(first) !== offset) {
      throw new MicError("unsupported", `${doing}: ${this.#client.origin} answers with another range`, {
        hint: "check the proxy or cache in front of the store",
      });
    }
    return body.length > length ? body.slice(0, length) : body;
  }
}

/** Not every 404: one of a missing bucket, or of something that is no store, must not look like an empty forge. */
function isMissing(refusal: Refusal | undefined): boolean {
  return refusal?.status === 404 && (refusal.code === "NoSuchKey" || refusal.code === "NotFound");
}

function checkSeconds(seconds: number): void {
  const isGood = Number.isInteger(seconds) && seconds >= 1 && seconds <= PRESIGN_SECONDS_MAX;
  invariant(isGood, `a URL for ${seconds} s`);
}
