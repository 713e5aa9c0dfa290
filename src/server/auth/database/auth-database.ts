/**
 * The auth database: a SQLite file in WAL mode, small, private to its owner. On the primary it is written here; on a
 * follower another process replaces its content and it is only read. What grows is in a second one, attached as
 * `records` (./records.ts): its tables have names of their own, so that statements need not say where they are.
 */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import path from "node:path";
import Database from "better-sqlite3";
import { MicError } from "../../../core/base/errors.ts";
import { MIGRATIONS, RECORDS_LEFT_AT } from "./migrations.ts";
import { attachRecords, moveDatabase, recordsFile, takeRecords } from "./records.ts";

/** `mica`, big-endian. */
const APPLICATION_ID = 0x6d696361;
/** For another process that writes: `mic admin … --data`. */
const BUSY_MS = 5_000;
/** Of pages that hold nothing: a follower would copy them with every change. */
const UNUSED_BYTES_MAX = 4 << 20;

export interface OpenAuthDatabase {
  readonly file: string;
  /** A follower's is never written, and may be behind: one that is newer than this program is still refused. */
  readonly readOnly?: boolean;
  /** Default `beside`: in `recordsFile(file)`. `none`: in memory, and what an older version kept is dropped. */
  readonly records?: "beside" | "none";
}

export class AuthDatabase implements Disposable {
  readonly file: string;
  readonly sql: Database.Database;
  readonly #listeners = new Set<() => void>();
  readonly #statements = new Map<string, Database.Statement>();
  #isReadOnly: boolean;
  #refuseWrite: (() => MicError | undefined) | undefined;
  #dataVersion: Database.Statement;
  #changes = 0;
  #replacements = 0;

  /** Errors: `corrupt`, `unsupported` for the file of a newer mic, `forbidden` where it cannot be opened. */
  constructor({ file, readOnly = false, records = "beside" }: OpenAuthDatabase) {
    this.file = file;
    this.#isReadOnly = readOnly;
    this.sql = open(file, readOnly);
    try {
      migrate(this.sql, { file, readOnly, records });
      // Prepared: the pragma function of the driver takes eight times longer.
      this.#dataVersion = this.sql.prepare("PRAGMA data_version").pluck();
    } catch (error) {
      this.sql.close();
      throw error;
    }
  }

  /** A follower's, whose content comes from the primary (../replica/auth-replica.ts). */
  get isReadOnly(): boolean {
    return this.#isReadOnly;
  }

  /** The server became the primary, or is it no more: listeners are told. The file was opened for writing. */
  setReadOnly(isReadOnly: boolean): void {
    if (this.#isReadOnly === isReadOnly) return;
    this.#isReadOnly = isReadOnly;
    this.#changed();
  }

  /** Asked before every write, also where there may be none: an error refuses it, and says why. */
  guardWrites(refuse: () => MicError | undefined): void {
    this.#refuseWrite = refuse;
  }

  /** Another connection replaced the content: whoever remembers what it read is told, as after a write. */
  replaced(): void {
    this.#replacements++;
    this.#changed();
  }

  /**
   * The records become those of `fresh`, none where it is missing; the ones that were here go to `aside`. Whoever
   * waits for a row of them at this moment keeps it from happening: an error of the driver's.
   */
  exchangeRecords(fresh: string | undefined, aside: string): void {
    const file = recordsFile(this.file);
    const attached = this.sql.pragma("database_list") as { readonly name: string }[];
    // They are not where this failed half way before, on a full disk for instance.
    if (attached.some(({ name }) => name === "records")) this.sql.exec("DETACH DATABASE records");
    moveDatabase(file, aside);
    if (fresh !== undefined) moveDatabase(fresh, file);
    attachRecords(this.sql, file, false);
  }

  /** How often the content was replaced as a whole: what it counts itself may have gone back then. */
  get replacements(): number {
    return this.#replacements;
  }

  /** The statement, prepared at its first use. `text` is one of a fixed number of texts. */
  prepare(text: string): Database.Statement {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.sql.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  /**
   * Runs `change` in one write transaction and tells those who remember what they read. Errors: `forbidden` on a
   * follower; those of `change`, with nothing written. Within another one it is part of that one.
   */
  write<T>(change: (sql: Database.Database) => T): T {
    const refusal = this.#refuseWrite?.();
    if (refusal !== undefined) throw refusal;
    if (this.#isReadOnly) {
      throw new MicError("forbidden", "accounts cannot be changed here: this server follows another one");
    }
    if (this.sql.inTransaction) return change(this.sql);
    const result = this.sql.transaction(() => change(this.sql)).immediate();
    this.#changed();
    return result;
  }

  /**
   * As `write`, of records alone: nobody remembers those, so nobody is told, and followers are not moved. `sync`
   * `normal` does not wait for the disk: a power cut takes the last of these changes back, the end of a process none.
   */
  writeRecords<T>(change: (sql: Database.Database) => T, sync: "full" | "normal" = "full"): T {
    if (this.sql.inTransaction || this.#isReadOnly) return this.write(change);
    const refusal = this.#refuseWrite?.();
    if (refusal !== undefined) throw refusal;
    if (sync === "full") return this.sql.transaction(() => change(this.sql)).immediate();
    this.sql.pragma("records.synchronous = NORMAL");
    try {
      return this.sql.transaction(() => change(this.sql)).immediate();
    } finally {
      this.sql.pragma("records.synchronous = FULL");
    }
  }

  /** Differs from what it was before whenever anything may have changed, whoever changed it. Costs 2 µs. */
  version(): string {
    return `${this.#dataVersion.get() as number}.${this.#changes}`;
  }

  /** After every `write` of this process. Returns what ends it. */
  onWrite(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #changed(): void {
    this.#changes++;
    for (const listener of this.#listeners) listener();
  }

  [Symbol.dispose](): void {
    this.sql.close();
  }
}

function open(file: string, readOnly: boolean): Database.Database {
  try {
    if (!readOnly && !existsSync(file)) {
      mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
      closeSync(openSync(file, "a", 0o600));
    }
    const sql = new Database(file, { readonly: readOnly, fileMustExist: true, timeout: BUSY_MS });
    if (!readOnly) {
      if (process.platform !== "win32") chmodSync(file, 0o600);
      sql.pragma("journal_mode = WAL");
      sql.pragma("synchronous = FULL");
      sql.pragma("foreign_keys = ON");
    }
    return sql;
  } catch (cause) {
    const { code } = cause as { readonly code?: string };
    if (code === "SQLITE_NOTADB" || code === "SQLITE_CORRUPT") throw damaged(file, cause);
    throw new MicError("forbidden", `the accounts in ${file} cannot be opened (${code ?? String(cause)})`, {
      hint: "the file and its directory must belong to the user that runs mic",
      cause,
    });
  }
}

/** Each migration and its number are written together: a crash leaves one version or the next. */
function migrate(sql: Database.Database, { file, readOnly, records }: Required<OpenAuthDatabase>): void {
  const read = (name: string): number => Number(sql.pragma(`main.${name}`, { simple: true }));
  let version: number;
  try {
    const id = read("application_id");
    version = read("user_version");
    if (id !== APPLICATION_ID && (id !== 0 || version !== 0)) throw damaged(file, undefined);
  } catch (cause) {
    if (cause instanceof MicError) throw cause;
    throw damaged(file, cause);
  }
  if (version > MIGRATIONS.length) {
    throw new MicError("unsupported", `the accounts in ${file} were written by a newer mic`, {
      hint: "install that version; this one would not know what it reads",
    });
  }
  attachRecords(sql, records === "beside" ? recordsFile(file) : undefined, readOnly);
  if (readOnly) return;
  // First, and in a transaction of its own: one over two files is none when the machine stops.
  if (version < RECORDS_LEFT_AT && records === "beside") takeRecords(sql);
  sql
    .transaction(() => {
      // Another process may have been here first.
      for (let next = read("user_version"); next < MIGRATIONS.length; next++) {
        sql.exec(MIGRATIONS[next]!);
        sql.pragma(`application_id = ${APPLICATION_ID}`);
        sql.pragma(`user_version = ${next + 1}`);
      }
    })
    .immediate();
  if (read("freelist_count") * read("page_size") > UNUSED_BYTES_MAX) sql.exec("VACUUM main");
}

function damaged(file: string, cause: unknown): MicError {
  return new MicError("corrupt", `${file} is no database of accounts`, {
    hint: "restore it: mic admin restore, or start with --auth-replica on an empty directory",
    ...(cause === undefined ? {} : { cause }),
  });
}
