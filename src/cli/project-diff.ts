/** What differs between two positions of a project, read from its forge: for `show`, and for diffs without a workspace. */
import type { Position } from "../core/base/ids.ts";
import type { TreePath } from "../core/base/path.ts";
import { fileDiffs } from "../core/forge/history/file-diffs.ts";
import type { FileDiff } from "../core/workspace/results.ts";
import type { OpenedProject } from "./invocation.ts";

/** In path order; renames detected. */
export function projectDiff(
  project: OpenedProject,
  range: { readonly from: Position; readonly to: Position; readonly paths?: readonly TreePath[] },
  signal: AbortSignal,
): Promise<readonly FileDiff[]> {
  return fileDiffs(project.forge, project.id, range, { signal });
}
