/** A lock on a file, between processes of one machine: it dies with the process that holds it. */
import { closeSync, openSync, statSync } from "node:fs";
import Database from "better-sqlite3";

/**
 * Undefined: another process has it, or a caller in this one. The file is made where it is missing, mode 0600, and stays;
 * its directory is there. Errors: those of the file system.
 */
export function tryLock(file: string): Disposable | undefined {
  for (;;) {
    closeSync(openSync(file, "a", 0o600));
    const before = identityOf(file);
    const lock = new Database(file, { timeout: 0 });
    try {
      lock.pragma("journal_mode = DELETE");
      lock.exec("BEGIN EXCLUSIVE");
    } catch (error) {
      lock.close();
      if ((error as { readonly code?: string }).code?.startsWith("SQLITE_BUSY") === true) return undefined;
      throw error;
    }
    // Whoever held it may have removed it before it let go: then this is a lock on nothing.
    if (before !== undefined && identityOf(file) === before)
      return { [Symbol.dispose]: () => void lock.close() };
    lock.close();
  }
}

function identityOf(file: string): string | undefined {
  const stats = statSync(file, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? undefined : `${stats.dev}-${stats.ino}`;
}
