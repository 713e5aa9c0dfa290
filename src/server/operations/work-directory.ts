/**
 * A directory for what is being made and is not whole yet. A lock in it dies with its process: what a killed one left
 * is known for what it is, and the next one begins anew in its place. It may hold what signs everybody in: mode 0700.
 */
import { existsSync } from "node:fs";
import { chmod, lstat, mkdir, readdir, rm } from "node:fs/promises";
import path from "node:path";
import { MicError } from "../../core/base/errors.ts";
import { tryLock } from "../file-lock.ts";

const LOCK = "lock";

export interface WorkDirectory extends AsyncDisposable {
  readonly path: string;
}

/**
 * Empty; removed when it is disposed of. `purpose`: what is made in it, for messages. Errors: `unreachable` while another
 * process works in it, `already-exists` for something else of that name.
 */
export async function openWorkDirectory(directory: string, purpose: string): Promise<WorkDirectory> {
  const lock = await lockDirectory(directory, purpose);
  const end = async (): Promise<void> => {
    // Nobody else may come in before it is gone, except where an open file cannot be removed.
    if (process.platform === "win32") lock[Symbol.dispose]();
    await rm(directory, { recursive: true, force: true });
    lock[Symbol.dispose]();
  };
  try {
    for (const name of await readdir(directory)) {
      if (name !== LOCK) await rm(path.join(directory, name), { recursive: true });
    }
  } catch (error) {
    await end();
    throw error;
  }
  return { path: directory, [Symbol.asyncDispose]: end };
}

/** Whether a process that was killed left it. Changes nothing. */
export function isAbandoned(directory: string): boolean {
  const file = path.join(directory, LOCK);
  if (!existsSync(file)) return existsSync(directory);
  const lock = tryLock(file);
  lock?.[Symbol.dispose]();
  return lock !== undefined;
}

async function lockDirectory(directory: string, purpose: string): Promise<Disposable> {
  for (;;) {
    await mkdir(directory, { mode: 0o700 }).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
      // Not one that it is a link to, nor one of somebody who waits for it: it may stand where everybody may write.
      if (await isOurs(directory)) return await chmod(directory, 0o700);
      throw new MicError("already-exists", `${directory} is in the way of ${purpose}`, {
        hint: "another user's mic, an old one, or something else made it: move it away",
      });
    });
    try {
      const lock = tryLock(path.join(directory, LOCK));
      if (lock !== undefined) return lock;
      throw new MicError("unreachable", `another process is at work on ${purpose}`, {
        hint: `wait until it is done; it works in ${directory}`,
      });
    } catch (error) {
      // Removed by whoever was done with it, in this moment.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
}

/** Empty: one that was killed before it locked it. */
async function isOurs(directory: string): Promise<boolean> {
  const stats = await lstat(directory);
  if (!stats.isDirectory() || (process.getuid !== undefined && stats.uid !== process.getuid())) return false;
  const names = await readdir(directory);
  return names.length === 0 || names.includes(LOCK);
}
