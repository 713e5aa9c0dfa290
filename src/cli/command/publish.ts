/** `mic publish ADDRESS`: from the forge inside the workspace to a shared one. */
import { type DefineCommand, examples } from "../command-definition.ts";
import { usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { keepUp } from "../keep-up.ts";
import { resolveTarget } from "../target-address.ts";
import { escapeLine, plural } from "../text.ts";

interface PublishOptions {
  readonly as?: string;
  readonly allowSecrets?: boolean;
}

export const define: DefineCommand = (command, bind) => {
  command
    .argument("<address>", "a server, a forge directory (made when it is missing), or a project in one")
    .option("--as <org/name>", "name of the project there (default: the address's, or its name here)")
    .option("--allow-secrets", "also landings that the project's .micpolicy refuses; for owners")
    .addHelpText(
      "after",
      [
        examples("mic publish https://forge.example.org --as ada/notes", "mic publish /srv/forge/ada/notes"),
        "",
        "A directory without a forge gets one. Interrupted, run it again.",
      ].join("\n"),
    )
    .action(bind(publish));
};

async function publish(invocation: Invocation, address: string, options: PublishOptions): Promise<void> {
  const { publishWorkspace } = await import("../../core/workspace/commands/publish.ts");
  const workspace = await invocation.openWorkspace();
  const namesForge = options.as !== undefined;
  const target = await resolveTarget(address, invocation.addresses, { namesForge });
  if (target.project !== undefined && options.as !== undefined && target.project !== options.as) {
    throw usageError(
      `${address} names the project ${target.project}, --as names ${options.as}`,
      "name it once",
    );
  }
  const name = options.as ?? target.project;
  // Also where one is: a directory may hold one whose making was interrupted.
  const forge = await invocation.openForge(target.forge, true);
  const result = await publishWorkspace(workspace, {
    address: target.forge,
    target: forge,
    ...(name === undefined ? {} : { name }),
    ...(options.allowSecrets === true ? { allowSecrets: true } : {}),
  });
  const { project, projectId, positions, from } = result;
  const { output } = invocation;
  output.answer(
    { project, positions },
    () =>
      `${output.style.bold(project)} is in ${escapeLine(target.forge)} with ${plural(positions, "position")}; this workspace belongs to it`,
  );
  if (from !== target.forge) {
    const shown = escapeLine(from);
    output.hint(`the forge in ${shown} stays as it is; to go back: mic publish ${shown}`);
  }
  await keepUp(invocation, forge, projectId);
}
