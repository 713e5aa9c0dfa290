/** The workspace's unlanded changes: what the scan finds, with what `track` and `untrack` asked for. */
import { MicError } from "../../base/errors.ts";
import type { List } from "../../base/list.ts";
import { comparePaths, type TreePath, withinPaths } from "../../base/path.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import type { StatusChange } from "../results.ts";
import type { Workspace } from "../workspace.ts";
import { ChangeColumns, type WorkspaceChange } from "./change-columns.ts";
import { DirectoryGuard, inspectPath } from "./disk-state.ts";
import { type ScanResult, scanWorkspace } from "./scan.ts";
import { coverDirectories } from "./tasks.ts";

export interface UnlandedChanges {
  /** In path order. */
  readonly changes: List<WorkspaceChange>;
  readonly scan: ScanResult;
}

/** `askWatcher`: looks only where the workspace's watcher, if there is one, says that something may be. */
export async function findChanges(
  ws: Workspace,
  paths?: readonly TreePath[],
  options: { readonly askWatcher?: boolean } = {},
): Promise<UnlandedChanges> {
  const { onProgress, signal } = ws.context;
  const { index } = ws;
  const within = options.askWatcher === true ? await directoriesToScan(ws) : undefined;
  const scan = await scanWorkspace({
    root: ws.root,
    index,
    sparse: ws.settings.sparse,
    ...(within === undefined ? {} : { within }),
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined
      ? {}
      : { onProgress: (progress) => onProgress({ ...progress, task: "scanning" }) }),
  });
  const changes = withTrackLists(ws, scan.changes);
  return {
    scan,
    changes: paths === undefined ? changes : changes.filter(({ path }) => withinPaths(path, paths)),
  };
}

/** As pairs [from, to); undefined: all of them. */
async function directoriesToScan(ws: Workspace): Promise<Int32Array | undefined> {
  const directories = await ws.context.findChangedDirectories?.(ws.root, ws.indexIdentity);
  const numbers = directories?.map((path) => ws.index.directoryNumber(path));
  return numbers === undefined || numbers.includes(-1) ? undefined : coverDirectories(numbers);
}

/** With what `track` and `untrack` asked for. */
export function withTrackLists(ws: Workspace, scanned: List<WorkspaceChange>): List<WorkspaceChange> {
  const { tracked, untracked } = ws.settings;
  if (tracked.length === 0 && untracked.length === 0) return scanned;
  const byPath = new Map(scanned.map((change) => [change.path, change]));
  for (const path of untracked) {
    const before = ws.index.find(path);
    byPath.delete(path);
    if (before !== undefined) byPath.set(path, { op: "delete", path, before });
  }
  const guard = new DirectoryGuard(ws.root);
  for (const path of tracked) {
    if (byPath.has(path) || ws.index.find(path) !== undefined) continue;
    const state = inspectPath(ws.root, path, undefined, guard);
    if (state.kind !== "content") continue;
    const { kind, size, id } = state.side.entry;
    byPath.set(path, { op: "add", path, after: { kind, size, id, stat: undefined } });
  }
  return [...byPath.values()].sort((a, b) => comparePaths(a.path, b.path));
}

/** All of them, without keeping `changes` alive. */
export function toStatusChanges(changes: List<WorkspaceChange>): List<StatusChange> {
  if (changes instanceof ChangeColumns) return changes.status();
  return changes.map(({ op, path, after }) =>
    after === undefined ? { op, path } : { op, path, kind: after.kind, size: after.size },
  );
}

export function baseSide(ws: Workspace, path: TreePath): ContentSide | undefined {
  const indexed = ws.index.find(path);
  return indexed && { entry: indexed.entry, hint: indexed.hint };
}

export function dirtyError(paths: readonly TreePath[], doing: string): MicError {
  const shown = paths.slice(0, 3).join(", ");
  const more = paths.length > 3 ? ` and ${paths.length - 3} more` : "";
  return new MicError("dirty", `${doing} would overwrite unlanded changes: ${shown}${more}`, {
    hint: "land them first, or use --keep to merge them or --discard to drop them",
    data: { paths },
  });
}
