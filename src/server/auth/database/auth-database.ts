/**
 * The auth database: one SQLite file in WAL mode, small, private to its owner. On the primary it is written here; on a
 * follower another process replaces its content and it is only read.
 */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import path from "node:path";
import Database from "better-sqlite3";
import { MicError } from "../../../core/base/errors.ts";
import { MIGRATIONS } from "./migrations.ts";

/** `mica`, big-endian. */
const APPLICATION_ID = 0x6d696361;
/** For another process that writes: `mic admin … --data`. */
const BUSY_MS = 5_000;

export interface OpenAuthDatabase {
  readonly file: string;
  /** A follower's is never written, and may be behind: one that is newer than this program is still refused. */
  readonly readOnly?: boolean;
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
  constructor({ file, readOnly = false }: OpenAuthDatabase) {
    this.file = file;
    this.#isReadOnly = readOnly;
    this.sql = open(file, readOnly);
    try {
      migrate(this.sql, file, readOnly);
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

  /** Asked before every write: an error refuses it. */
  guardWrites(refuse: () => MicError | undefined): void {
    this.#refuseWrite = refuse;
  }

  /** Another connection replaced the content: whoever remembers what it read is told, as after a write. */
  replaced(): void {
    this.#replacements++;
    this.#changed();
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
    if (this.#isReadOnly) {
      throw new MicError("forbidden", "accounts cannot be changed here: this server follows another one");
    }
    const refusal = this.#refuseWrite?.();
    if (refusal !== undefined) throw refusal;
    if (this.sql.inTransaction) return change(this.sql);
    const result = this.sql.transaction(() => change(this.sql)).immediate();
    this.#changed();
    return result;
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
function migrate(sql: Database.Database, file: string, readOnly: boolean): void {
  const read = (name: string): number => Number(sql.pragma(name, { simple: true }));
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
  if (readOnly) return;
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
}

function damaged(file: string, cause: unknown): MicError {
  return new MicError("corrupt", `${file} is no database of accounts`, {
    hint: "restore it: mic admin restore, or start with --auth-replica on an empty directory",
    ...(cause === undefined ? {} : { cause }),
  });
}
