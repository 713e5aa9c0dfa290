/**
 * One command at a time changes a workspace. The lock is a SQLite transaction on `.mic/lock`: the operating
 * system gives it back when its process ends, however that ends, so a crash leaves nothing to clean up.
 */
import type { Clock } from "../../base/clock.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import { errorCode, LOCK_FILE, metaPath } from "../layout.ts";

export interface LockOptions {
  /** How long to wait for another command; 0 tries once. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

const RETRY_MS_MIN = 5;
const RETRY_MS_MAX = 100;

/**
 * Holds the workspace's lock until disposed. Errors: `pending` when another command still holds it after
 * `timeoutMs`; `corrupt` when something else was written to the lock file; `aborted`.
 */
export function acquireWorkspaceLock(root: string, options: LockOptions): Promise<AsyncDisposable> {
  return acquireFileLock(metaPath(root, LOCK_FILE), options, () => busy(root));
}

/** The same on any file, which is made: until disposed or the process ends. Throws `busy()` after `timeoutMs`. */
export async function acquireFileLock(
  path: string,
  options: LockOptions,
  busy: () => MicError,
): Promise<AsyncDisposable> {
  // Loaded here: a command that only reads the workspace starts without SQLite.
  const { default: Database } = await import("better-sqlite3");
  const { clock, signal, timeoutMs } = options;
  const deadlineMs = clock.nowMs() + timeoutMs;
  for (let retryMs = RETRY_MS_MIN; ; retryMs = Math.min(RETRY_MS_MAX, retryMs * 2)) {
    throwIfAborted(signal);
    const database = new Database(path, { timeout: 0 });
    try {
      // Without a journal file: nothing is ever written, the lock on the file is all that is wanted.
      database.pragma("journal_mode = MEMORY");
      database.exec("BEGIN EXCLUSIVE");
      return {
        async [Symbol.asyncDispose]() {
          database.close();
        },
      };
    } catch (error) {
      database.close();
      const code = errorCode(error);
      if (code === "SQLITE_NOTADB" || code === "SQLITE_CORRUPT") throw damaged(path, error);
      if (code?.startsWith("SQLITE_BUSY") !== true) throw error;
    }
    const remainingMs = deadlineMs - clock.nowMs();
    if (remainingMs <= 0) throw busy();
    await clock.sleep(Math.min(retryMs, remainingMs), signal);
  }
}

function busy(root: string): MicError {
  return new MicError("pending", "another mic command is running in this workspace", {
    hint: "wait until it is done, or end it, and run this again",
    data: { workspace: root },
  });
}

function damaged(path: string, cause: unknown): MicError {
  return new MicError("corrupt", `${path} is damaged`, {
    hint: "delete it while no mic command is running: it holds nothing",
    cause,
  });
}
