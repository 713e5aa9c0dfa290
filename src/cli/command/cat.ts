/** `mic cat [N] PATH`: a file's content as it was at a position. */
import { MicError } from "../../core/base/errors.ts";
import type { Position } from "../../core/base/ids.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import { type FileOptions, openFileArgument, takeFileArguments } from "../file-arguments.ts";
import type { Invocation } from "../invocation.ts";
import { escapeBlock } from "../text.ts";

/** Beyond this a JSON document would not be read by anybody. */
const JSON_BYTES_MAX = 64 << 20;

export const define: DefineCommand = (command, bind) => {
  takeFileArguments(command)
    .addHelpText("after", examples("mic cat README.md", "mic cat @3 src/main.ts"))
    .action(bind(cat));
};

async function cat(
  invocation: Invocation,
  first: string,
  second: string | undefined,
  options: FileOptions,
): Promise<void> {
  const { project, at, path, found } = await openFileArgument(invocation, first, second, options);
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
