/** Small files of the workspace that must appear whole or not at all. */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { pid } from "node:process";
import { isMissing } from "../layout.ts";

export interface AtomicWriteOptions {
  /** Flush the bytes, and the rename, to the device before returning: for state that cannot be rebuilt. */
  readonly sync?: boolean;
  /** The writer does not hold the workspace's lock, so that another process may write the same file now. */
  readonly unlocked?: boolean;
}

let lastTemporary = 0;

/**
 * Writes beside `path` and renames over it. A crash leaves the old file, or the new one, and perhaps a
 * `….tmp-…` file beside it that no reader looks at. Errors of the file system pass through.
 */
export function writeFileAtomic(
  path: string,
  bytes: Uint8Array | readonly Uint8Array[],
  options: AtomicWriteOptions = {},
): void {
  // Writers that hold the workspace's lock take turns, and overwrite what a killed one left over.
  lastTemporary = (lastTemporary + 1) % 1_000_000;
  const writer = options.unlocked ? `${pid}-` : "";
  const temporary = `${path}.tmp-${writer}${lastTemporary}`;
  const file = openSync(temporary, "w", 0o666);
  try {
    try {
      for (const part of Array.isArray(bytes) ? bytes : [bytes]) writeAll(file, part);
      if (options.sync) fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  if (options.sync) syncDirectory(dirname(path));
}

/**
 * As `writeFileAtomic`, for megabytes that nothing else waits for: the bytes, which must not change meanwhile, are
 * written by the thread pool and not flushed.
 */
export async function writeFileInBackground(path: string, bytes: Uint8Array): Promise<void> {
  lastTemporary = (lastTemporary + 1) % 1_000_000;
  const temporary = `${path}.tmp-${lastTemporary}`;
  const file = await open(temporary, "w", 0o666);
  try {
    try {
      for (let done = 0; done < bytes.length; ) {
        done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
      }
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length; ) {
    offset += writeSync(file, bytes, offset, bytes.length - offset);
  }
}

/** Makes renames and new names in `directory` durable, where the platform can (not on Windows). */
export function syncDirectory(directory: string): void {
  let handle: number;
  try {
    handle = openSync(directory, "r");
  } catch (error) {
    // Windows cannot open a directory; its file systems order metadata themselves.
    const code = (error as { code?: string }).code;
    if (code === "EISDIR" || code === "EPERM" || code === "EACCES") return;
    throw error;
  }
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

export function ensureDirectory(path: string): void {
  mkdirSync(path, { recursive: true });
}

export function readFileIfExistsSync(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
