/** `mic untrack PATH…`: the next land removes the paths from the project; the files stay. */
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { toPathBelowRoot } from "../paths.ts";
import { renderPaths } from "../render/changes.ts";

export const define: DefineCommand = (command, bind) => {
  command
    .argument("<path...>", "files or directories")
    .addHelpText("after", examples(["mic untrack .env", "appends it to .micignore"]))
    .action(bind(untrack));
};

async function untrack(invocation: Invocation, args: readonly string[]): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { untrackPaths } = await import("../../core/workspace/commands/track.ts");
  const { paths, ignoreFiles } = await untrackPaths(
    workspace,
    args.map((argument) => toPathBelowRoot(workspace.root, invocation.cwd, argument)),
  );
  const { output } = invocation;
  output.answer({ paths, ignoreFiles }, () =>
    [
      ...renderPaths("untracked", paths, output.style.green),
      ...renderPaths("changed", ignoreFiles, output.style.yellow),
    ].join("\n"),
  );
}
