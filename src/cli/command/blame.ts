/** `mic blame [N] PATH`: which landing each line is from. */
import { type DefineCommand, examples } from "../command-definition.ts";
import { type FileOptions, openFileArgument, takeFileArguments } from "../file-arguments.ts";
import type { Invocation } from "../invocation.ts";
import { renderBlame } from "../render/blame.ts";
import { toRfc3339 } from "../render/time.ts";

export const define: DefineCommand = (command, bind) => {
  takeFileArguments(command)
    .addHelpText("after", examples("mic blame src/main.ts", "mic blame @7 README.md"))
    .action(bind(blame));
};

async function blame(
  invocation: Invocation,
  first: string,
  second: string | undefined,
  options: FileOptions,
): Promise<void> {
  const { project, at, path } = await openFileArgument(invocation, first, second, options);
  const { output } = invocation;
  const lines = await project.forge.blame(project.id, at, path, { signal: invocation.signal });
  if (output.json) {
    output.document({
      path,
      position: at,
      lines: lines.map(({ line, text, position, author, goal, timeMs }) => ({
        line,
        text,
        position,
        author,
        goal,
        time: toRfc3339(timeMs),
      })),
    });
    return;
  }
  output.page();
  for (const line of renderBlame(lines, output.style, output.columns)) output.line(line);
}
