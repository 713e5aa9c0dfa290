/** `mic diff [A [B]]`: a unified diff that `patch -p1` and `git apply` accept. */
import type { TreePath } from "../../core/base/path.ts";
import type { FileDiff } from "../../core/workspace/results.ts";
import { collect, type DefineCommand, examples } from "../command-definition.ts";
import { usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { toTreePath } from "../paths.ts";
import { isExplicitPosition, type PositionSpec, tryParsePosition, tryParseRange } from "../positions.ts";
import { projectDiff } from "../project-diff.ts";
import { projectPaths } from "../project-paths.ts";
import { chooseFormat, type DiffFormatOptions, diffDocuments, writeDiff } from "../render/diff.ts";

interface DiffOptions extends DiffFormatOptions {
  readonly path?: readonly string[];
  readonly project?: string;
}

interface DiffArguments {
  readonly from: PositionSpec | undefined;
  readonly to: PositionSpec | undefined;
  readonly paths: readonly string[];
}

export const define: DefineCommand = (command, bind) => {
  command
    .argument("[position-or-path...]", "none: base against workspace; A: A against workspace; A B; or paths")
    .option("--path <path>", "only this path (repeatable)", collect)
    .option("--stat", "counts of lines for each file")
    .option("--name-only", "names of changed files")
    .option("--name-status", "names with A, M, D, T or R")
    .option("--project <address>", "read this project instead of the workspace's")
    .addHelpText(
      "after",
      examples("mic diff", ["mic diff 1 2 --stat", "from @1 to @2"], ["mic diff @3 src/main.ts", "since @3"]),
    )
    .action(bind(diff));
};

async function diff(invocation: Invocation, args: readonly string[], options: DiffOptions): Promise<void> {
  const { output } = invocation;
  const request = readArguments(args, options.path ?? []);
  const diffs =
    options.project === undefined
      ? await workspaceDiffs(invocation, request)
      : await projectDiffs(invocation, options.project, request);
  if (output.json) {
    output.document({ changes: await diffDocuments(diffs) });
    return;
  }
  output.page();
  await writeDiff(diffs, chooseFormat(options), output);
}

async function workspaceDiffs(
  invocation: Invocation,
  request: DiffArguments,
): Promise<AsyncIterable<FileDiff>> {
  const workspace = await invocation.openWorkspace();
  const { workspaceDiff } = await import("../../core/workspace/commands/diff.ts");
  const from = await invocation.workspacePosition(workspace, request.from);
  const to = await invocation.workspacePosition(workspace, request.to);
  const paths = request.paths.map((path) => toTreePath(workspace.root, invocation.cwd, path));
  const everything = paths.length === 0 || paths.includes("");
  return workspaceDiff(workspace, {
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(everything ? {} : { paths: paths as TreePath[] }),
  });
}

async function projectDiffs(
  invocation: Invocation,
  address: string,
  request: DiffArguments,
): Promise<readonly FileDiff[]> {
  if (request.from === undefined)
    throw usageError("--project needs a position to compare", "e.g. `mic diff 1 2`");
  const project = await invocation.openProject(address);
  const paths = projectPaths(invocation, project, request.paths);
  const from = invocation.position(project, request.from);
  const to = invocation.position(project, request.to);
  return await projectDiff(
    project,
    { from, to, ...(paths === undefined ? {} : { paths }) },
    invocation.signal,
  );
}

/** Up to two positions (or one range A..B), then paths; a bare number after the positions is a path. */
function readArguments(args: readonly string[], pathOptions: readonly string[]): DiffArguments {
  const positions: PositionSpec[] = [];
  const paths = [...pathOptions];
  for (const argument of args) {
    const range = positions.length === 0 ? tryParseRange(argument) : undefined;
    if (range?.after !== undefined) {
      positions.push(range.after, range.upTo ?? { anchor: "latest", back: 0 });
      continue;
    }
    const spec = paths.length > pathOptions.length ? undefined : tryParsePosition(argument);
    if (spec !== undefined && positions.length < 2) positions.push(spec);
    else if (isExplicitPosition(argument)) throw usageError("at most two positions can be compared");
    else paths.push(argument);
  }
  return { from: positions[0], to: positions[1], paths };
}
