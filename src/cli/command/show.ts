/** `mic show N`: one landing with its goal, decisions, conversation and diff. */
import { MicError } from "../../core/base/errors.ts";
import { toPosition } from "../../core/base/ids.ts";
import type { Landing } from "../../core/forge/forge.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { type PositionSpec, parsePosition } from "../positions.ts";
import { projectDiff } from "../project-diff.ts";
import { chooseFormat, type DiffFormatOptions, diffDocuments, writeDiff } from "../render/diff.ts";
import { landingDocument } from "../render/log.ts";
import { renderLandingDetails } from "../render/show.ts";

interface ShowOptions extends DiffFormatOptions {
  readonly at?: PositionSpec;
  readonly project?: string;
}

export const define: DefineCommand = (command, bind) => {
  command
    .argument("[position]", "the landing (default: the base)", parsePosition)
    .option("--at <position>", "the same, as an option", parsePosition)
    .option("--stat", "counts of lines instead of the diff")
    .option("--name-only", "names of changed files instead of the diff")
    .option("--name-status", "names with A, M, D, T or R instead of the diff")
    .option("--project <address>", "read this project instead of the workspace's")
    .addHelpText("after", examples("mic show 1", "mic show @latest --stat"))
    .action(bind(show));
};

async function show(
  invocation: Invocation,
  argument: PositionSpec | undefined,
  options: ShowOptions,
): Promise<void> {
  const project = await invocation.openProject(options.project);
  const position = invocation.readingPosition(project, argument ?? options.at);
  if (position === 0) {
    throw new MicError("out-of-range", "@0 is the empty beginning: nothing landed there", {
      hint: "mic show 1",
    });
  }
  const landing = await project.forge.getLanding(project.id, position, { signal: invocation.signal });
  const range = { from: toPosition(position - 1), to: position };
  const diffs = await projectDiff(project, range, invocation.signal);
  const { output } = invocation;
  if (output.json) {
    output.document({ ...detailsDocument(landing), diff: await diffDocuments(diffs) });
    return;
  }
  output.page();
  for (const line of renderLandingDetails(landing, output.style, output.columns)) output.line(line);
  output.line();
  await writeDiff(diffs, chooseFormat(options), output);
}

function detailsDocument(landing: Landing): Record<string, unknown> {
  return {
    ...landingDocument(landing),
    landing: landing.landingId,
    tree: landing.root,
    base: landing.base.position,
    decisions: landing.decisions,
    conversation: landing.conversation,
  };
}
