/** `mic log [A..B]`: landings, newest first. */

import { InvalidArgumentError } from "commander";
import type { ListLandings } from "../../core/forge/forge.ts";
import { collect, type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation, OpenedProject } from "../invocation.ts";
import { type PositionSpec, parsePosition, tryParsePosition, tryParseRange } from "../positions.ts";
import { projectPath, projectPaths } from "../project-paths.ts";
import { LandingGraph } from "../render/graph.ts";
import { landingDocument, renderLanding } from "../render/log.ts";

interface LogOptions {
  readonly path?: readonly string[];
  readonly max?: number;
  readonly author?: string;
  readonly graph?: boolean;
  readonly at?: PositionSpec;
  readonly project?: string;
}

export const define: DefineCommand = (command, bind) => {
  command
    .argument("[range-or-path...]", "A..B: landings after A up to B; a position N: up to N; or paths")
    .option("--path <path>", "only landings that touched this path (repeatable)", collect)
    .option("-n, --max <count>", "at most this many", parseCount)
    .option("--author <text>", "only authors that contain this text")
    .option("--graph", "draw which landing was made on which")
    .option("--at <position>", "up to this position", parsePosition)
    .option("--project <address>", "read this project instead of the workspace's")
    .addHelpText(
      "after",
      examples(
        "mic log -n 5",
        ["mic log 3..7 --path src", "@4 to @7, as far as they touched src"],
        "mic log --graph",
      ),
    )
    .action(bind(log));
};

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 0) throw new InvalidArgumentError("It must be a whole number.");
  return count;
}

async function log(invocation: Invocation, args: readonly string[], options: LogOptions): Promise<void> {
  const project = await invocation.openProject(options.project);
  const request = await readRequest(invocation, project, args, options);
  const { output } = invocation;
  const max = options.max ?? Number.POSITIVE_INFINITY;
  const graph = options.graph === true ? new LandingGraph() : undefined;
  output.page();
  let count = 0;
  if (max === 0) return;
  for await (const page of project.forge.listLandings(project.id, request, { signal: invocation.signal })) {
    for (const landing of page) {
      if (output.json) output.document(landingDocument(landing));
      else if (graph === undefined) {
        if (count > 0) output.line();
        for (const line of renderLanding(landing, output.style, output.columns)) output.line(line);
      } else {
        const { base } = await project.forge.getLanding(project.id, landing.position, {
          signal: invocation.signal,
        });
        const row = graph.next(landing.position, base.position);
        for (const line of row.before) output.line(line);
        const gutters = [`${row.node}  `, `${row.rest}  `] as const;
        const width = row.node.length + 2;
        for (const line of renderLanding(landing, output.style, output.columns, gutters, width))
          output.line(line);
        for (const line of row.after) output.line(line);
      }
      count++;
      if (count >= max) return;
    }
    await output.settle();
  }
  if (count === 0) output.note("no landings");
}

async function readRequest(
  invocation: Invocation,
  project: OpenedProject,
  args: readonly string[],
  options: LogOptions,
): Promise<ListLandings> {
  let after: PositionSpec | undefined;
  let upTo = options.at;
  const paths = [...(projectPaths(invocation, project, options.path) ?? [])];
  let everything = false;
  for (const argument of args) {
    const range = tryParseRange(argument);
    const position = range === undefined ? tryParsePosition(argument) : undefined;
    if (range !== undefined) {
      after = range.after;
      upTo = range.upTo ?? upTo;
    } else if (position !== undefined) {
      upTo = position;
    } else {
      const path = projectPath(invocation, project, argument);
      if (path === "") everything = true;
      else paths.push(path);
    }
  }
  return {
    ...(after === undefined ? {} : { after: invocation.position(project, after) }),
    ...(upTo === undefined ? {} : { upTo: invocation.position(project, upTo) }),
    ...(paths.length === 0 || everything ? {} : { paths }),
    ...(options.author === undefined ? {} : { author: options.author }),
  };
}
