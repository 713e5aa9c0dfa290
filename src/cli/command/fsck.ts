/** `mic fsck`: checks everything that is stored for a project. */
import { type DefineCommand, examples } from "../command-definition.ts";
import { EXIT_FAILED, EXIT_OK } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { escapeLine, formatBytes, plural } from "../text.ts";

export const define: DefineCommand = (command, bind) => {
  command
    .argument("[address]", "project to check (default: the workspace's)")
    .addHelpText("after", examples("mic fsck", "mic fsck /srv/forge/ada/notes --json"))
    .action(bind(fsck));
};

async function fsck(invocation: Invocation, address: string | undefined): Promise<number> {
  const project = await invocation.openProject(address);
  const { output } = invocation;
  const report = await project.forge.fsck(project.id, {
    signal: invocation.signal,
    onProgress: (progress) => output.progress.update({ task: "checking", ...progress }),
  });
  const { positions, packs, objects, bytes, findings } = report;
  output.answer({ project: project.name, positions, packs, objects, bytes, findings }, () =>
    [
      `${project.name}: ${plural(positions, "position")}, ${plural(packs, "pack")}, ${plural(objects, "object")}, ${formatBytes(bytes)}`,
      ...findings.map(({ severity, code, message }) => {
        const paint = severity === "error" ? output.style.red : output.style.yellow;
        return `${paint(severity)} ${code}: ${escapeLine(message)}`;
      }),
      findings.length === 0
        ? output.style.green("no problems found")
        : `${plural(findings.length, "problem")} found`,
    ].join("\n"),
  );
  return findings.some((finding) => finding.severity === "error") ? EXIT_FAILED : EXIT_OK;
}
