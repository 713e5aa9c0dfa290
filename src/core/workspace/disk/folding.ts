/** Finds out which names the workspace's file system takes for one. */
import { closeSync, existsSync, openSync, rmSync } from "node:fs";
import type { NameFolding } from "../../codec/workspace-settings.ts";
import { metaPath, TEMPORARY_DIR } from "../layout.ts";
import { ensureDirectory } from "./atomic-file.ts";

/** Creates and removes a file under `.mic/tmp`. */
export function probeFolding(root: string): NameFolding {
  const dir = metaPath(root, TEMPORARY_DIR);
  ensureDirectory(dir);
  const probe = (written: string, asked: string): boolean => {
    const path = metaPath(root, TEMPORARY_DIR, written);
    const other = metaPath(root, TEMPORARY_DIR, asked);
    rmSync(path, { force: true });
    closeSync(openSync(path, "w"));
    const found = existsSync(other);
    rmSync(path, { force: true });
    return found;
  };
  return {
    case: probe("Fold-Probe", "fold-pROBE"),
    normalization: probe("fold-probe-\u00e9", "fold-probe-e\u0301"),
  };
}
