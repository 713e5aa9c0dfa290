/** A new workspace with a forge of its own inside it. */
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { MicError } from "../../base/errors.ts";
import { EMPTY_ROOT, POSITION_ZERO, type ProjectId } from "../../base/ids.ts";
import { suggestNamePart } from "../../base/project-name.ts";
import { mintProjectId } from "../../base/random.ts";
import type { WorkspaceContext } from "../context.ts";
import { ensureDirectory } from "../disk/atomic-file.ts";
import { fileError } from "../disk/file-error.ts";
import { WorkspaceIndex } from "../index/workspace-index.ts";
import { checkOutsideMeta, metaPath } from "../layout.ts";
import type { InitResult } from "../results.ts";
import { EMBEDDED_ADDRESS, SETTINGS_FILE, writeSettings } from "../workspace.ts";
import { newSettings } from "./new-settings.ts";

export interface InitOptions {
  /** `org/project`; default `local/<directory>`. */
  readonly name?: string;
}

/**
 * Files in the directory are left alone: they are the first changes to land. Interrupted, it can be run again.
 * Errors: `already-exists` in a workspace, `usage` for an invalid name.
 */
export async function initWorkspace(
  dir: string,
  options: InitOptions,
  context: WorkspaceContext,
): Promise<InitResult> {
  const root = resolve(dir);
  checkOutsideMeta(root);
  if (existsSync(metaPath(root, SETTINGS_FILE))) {
    throw new MicError("already-exists", `${root} is a workspace already`, {
      hint: "run `mic status` in it",
      data: { directory: root },
    });
  }
  const forgePath = join(root, EMBEDDED_ADDRESS);
  try {
    ensureDirectory(forgePath);
  } catch (error) {
    throw fileError(error, `cannot make ${forgePath}`, "choose another directory");
  }
  const name = options.name ?? `local/${suggestNamePart(basename(root))}`;
  const forge = await context.openForge(forgePath, { create: true });
  const project = await createOrFind(context, forge, name);
  WorkspaceIndex.empty({ position: POSITION_ZERO, root: EMPTY_ROOT }).save(root, { sync: true });
  // The settings come last: with them, this is a workspace.
  writeSettings(root, newSettings(root, EMBEDDED_ADDRESS, project));
  return { project: project.name, projectId: project.id, forge: forgePath, position: POSITION_ZERO };
}

/** An interrupted init left a forge with one project and no workspace. */
async function createOrFind(
  context: WorkspaceContext,
  forge: Awaited<ReturnType<WorkspaceContext["openForge"]>>,
  name: string,
) {
  const id: ProjectId = mintProjectId(context.random);
  try {
    return await forge.createProject({ id, name });
  } catch (error) {
    if (!(error instanceof MicError) || error.code !== "already-exists") throw error;
    return await forge.getProject(name);
  }
}
