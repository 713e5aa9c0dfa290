/** `mic link ADDRESS`: makes the current directory a workspace of a project, files left alone. */
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { type PositionSpec, parsePosition } from "../positions.ts";
import { escapeLine } from "../text.ts";

interface LinkOptions {
  readonly at?: PositionSpec;
}

export const define: DefineCommand = (command, bind) => {
  command
    .argument("<address>", "a URL, a workspace, a forge directory with /org/project, or org/project")
    .option("--at <position>", "base of the workspace (default: the newest)", parsePosition)
    .addHelpText("after", examples(["mic link ../notes", "then `mic status` shows what differs"]))
    .action(bind(link));
};

async function link(invocation: Invocation, address: string, options: LinkOptions): Promise<void> {
  const { linkWorkspace } = await import("../../core/workspace/commands/link.ts");
  const target = await invocation.resolveProject(address);
  const at = await invocation.positionAt(target, options.at);
  const { project, position } = await linkWorkspace(
    {
      address: target.forge,
      projectName: target.project,
      dir: invocation.cwd,
      ...(at === undefined ? {} : { at }),
    },
    invocation.workspaceContext(),
  );
  const { output } = invocation;
  output.answer(
    { project, position },
    () => `${escapeLine(invocation.cwd)} is a workspace of ${output.style.bold(project)} at @${position}`,
  );
  output.hint("`mic status` shows what differs from it");
}
