/** `mic completion SHELL`: a completion script, generated from the commands themselves. */
import { Argument } from "commander";
import { type DefineCommand, examples } from "../command-definition.ts";
import { COMPLETION_SHELLS, completionScript, describeProgram } from "../completion.ts";
import type { Invocation } from "../invocation.ts";

type Shell = (typeof COMPLETION_SHELLS)[number];

export const define: DefineCommand = (command, bind) => {
  command
    .addArgument(new Argument("<shell>", "your shell").choices(COMPLETION_SHELLS))
    .addHelpText(
      "after",
      examples(
        ["source <(mic completion bash)", "in ~/.bashrc"],
        ["source <(mic completion zsh)", "in ~/.zshrc"],
        ["mic completion fish | source", "in config.fish"],
        ["mic completion powershell | Out-String | iex", "in $PROFILE"],
      ),
    )
    .action(bind(completion));
};

async function completion(invocation: Invocation, shell: Shell): Promise<void> {
  const { buildProgram } = await import("../program.ts");
  const ignore = (): void => undefined;
  const program = await buildProgram("all", () => async () => undefined, {
    writeOut: ignore,
    writeErr: ignore,
  });
  const script = completionScript(shell, describeProgram(program));
  const { output } = invocation;
  if (output.json) output.document({ shell, script });
  else output.write(script);
}
