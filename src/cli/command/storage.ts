/** `mic storage probe|stat|migrate`: what is below a forge. */
import { isMicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import { systemClock, systemRandom } from "../../core/base/system.ts";
import type { Forge } from "../../core/forge/forge.ts";
import type { StorageStat } from "../../core/forge/maintenance.ts";
import type { ObjectStore } from "../../core/store/object-store.ts";
import { isBucketAddress, parseBucketForge } from "../bucket-address.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import { EXIT_FAILED, EXIT_OK, usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import type { OpenedStore } from "../open-storage.ts";
import { escapeLine, formatBytes, formatCount, padEnd, plural } from "../text.ts";

interface MigrateOptions {
  readonly project?: string;
}

const READ_TOGETHER = 32;

export const define: DefineCommand = (command, bind) => {
  command
    .command("probe <address>")
    .description("find out whether a bucket keeps what landing relies on")
    .action(bind(probe));
  command
    .command("stat [address]")
    .description("count what is stored, by kind and project (default: the workspace's project)")
    .action(bind(stat));
  command
    .command("migrate <from> <to>")
    .description("copy a forge or a project between directories and buckets")
    .option("--project <org/name>", "only this one")
    .action(bind(migrate));
  command.addHelpText(
    "after",
    [
      examples(
        "mic storage probe s3://bucket",
        "mic storage stat s3://bucket/team",
        "mic storage migrate ./forge s3://bucket",
        "mic storage migrate s3://bucket ./forge --project ada/notes",
      ),
      "",
      "A migration reads back and checks every object, follows what lands meanwhile,",
      "and goes on where it was interrupted. The source stays as it is. Where buckets",
      "are: S3_ENDPOINT, S3_REGION, AWS_* or `mic config set s3.endpoint`; from one",
      "store to another, go through a directory.",
    ].join("\n"),
  );
};

async function probe(invocation: Invocation, address: string): Promise<number> {
  const { output, signal } = invocation;
  const expanded = invocation.addresses.alias(address) ?? address;
  if (!isBucketAddress(expanded)) {
    throw usageError(`${address} is no bucket`, "write s3://bucket; what is on a local disk needs no probe");
  }
  const [{ openStore }, { probeStore }] = await Promise.all([
    import("../open-bucket.ts"),
    import("../../core/store/s3/probe.ts"),
  ]);
  await using store = await openStore(invocation, parseBucketForge(expanded));
  const report = await probeStore(store, { clock: systemClock, random: systemRandom, signal });
  const { passed, checks } = report;
  const { style } = output;
  const width = Math.max(...checks.map(({ name }) => name.length));
  output.answer({ store: report.store, passed, ms: Math.round(report.durationMs), checks }, () =>
    [
      ...checks.flatMap((check) => [
        `${check.passed ? style.green("passed") : style.red("failed")}  ${padEnd(check.name, width)}  ${check.rule}`,
        ...(check.problem === undefined ? [] : [`        ${escapeLine(check.problem)}`]),
        ...(check.fix === undefined ? [] : [`        ${escapeLine(check.fix)}`]),
      ]),
      passed
        ? `${escapeLine(report.store)} can hold a forge`
        : style.red(`${escapeLine(report.store)} cannot hold a forge: landings would be lost in silence`),
    ].join("\n"),
  );
  return passed ? EXIT_OK : EXIT_FAILED;
}

async function stat(invocation: Invocation, address: string | undefined): Promise<void> {
  const { openExistingStore } = await import("../open-storage.ts");
  const { statForge, statProject } = await import("../../core/forge/storage-stat.ts");
  const { output, signal } = invocation;
  const opened =
    address === undefined ? await openOwnStore(invocation) : await openExistingStore(invocation, address);
  await using store = opened.store;
  if (opened.project !== undefined) {
    const { id, name } = await (await forgeOn(store)).getProject(opened.project, { signal });
    const found = await statProject(store, id, { signal });
    output.answer({ store: opened.address, project: name, id, ...found }, () =>
      [`${name} in ${escapeLine(opened.address)}`, ...kindLines(found)].join("\n"),
    );
    return;
  }
  const { projects, ...total } = await statForge(store, { signal });
  const forge = await forgeOn(store);
  const named: (StorageStat & { readonly id: ProjectId; readonly project: string | undefined })[] = [];
  for (let start = 0; start < projects.length; start += READ_TOGETHER) {
    const reading = projects.slice(start, start + READ_TOGETHER).map(async (project) => {
      return { project: await nameOf(forge, project.id, signal), ...project };
    });
    named.push(...(await Promise.all(reading)));
  }
  const width = Math.max(0, ...named.map(({ project, id }) => (project ?? id).length));
  output.answer({ store: opened.address, ...total, projects: named }, () =>
    [
      escapeLine(opened.address),
      ...kindLines(total),
      ...(named.length === 0 ? [] : ["", plural(named.length, "project")]),
      ...named.map(
        ({ project, id, objects, bytes }) =>
          `  ${padEnd(project ?? id, width)}  ${formatCount(objects).padStart(9)}  ${formatBytes(bytes).padStart(9)}`,
      ),
    ].join("\n"),
  );
}

/** The workspace's project, in the store of its forge. */
async function openOwnStore(invocation: Invocation): Promise<OpenedStore> {
  const { openForgeStore } = await import("../open-storage.ts");
  const { settings, forgeAddress } = await invocation.openWorkspace();
  return { ...(await openForgeStore(invocation, forgeAddress)), project: settings.project };
}

function kindLines({ objects, bytes, byKind }: StorageStat): string[] {
  const rows = [...byKind, { kind: "together", objects, bytes }];
  const width = Math.max(...rows.map(({ kind }) => kind.length));
  return rows.map(
    (row) =>
      `  ${padEnd(row.kind, width)}  ${formatCount(row.objects).padStart(9)}  ${formatBytes(row.bytes).padStart(9)}`,
  );
}

/** Not to be disposed of: that would dispose of the store as well. */
async function forgeOn(store: ObjectStore): Promise<Forge> {
  const { ForgeService } = await import("../../core/forge/service.ts");
  const address = store.description;
  return new ForgeService({ store, address, clock: systemClock, random: systemRandom, trustWriters: true });
}

/** Undefined for a deleted project, and one that was not made to its end. */
async function nameOf(forge: Forge, id: ProjectId, signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await forge.getProject(id, { signal })).name;
  } catch (error) {
    if (!isMicError(error, "not-found")) throw error;
    return undefined;
  }
}

async function migrate(
  invocation: Invocation,
  from: string,
  to: string,
  { project: option }: MigrateOptions,
): Promise<void> {
  const { openExistingStore, openTargetStore } = await import("../open-storage.ts");
  const { migrateStore, requireForge } = await import("../../core/forge/migrate/migrate-store.ts");
  const { output, signal } = invocation;
  const opened = await openExistingStore(invocation, from);
  await using source = opened.store;
  if (option !== undefined && opened.project !== undefined && option !== opened.project) {
    throw usageError(`${from} names ${opened.project}, --project names ${option}`, "name it once");
  }
  const project = option ?? opened.project;
  // Before a target is made for nothing.
  if (project === undefined) await requireForge(source, { signal });
  const destination = await openTargetStore(invocation, to, project);
  await using target = destination.store;
  if (destination.address === opened.address) throw usageError(`${from} and ${to} are the same forge`);
  const report = await migrateStore({
    source,
    target,
    clock: systemClock,
    random: systemRandom,
    signal,
    onProgress: (progress) => output.progress.update({ task: "copying", ...progress }),
    ...(project === undefined ? {} : { project }),
  });
  const { projects, objects, bytes, copied, bytesCopied } = report;
  const [only] = projects;
  const what =
    projects.length === 1 ? `${only!.name} at @${only!.position}` : plural(projects.length, "project");
  output.answer(
    { from: opened.address, to: destination.address, projects, objects, bytes, copied, bytesCopied },
    () =>
      `${output.style.bold(what)} in ${escapeLine(destination.address)}: ${plural(objects, "object")}, ${formatBytes(bytes)} checked, ${formatBytes(bytesCopied)} of it written now`,
  );
  output.hint(
    `${escapeLine(opened.address)} stays as it is: stop its writers, run this once more, then \`mic publish ${escapeLine(destination.address)}\` in each workspace`,
  );
}
