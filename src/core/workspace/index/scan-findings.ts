/** What a scan learned besides changes: lets the next scan read less. Input of `WorkspaceIndex.update`. */
import type { TreePath } from "../../base/path.ts";
import type { FileStat } from "../disk/stat.ts";

/** The two names of ignore files; the number is what the index stores. */
export const IGNORE_FILE_NAMES = [".gitignore", ".micignore"] as const;

/**
 * A directory that was read. It needs no reading again while its stat data are the same, provided that by then
 * every path of `untracked` below it is tracked.
 */
export interface ScannedDirectory {
  /** Empty for the root. */
  readonly path: string;
  /** undefined: must be read again whatever its stat data say. */
  readonly stat: FileStat | undefined;
}

export interface ScannedIgnoreFile {
  /** Directory that it is in, empty for the root. */
  readonly dir: string;
  /** Index into IGNORE_FILE_NAMES. */
  readonly name: number;
  readonly stat: FileStat;
}

export interface ScanFindings {
  /** Files with the content of the index and other stat data, by number in the index that was scanned. */
  readonly refreshed: readonly { readonly file: number; readonly stat: FileStat }[];
  readonly directories: readonly ScannedDirectory[];
  /** All that exist in the directories looked at, changed or not. */
  readonly ignoreFiles: readonly ScannedIgnoreFile[];
  /** Paths that were there, not tracked and not ignored, whether they can be added or not. */
  readonly untracked: readonly string[];
  /** Tracked paths that were not there. */
  readonly deleted: readonly TreePath[];
}
