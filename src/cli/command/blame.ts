/** `mic blame [N] PATH`: which landing each line is from. */
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { type PositionSpec, parsePosition } from "../positions.ts";
import { projectPath } from "../project-paths.ts";
import { renderBlame } from "../render/blame.ts";
import { toRfc3339 } from "../render/time.ts";
import { requireFile } from "./cat.ts";

interface BlameOptions {
  readonly at?: PositionSpec;
  readonly project?: string;
}

export const define: DefineCommand = (command, bind) => {
  command
    .argument("<position-or-path>", "a position before the path, or the path")
    .argument("[path]", "the file")
    .option("--at <position>", "the position, as an option (default: the base)", parsePosition)
    .option("--project <address>", "read this project instead of the workspace's")
    .addHelpText("after", examples("mic blame src/main.ts", "mic blame @7 README.md"))
    .action(bind(blame));
};

async function blame(
  invocation: Invocation,
  first: string,
  second: string | undefined,
  options: BlameOptions,
): Promise<void> {
  const spec = second === undefined ? options.at : parsePosition(first);
  const project = await invocation.openProject(options.project);
  const at = invocation.readingPosition(project, spec);
  const path = projectPath(invocation, project, second ?? first);
  await requireFile(project, at, path, invocation.signal);
  const { output } = invocation;
  if (path === "") return;
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
