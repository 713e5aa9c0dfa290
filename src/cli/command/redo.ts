/** `mic redo`: does again what `mic undo` took back. */
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { operationDocument } from "../render/operations.ts";
import { escapeLine, plural } from "../text.ts";

export const define: DefineCommand = (command, bind) => {
  command
    .addHelpText("after", examples("mic redo", ["mic ops", "what can be undone and redone"]))
    .action(bind(redo));
};

async function redo(invocation: Invocation): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { redo: redoOperation } = await import("../../core/workspace/commands/ops.ts");
  const { operation, position, files } = await redoOperation(workspace);
  const { output } = invocation;
  output.answer(
    { operation: operationDocument(operation), position, files },
    () =>
      `redid ${escapeLine(operation.description)}; at @${position}, ${plural(files, "path")} written or removed`,
  );
}
