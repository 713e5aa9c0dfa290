/** `mic restore PATH…`: brings content back into the workspace. */
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { toTreePath } from "../paths.ts";
import { type PositionSpec, parsePosition } from "../positions.ts";
import { renderPaths } from "../render/changes.ts";
import { plural } from "../text.ts";

interface RestoreOptions {
  readonly from?: PositionSpec;
  readonly at?: PositionSpec;
}

export const define: DefineCommand = (command, bind) => {
  command
    .argument("<path...>", "files or directories")
    .option("--from <position>", "as they were at this position (default: the base)", parsePosition)
    .option("--at <position>", "the same as --from", parsePosition)
    .addHelpText("after", examples("mic restore src/main.ts", "mic restore docs --from @3"))
    .action(bind(restore));
};

async function restore(
  invocation: Invocation,
  args: readonly string[],
  options: RestoreOptions,
): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { restorePaths } = await import("../../core/workspace/commands/restore.ts");
  const paths = args.map((argument) => toTreePath(workspace.root, invocation.cwd, argument));
  const from = await invocation.workspacePosition(workspace, options.from ?? options.at);
  const { restored } = await restorePaths(workspace, paths, from === undefined ? {} : { from });
  const { output } = invocation;
  output.answer({ restored }, () =>
    [
      `${plural(restored.length, "path")} restored`,
      ...renderPaths("restored", restored, output.style.green),
    ].join("\n"),
  );
}
