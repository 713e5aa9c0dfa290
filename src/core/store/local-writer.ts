/**
 * Writing to a local store: large contents to files first, then everything in one immediate transaction, and
 * afterwards the files that no row names are removed.
 */
import type { Database, Statement } from "better-sqlite3";
import { MicError } from "../base/errors.ts";
import type { LargeFiles } from "./large-files.ts";
import { errorCode, isBusy, translateStoreError } from "./local-database.ts";
import type { LockWait } from "./lock-wait.ts";
import type { Put } from "./object-store.ts";

/** Objects of this many bytes or more are files of their own. */
export const LARGE_OBJECT_BYTES = 1 << 20;
/** A writer whose file was swept from under it (see large-files.ts) writes it again this often. */
const LARGE_WRITE_ATTEMPTS = 3;

const SELECT_FILE = "SELECT 1 FROM objects WHERE file = ?";

/** Content of a write: in the row, or in a file that was written before the transaction. */
export interface Content {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly file: string | null;
}

/** What to do under the write lock; the files that its rows no longer name go to `removed`. */
export type TransactionBody<T> = (
  contents: readonly Content[],
  removed: string[],
) => { readonly apply: boolean; readonly result: T };

/** `swept`: a file vanished before its row was written. */
type TransactionEnd<T> =
  | { readonly kind: "applied" | "refused"; readonly result: T }
  | { readonly kind: "swept" }
  | { readonly kind: "unknown"; readonly cause: unknown };

/** Statements, prepared when first needed: opening a store has to be quick. */
export class Statements {
  readonly database: Database;
  readonly #prepared = new Map<string, Statement<unknown[]>>();

  constructor(database: Database) {
    this.database = database;
  }

  of(sql: string): Statement<unknown[]> {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) {
      statement = this.database.prepare<unknown[]>(sql);
      this.#prepared.set(sql, statement);
    }
    return statement;
  }
}

export class LocalWriter {
  readonly #directory: string;
  readonly #statements: Statements;
  readonly #files: LargeFiles;
  readonly #wait: LockWait;

  constructor(directory: string, statements: Statements, files: LargeFiles, wait: LockWait) {
    this.#directory = directory;
    this.#statements = statements;
    this.#files = files;
    this.#wait = wait;
  }

  /**
   * Writes the large ones of `puts` to files, then runs `body` in a transaction, and removes the files that
   * nothing names afterwards. Throws `UnknownOutcome` when the commit itself failed.
   */
  async write<T>(
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
        throw translateStoreError(error, this.#directory);
      } finally {
        // After an unknown outcome files and markers stay: the next open asks the rows.
        if (end?.kind !== "unknown") await this.#settleFiles(contents, removed, end?.kind === "applied");
      }
      if (end.kind === "unknown") throw new UnknownOutcome(translateStoreError(end.cause, this.#directory));
      if (end.kind !== "swept") return end.result;
      if (attempt === LARGE_WRITE_ATTEMPTS) {
        throw new MicError("unreachable", `files vanish from ${this.#directory} while they are written`);
      }
    }
  }

  /**
   * One immediate transaction, without a pause in which another call of this process could enter it. Throws
   * when nothing was applied.
   */
  #transact<T>(contents: readonly Content[], removed: string[], body: TransactionBody<T>): TransactionEnd<T> {
    removed.length = 0;
    this.#statements.of("BEGIN IMMEDIATE").run();
    try {
      const isSwept = contents.some(({ file }) => file !== null && !this.#files.isMarked(file));
      const { apply, result } = isSwept ? { apply: false, result: undefined } : body(contents, removed);
      if (!apply) return isSwept ? { kind: "swept" } : { kind: "refused", result: result as T };
      for (const file of removed) this.#files.mark(file);
      try {
        this.#statements.of("COMMIT").run();
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
  async writeOrFail(
    puts: readonly Put[],
    signal: AbortSignal | undefined,
    body: TransactionBody<undefined>,
  ): Promise<void> {
    try {
      await this.write(puts, signal, body);
    } catch (error) {
      throw error instanceof UnknownOutcome ? error.cause : error;
    }
  }

  /** Removes what dead processes left. Skipped while another process holds the lock: the next open does it. */
  sweep(nowMs: number): void {
    const markers = this.#files.abandoned(nowMs);
    if (markers.length === 0) return;
    try {
      this.#statements.of("BEGIN IMMEDIATE").run();
    } catch (error) {
      if (isBusy(error)) return;
      throw error;
    }
    try {
      for (const marker of markers) {
        const isPublished = this.#statements.of(SELECT_FILE).get(marker.name) !== undefined;
        this.#files.sweep(marker, isPublished);
      }
    } finally {
      this.#statements.of("ROLLBACK").run();
    }
  }

  /** Does nothing after a commit, or an error that ended the transaction by itself. */
  #rollBack(): void {
    if (this.#statements.database.inTransaction) this.#statements.of("ROLLBACK").run();
  }
}

/** COMMIT failed after it may have reached the disk. `commit` reports it; for everything else it is a failure. */
export class UnknownOutcome extends Error {
  override readonly cause: MicError;

  constructor(cause: MicError) {
    super("unknown outcome");
    this.cause = cause;
  }
}
