/** `mic version`, when other options kept it from the fast path in bin/mic.ts. */
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { versionInfo, versionText } from "../version.ts";

export const define: DefineCommand = (command, bind) => {
  command.addHelpText("after", examples("mic version", "mic version --json")).action(bind(version));
};

async function version(invocation: Invocation): Promise<void> {
  invocation.output.answer(versionInfo(), () => versionText(false).trimEnd());
}
