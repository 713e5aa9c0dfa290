/** `track` lands ignored files; `untrack` takes files out of the project and leaves them on disk. */
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { utf8 } from "../../base/bytes.ts";
import { MicError } from "../../base/errors.ts";
import { comparePaths, isTreePath, type TreePath } from "../../base/path.ts";
import { changeWorkspace } from "../checkout/settle.ts";
import { writeFileAtomic } from "../disk/atomic-file.ts";
import { fileError } from "../disk/file-error.ts";
import type { TrackResult } from "../results.ts";
import { DirectoryGuard } from "../scan/disk-state.ts";
import type { Workspace } from "../workspace.ts";

const IGNORE_FILE = ".micignore";

/**
 * The next landing adds these files although an ignore rule covers them; once tracked they are never ignored.
 * Errors: `not-found` when nothing is there.
 */
export function trackPaths(ws: Workspace, paths: readonly TreePath[]): Promise<TrackResult> {
  return changeWorkspace(ws, async () => {
    const files = paths.flatMap((path) => filesBelow(ws, path)).sort(comparePaths);
    const { settings } = ws;
    const untracked = settings.untracked.filter((path) => !files.includes(path));
    const added = files.filter((path) => ws.index.find(path) === undefined);
    const tracked = [...new Set([...settings.tracked, ...added])].sort(comparePaths);
    ws.saveSettings({ ...settings, tracked, untracked });
    return { paths: files, ignoreFiles: [] };
  });
}

/**
 * Appends each path to the nearest `.micignore` at or above it (made at the root when there is none); the next
 * landing deletes the files from the project. Errors: `not-found` when nothing tracked is there.
 */
export function untrackPaths(ws: Workspace, paths: readonly TreePath[]): Promise<TrackResult> {
  return changeWorkspace(ws, async () => {
    const { settings } = ws;
    const gone = new Set<TreePath>();
    for (const path of paths) {
      const before = gone.size;
      for (const entry of ws.index.entries(path)) gone.add(entry.path);
      if (gone.size === before && !settings.tracked.some((known) => known === path)) {
        throw new MicError("not-found", `${path} is not tracked`, { data: { paths: [path] } });
      }
    }
    const ignoreFiles = new Set<string>();
    for (const path of paths) ignoreFiles.add(appendRule(ws, path));
    const untracked = [...new Set([...settings.untracked, ...gone])].sort(comparePaths);
    const tracked = settings.tracked.filter((known) => !paths.includes(known));
    ws.saveSettings({ ...settings, untracked, tracked });
    return { paths: [...gone].sort(comparePaths), ignoreFiles: [...ignoreFiles].sort() };
  });
}

function filesBelow(ws: Workspace, path: TreePath): TreePath[] {
  const blocker = new DirectoryGuard(ws.root).findBlocker(path);
  const stats = blocker === undefined ? lstatSync(join(ws.root, path), { throwIfNoEntry: false }) : undefined;
  if (stats === undefined)
    throw new MicError("not-found", `there is no ${path}`, { data: { paths: [path] } });
  if (!stats.isDirectory()) return [path];
  const files: TreePath[] = [];
  for (const child of readdirSync(join(ws.root, path), { withFileTypes: true })) {
    const childPath = `${path}/${child.name}`;
    if (!isTreePath(childPath)) continue;
    if (child.isDirectory()) files.push(...filesBelow(ws, childPath));
    else if (child.isFile() || child.isSymbolicLink()) files.push(childPath);
  }
  return files;
}

/** The ignore file that got the rule, relative to the workspace. */
function appendRule(ws: Workspace, path: TreePath): string {
  let dir = path.slice(0, Math.max(0, path.lastIndexOf("/")));
  while (dir !== "" && !existsSync(join(ws.root, dir, IGNORE_FILE))) {
    dir = dir.slice(0, Math.max(0, dir.lastIndexOf("/")));
  }
  const name = dir === "" ? IGNORE_FILE : `${dir}/${IGNORE_FILE}`;
  const absolute = join(ws.root, name);
  const rule = `/${escapePattern(dir === "" ? path : path.slice(dir.length + 1))}`;
  try {
    const text = existsSync(absolute) ? readFileSync(absolute, "utf8") : "";
    if (text.split(/\r?\n/).includes(rule)) return name;
    const separator = text === "" || text.endsWith("\n") ? "" : "\n";
    writeFileAtomic(absolute, utf8(`${text}${separator}${rule}\n`));
  } catch (error) {
    throw fileError(error, `cannot change ${name}`, "add the path to an ignore file yourself");
  }
  return name;
}

/** A name as a pattern that matches only itself. */
function escapePattern(path: string): string {
  return path.replace(/[\\*?[]/g, "\\$&").replace(/ $/, "\\ ");
}
