/** Conflicts as state: what they are, and the contents they are between. */
import { MicError } from "../../base/errors.ts";
import type { TreePath } from "../../base/path.ts";
import type { Conflict } from "../../codec/conflict-state.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import { readContent } from "../content/content.ts";
import type { ConflictContent } from "../results.ts";
import { DirectoryGuard, inspectPath, readWorkspaceFile } from "../scan/disk-state.ts";
import type { Workspace } from "../workspace.ts";

/** Above this a side is not shown or merged in memory. */
const CONTENT_BYTES_MAX = 64 << 20;

/** Unresolved, in path order. */
export function listConflicts(ws: Workspace): readonly Conflict[] {
  return ws.conflicts;
}

/** `not-found` when there is no conflict at the path. */
export function findConflict(ws: Workspace, path: TreePath): Conflict {
  const conflict = ws.conflicts.find((candidate) => candidate.path === path);
  if (conflict === undefined) {
    throw new MicError("not-found", `there is no conflict at ${path}`, {
      hint: "run `mic resolve --list`",
      data: { paths: [path] },
    });
  }
  return conflict;
}

/** The versions of one conflict; undefined where a side has nothing. Errors: `not-found`, `too-large`. */
export async function readConflict(ws: Workspace, path: TreePath): Promise<ConflictContent> {
  const { base, ours, theirs } = findConflict(ws, path);
  const read = async (side: ContentSide | undefined): Promise<Uint8Array | undefined> =>
    side === undefined ? undefined : await readContent(ws, side, CONTENT_BYTES_MAX);
  return {
    base: await read(base),
    ours: await read(ours),
    theirs: await read(theirs),
    current: readCurrent(ws, path),
  };
}

/** Undefined when no file or symlink is at the path. */
export function readCurrent(ws: Workspace, path: TreePath): Uint8Array | undefined {
  const state = inspectPath(ws.root, path, undefined, new DirectoryGuard(ws.root));
  return state.kind === "content" ? readWorkspaceFile(ws.root, path, CONTENT_BYTES_MAX) : undefined;
}
