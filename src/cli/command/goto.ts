/** `mic goto N`: the workspace and its base are at position N. */
import { collect, type DefineCommand, examples } from "../command-definition.ts";
import { EXIT_CONFLICT, EXIT_OK, usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { toTreePaths } from "../paths.ts";
import { type PositionSpec, parsePosition } from "../positions.ts";
import { conflictAdvice, renderPaths } from "../render/changes.ts";
import { plural } from "../text.ts";

interface GotoOptions {
  readonly at?: PositionSpec;
  readonly keep?: boolean;
  readonly discard?: boolean;
  readonly path?: readonly string[];
}

export const define: DefineCommand = (command, bind) => {
  command
    .argument("[position]", "@7, latest, @latest~1", parsePosition)
    .option("--at <position>", "the same, as an option", parsePosition)
    .option("--keep", "merge unlanded changes into it, as sync does")
    .option("--discard", "drop unlanded changes (`mic undo` brings them back)")
    .option("--path <path>", "write only this path; the base stays (repeatable)", collect)
    .addHelpText(
      "after",
      examples(
        "mic goto 1",
        ["mic goto latest", "back to the newest"],
        ["mic goto @7 --path src", "src as it was, to be landed"],
      ),
    )
    .action(bind(goto));
};

async function goto(
  invocation: Invocation,
  argument: PositionSpec | undefined,
  options: GotoOptions,
): Promise<number> {
  const spec = argument ?? options.at;
  if (spec === undefined) throw usageError("which position?", "e.g. `mic goto 7` or `mic goto latest`");
  if (options.keep === true && options.discard === true)
    throw usageError("--keep and --discard exclude each other");
  const workspace = await invocation.openWorkspace();
  const { gotoPosition } = await import("../../core/workspace/commands/goto.ts");
  const target = (await invocation.workspacePosition(workspace, spec))!;
  const paths = toTreePaths(workspace.root, invocation.cwd, options.path);
  const result = await gotoPosition(workspace, target, {
    ...(options.keep === true ? { keep: true } : {}),
    ...(options.discard === true ? { discard: true } : {}),
    ...(paths === undefined ? {} : { paths }),
  });
  const { position, files, conflicts } = result;
  const { output } = invocation;
  output.answer({ position, files, conflicts }, () =>
    [
      `at @${position}: ${plural(files, "path")} written or removed`,
      ...renderPaths("conflict", conflicts, output.style.red),
    ].join("\n"),
  );
  if (conflicts.length === 0) return EXIT_OK;
  output.hint(conflictAdvice(conflicts.length));
  return EXIT_CONFLICT;
}
