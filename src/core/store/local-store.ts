/**
 * An object store in a local directory: one SQLite file for every object below 1 MiB, and a file for each
 * larger one. Safe between processes; a commit is one transaction and one sync.
 */
import { resolve } from "node:path";
import type { Database, Statement } from "better-sqlite3";
import { asBuffer } from "../base/bytes.ts";
import { type Clock, throwIfAborted } from "../base/clock.ts";
import { corrupt, MicError } from "../base/errors.ts";
import { LargeFiles } from "./large-files.ts";
import { errorCode, isBusy, openDatabase, translateStoreError } from "./local-database.ts";
import { LockWait } from "./lock-wait.ts";
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

/** Objects of this many bytes or more are files of their own. */
export const LARGE_OBJECT_BYTES = 1 << 20;
const BUSY_TIMEOUT_MS = 20_000;
/** A writer whose file was swept from under it (see large-files.ts) writes it again this often. */
const LARGE_WRITE_ATTEMPTS = 3;

export interface LocalStoreOptions {
  readonly clock: Clock;
  /** Makes the directory and the database when they are missing; otherwise that is `not-found`. */
  readonly create: boolean;
  /** How long to wait for other processes before `unreachable`. Default 20 s. */
  readonly busyTimeoutMs?: number;
}

interface SignalOption {
  readonly signal?: AbortSignal;
}

/** Errors: see `openDatabase`. */
export async function openLocalStore(directory: string, options: LocalStoreOptions): Promise<ObjectStore> {
  const absolute = resolve(directory);
  const wait = new LockWait(absolute, options.clock, options.busyTimeoutMs ?? BUSY_TIMEOUT_MS);
  const database = await openDatabase(absolute, {
    create: options.create,
    waitForLock: (step) => wait.run(step),
  });
  const store = new LocalStore(absolute, database, wait, options.clock);
  try {
    store.sweep();
    return store;
  } catch (error) {
    database.close();
    throw translateStoreError(error, absolute);
  }
}

interface Row {
  readonly version: number;
  readonly size: number;
  readonly file: string | null;
  readonly bytes: Buffer | null;
}

/** Content of a write: in the row, or in a file that was written before the transaction. */
interface Content {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly file: string | null;
}

/** What to do under the write lock; the files that its rows no longer name go to `removed`. */
type TransactionBody<T> = (
  contents: readonly Content[],
  removed: string[],
) => { readonly apply: boolean; readonly result: T };

/** `swept`: a file vanished before its row was written. */
type TransactionEnd<T> =
  | { readonly kind: "applied" | "refused"; readonly result: T }
  | { readonly kind: "swept" }
  | { readonly kind: "unknown"; readonly cause: unknown };

class LocalStore implements ObjectStore {
  readonly description: string;
  readonly #database: Database;
  readonly #files: LargeFiles;
  readonly #wait: LockWait;
  readonly #clock: Clock;
  readonly #statements = new Map<string, Statement<unknown[]>>();

  constructor(directory: string, database: Database, wait: LockWait, clock: Clock) {
    this.description = directory;
    this.#database = database;
    this.#files = new LargeFiles(directory);
    this.#wait = wait;
    this.#clock = clock;
  }

  async get(key: string, options: ReadOptions = {}): Promise<StoredObject | undefined> {
    throwIfAborted(options.signal);
    checkStoreKey(key);
    clampRange(options.range, 0);
    const found = await this.#read(key, undefined, options);
    return found === "unchanged" ? undefined : found;
  }

  async revalidate(
    key: string,
    etag: ETag,
    options: SignalOption = {},
  ): Promise<StoredObject | "unchanged" | undefined> {
    throwIfAborted(options.signal);
    checkStoreKey(key);
    return this.#read(key, etag, options);
  }

  async #read(
    key: string,
    etag: ETag | undefined,
    options: ReadOptions,
  ): Promise<StoredObject | "unchanged" | undefined> {
    // Only the exact text of a version is its ETag; no version is below 0.
    const known = etag !== undefined && String(Number(etag)) === etag ? Number(etag) : -1;
    // SQLite counts from 1; no range is the whole object.
    const first = (options.range?.offset ?? 0) + 1;
    const count = options.range?.length ?? Number.MAX_SAFE_INTEGER;
    let missing: string | undefined;
    for (;;) {
      const row = (await this.#wait.run(
        () =>
          options.range === undefined
            ? this.#statement(SELECT_OBJECT).get(known, key)
            : this.#statement(SELECT_RANGE).get(first, count, key),
        options.signal,
      )) as Row | undefined;
      if (row === undefined) return undefined;
      const found = String(row.version);
      if (found === etag) return "unchanged";
      const { start, end } = clampRange(options.range, row.size);
      if (row.file === null) {
        const bytes = row.bytes === null ? new Uint8Array(0) : plain(row.bytes);
        if (bytes.length !== end - start) throw corrupt(`${key} in ${this.description}`, "has another size");
        return { bytes, etag: found };
      }
      // Another process may replace or delete the object between the row and its file.
      if (row.file === missing)
        throw corrupt(`${key} in ${this.description}`, `its file ${row.file} is missing`);
      missing = row.file;
      try {
        const bytes = await this.#files.read(row.file, row.size, start, end);
        if (bytes !== undefined) return { bytes, etag: found };
      } catch (error) {
        throw translateStoreError(error, this.description);
      }
    }
  }

  async put(key: string, bytes: Uint8Array, options: SignalOption = {}): Promise<void> {
    throwIfAborted(options.signal);
    checkStoreKey(key);
    await this.#writeOrFail([{ key, bytes }], options.signal, ([content], removed) => {
      this.#putRow(content!, removed);
      return { apply: true, result: undefined };
    });
  }

  async commit(puts: readonly Put[], swap: Swap, options: SignalOption = {}): Promise<CommitOutcome> {
    throwIfAborted(options.signal);
    checkCommit(puts, swap);
    try {
      return await this.#write<CommitOutcome>([...puts, swap], options.signal, (contents, removed) => {
        const current = this.#statement(SELECT_VERSION).get(swap.key) as Row | undefined;
        if (current === undefined && swap.expected !== null)
          return { apply: false, result: { kind: "missing" } };
        if (current !== undefined && String(current.version) !== swap.expected) {
          return { apply: false, result: { kind: "lost" } };
        }
        for (let i = 0; i < puts.length; i++) this.#putRow(contents[i]!, removed);
        const etag = this.#upsert(contents[puts.length]!, current, removed);
        return { apply: true, result: { kind: "committed", etag } };
      });
    } catch (error) {
      if (error instanceof UnknownOutcome) return { kind: "unknown", cause: error.cause };
      throw error;
    }
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    throwIfAborted(options.signal);
    checkStorePrefix(prefix);
    const limit = options.limit ?? LIST_LIMIT_MAX;
    checkListLimit(limit);
    const after = options.after ?? "";
    const rows = (await this.#wait.run(
      // No key has a byte above 0x7e, so 0x7f ends the prefix.
      () => this.#statement(SELECT_KEYS).all(prefix, `${prefix}\x7f`, after, limit + 1),
      options.signal,
    )) as ListedObject[];
    if (rows.length <= limit) return { objects: rows };
    const objects = rows.slice(0, limit);
    return { objects, next: objects[limit - 1]!.key };
  }

  async delete(keys: readonly string[], options: SignalOption = {}): Promise<void> {
    throwIfAborted(options.signal);
    for (const key of keys) checkStoreKey(key);
    if (keys.length === 0) return;
    await this.#writeOrFail([], options.signal, (_, removed) => {
      for (const key of keys) {
        const deleted = this.#statement(DELETE_OBJECT).get(key) as Row | undefined;
        if (deleted?.file != null) removed.push(deleted.file);
      }
      return { apply: true, result: undefined };
    });
  }

  async nowMs(): Promise<number> {
    return this.#clock.nowMs();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#database.close();
  }

  /** Removes what dead processes left. Skipped while another process holds the lock: the next open does it. */
  sweep(): void {
    const markers = this.#files.abandoned(this.#clock.nowMs());
    if (markers.length === 0) return;
    try {
      this.#statement("BEGIN IMMEDIATE").run();
    } catch (error) {
      if (isBusy(error)) return;
      throw error;
    }
    try {
      for (const marker of markers) {
        const isPublished = this.#statement(SELECT_FILE).get(marker.name) !== undefined;
        this.#files.sweep(marker, isPublished);
      }
    } finally {
      this.#statement("ROLLBACK").run();
    }
  }

  /**
   * Writes the large ones of `puts` to files, then runs `body` in a transaction, and removes the files that
   * nothing names afterwards. Throws `UnknownOutcome` when the commit itself failed.
   */
  async #write<T>(
    puts: readonly Put[],
    signal: AbortSignal | undefined,
    body: TransactionBody<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const contents: Content[] = [];
      const removed: string[] = [];
      let end: TransactionEnd<T> | undefined;
      try {
        for (const { key, bytes } of puts) {
          const file = bytes.length >= LARGE_OBJECT_BYTES ? await this.#files.write(bytes) : null;
          contents.push({ key, bytes, file });
        }
        end = await this.#wait.run(() => this.#transact(contents, removed, body), signal);
      } catch (error) {
        throw translateStoreError(error, this.description);
      } finally {
        // After an unknown outcome files and markers stay: the next open asks the rows.
        if (end?.kind !== "unknown") await this.#settleFiles(contents, removed, end?.kind === "applied");
      }
      if (end.kind === "unknown") throw new UnknownOutcome(translateStoreError(end.cause, this.description));
      if (end.kind !== "swept") return end.result;
      if (attempt === LARGE_WRITE_ATTEMPTS) {
        throw new MicError("unreachable", `files vanish from ${this.description} while they are written`);
      }
    }
  }

  /**
   * One immediate transaction, without a pause in which another call of this process could enter it. Throws
   * when nothing was applied.
   */
  #transact<T>(contents: readonly Content[], removed: string[], body: TransactionBody<T>): TransactionEnd<T> {
    removed.length = 0;
    this.#statement("BEGIN IMMEDIATE").run();
    try {
      const isSwept = contents.some(({ file }) => file !== null && !this.#files.isMarked(file));
      const { apply, result } = isSwept ? { apply: false, result: undefined } : body(contents, removed);
      if (!apply) return isSwept ? { kind: "swept" } : { kind: "refused", result: result as T };
      for (const file of removed) this.#files.mark(file);
      try {
        this.#statement("COMMIT").run();
      } catch (error) {
        // A full disk or a lock is noticed before the record that commits is written; other failures are not.
        if (errorCode(error) !== "SQLITE_FULL" && !isBusy(error)) return { kind: "unknown", cause: error };
        throw error;
      }
      return { kind: "applied", result: result as T };
    } finally {
      this.#rollBack();
    }
  }

  async #settleFiles(contents: readonly Content[], removed: readonly string[], isApplied: boolean) {
    for (const { file } of contents) {
      if (file === null) continue;
      if (isApplied) await this.#files.unmark(file);
      else await this.#files.remove(file);
    }
    for (const file of removed) {
      if (isApplied) await this.#files.remove(file);
      else await this.#files.unmark(file);
    }
  }

  /** For writes that may simply be repeated: an unknown outcome is a failure like any other. */
  async #writeOrFail(
    puts: readonly Put[],
    signal: AbortSignal | undefined,
    body: TransactionBody<undefined>,
  ): Promise<void> {
    try {
      await this.#write(puts, signal, body);
    } catch (error) {
      throw error instanceof UnknownOutcome ? error.cause : error;
    }
  }

  /** Does nothing after a commit, or an error that ended the transaction by itself. */
  #rollBack(): void {
    if (this.#database.inTransaction) this.#statement("ROLLBACK").run();
  }

  /** The same bytes again cost a read instead of a sync. */
  #putRow(content: Content, removed: string[]): void {
    const current = this.#statement(SELECT_VERSION).get(content.key) as Row | undefined;
    if (current !== undefined && content.file === null && current.size === content.bytes.length) {
      if (this.#statement(SELECT_SAME).get(asBuffer(content.bytes), content.key) !== undefined) return;
    }
    this.#upsert(content, current, removed);
  }

  #upsert(content: Content, current: Row | undefined, removed: string[]): ETag {
    if (current?.file != null) removed.push(current.file);
    const inRow = content.file === null ? asBuffer(content.bytes) : null;
    const written = this.#statement(UPSERT_OBJECT).get(
      content.key,
      content.bytes.length,
      content.file,
      inRow,
    );
    return String((written as Row).version);
  }

  /** Prepared when first needed: opening a store has to be quick. */
  #statement(sql: string): Statement<unknown[]> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare<unknown[]>(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** COMMIT failed after it may have reached the disk. Never leaves this file. */
class UnknownOutcome extends Error {
  override readonly cause: MicError;

  constructor(cause: MicError) {
    super("unknown outcome");
    this.cause = cause;
  }
}

/** Without `Buffer`'s own meaning of `slice`. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

const SELECT_OBJECT =
  "SELECT version, size, file, CASE WHEN version = ? THEN NULL ELSE bytes END AS bytes FROM objects WHERE key = ?";
const SELECT_RANGE = "SELECT version, size, file, substr(bytes, ?, ?) AS bytes FROM objects WHERE key = ?";
const SELECT_VERSION = "SELECT version, size, file FROM objects WHERE key = ?";
const SELECT_SAME = "SELECT 1 FROM objects WHERE bytes IS ? AND key = ?";
const SELECT_KEYS =
  "SELECT key, size FROM objects WHERE key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?";
const SELECT_FILE = "SELECT 1 FROM objects WHERE file = ?";
const DELETE_OBJECT = "DELETE FROM objects WHERE key = ? RETURNING file";
/** Versions count up from a random number, so that a deleted and re-created key never gets an old one back. */
const UPSERT_OBJECT = `
  INSERT INTO objects (key, version, size, file, bytes) VALUES (?, abs(random() % 1099511627776), ?, ?, ?)
  ON CONFLICT (key) DO UPDATE
    SET version = version + 1, size = excluded.size, file = excluded.file, bytes = excluded.bytes
  RETURNING version`;
