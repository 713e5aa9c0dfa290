/**
 * `mic admin backup`: one tar archive of everything that a data directory of `mic serve` holds, made while the server
 * runs. Each SQLite file is a snapshot of one moment, taken by SQLite; the large files that the store's snapshot names
 * are linked right after it. What is in a bucket is not in it.
 *
 * | entry | content |
 * | --- | --- |
 * | `auth/accounts.db` | users, tokens, roles, webhooks |
 * | `auth/accounts-records.db` | the audit log, deliveries |
 * | `auth/landings.db` | who landed through this server |
 * | `store.sqlite`, `large/…` | the forge, unless it is in a bucket |
 * | `mic-backup.json` | last: `{"version":1,"mic","createdAt","entries":[{"name","size","hash"}]}` |
 *
 * The archive appears under its name when it was restored into a temporary directory and checked there.
 */
import { existsSync } from "node:fs";
import { type FileHandle, link, mkdir, open, rm } from "node:fs/promises";
import path from "node:path";
import Database from "better-sqlite3";
import { utf8 } from "../../core/base/bytes.ts";
import type { Clock } from "../../core/base/clock.ts";
import { MicError } from "../../core/base/errors.ts";
import { LARGE_DIRECTORY, LOCAL_STORE_FILE } from "../../core/store/is-local-store.ts";
import { recordsFile } from "../auth/database/records.ts";
import { accountsFile } from "../auth/owner-token.ts";
import { landingLogFile } from "../auth/sqlite-landing-log.ts";
import { MANIFEST, MANIFEST_VERSION } from "./backup-manifest.ts";
import { type CheckedData, checkData } from "./check-data.ts";
import { extractBackup } from "./extract.ts";
import { type TarEntry, TarWriter } from "./tar.ts";
import { openWorkDirectory } from "./work-directory.ts";

export interface BackupOptions {
  readonly dataDirectory: string;
  /** Made with mode 0600; must not be there. */
  readonly file: string;
  readonly clock: Clock;
  /** mic's. */
  readonly version: string;
  readonly signal?: AbortSignal;
}

export interface BackupReport extends CheckedData {
  readonly file: string;
  /** Of the archive. */
  readonly bytes: number;
}

/** Beside the backup: a directory in which it is made, and restored to see whether it is whole. */
export const PARTIAL = ".partial";
/** In the data directory: snapshots of its databases, until they are in the archive. */
export const STAGING = ".backup";
/** A collector may remove a large file between the snapshot and the link: then another snapshot is taken. */
const ATTEMPTS_MAX = 5;

/**
 * Errors: `not-found` where there is nothing to back up, `already-exists`, `unreachable` while another backup of this
 * directory or under this name is made, `corrupt`, those of the file system.
 */
export async function backup(options: BackupOptions): Promise<BackupReport> {
  const { dataDirectory, file, clock, version, signal } = options;
  if (existsSync(file)) {
    throw new MicError("already-exists", `${file} is there already`, { hint: "a backup overwrites nothing" });
  }
  const hasAccounts = existsSync(accountsFile(dataDirectory));
  const hasStore = existsSync(path.join(dataDirectory, LOCAL_STORE_FILE));
  if (!hasAccounts && !hasStore) {
    throw new MicError("not-found", `${dataDirectory} is no data directory of mic serve`, {
      hint: "name it: --data DIR",
    });
  }
  await using made = await openWorkDirectory(`${file}${PARTIAL}`, `the backup ${file}`);
  const partial = path.join(made.path, "backup.tar");
  // On the same disk as the large files, which are linked.
  await using taken = await openWorkDirectory(
    path.join(dataDirectory, STAGING),
    `a backup of ${dataDirectory}`,
  );
  const staging = taken.path;
  const names: string[] = [];
  if (hasAccounts) names.push(...(await snapshotAccounts(dataDirectory, staging)));
  if (hasStore) names.push(...(await snapshotStore(dataDirectory, staging)));

  const archive = await open(partial, "wx", 0o600);
  try {
    await writeArchive(archive, staging, names, { createdAtMs: clock.nowMs(), version, signal });
    await archive.sync();
  } finally {
    await archive.close();
  }
  const restored = path.join(made.path, "restored");
  await mkdir(restored, { mode: 0o700 });
  await extractBackup(partial, restored, signal);
  const checked = await checkData(restored, clock);
  const { size: bytes } = await withFile(partial, (handle) => handle.stat());
  // Unlike a rename, this takes nobody else's place.
  await link(partial, file);
  await withFile(path.dirname(path.resolve(file)), (handle) => handle.sync());
  return { file, bytes, ...checked };
}

async function snapshotAccounts(dataDirectory: string, staging: string): Promise<string[]> {
  const accounts = accountsFile(dataDirectory);
  await mkdir(path.join(staging, path.relative(dataDirectory, path.dirname(accounts))), { mode: 0o700 });
  const names: string[] = [];
  // Records last: what they say of accounts that are not there does no harm.
  for (const file of [accounts, recordsFile(accounts), landingLogFile(accounts)]) {
    // Those of an older mic have none.
    if (!existsSync(file)) continue;
    const name = path.relative(dataDirectory, file);
    await snapshot(file, path.join(staging, name));
    names.push(name.split(path.sep).join("/"));
  }
  return names;
}

async function snapshotStore(dataDirectory: string, staging: string): Promise<string[]> {
  for (let attempt = 1; ; attempt++) {
    const target = path.join(staging, LOCAL_STORE_FILE);
    await rm(target, { force: true });
    await snapshot(path.join(dataDirectory, LOCAL_STORE_FILE), target);
    const files = largeFilesOf(target);
    try {
      for (const name of files) {
        const staged = path.join(staging, name);
        if (existsSync(staged)) continue;
        await mkdir(path.dirname(staged), { recursive: true, mode: 0o700 });
        await link(path.join(dataDirectory, name), staged);
      }
      return [LOCAL_STORE_FILE, ...files];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || attempt === ATTEMPTS_MAX) throw error;
    }
  }
}

/** While others read and write it; they wait for no longer than a page takes to copy. */
async function snapshot(source: string, target: string): Promise<void> {
  const database = new Database(source, { readonly: true, fileMustExist: true, timeout: 10_000 });
  try {
    // All at once: a write of another process would start it over.
    await database.backup(target, { progress: () => 0x7fffffff });
  } finally {
    database.close();
  }
}

/** `large/ab/abcdef…`, as the store names them. */
function largeFilesOf(file: string): string[] {
  const database = new Database(file, { readonly: true, fileMustExist: true });
  try {
    const rows = database
      .prepare("SELECT DISTINCT file FROM objects WHERE file IS NOT NULL ORDER BY file")
      .all();
    return (rows as { readonly file: string }[]).map(
      ({ file: name }) => `${LARGE_DIRECTORY}/${name.slice(0, 2)}/${name}`,
    );
  } finally {
    database.close();
  }
}

async function writeArchive(
  archive: FileHandle,
  staging: string,
  names: readonly string[],
  about: { readonly createdAtMs: number; readonly version: string; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const writer = new TarWriter(archive, about.createdAtMs);
  const entries: TarEntry[] = [];
  for (const name of names) {
    about.signal?.throwIfAborted();
    entries.push(await withFile(path.join(staging, name), (source) => writer.add(name, source)));
  }
  const createdAt = new Date(about.createdAtMs).toISOString();
  const manifest = { version: MANIFEST_VERSION, mic: about.version, createdAt, entries };
  await writer.addBytes(MANIFEST, utf8(`${JSON.stringify(manifest)}\n`));
  await writer.end();
}

async function withFile<T>(file: string, work: (handle: FileHandle) => Promise<T>): Promise<T> {
  const handle = await open(file, "r");
  try {
    return await work(handle);
  } finally {
    await handle.close();
  }
}
