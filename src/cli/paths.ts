/** Paths on the command line: relative to the current directory, turned into tree paths of the workspace. */
import { realpathSync } from "node:fs";
import path from "node:path";
import { MicError } from "../core/base/errors.ts";
import { parseTreePath, type TreePath } from "../core/base/path.ts";
import { usageError } from "./errors.ts";

const SHOWN_MAX = 200;

/** The empty text stands for the workspace's root. */
export function toTreePath(root: string, cwd: string, argument: string): TreePath | "" {
  const absolute = path.resolve(cwd, argument);
  const relative = relativeTo(root, absolute) ?? relativeTo(realParent(root), realParent(absolute));
  if (relative === undefined) {
    const shown = argument.length > SHOWN_MAX ? `${argument.slice(0, SHOWN_MAX)}…` : argument;
    throw new MicError("unsafe-path", `${shown} is outside the workspace`, {
      hint: `the workspace is ${root}`,
      data: { paths: [shown] },
    });
  }
  return relative === "" ? "" : parseTreePath(relative);
}

/** Undefined (everything) when none was given, or when one of them is the root. */
export function toTreePaths(
  root: string,
  cwd: string,
  args: readonly string[] | undefined,
): readonly TreePath[] | undefined {
  if (args === undefined || args.length === 0) return undefined;
  const paths = args.map((argument) => toTreePath(root, cwd, argument));
  return paths.includes("") ? undefined : (paths as TreePath[]);
}

/** For commands that would make no sense on the whole workspace. */
export function toPathBelowRoot(root: string, cwd: string, argument: string): TreePath {
  const path = toTreePath(root, cwd, argument);
  if (path === "") throw usageError(`${argument} is the whole workspace`, "name files or directories in it");
  return path;
}

function relativeTo(root: string, absolute: string): string | undefined {
  const relative = path.relative(root, absolute);
  if (relative === ".." || relative.startsWith(`..${path.sep}`) || path.isAbsolute(relative))
    return undefined;
  return relative.split(path.sep).join("/");
}

/** Follows symlinks in every component but the last, which may itself be a tracked symlink or be gone. */
function realParent(absolute: string): string {
  const parent = path.dirname(absolute);
  if (parent === absolute) return absolute;
  try {
    return path.join(realpathSync(parent), path.basename(absolute));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
    return path.join(realParent(parent), path.basename(absolute));
  }
}
