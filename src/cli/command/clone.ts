/** `mic clone ADDRESS [DIR]`: a workspace of an existing project. */
import path from "node:path";
import { parseTreePath } from "../../core/base/path.ts";
import { collect, type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { type PositionSpec, parsePosition } from "../positions.ts";
import { escapeLine, formatBytes, plural } from "../text.ts";

interface CloneOptions {
  readonly at?: PositionSpec;
  readonly path?: readonly string[];
}

export const define: DefineCommand = (command, bind) => {
  command
    .argument("<address>", "a URL, a workspace, a forge directory with /org/project, or org/project")
    .argument("[dir]", "where to (default: the project's name)")
    .option("--at <position>", "clone this position instead of the newest", parsePosition)
    .option("--path <path>", "only this path (repeatable)", collect)
    .addHelpText(
      "after",
      examples(
        "mic clone ./notes copy",
        ["mic clone /srv/forge/ada/notes --at 7", "as it was at @7"],
        ["mic clone ./notes docs --path docs", "only docs/"],
      ),
    )
    .action(bind(clone));
};

async function clone(
  invocation: Invocation,
  address: string,
  dir: string | undefined,
  options: CloneOptions,
): Promise<void> {
  const { cloneWorkspace } = await import("../../core/workspace/commands/clone.ts");
  const target = await invocation.resolveProject(address);
  const name = target.project.slice(target.project.lastIndexOf("/") + 1);
  const root = path.resolve(invocation.cwd, dir ?? name);
  const at = await invocation.positionAt(target, options.at);
  const paths = options.path?.map((text) => parseTreePath(text.replace(/\/+$/, "")));
  const result = await cloneWorkspace(
    {
      address: target.forge,
      projectName: target.project,
      dir: root,
      ...(at === undefined ? {} : { at }),
      ...(paths === undefined ? {} : { paths }),
    },
    invocation.workspaceContext(),
  );
  const { project, position, files, bytes } = result;
  const { output } = invocation;
  output.answer(
    { project, position, files, bytes },
    () =>
      `${output.style.bold(project)} at @${position} in ${escapeLine(root)}: ${plural(files, "file")}, ${formatBytes(bytes)}`,
  );
}
