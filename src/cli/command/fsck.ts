/** `mic fsck`: checks everything that is stored for a project, and repairs what can be. */
import { type ErrorCode, isMicError, MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { CallOptions, Forge, FsckFinding, FsckReport, Progress } from "../../core/forge/forge.ts";
import { maintenanceOf } from "../../core/forge/maintenance.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import { EXIT_FAILED, EXIT_OK } from "../errors.ts";
import type { Invocation, OpenedProject } from "../invocation.ts";
import { escapeLine, formatBytes, plural } from "../text.ts";

interface FsckCommandOptions {
  readonly repair?: boolean;
}

type CheckedProject = Omit<OpenedProject, "latest">;

/** Of what is read first: the check says more. */
const SAYS_DAMAGE = new Set<ErrorCode>(["corrupt", "unsupported", "not-found"]);

export const define: DefineCommand = (command, bind) => {
  command
    .argument("[address]", "project to check (default: the workspace's)")
    .option("--repair", "repair what follows from the rest or is found elsewhere; keep what is damaged aside")
    .addHelpText(
      "after",
      examples(
        "mic fsck",
        "mic fsck /srv/forge/ada/notes --json",
        ["mic fsck --repair", "what is lost stays listed"],
        ["mic fsck /srv/forge/projects/ID", "a project that has lost its name"],
      ),
    )
    .action(bind(fsck));
};

async function fsck(
  invocation: Invocation,
  address: string | undefined,
  options: FsckCommandOptions,
): Promise<number> {
  const project = await findProject(invocation, address);
  if (options.repair === true) return await repair(invocation, project);
  const report = await project.forge.fsck(project.id, {
    signal: invocation.signal,
    onProgress: (progress) => showProgress(invocation, progress),
  });
  const { positions, packs, objects, bytes, unreferenced, findings } = report;
  const { output } = invocation;
  output.answer({ project: project.name, positions, packs, objects, bytes, unreferenced, findings }, () =>
    [
      summary(project, report),
      ...findings.map((finding) => line(invocation, finding)),
      ...verdict(invocation, findings),
    ].join("\n"),
  );
  sayHeadIsMissed(invocation, report);
  return exitCode(report);
}

/** Without its head, and by whatever says which one is meant: these may be what is damaged. */
async function findProject(invocation: Invocation, address: string | undefined): Promise<CheckedProject> {
  const workspace = address === undefined ? await invocation.openWorkspace() : undefined;
  const target = await invocation.chooseTarget(address, workspace);
  const forge = await invocation.openForge(target.forge);
  const options = { signal: invocation.signal };
  const maintenance = maintenanceOf(forge);
  if (maintenance === undefined) {
    const { id, name } = await forge.getProject(target.project, options);
    return { forge, id, name, workspace };
  }
  const id = await maintenance.locateProject(target.project, options);
  const given = workspace?.settings.project === id ? workspace.settings.projectName : target.project;
  return { forge, id, name: await nameOf(forge, id, given, options), workspace };
}

async function nameOf(forge: Forge, id: ProjectId, given: string, options: CallOptions): Promise<string> {
  try {
    return (await forge.getProject(id, options)).name;
  } catch (error) {
    if (!isMicError(error) || !SAYS_DAMAGE.has(error.code)) throw error;
    return given;
  }
}

async function repair(invocation: Invocation, project: CheckedProject): Promise<number> {
  const maintenance = maintenanceOf(project.forge);
  if (maintenance === undefined) {
    throw new MicError("unsupported", `${project.forge.address} cannot be repaired from here`, {
      hint: "run `mic fsck --repair` where its store is, with the store's address",
    });
  }
  const { workspaceCopies } = await import("../workspace-copies.ts");
  const { workspace } = project;
  const { before, rebuilt, quarantined, left, after } = await maintenance.repair(project.id, {
    signal: invocation.signal,
    onProgress: (progress) => showProgress(invocation, progress),
    copies: workspace === undefined ? [] : [workspaceCopies(workspace)],
  });
  const { output } = invocation;
  const { positions, packs, objects, bytes, unreferenced, findings } = after;
  const document = { project: project.name, positions, packs, objects, bytes, unreferenced, findings };
  output.answer({ ...document, before: before.findings, rebuilt, quarantined, left }, () =>
    [
      summary(project, after),
      `before: ${before.findings.length === 0 ? "no problems" : plural(before.findings.length, "problem")}`,
      ...before.findings.map((finding) => line(invocation, finding)),
      `repaired ${plural(rebuilt, "object")}, put ${plural(quarantined.length, "damaged one")} aside`,
      ...quarantined.map((key) => `  ${escapeLine(key)}`),
      ...leftLines(left),
      `after: ${findings.length === 0 ? "no problems" : plural(findings.length, "problem")}`,
      ...findings.map((finding) => line(invocation, finding)),
      ...verdict(invocation, findings),
    ].join("\n"),
  );
  sayHeadIsMissed(invocation, after);
  return exitCode(after, new Set(left));
}

/** The check ended there. */
function sayHeadIsMissed({ output }: Invocation, { findings }: FsckReport): void {
  if (!findings.some(({ object }) => object?.endsWith("/head") === true)) return;
  output.hint("without its head nothing more of it can be checked: put it back from a backup of the store");
}

function leftLines(left: readonly string[]): string[] {
  if (left.length === 0) return [];
  return [
    `left ${plural(left.length, "damaged one")} that nothing names: a later repair moves aside what is three days old, or \`mic gc\` deletes it`,
    ...left.map((key) => `  ${escapeLine(key)}`),
  ];
}

function showProgress({ output }: Invocation, progress: Progress): void {
  output.progress.update({ task: "checking", ...progress });
}

function summary(
  { name }: CheckedProject,
  { positions, packs, objects, bytes, unreferenced }: FsckReport,
): string {
  const counts = `${plural(positions, "position")}, ${plural(packs, "pack")}, ${plural(objects, "object")}`;
  const left = unreferenced === 0 ? "" : `; ${unreferenced} stored that nothing names (see \`mic gc\`)`;
  return `${name}: ${counts}, ${formatBytes(bytes)}${left}`;
}

/** `error not-found: the pack f6f6… is missing (@3, projects/…/f6f6….pack)` */
function line(
  { output }: Invocation,
  { severity, code, message, path, position, object }: FsckFinding,
): string {
  const paint = severity === "error" ? output.style.red : output.style.yellow;
  const at = position === undefined ? undefined : `@${position}`;
  const place = path === undefined ? at : at === undefined ? path : `${path} ${at}`;
  const key = object === undefined || message.includes(object) ? undefined : object;
  const where = [place, key].filter((part) => part !== undefined);
  return `${paint(severity)} ${code}: ${escapeLine(where.length === 0 ? message : `${message} (${where.join(", ")})`)}`;
}

function verdict({ output }: Invocation, findings: readonly FsckFinding[]): string[] {
  if (findings.length === 0) return [output.style.green("no problems found")];
  return [`${plural(findings.length, "problem")} found`];
}

/** `left`: keys of what a repair had nothing more to do about. */
function exitCode({ findings }: FsckReport, left: ReadonlySet<string> = new Set()): number {
  const isWrong = findings.some(({ severity, object }) => severity === "error" && !left.has(object ?? ""));
  return isWrong ? EXIT_FAILED : EXIT_OK;
}
