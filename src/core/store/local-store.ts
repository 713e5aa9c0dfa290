/**
 * An object store in a local directory: one SQLite file for every object below 1 MiB, and a file for each
 * larger one. Safe between processes; a commit is one transaction and one sync.
 */
import { resolve } from "node:path";
import type { Database } from "better-sqlite3";
import { asBuffer } from "../base/bytes.ts";
import { type Clock, throwIfAborted } from "../base/clock.ts";
import { corrupt } from "../base/errors.ts";
import { LargeFiles } from "./large-files.ts";
import { openDatabase, translateStoreError } from "./local-database.ts";
import { type Content, LocalWriter, Statements, UnknownOutcome } from "./local-writer.ts";
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

const BUSY_TIMEOUT_MS = 20_000;

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

class LocalStore implements ObjectStore {
  readonly description: string;
  readonly #statements: Statements;
  readonly #files: LargeFiles;
  readonly #writer: LocalWriter;
  readonly #wait: LockWait;
  readonly #clock: Clock;

  constructor(directory: string, database: Database, wait: LockWait, clock: Clock) {
    this.description = directory;
    this.#statements = new Statements(database);
    this.#files = new LargeFiles(directory);
    this.#writer = new LocalWriter(directory, this.#statements, this.#files, wait);
    this.#wait = wait;
    this.#clock = clock;
  }

  /** See `LocalWriter.sweep`. */
  sweep(): void {
    this.#writer.sweep(this.#clock.nowMs());
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
            ? this.#statements.of(SELECT_OBJECT).get(known, key)
            : this.#statements.of(SELECT_RANGE).get(first, count, key),
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
    await this.#writer.writeOrFail([{ key, bytes }], options.signal, ([content], removed) => {
      this.#putRow(content!, removed);
      return { apply: true, result: undefined };
    });
  }

  async commit(puts: readonly Put[], swap: Swap, options: SignalOption = {}): Promise<CommitOutcome> {
    throwIfAborted(options.signal);
    checkCommit(puts, swap);
    try {
      return await this.#writer.write<CommitOutcome>([...puts, swap], options.signal, (contents, removed) => {
        const current = this.#statements.of(SELECT_VERSION).get(swap.key) as Row | undefined;
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
      () => this.#statements.of(SELECT_KEYS).all(prefix, `${prefix}\x7f`, after, limit + 1),
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
    await this.#writer.writeOrFail([], options.signal, (_, removed) => {
      for (const key of keys) {
        const deleted = this.#statements.of(DELETE_OBJECT).get(key) as Row | undefined;
        if (deleted?.file != null) removed.push(deleted.file);
      }
      return { apply: true, result: undefined };
    });
  }

  async nowMs(): Promise<number> {
    return this.#clock.nowMs();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#statements.database.close();
  }

  /** The same bytes again cost a read instead of a sync. */
  #putRow(content: Content, removed: string[]): void {
    const current = this.#statements.of(SELECT_VERSION).get(content.key) as Row | undefined;
    if (current !== undefined && content.file === null && current.size === content.bytes.length) {
      if (this.#statements.of(SELECT_SAME).get(asBuffer(content.bytes), content.key) !== undefined) return;
    }
    this.#upsert(content, current, removed);
  }

  #upsert(content: Content, current: Row | undefined, removed: string[]): ETag {
    if (current?.file != null) removed.push(current.file);
    const inRow = content.file === null ? asBuffer(content.bytes) : null;
    const written = this.#statements
      .of(UPSERT_OBJECT)
      .get(content.key, content.bytes.length, content.file, inRow);
    return String((written as Row).version);
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
const DELETE_OBJECT = "DELETE FROM objects WHERE key = ? RETURNING file";
/** Versions count up from a random number, so that a deleted and re-created key never gets an old one back. */
const UPSERT_OBJECT = `
  INSERT INTO objects (key, version, size, file, bytes) VALUES (?, abs(random() % 1099511627776), ?, ?, ?)
  ON CONFLICT (key) DO UPDATE
    SET version = version + 1, size = excluded.size, file = excluded.file, bytes = excluded.bytes
  RETURNING version`;
