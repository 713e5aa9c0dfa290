/** `mic gc`: reclaims what nothing in a project needs any more. */
import { isMicError, MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { Forge } from "../../core/forge/forge.ts";
import { type CollectReport, type Maintenance, maintenanceOf } from "../../core/forge/maintenance.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import { EXIT_FAILED, EXIT_OK, usageError } from "../errors.ts";
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
  readonly projects: readonly [ProjectId] | undefined;
}

/** A project of which nothing was collected. */
interface Failed {
  readonly project: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
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

async function gc(invocation: Invocation, address: string | undefined, options: GcOptions): Promise<number> {
  const { forge, projects } = await chooseScope(invocation, address);
  const maintenance = requireMaintenance(forge);
  const { output, signal } = invocation;
  const dryRun = options.dryRun === true;
  const collect = async (id: ProjectId, name: string, done: number, total: number): Promise<Collected> => {
    output.progress.update({ task: `collecting ${name}`, done, total, unit: "projects" });
    return { project: name, ...(await maintenance.collect(id, { dryRun, signal })) };
  };
  if (projects !== undefined) {
    const [id] = projects;
    const collected = await collect(id, await nameOf(forge, id, signal), 0, 1);
    output.answer({ ...collected, dryRun }, () =>
      describe(escapeLine(collected.project), collected, dryRun).join("\n"),
    );
    return EXIT_OK;
  }
  const collected: Collected[] = [];
  const failed: Failed[] = [];
  const onDamaged = (name: string, error: MicError): number => failed.push(failureOf(name, error));
  for await (const page of maintenance.everyProject({ signal, onDamaged })) {
    for (const id of page) {
      let name: string = id;
      try {
        name = await nameOf(forge, id, signal);
        collected.push(await collect(id, name, collected.length, 0));
      } catch (error) {
        if (!isMicError(error) || !isOfOneProject(error)) throw error;
        failed.push(failureOf(name, error));
      }
    }
  }
  const total = sum(collected);
  const document = { ...total, dryRun, projects: collected };
  output.answer(failed.length === 0 ? document : { ...document, failed }, () =>
    [
      ...collected
        .filter(({ unreferenced }) => unreferenced > 0)
        .map((each) => `${escapeLine(each.project)}: ${summary(each, dryRun)}`),
      ...(failed.length > 0 && collected.length === 0
        ? ["nothing was collected"]
        : describe(plural(collected.length, "project"), total, dryRun)),
    ].join("\n"),
  );
  for (const { project, message, hint } of failed) {
    output.warn(
      escapeLine(`${project}: ${message}; nothing is collected there${hint === "" ? "" : `: ${hint}`}`),
    );
  }
  return failed.length === 0 ? EXIT_OK : EXIT_FAILED;
}

/** What says nothing about the next project: the rest goes on. */
function isOfOneProject({ code }: MicError): boolean {
  return !["aborted", "unreachable", "unauthenticated", "forbidden", "internal"].includes(code);
}

function failureOf(project: string, { code, message, hint = "" }: MicError): Failed {
  return { project, code, message, hint };
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
    // Whether its meta can be read is for the collector to say.
    if (isMicError(error) && ["not-found", "corrupt", "unsupported"].includes(error.code)) return id;
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
