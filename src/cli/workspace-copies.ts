/** Content of a workspace, for a repair of its project: what it keeps of the project, and its files as they are. */
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { EMPTY_BYTES } from "../core/base/bytes.ts";
import { isMicError } from "../core/base/errors.ts";
import type { ObjectId } from "../core/base/ids.ts";
import { CHUNK_THRESHOLD_BYTES } from "../core/base/limits.ts";
import type { TreePath } from "../core/base/path.ts";
import type { CopySource } from "../core/forge/repair/copy-source.ts";
import type { ObjectContent } from "../core/objects/read-frame.ts";
import type { Workspace } from "../core/workspace/workspace.ts";

export function workspaceCopies(workspace: Workspace): CopySource {
  let paths: Map<ObjectId, TreePath> | undefined;
  return {
    description: workspace.root,
    find: async (id) => {
      paths ??= pathsById(workspace);
      return fromObjects(workspace, id) ?? fromFile(workspace, paths.get(id));
    },
  };
}

/** Files that are stored as one object, by the content that they had when the workspace last looked. */
function pathsById(workspace: Workspace): Map<ObjectId, TreePath> {
  const paths = new Map<ObjectId, TreePath>();
  for (const { path: name, entry } of workspace.index.entries()) {
    if (entry.kind !== "symlink" && entry.chunks === undefined) paths.set(entry.id, name);
  }
  return paths;
}

function fromObjects(workspace: Workspace, id: ObjectId): ObjectContent | undefined {
  try {
    return workspace.objects.read(id);
  } catch (error) {
    if (isMicError(error, "corrupt")) return undefined;
    throw error;
  }
}

/** Whoever asks compares the content with the id. */
function fromFile(workspace: Workspace, name: TreePath | undefined): ObjectContent | undefined {
  if (name === undefined) return undefined;
  const file = path.join(workspace.root, name);
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats?.isFile() !== true || stats.size > CHUNK_THRESHOLD_BYTES) return undefined;
  return { kind: "blob", content: readFileSync(file), sidecar: EMPTY_BYTES };
}
