/** Lands the inverse of a landing, merged three ways into the present. */
import { MicError } from "../../base/errors.ts";
import { type Position, toPosition } from "../../base/ids.ts";
import { sameSide } from "../../codec/content-side.ts";
import { changesBetween } from "../checkout/base-changes.ts";
import { rewriteFiles } from "../checkout/rewrite.ts";
import { changeWorkspace } from "../checkout/settle.ts";
import { callOptions } from "../context.ts";
import type { LandOutcome } from "../results.ts";
import { baseSide, dirtyError } from "../scan/changes.ts";
import { DirectoryGuard, inspectPath } from "../scan/disk-state.ts";
import type { Workspace } from "../workspace.ts";
import { landInside } from "./land.ts";
import { syncInside } from "./sync.ts";

export interface RevertOptions {
  /** Default: `revert @N: <its goal>`. */
  readonly goal?: string;
}

const SYNC_ATTEMPTS = 10;

/**
 * Syncs first, so that the inverse meets the newest state. Errors: `conflict` with `paths` when later changes
 * overlap with what is taken back (they are then in conflict in the workspace, to be resolved and landed),
 * `dirty` when unlanded edits touch the same paths, `nothing-to-land` when nothing of the landing is left.
 */
export function revertLanding(
  ws: Workspace,
  position: Position,
  options: RevertOptions = {},
): Promise<LandOutcome> {
  return changeWorkspace(ws, async () => {
    if (position === 0) throw new MicError("out-of-range", "@0 is the empty beginning: nothing to revert");
    const forge = await ws.forge();
    const landing = await forge.getLanding(ws.settings.project, position, callOptions(ws));
    const synced = await syncInside(ws, undefined);
    if (synced.conflicts.length > 0) throw unresolved(synced.conflicts, "sync before the revert");
    const changes = await changesBetween(ws, position, toPosition(position - 1));
    const guard = new DirectoryGuard(ws.root);
    const dirty = changes
      .map((change) => change.path)
      .filter((path) => {
        const state = inspectPath(ws.root, path, ws.index.find(path), guard);
        const disk = state.kind === "content" ? state.side : undefined;
        return !sameSide(disk, baseSide(ws, path));
      });
    if (dirty.length > 0) throw dirtyError(dirty, `reverting @${position}`);
    const result = await rewriteFiles(ws, {
      kind: "revert",
      description: `revert @${position}`,
      changes,
      policy: "merge",
      theirs: `before @${position}`,
    });
    if (result.conflicts.length > 0) {
      throw unresolved(
        result.conflicts.map((conflict) => conflict.path),
        `revert of @${position}`,
      );
    }
    if (result.changed.length === 0) {
      throw new MicError("nothing-to-land", `nothing of @${position} is left to take back`);
    }
    const goal = options.goal ?? `revert @${position}: ${landing.goal}`;
    return landInside(ws, {
      goal,
      paths: changes.map((change) => change.path),
      allowLarge: true,
      syncAttempts: SYNC_ATTEMPTS,
    });
  });
}

function unresolved(paths: readonly string[], what: string): MicError {
  return new MicError("conflict", `${what} left conflicts: ${paths.join(", ")}`, {
    hint: "run `mic resolve`, then `mic land`",
    data: { paths },
  });
}
