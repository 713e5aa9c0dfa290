/** The files below `.mic` that an answer is made of, told from their successors without reading them. */
import { statSync } from "node:fs";
import { INDEX_FILE, metaPath } from "../layout.ts";
import { CONFLICTS_FILE, LATEST_FILE, PENDING_FILE, SETTINGS_FILE, TRANSITION_FILE } from "../workspace.ts";

const STATE_FILES = [SETTINGS_FILE, INDEX_FILE, CONFLICTS_FILE, PENDING_FILE, TRANSITION_FILE, LATEST_FILE];

/** Each is replaced as a whole, by a new file. */
export function identifyState(root: string): string {
  return STATE_FILES.map((name) => identifyFile(metaPath(root, name))).join(" ");
}

/** As `Workspace.indexIdentity`. */
export function identifyIndexFile(root: string): string {
  return identifyFile(metaPath(root, INDEX_FILE));
}

/** Of `.mic` itself: what it is, not what is in it. Empty when nothing is there. */
export function identifyMeta(root: string): string {
  const stats = statSync(metaPath(root), { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.dev} ${stats.ino}`;
}

function identifyFile(path: string): string {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.ino} ${stats.mtimeNs} ${stats.ctimeNs} ${stats.size}`;
}
