/** What `cat` and `blame` have in common: one file of a project at a position. */
import type { Command } from "commander";
import { MicError } from "../core/base/errors.ts";
import type { Position } from "../core/base/ids.ts";
import type { TreePath } from "../core/base/path.ts";
import { usageError } from "./errors.ts";
import type { Invocation, OpenedProject } from "./invocation.ts";
import { type PositionSpec, parsePosition } from "./positions.ts";
import { projectPath } from "./project-paths.ts";

export interface FileOptions {
  readonly at?: PositionSpec;
  readonly project?: string;
}

export function takeFileArguments(command: Command): Command {
  return command
    .argument("<position-or-path>", "a position before the path, or the path")
    .argument("[path]", "the file")
    .option("--at <position>", "the position, as an option (default: the base)", parsePosition)
    .option("--project <address>", "read this project instead of the workspace's");
}

/** Errors: `not-found`, or `usage` for a directory. */
export async function openFileArgument(
  invocation: Invocation,
  first: string,
  second: string | undefined,
  options: FileOptions,
) {
  const spec = second === undefined ? options.at : parsePosition(first);
  const project = await invocation.openProject(options.project);
  const at = invocation.readingPosition(project, spec);
  const path = projectPath(invocation, project, second ?? first);
  if (path === "") throw usageError("that is the project's root directory", "name a file, or use `mic ls`");
  return { project, at, path, found: await requireFile(project, at, path, invocation.signal) };
}

async function requireFile(project: OpenedProject, at: Position, path: TreePath, signal: AbortSignal) {
  const found = await project.forge.getPath(project.id, at, path, { signal });
  if (found === undefined) {
    throw new MicError("not-found", `there is no ${path} at @${at}`, {
      hint: `\`mic log --path ${path}\` shows when it was there`,
      data: { paths: [path], position: at },
    });
  }
  if (found.kind === "directory") {
    throw new MicError("usage", `${path} is a directory at @${at}`, {
      hint: `use \`mic ls @${at} ${path}\``,
    });
  }
  return found;
}
