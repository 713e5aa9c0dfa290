/** `mic sync`: brings the base forward, merging local changes three ways. */
import { type DefineCommand, examples } from "../command-definition.ts";
import { EXIT_CONFLICT, EXIT_OK } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { type PositionSpec, parsePosition } from "../positions.ts";
import { conflictAdvice, renderPaths } from "../render/changes.ts";
import { plural } from "../text.ts";

interface SyncOptions {
  readonly to?: PositionSpec;
}

export const define: DefineCommand = (command, bind) => {
  command
    .option("--to <position>", "this position instead of the newest (never back)", parsePosition)
    .addHelpText("after", examples("mic sync", "mic sync --to @12"))
    .action(bind(sync));
};

async function sync(invocation: Invocation, options: SyncOptions): Promise<number> {
  const workspace = await invocation.openWorkspace();
  const { syncWorkspace } = await import("../../core/workspace/commands/sync.ts");
  const to = await invocation.workspacePosition(workspace, options.to);
  const { position, updated, merged, conflicts } = await syncWorkspace(
    workspace,
    to === undefined ? {} : { to },
  );
  const { output } = invocation;
  output.answer({ position, updated, merged, conflicts }, () =>
    [
      `at @${position}: ${plural(updated.length, "path")} updated, ${merged.length} merged, ${plural(conflicts.length, "conflict")}`,
      ...renderPaths("merged", merged, output.style.green),
      ...renderPaths("conflict", conflicts, output.style.red),
    ].join("\n"),
  );
  if (conflicts.length === 0) return EXIT_OK;
  output.hint(conflictAdvice(conflicts.length));
  return EXIT_CONFLICT;
}
