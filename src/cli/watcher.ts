/** The command line's side of a workspace's watcher. */
import { findWorkspaceRoot } from "../core/workspace/layout.ts";
import type { StatusResult } from "../core/workspace/results.ts";
import { type Asked, type AskOptions, askWatcher } from "../core/workspace/watch/client.ts";
import type { Output } from "./output.ts";
import { productBuild } from "./version.ts";

export function askOptions(): AskOptions {
  return { build: productBuild(), userId: process.getuid?.() };
}

/** The status that a watcher vouches for; undefined: look for yourself. Errors: `not-a-workspace`. */
export async function askForStatus(startDir: string, output: Output): Promise<StatusResult | undefined> {
  const root = await findWorkspaceRoot(startDir);
  const asked = await askWatcher(root, "status", askOptions());
  sayWhoAnswers(asked, output);
  return asked.kind === "status" ? asked.status : undefined;
}

/** For `WorkspaceContext.findChangedDirectories`. */
export async function askForDirectories(
  root: string,
  index: string,
  output: Output,
): Promise<readonly string[] | undefined> {
  const asked = await askWatcher(root, "directories", askOptions());
  sayWhoAnswers(asked, output);
  return asked.kind === "directories" && asked.index === index ? asked.directories : undefined;
}

function sayWhoAnswers(asked: Asked, output: Output): void {
  if (asked.kind === "status" || asked.kind === "directories") output.detail("answered by the watcher");
  else if (asked.kind === "blind" || asked.kind === "unreachable") {
    output.detail(`the watcher does not answer: ${asked.reason}; every file is looked at`);
  }
}
