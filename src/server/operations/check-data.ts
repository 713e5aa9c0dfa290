/** Whether a data directory that nobody has open is whole: what a backup says of itself before it is believed. */
import { existsSync, statSync } from "node:fs";
import path from "node:path";
import Database from "better-sqlite3";
import type { Clock } from "../../core/base/clock.ts";
import { MicError } from "../../core/base/errors.ts";
import { systemRandom } from "../../core/base/system.ts";
import { ForgeService } from "../../core/forge/service.ts";
import { LARGE_DIRECTORY, LOCAL_STORE_FILE } from "../../core/store/is-local-store.ts";
import { openLocalStore } from "../../core/store/local-store.ts";
import { AuthDatabase } from "../auth/database/auth-database.ts";
import { recordsFile } from "../auth/database/records.ts";
import { accountsFile } from "../auth/owner-token.ts";
import { landingLogFile } from "../auth/sqlite-landing-log.ts";

export interface CheckedData {
  /** Undefined: there are none. */
  readonly accounts: { readonly users: number; readonly tokens: number } | undefined;
  /** Undefined: the forge is elsewhere. */
  readonly forge: { readonly projects: number; readonly objects: number; readonly bytes: number } | undefined;
}

/** Errors: `corrupt` names what is not whole. The files may be changed by being opened, not what they hold. */
export async function checkData(directory: string, clock: Clock): Promise<CheckedData> {
  const accounts = existsSync(accountsFile(directory)) ? checkAccounts(accountsFile(directory)) : undefined;
  const isForge = existsSync(path.join(directory, LOCAL_STORE_FILE));
  return { accounts, forge: isForge ? await checkForge(directory, clock) : undefined };
}

function checkAccounts(file: string): CheckedData["accounts"] {
  for (const each of [file, recordsFile(file), landingLogFile(file)]) {
    if (existsSync(each)) checkIntegrity(each);
  }
  using database = new AuthDatabase({ file });
  const count = (table: string): number =>
    database.sql.prepare(`SELECT count(*) FROM ${table}`).pluck().get() as number;
  return { users: count("users"), tokens: count("tokens") };
}

async function checkForge(directory: string, clock: Clock): Promise<CheckedData["forge"]> {
  const file = path.join(directory, LOCAL_STORE_FILE);
  checkIntegrity(file);
  const objects = countObjects(directory, file);
  const store = await openLocalStore(directory, { clock, create: false });
  await using forge = new ForgeService({
    store,
    address: directory,
    clock,
    random: systemRandom,
    trustWriters: true,
  });
  // Every head is read, with what it names first.
  let projects = 0;
  const onDamaged = (_name: string, damage: MicError): never => {
    throw damage;
  };
  for await (const ids of forge.everyProject({ onDamaged })) {
    for (const project of ids) {
      await forge.getHead(project);
      projects++;
    }
  }
  return { projects, ...objects };
}

function countObjects(directory: string, file: string): { readonly objects: number; readonly bytes: number } {
  const database = new Database(file, { readonly: true, fileMustExist: true });
  try {
    let objects = 0;
    let bytes = 0;
    for (const row of database.prepare("SELECT key, size, file FROM objects").iterate()) {
      const { key, size, file: name } = row as { key: string; size: number; file: string | null };
      objects++;
      bytes += size;
      if (name === null) continue;
      const large = path.join(directory, LARGE_DIRECTORY, name.slice(0, 2), name);
      if (!existsSync(large) || statSync(large).size !== size) {
        throw new MicError("corrupt", `the object ${key} is not whole in ${directory}`);
      }
    }
    return { objects, bytes };
  } finally {
    database.close();
  }
}

/** Errors: `corrupt` with the first words of SQLite. */
export function checkIntegrity(file: string): void {
  const database = new Database(file, { readonly: true, fileMustExist: true });
  try {
    const result = database.pragma("integrity_check(1)", { simple: true });
    if (result !== "ok") throw new MicError("corrupt", `${file} is damaged: ${String(result).slice(0, 500)}`);
  } catch (cause) {
    if (cause instanceof MicError) throw cause;
    throw new MicError("corrupt", `${file} is damaged`, { cause });
  } finally {
    database.close();
  }
}
