/** Where a workspace keeps its own files: the `.mic` directory beside the tracked ones. */
import { stat } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { MicError } from "../base/errors.ts";

export const META_DIR = ".mic";

/** Names below `.mic` of the files that this half of the workspace owns. */
export const INDEX_FILE = "index";
export const LOCK_FILE = "lock";
/** Written to learn the file system's time. */
export const STAMP_FILE = "stamp";
/** Files on their way to their final name; emptied by whoever holds the lock. */
export const TEMPORARY_DIR = "tmp";

export function metaPath(root: string, ...names: string[]): string {
  return join(root, META_DIR, ...names);
}

/**
 * The nearest directory, from `startDir` upwards, that holds a `.mic` directory. `not-a-workspace` when there
 * is none.
 */
export async function findWorkspaceRoot(startDir: string): Promise<string> {
  const start = resolve(startDir);
  for (let dir = start; ; dir = dirname(dir)) {
    if (await isDirectory(join(dir, META_DIR))) return dir;
    if (dirname(dir) === dir) break;
  }
  throw new MicError("not-a-workspace", `${start} is not in a workspace`, {
    hint: "run `mic init` here, or `mic clone ADDRESS`",
    data: { directory: start },
  });
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    const code = errorCode(error);
    if (isMissing(error) || code === "EACCES" || code === "ELOOP") return false;
    throw error;
  }
}

/** Refuses (`usage`) a new workspace within the `.mic` of another one, or of this one. */
export function checkOutsideMeta(root: string): void {
  if (!root.split(sep).includes(META_DIR)) return;
  throw new MicError("usage", `${root} is inside a ${META_DIR} directory, which mic keeps for itself`, {
    hint: "choose another directory",
    data: { directory: root },
  });
}

/** The system's error code (`ENOENT`, `EACCES`), or undefined for other errors. */
export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

/** Nothing is at that path: also when one of its parents is not a directory. */
export function isMissing(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOENT" || code === "ENOTDIR";
}
