/** `mic cat [N] PATH`: a file's content as it was at a position. */
import { MicError } from "../../core/base/errors.ts";
import type { Position } from "../../core/base/ids.ts";
import type { TreePath } from "../../core/base/path.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import { usageError } from "../errors.ts";
import type { Invocation, OpenedProject } from "../invocation.ts";
import { type PositionSpec, parsePosition } from "../positions.ts";
import { projectPath } from "../project-paths.ts";
import { escapeBlock } from "../text.ts";

interface CatOptions {
  readonly at?: PositionSpec;
  readonly project?: string;
}

/** Beyond this a JSON document would not be read by anybody. */
const JSON_BYTES_MAX = 64 << 20;

export const define: DefineCommand = (command, bind) => {
  command
    .argument("<position-or-path>", "a position before the path, or the path")
    .argument("[path]", "the file")
    .option("--at <position>", "the position, as an option (default: the base)", parsePosition)
    .option("--project <address>", "read this project instead of the workspace's")
    .addHelpText("after", examples("mic cat README.md", "mic cat @3 src/main.ts"))
    .action(bind(cat));
};

async function cat(
  invocation: Invocation,
  first: string,
  second: string | undefined,
  options: CatOptions,
): Promise<void> {
  const spec = second === undefined ? options.at : parsePosition(first);
  const project = await invocation.openProject(options.project);
  const at = invocation.readingPosition(project, spec);
  const path = projectPath(invocation, project, second ?? first);
  const found = await requireFile(project, at, path, invocation.signal);
  const { output } = invocation;
  const content = project.forge.readFile(project.id, found, { signal: invocation.signal });
  if (output.json) {
    if (found.entry.size > JSON_BYTES_MAX) {
      throw new MicError("too-large", `${path} is too large for a JSON document`, {
        hint: "leave --json out",
      });
    }
    const parts: Uint8Array[] = [];
    for await (const part of content) parts.push(part);
    output.document(contentDocument(path, at, found.entry, Buffer.concat(parts)));
    return;
  }
  const decoder = new TextDecoder();
  for await (const part of content) {
    if (output.isTerminal) output.write(escapeBlock(decoder.decode(part, { stream: true })));
    else output.bytes(part);
  }
}

function contentDocument(
  path: string,
  position: Position,
  entry: { readonly kind: string; readonly size: number; readonly id: string },
  bytes: Buffer,
): Record<string, unknown> {
  const text = bytes.toString("utf8");
  const isText = Buffer.from(text).equals(bytes);
  const { kind, size, id } = entry;
  return {
    path,
    position,
    kind,
    size,
    id,
    ...(isText ? { text } : { base64: bytes.toString("base64") }),
  };
}

export async function requireFile(
  project: OpenedProject,
  at: Position,
  path: TreePath | "",
  signal: AbortSignal,
) {
  if (path === "") throw usageError("that is the project's root directory", "name a file, or use `mic ls`");
  const found = await project.forge.getPath(project.id, at, path, { signal });
  if (found === undefined) {
    throw new MicError("not-found", `there is no ${path} at @${at}`, {
      hint: `\`mic log --path ${path}\` shows when it was there`,
      data: { paths: [path], position: at },
    });
  }
  if (found.kind === "directory") {
    throw new MicError("usage", `${path} is a directory at @${at}`, {
      hint: `use \`mic ls @${at} ${path}\``,
    });
  }
  return found;
}
