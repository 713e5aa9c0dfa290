/**
 * The SQLite file of a local store: creating, opening and checking it, and what its errors mean. The layout is
 * described in docs/format/local-store.md.
 */
import { existsSync } from "node:fs";
import { mkdir, open, readFile, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import Database from "better-sqlite3";
import { isMicError, MicError } from "../base/errors.ts";
import { LARGE_DIRECTORY, LOCAL_STORE_FILE } from "./is-local-store.ts";

/** Below `large`: one empty file for each large file that is being written or removed. */
export const WRITING_DIRECTORY = "writing";

/** `mics`, big-endian. */
const APPLICATION_ID = 0x6d696373;
const FORMAT_VERSION = 1;

const SCHEMA = `
  CREATE TABLE objects (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    size INTEGER NOT NULL,
    file TEXT,
    bytes BLOB
  );
  CREATE INDEX objects_by_file ON objects (file) WHERE file IS NOT NULL;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${FORMAT_VERSION};
`;

/** `waitForLock` runs a step again, up to the caller's timeout, while another process holds the database. */
export interface OpenDatabaseOptions {
  readonly create: boolean;
  readonly waitForLock: <T>(step: () => T) => Promise<T>;
}

/**
 * Errors: `not-found` (nothing there and `create` is false), `unsupported` (a newer format, or a network file
 * system), `corrupt` (not our database), `forbidden` (not readable or not writable), `unreachable` (no space,
 * input/output error, held by another process).
 */
export async function openDatabase(
  directory: string,
  options: OpenDatabaseOptions,
): Promise<Database.Database> {
  const path = join(directory, LOCAL_STORE_FILE);
  const exists = existsSync(path);
  if (!exists && !options.create) throw notFound(directory);
  try {
    if (!exists) await makeDirectories(join(directory, LARGE_DIRECTORY, WRITING_DIRECTORY));
    await refuseNetworkFileSystem(directory);
    const database = new Database(path, { fileMustExist: exists, timeout: 0 });
    try {
      await checkOrCreate(database, directory, options);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (error) {
    throw translateStoreError(error, directory);
  }
}

async function checkOrCreate(
  database: Database.Database,
  directory: string,
  { create, waitForLock }: OpenDatabaseOptions,
): Promise<void> {
  // A commit has to survive the loss of power, also on macOS, where a plain fsync leaves the disk's cache. The
  // first of these reads the file, and so meets whoever is recovering what a killed process left in the log.
  await waitForLock(() => database.pragma("synchronous = FULL"));
  await waitForLock(() => database.pragma("fullfsync = 1"));
  const read = (name: string): number => Number(database.pragma(name, { simple: true }));
  const applicationId = await waitForLock(() => read("application_id"));
  let version = await waitForLock(() => read("user_version"));
  const isEmpty = (): boolean => database.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined;
  if (applicationId === 0 && version === 0 && (await waitForLock(isEmpty))) {
    // Nothing was ever committed here, perhaps because the process that began to create it was stopped.
    if (!create) throw notFound(directory);
    await waitForLock(() => database.pragma("journal_mode = WAL"));
    await waitForLock(() => database.transaction(() => isEmpty() && database.exec(SCHEMA)).immediate());
    await syncDirectory(directory);
    version = FORMAT_VERSION;
  } else if (applicationId !== APPLICATION_ID) {
    throw new MicError("corrupt", `${join(directory, LOCAL_STORE_FILE)} belongs to another application`, {
      hint: "choose another directory",
    });
  }
  if (version !== FORMAT_VERSION) {
    throw new MicError(
      "unsupported",
      `${directory} has store format ${version}, this mic reads ${FORMAT_VERSION}`,
      {
        hint: "use a newer mic",
      },
    );
  }
}

function notFound(directory: string): MicError {
  return new MicError("not-found", `there is no forge in ${directory}`, {
    hint: "check the path, or create one with `mic init`",
  });
}

/** `mkdir -p`, with every new directory entry on disk before it returns. */
export async function makeDirectories(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let current = path; ; current = dirname(current)) {
    await syncDirectory(dirname(current));
    if (current === first || current === dirname(current)) return;
  }
}

/** Makes new and removed names durable. Windows has no such call and needs none. */
export async function syncDirectory(path: string): Promise<void> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, "r");
  } catch (error) {
    if (errorCode(error) === "EISDIR" || errorCode(error) === "EPERM") return;
    throw error;
  }
  try {
    await handle.sync();
  } catch (error) {
    // Some file systems have no sync for directories and say so in these ways.
    if (!["EINVAL", "ENOTSUP", "EBADF", "EPERM"].includes(errorCode(error) ?? "")) throw error;
  } finally {
    await handle.close();
  }
}

/** Magic numbers of statfs(2). SQLite's locks and shared memory do not work between hosts on any of them. */
const NETWORK_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x01021997, "9p"],
  [0x5346414f, "AFS"],
  [0x6b414653, "AFS"],
  [0x73757245, "Coda"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
  [0x786f4256, "a VirtualBox shared folder"],
]);
const FUSE = 0x65735546;
const NETWORK_FUSE =
  /^fuse\.(?:sshfs|s3fs|rclone|gcsfuse|goofys|glusterfs|davfs|curlftpfs|smbnetfs|mount-s3|blobfuse2?|juicefs)$/;

async function refuseNetworkFileSystem(directory: string): Promise<void> {
  const { type } = await statfs(directory);
  const mounts = "/proc/self/mountinfo";
  const isFuse = Number(type) >>> 0 === FUSE && existsSync(mounts);
  const name = networkFileSystem(Number(type), directory, isFuse ? await readFile(mounts, "utf8") : "");
  if (name === undefined) return;
  throw new MicError(
    "unsupported",
    `${directory} is on a network file system (${name}), which has no safe locks`,
    {
      hint: "put the forge on a local disk, or run `mic serve` beside it",
    },
  );
}

/** The name of a network file system, by statfs(2)'s type and, for FUSE, the text of /proc/self/mountinfo. */
export function networkFileSystem(type: number, directory: string, mountInfo: string): string | undefined {
  const magic = type >>> 0;
  if (magic !== FUSE) return NETWORK_FILE_SYSTEMS.get(magic);
  const mounted = fileSystemOf(directory, mountInfo);
  return mounted !== undefined && NETWORK_FUSE.test(mounted) ? mounted : undefined;
}

/** File system type of the mount that holds `directory`, from the text of /proc/self/mountinfo (proc(5)). */
function fileSystemOf(directory: string, mountInfo: string): string | undefined {
  let best: { mountPoint: string; type: string } | undefined;
  for (const line of mountInfo.split("\n")) {
    const [before, after] = line.split(" - ");
    const escaped = before?.split(" ")[4];
    const type = after?.split(" ")[0];
    if (escaped === undefined || type === undefined) continue;
    const mountPoint = escaped.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const holds = mountPoint === "/" || directory === mountPoint || directory.startsWith(`${mountPoint}/`);
    // A later line of the same mount point is mounted over the earlier one.
    if (holds && (best === undefined || mountPoint.length >= best.mountPoint.length))
      best = { mountPoint, type };
  }
  return best?.type;
}

export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}

export function isBusy(error: unknown): boolean {
  return /^SQLITE_(?:BUSY|LOCKED)/.test(errorCode(error) ?? "");
}

/** One place that says what a failure of the disk means to the caller. */
export function translateStoreError(error: unknown, directory: string): MicError {
  if (isMicError(error)) return error;
  const code = errorCode(error) ?? "";
  const detail = `${error instanceof Error ? error.message : String(error)}${code === "" ? "" : ` (${code})`}`;
  if (isBusy(error)) {
    return new MicError("unreachable", `another process holds ${directory}`, {
      hint: "wait for it to finish, then try again",
      cause: error,
    });
  }
  if (/^(?:ENOSPC|EDQUOT|SQLITE_FULL)$/.test(code)) {
    return new MicError("unreachable", `no space left for ${directory}; nothing was written`, {
      hint: "free some space, then try again",
      cause: error,
    });
  }
  if (/^(?:EROFS|EACCES|EPERM|SQLITE_READONLY|SQLITE_PERM|SQLITE_AUTH|SQLITE_CANTOPEN)/.test(code)) {
    return new MicError("forbidden", `${directory} cannot be opened for writing: ${detail}`, {
      hint: "check its owner and permissions, and that it is not mounted read-only",
      cause: error,
    });
  }
  if (/^SQLITE_(?:CORRUPT|NOTADB|FORMAT)/.test(code)) {
    return new MicError(
      "corrupt",
      `${join(directory, LOCAL_STORE_FILE)} is damaged or is not a store: ${detail}`,
      {
        hint: "restore it from a backup; `mic fsck` tells what can be read",
        cause: error,
      },
    );
  }
  if (code === "" && error instanceof TypeError && /not open/.test(error.message)) {
    return new MicError("internal", "bug: local store used after it was disposed", { cause: error });
  }
  return new MicError("unreachable", `${directory}: ${detail}`, { cause: error });
}
