/** The settings of a workspace that has just been made. */
import type { WorkspaceSettings } from "../../codec/workspace-settings.ts";
import type { ProjectInfo } from "../../forge/forge.ts";
import { probeFolding } from "../disk/folding.ts";

/** `address` as it is stored. Asks the file system of `root` which names it takes for one. */
export function newSettings(root: string, address: string, project: ProjectInfo): WorkspaceSettings {
  return {
    address,
    project: project.id,
    projectName: project.name,
    salt: project.salt,
    sparse: [],
    untracked: [],
    tracked: [],
    session: undefined,
    folding: probeFolding(root),
    cloning: undefined,
  };
}
