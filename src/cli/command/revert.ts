/** `mic revert N [GOAL]`: lands the inverse of a landing, merged three ways. */
import { answerLanding } from "../answer-landing.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import { usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { type PositionSpec, parsePosition } from "../positions.ts";

interface RevertOptions {
  readonly at?: PositionSpec;
}

export const define: DefineCommand = (command, bind) => {
  command
    .argument("[position]", "the landing to take back", parsePosition)
    .argument("[goal]", "goal of the new landing (default: names the old one)")
    .option("--at <position>", "the position, as an option", parsePosition)
    .addHelpText("after", examples("mic revert 2", 'mic revert @latest "take the new parser back"'))
    .action(bind(revert));
};

async function revert(
  invocation: Invocation,
  argument: PositionSpec | undefined,
  goal: string | undefined,
  options: RevertOptions,
): Promise<void> {
  const spec = argument ?? options.at;
  if (spec === undefined) throw usageError("which landing?", "e.g. `mic revert 2`; `mic log` lists them");
  const workspace = await invocation.openWorkspace();
  const { revertLanding } = await import("../../core/workspace/commands/revert.ts");
  const position = (await invocation.workspacePosition(workspace, spec))!;
  const outcome = await revertLanding(workspace, position, goal === undefined ? {} : { goal });
  await answerLanding(invocation, workspace, outcome);
}
