/** `mic status`. Loads neither the forge nor SQLite. */
import type { StatusResult } from "../../core/workspace/results.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { renderStatus } from "../render/status.ts";
import { askForStatus } from "../watcher.ts";

export const define: DefineCommand = (command, bind) => {
  command
    .addHelpText("after", examples("mic status", ["mic status --json", "for scripts"]))
    .action(bind(status));
};

async function lookForStatus(invocation: Invocation): Promise<StatusResult> {
  const [workspace, { workspaceStatus }] = await Promise.all([
    invocation.openWorkspace(),
    import("../../core/workspace/commands/status.ts"),
  ]);
  return await workspaceStatus(workspace);
}

async function status(invocation: Invocation): Promise<void> {
  const { output } = invocation;
  const result = (await askForStatus(invocation.cwd, output)) ?? (await lookForStatus(invocation));
  const document = {
    project: result.project,
    position: result.position,
    latestKnown: result.latestKnown,
    tree: result.tree,
    session: result.session,
    pending: result.pending,
    changes: result.changes.map(({ op, path }) => ({ op, path })),
    conflicts: result.conflicts,
    ...(result.unfinished === null ? {} : { unfinished: result.unfinished }),
    ...(result.skipped.length === 0 ? {} : { skipped: result.skipped }),
  };
  output.answer(document, () => renderStatus(result, output.style));
}
