/** `mic ops`: the workspace's operation log. */
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { operationDocument, renderOperations } from "../render/operations.ts";

export const define: DefineCommand = (command, bind) => {
  command.addHelpText("after", examples("mic ops", ["mic undo", "takes the newest back"])).action(bind(ops));
};

async function ops(invocation: Invocation): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { listOperations } = await import("../../core/workspace/commands/ops.ts");
  const operations = await listOperations(workspace);
  const { output } = invocation;
  output.answer({ operations: operations.map(operationDocument) }, () =>
    operations.length === 0 ? "nothing to undo" : renderOperations(operations, output.style, output.columns),
  );
}
