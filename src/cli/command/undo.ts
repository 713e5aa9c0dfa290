/** `mic undo`: the last change to the workspace is taken back; what was landed stays landed. */
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { operationDocument } from "../render/operations.ts";
import { escapeLine, plural } from "../text.ts";

export const define: DefineCommand = (command, bind) => {
  command
    .addHelpText("after", examples("mic undo", ["mic ops", "what can be undone and redone"]))
    .action(bind(undo));
};

async function undo(invocation: Invocation): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { undo: undoOperation } = await import("../../core/workspace/commands/ops.ts");
  const { operation, position, files } = await undoOperation(workspace);
  const { output } = invocation;
  output.answer(
    { operation: operationDocument(operation), position, files },
    () =>
      `undid ${escapeLine(operation.description)}; at @${position}, ${plural(files, "path")} written or removed`,
  );
}
