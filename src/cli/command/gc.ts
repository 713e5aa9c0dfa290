/** `mic gc`: reclaims what nothing in a project needs any more. */
import { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { Forge } from "../../core/forge/forge.ts";
import { type CollectReport, type Maintenance, maintenanceOf } from "../../core/forge/maintenance.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import { usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { resolveTarget } from "../target-address.ts";
import { escapeLine, formatBytes, plural } from "../text.ts";

interface GcOptions {
  readonly dryRun?: boolean;
}

interface Collected extends CollectReport {
  /** `org/project`, or the id of a deleted one. */
  readonly project: string;
}

interface Scope {
  readonly forge: Forge;
  /** Undefined: every project of the forge, deleted ones too. */
  readonly projects: readonly ProjectId[] | undefined;
}

export const define: DefineCommand = (command, bind) => {
  command
    .argument("[address]", "project or forge to collect in (default: the workspace's project)")
    .option("--dry-run", "say what would be deleted, and delete nothing")
    .addHelpText(
      "after",
      examples(
        ["mic gc --dry-run", "what a run would delete now"],
        ["mic gc /srv/forge/ada/notes", "one project"],
        ["mic gc /srv/forge", "every project, and what deleted ones left"],
      ),
    )
    .action(bind(gc));
};

async function gc(invocation: Invocation, address: string | undefined, options: GcOptions): Promise<void> {
  const { forge, projects } = await chooseScope(invocation, address);
  const maintenance = requireMaintenance(forge);
  const { output, signal } = invocation;
  const dryRun = options.dryRun === true;
  const collected: Collected[] = [];
  const collect = async (id: ProjectId): Promise<void> => {
    const project = await nameOf(forge, id, signal);
    output.progress.update({
      task: `collecting ${project}`,
      done: collected.length,
      total: projects?.length ?? 0,
      unit: "projects",
    });
    collected.push({ project, ...(await maintenance.collect(id, { dryRun, signal })) });
  };
  if (projects !== undefined) for (const id of projects) await collect(id);
  else
    for await (const page of maintenance.everyProject({ signal })) for (const id of page) await collect(id);
  const total = sum(collected);
  const isOne = projects !== undefined;
  output.answer(isOne ? { ...collected[0], dryRun } : { ...total, dryRun, projects: collected }, () =>
    [
      ...(isOne ? [] : collected.filter(({ unreferenced }) => unreferenced > 0)).map(
        (each) => `${escapeLine(each.project)}: ${summary(each, dryRun)}`,
      ),
      ...describe(
        isOne ? escapeLine(collected[0]!.project) : plural(collected.length, "project"),
        total,
        dryRun,
      ),
    ].join("\n"),
  );
}

async function chooseScope(invocation: Invocation, address: string | undefined): Promise<Scope> {
  if (address === undefined) {
    const project = await invocation.openProject(undefined);
    return { forge: project.forge, projects: [project.id] };
  }
  const target = await resolveTarget(address, invocation.addresses, { namesForge: true });
  if (target.isNew) throw usageError(`there is no forge in ${target.forge}`);
  const forge = await invocation.openForge(target.forge);
  requireMaintenance(forge);
  if (target.project === undefined) return { forge, projects: undefined };
  const { id } = await forge.getProject(target.project, { signal: invocation.signal });
  return { forge, projects: [id] };
}

function requireMaintenance(forge: Forge): Maintenance {
  const maintenance = maintenanceOf(forge);
  if (maintenance !== undefined) return maintenance;
  throw new MicError("unsupported", `${forge.address} collects by itself`, {
    hint: "run `mic gc` where its store is, with the store's address",
  });
}

async function nameOf(forge: Forge, id: ProjectId, signal: AbortSignal): Promise<string> {
  try {
    return (await forge.getProject(id, { signal })).name;
  } catch (error) {
    if (error instanceof MicError && error.code === "not-found") return id;
    throw error;
  }
}

function sum(reports: readonly CollectReport[]): CollectReport {
  const total = { objects: 0, unreferenced: 0, deleted: 0, bytesDeleted: 0, waiting: 0, bytesWaiting: 0 };
  let nextAt: string | undefined;
  for (const report of reports) {
    for (const field of Object.keys(total) as (keyof typeof total)[]) total[field] += report[field];
    if (report.nextAt !== undefined && (nextAt === undefined || report.nextAt < nextAt))
      nextAt = report.nextAt;
  }
  return nextAt === undefined ? total : { ...total, nextAt };
}

function describe(what: string, report: CollectReport, dryRun: boolean): string[] {
  const { objects, unreferenced, waiting, nextAt } = report;
  if (unreferenced === 0) return [`${what}: ${plural(objects, "object")}, all of them needed`];
  const head = `${what}: ${plural(objects, "object")}, ${unreferenced} of them needed by nothing`;
  const lines = [head, summary(report, dryRun)];
  if (waiting > 0 && nextAt !== undefined) {
    lines.push(
      `what waits can go from ${nextAt.slice(0, 16).replace("T", " ")} UTC on; run \`mic gc\` again then`,
    );
  }
  return lines;
}

function summary({ deleted, bytesDeleted, waiting, bytesWaiting }: CollectReport, dryRun: boolean): string {
  const gone = `${dryRun ? "would delete" : "deleted"} ${plural(deleted, "object")} (${formatBytes(bytesDeleted)})`;
  return waiting === 0
    ? gone
    : `${gone}, ${plural(waiting, "object")} (${formatBytes(bytesWaiting)}) must wait`;
}
