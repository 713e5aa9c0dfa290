/** `mic init [DIR]`: a workspace with an embedded forge. */
import path from "node:path";
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { escapeLine } from "../text.ts";

interface InitOptions {
  readonly name?: string;
}

export const define: DefineCommand = (command, bind) => {
  command
    .argument("[dir]", "directory, made when it is missing (default: the current one)")
    .option("--name <org/project>", "name of the project (default: local/<directory>)")
    .addHelpText("after", examples("mic init", ["mic init notes --name ada/notes", "in ./notes"]))
    .action(bind(init));
};

async function init(invocation: Invocation, dir: string | undefined, options: InitOptions): Promise<void> {
  const { initWorkspace } = await import("../../core/workspace/commands/init.ts");
  const root = path.resolve(invocation.cwd, dir ?? ".");
  const context = invocation.workspaceContext({ createForge: true });
  const { name } = options;
  const result = await initWorkspace(root, name === undefined ? {} : { name }, context);
  const { project, forge, position } = result;
  const { output } = invocation;
  output.answer(
    { project, forge, position },
    () => `${output.style.bold(project)} at @${position} in ${escapeLine(root)}`,
  );
  output.hint('write files, then `mic land "first"`');
}
