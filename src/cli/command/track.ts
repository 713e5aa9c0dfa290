/** `mic track PATH…`: adds ignored paths to what is landed. */
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { toPathBelowRoot } from "../paths.ts";
import { renderPaths } from "../render/changes.ts";

export const define: DefineCommand = (command, bind) => {
  command
    .argument("<path...>", "files or directories")
    .addHelpText("after", examples("mic track build/keep.txt"))
    .action(bind(track));
};

async function track(invocation: Invocation, args: readonly string[]): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { trackPaths } = await import("../../core/workspace/commands/track.ts");
  const { paths, ignoreFiles } = await trackPaths(
    workspace,
    args.map((argument) => toPathBelowRoot(workspace.root, invocation.cwd, argument)),
  );
  const { output } = invocation;
  output.answer({ paths, ignoreFiles }, () =>
    [
      ...renderPaths("tracked", paths, output.style.green),
      ...renderPaths("changed", ignoreFiles, output.style.yellow),
    ].join("\n"),
  );
}
