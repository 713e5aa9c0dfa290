/** The file of records beside the accounts (./records-schema.ts): attached, brought to its schema, and taken over from. */
import { chmodSync, closeSync, existsSync, openSync, renameSync } from "node:fs";
import type Database from "better-sqlite3";
import { MicError } from "../../../core/base/errors.ts";
import { RECORDS_MIGRATIONS, TAKE_RECORDS } from "./records-schema.ts";

/** `micr`, big-endian. */
const APPLICATION_ID = 0x6d696372;

/** `accounts.db` has `accounts-records.db`. */
export function recordsFile(accountsFile: string): string {
  return `${accountsFile.replace(/\.db$/, "")}-records.db`;
}

/** A SQLite file that nobody has open, with its companions; nothing where it is missing. */
export function moveDatabase(from: string, to: string): void {
  for (const end of ["-wal", "-shm", ""]) if (existsSync(from + end)) renameSync(from + end, to + end);
}

/**
 * Attaches `file`, or records in memory where it is undefined. Errors: `corrupt`, `unsupported` for those of a newer
 * mic, and the driver's.
 */
export function attachRecords(sql: Database.Database, file: string | undefined, readOnly: boolean): void {
  // Nothing to read, and nothing may be made.
  if (readOnly && (file === undefined || !existsSync(file))) return;
  if (file !== undefined && !readOnly) {
    closeSync(openSync(file, "a", 0o600));
    if (process.platform !== "win32") chmodSync(file, 0o600);
  }
  sql.prepare("ATTACH DATABASE ? AS records").run(file ?? ":memory:");
  const where = file ?? "memory";
  checkVersion(sql, where);
  if (readOnly) return;
  sql.pragma("records.journal_mode = WAL");
  sql.pragma("records.synchronous = FULL");
  sql
    .transaction(() => {
      // Another process may have been here first.
      for (let next = checkVersion(sql, where); next < RECORDS_MIGRATIONS.length; next++) {
        sql.exec(RECORDS_MIGRATIONS[next]!);
        sql.pragma(`records.application_id = ${APPLICATION_ID}`);
        sql.pragma(`records.user_version = ${next + 1}`);
      }
    })
    .immediate();
}

/** Before the accounts drop what they kept themselves. Durable when it returns. */
export function takeRecords(sql: Database.Database): void {
  sql
    .transaction(() => {
      for (const [table, text] of Object.entries(TAKE_RECORDS)) if (hasTable(sql, table)) sql.exec(text);
    })
    .immediate();
}

function hasTable(sql: Database.Database, name: string): boolean {
  return (
    sql.prepare("SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?").get(name) !== undefined
  );
}

function checkVersion(sql: Database.Database, where: string): number {
  const read = (name: string): number => Number(sql.pragma(`records.${name}`, { simple: true }));
  const [id, version] = [read("application_id"), read("user_version")];
  if (id !== APPLICATION_ID && (id !== 0 || version !== 0)) {
    throw new MicError("corrupt", `${where} holds no records of accounts`, {
      hint: "restore it: mic admin restore; moved away, the audit log begins anew",
    });
  }
  if (version > RECORDS_MIGRATIONS.length) {
    throw new MicError("unsupported", `the records in ${where} were written by a newer mic`, {
      hint: "install that version; this one would not know what it reads",
    });
  }
  return version;
}
