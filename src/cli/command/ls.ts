/** `mic ls [N] [DIR]`: a directory as it was at a position. */
import { MicError } from "../../core/base/errors.ts";
import type { Position } from "../../core/base/ids.ts";
import type { TreePath } from "../../core/base/path.ts";
import type { EntryKind } from "../../core/codec/tree-entry.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation, OpenedProject } from "../invocation.ts";
import { isExplicitPosition, type PositionSpec, parsePosition, tryParsePosition } from "../positions.ts";
import { projectPath } from "../project-paths.ts";
import { escapeLine, formatCount, padStart, plural } from "../text.ts";

interface LsOptions {
  readonly recursive?: boolean;
  readonly at?: PositionSpec;
  readonly project?: string;
}

interface Row {
  readonly kind: EntryKind | "directory";
  readonly path: string;
  /** Bytes of a file, entries below a directory. */
  readonly size: number;
  readonly id?: string;
}

const PAGE = 1000;

export const define: DefineCommand = (command, bind) => {
  command
    .argument("[position-or-dir]", "a position before the directory, or the directory")
    .argument("[dir]", "the directory (default: the current one)")
    .option("-r, --recursive", "everything below it")
    .option("--at <position>", "the position, as an option (default: the base)", parsePosition)
    .option("--project <address>", "read this project instead of the workspace's")
    .addHelpText("after", examples("mic ls", "mic ls @3 src -r"))
    .action(bind(ls));
};

async function ls(
  invocation: Invocation,
  first: string | undefined,
  second: string | undefined,
  options: LsOptions,
): Promise<void> {
  const project = await invocation.openProject(options.project);
  const [spec, dirArgument] = await splitArguments(invocation, project, first, second, options.at);
  const at = invocation.readingPosition(project, spec);
  const dir = projectPath(invocation, project, dirArgument ?? ".");
  const { output } = invocation;
  const rows: Row[] = [];
  const show = (row: Row): void => {
    if (output.json) rows.push(row);
    else output.line(renderRow(row, output.style.blue));
  };
  const info =
    dir === "" ? undefined : await project.forge.getPath(project.id, at, dir, { signal: invocation.signal });
  if (dir !== "" && info === undefined) {
    throw new MicError("not-found", `there is no ${dir} at @${at}`, { data: { paths: [dir], position: at } });
  }
  output.page();
  if (info?.kind === "entry")
    show({ path: dir, kind: info.entry.kind, size: info.entry.size, id: info.entry.id });
  else if (options.recursive === true) await listAll(invocation, project, at, dir, show);
  else await listOne(invocation, project, at, dir, show);
  if (output.json) output.document({ position: at, dir, entries: rows });
}

/** `mic ls 7` is the directory 7 where there is one. */
async function splitArguments(
  invocation: Invocation,
  project: OpenedProject,
  first: string | undefined,
  second: string | undefined,
  option: PositionSpec | undefined,
): Promise<[PositionSpec | undefined, string | undefined]> {
  if (second !== undefined) return [parsePosition(first!), second];
  const spec = first === undefined ? undefined : tryParsePosition(first);
  if (spec === undefined) return [option, first];
  if (isExplicitPosition(first!)) return [spec, undefined];
  const path = projectPath(invocation, project, first!);
  const at = invocation.readingPosition(project, option);
  const found = path === "" ? undefined : await project.forge.getPath(project.id, at, path);
  return found === undefined ? [spec, undefined] : [option, first];
}

async function listOne(
  invocation: Invocation,
  project: OpenedProject,
  at: Position,
  dir: TreePath | "",
  show: (row: Row) => void,
): Promise<void> {
  let after: string | undefined;
  for (;;) {
    const page = await project.forge.listDirectory(
      project.id,
      { at, dir, limit: PAGE, ...(after === undefined ? {} : { after }) },
      { signal: invocation.signal },
    );
    for (const item of page.items) {
      if (item.kind === "directory") show({ path: item.name, kind: "directory", size: item.count });
      else show({ path: item.name, kind: item.entry.kind, size: item.entry.size, id: item.entry.id });
    }
    if (page.next === undefined) return;
    after = page.next;
  }
}

async function listAll(
  invocation: Invocation,
  project: OpenedProject,
  at: Position,
  dir: TreePath | "",
  show: (row: Row) => void,
): Promise<void> {
  const paths = dir === "" ? undefined : [dir];
  for await (const page of project.forge.listEntries(project.id, at, paths, { signal: invocation.signal })) {
    for (const { path, entry } of page) show({ path, kind: entry.kind, size: entry.size, id: entry.id });
    await invocation.output.settle();
  }
}

const SIZE_CELLS = 12;
const MARKS: Readonly<Record<Row["kind"], string>> = {
  file: " ",
  executable: "x",
  symlink: "l",
  directory: "d",
};

function renderRow(row: Row, paintDirectory: (text: string) => string): string {
  const name = escapeLine(row.path);
  const size = row.kind === "directory" ? plural(row.size, "file") : formatCount(row.size);
  const shown = row.kind === "directory" ? paintDirectory(`${name}/`) : name;
  return `${MARKS[row.kind]} ${padStart(size, SIZE_CELLS)}  ${shown}`;
}
