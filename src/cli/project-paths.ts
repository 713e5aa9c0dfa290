/** Paths on the command line of reading commands: of the workspace, or of a project named by its address. */
import { parseTreePath, type TreePath } from "../core/base/path.ts";
import type { Invocation, OpenedProject } from "./invocation.ts";
import { toTreePath } from "./paths.ts";

/** The empty text stands for the project's root. */
export function projectPath(invocation: Invocation, project: OpenedProject, argument: string): TreePath | "" {
  const { workspace } = project;
  if (workspace !== undefined) return toTreePath(workspace.root, invocation.cwd, argument);
  const plain = argument.replace(/^(?:\.?\/+)+/, "").replace(/\/+$/, "");
  return plain === "" || plain === "." ? "" : parseTreePath(plain);
}

/** Undefined (everything) when none was given, or when one of them is the root. */
export function projectPaths(
  invocation: Invocation,
  project: OpenedProject,
  args: readonly string[] | undefined,
): readonly TreePath[] | undefined {
  if (args === undefined || args.length === 0) return undefined;
  const paths = args.map((argument) => projectPath(invocation, project, argument));
  return paths.includes("") ? undefined : (paths as TreePath[]);
}
