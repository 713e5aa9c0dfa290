/** `mic project create|list|get|update|delete|member|webhook`. */
import { mintProjectId } from "../../core/base/random.ts";
import { systemRandom } from "../../core/base/system.ts";
import type { Forge, ProjectInfo, Visibility } from "../../core/forge/forge.ts";
import { chooseForge, chooseProject } from "../choose-forge.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import { confirm } from "../confirm.ts";
import { usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { sayLeftOut } from "../left-out.ts";
import { formatDay, formatMinute, toRfc3339 } from "../render/time.ts";
import { resolveTarget } from "../target-address.ts";
import { escapeLine, firstLine, padEnd, plural, truncate } from "../text.ts";
import { defineProjectMember } from "./member.ts";
import { defineProjectWebhook } from "./webhook.ts";

interface VisibilityOptions {
  readonly public?: boolean;
  readonly private?: boolean;
}

interface CreateOptions extends VisibilityOptions {
  readonly description?: string;
}

interface UpdateOptions extends VisibilityOptions {
  readonly name?: string;
  readonly description?: string;
}

interface ListOptions {
  readonly org?: string;
}

const PLAIN_NAME = /^[^./][^/]*\/[^/]+$/;

export const define: DefineCommand = (command, bind) => {
  command
    .command("create <address>")
    .description("make an empty project, and its organization and forge directory when they are missing")
    .option("--public", "everybody who reaches the server may read it")
    .option("--private", "only who was given access (default)")
    .option("-d, --description <text>", "what it is")
    .action(bind(create));
  command
    .command("list")
    .description("list projects")
    .option("--org <name>", "only this organization's")
    .action(bind(list));
  command
    .command("get [address]")
    .description("show one project (default: the workspace's)")
    .action(bind(get));
  command
    .command("update <address>")
    .description("rename a project, describe it, open or close it")
    .option("--name <org/project>", "the old name leads to the new one")
    .option("-d, --description <text>", "what it is")
    .option("--public", "everybody who reaches the server may read it")
    .option("--private", "only who was given access")
    .action(bind(update));
  command
    .command("delete <address>")
    .description("delete a project; asks first, or needs --yes")
    .action(bind(remove));
  defineProjectMember(command, bind);
  defineProjectWebhook(command, bind);
  command.addHelpText(
    "after",
    examples(
      'mic project create ada/notes -d "what I know"',
      ["mic project create /srv/forge/ada/notes", "as `git init --bare`"],
      "mic project list --server /srv/forge",
      ["mic project update ada/notes --name ada/log", "ada/notes still leads there"],
      "mic project member add bob --role read",
      "mic project webhook add https://ci.example.org/hooks/mic",
    ),
  );
};

async function create(invocation: Invocation, address: string, options: CreateOptions): Promise<void> {
  const { forge, name } = await whereToCreate(invocation, address);
  const { description } = options;
  const visibility = visibilityOf(options);
  const request = {
    id: mintProjectId(systemRandom),
    name,
    ...(description === undefined ? {} : { description }),
    ...(visibility === undefined ? {} : { visibility }),
  };
  const { output, signal } = invocation;
  const created = await forge.createProject(request, { signal });
  output.answer(
    projectDocument(created),
    () => `${output.style.bold(created.name)} is in ${escapeLine(forge.address)}`,
  );
  output.hint("clone it; a workspace that is there already needs none: `mic publish` makes its own");
}

async function whereToCreate(
  invocation: Invocation,
  address: string,
): Promise<{ readonly forge: Forge; readonly name: string }> {
  if (PLAIN_NAME.test(address) && !address.includes(":")) {
    return { forge: await chooseForge(invocation, { create: true }), name: address };
  }
  const { forge, project } = await resolveTarget(address, invocation.addresses, { namesForge: false });
  if (project === undefined)
    throw usageError(`${address} is a forge; which project?`, "put /org/project after it");
  return { forge: await invocation.openForge(forge, true), name: project };
}

async function list(invocation: Invocation, { org }: ListOptions): Promise<number> {
  const forge = await chooseForge(invocation, { create: false });
  const { output, signal } = invocation;
  const projects: ProjectInfo[] = [];
  const damaged: string[] = [];
  let after: string | undefined;
  do {
    const request = { ...(org === undefined ? {} : { org }), ...(after === undefined ? {} : { after }) };
    const page = await forge.listProjects(request, { signal });
    projects.push(...page.items);
    damaged.push(...(page.damaged ?? []));
    after = page.next;
  } while (after !== undefined);
  if (projects.length === 0 && damaged.length === 0 && org === undefined) {
    const { refuseProjectAddress } = await import("../open-storage.ts");
    await refuseProjectAddress(invocation, forge.address);
  }
  const width = Math.max(0, ...projects.map(({ name }) => name.length));
  const document = { projects: projects.map(projectDocument) };
  output.answer(damaged.length === 0 ? document : { ...document, damaged }, () =>
    projects
      .map(({ name, visibility, createdAtMs, description }) => {
        const text = truncate(firstLine(description), output.columns - width - 23);
        return `${padEnd(name, width)}  ${visibility.padEnd(7)}  ${formatDay(createdAtMs)}  ${text}`.trimEnd();
      })
      .join("\n"),
  );
  if (projects.length + damaged.length === 0) output.note("no projects");
  return sayLeftOut(output, damaged);
}

async function get(invocation: Invocation, address: string | undefined): Promise<void> {
  const { forge, project } = await chooseProject(invocation, address);
  const { position } = await forge.getHead(project.id, { signal: invocation.signal });
  invocation.output.answer({ ...projectDocument(project), position }, () =>
    [
      `project      ${project.name}`,
      `id           ${project.id}`,
      ...(project.description === "" ? [] : [`description  ${escapeLine(project.description)}`]),
      `visibility   ${project.visibility}`,
      `created      ${formatMinute(project.createdAtMs)}`,
      `position     @${position}`,
      `forge        ${escapeLine(forge.address)}`,
    ].join("\n"),
  );
}

async function update(invocation: Invocation, address: string, options: UpdateOptions): Promise<void> {
  const visibility = visibilityOf(options);
  const { name, description } = options;
  if (visibility === undefined && name === undefined && description === undefined) {
    throw usageError("nothing to change", "give --name, --description, --public or --private");
  }
  const { forge, project } = await chooseProject(invocation, address);
  const request = {
    ...(name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    ...(visibility === undefined ? {} : { visibility }),
  };
  const updated = await forge.updateProject(project.id, request, { signal: invocation.signal });
  invocation.output.answer(projectDocument(updated), () => `${updated.name} is updated`);
}

async function remove(invocation: Invocation, address: string): Promise<void> {
  const { forge, project } = await chooseProject(invocation, address);
  const { position } = await forge.getHead(project.id, { signal: invocation.signal });
  const { id, name } = project;
  const what = `This deletes ${name} with ${plural(position, "position")} from ${escapeLine(forge.address)}; its name stays taken.`;
  await confirm(invocation, what, name);
  await forge.deleteProject(id, { signal: invocation.signal });
  invocation.output.answer({ id, name, deleted: true }, () => `${name} is deleted`);
}

function visibilityOf(options: VisibilityOptions): Visibility | undefined {
  if (options.public === true && options.private === true) {
    throw usageError("--public and --private exclude each other");
  }
  if (options.public === true) return "public";
  return options.private === true ? "private" : undefined;
}

function projectDocument(project: ProjectInfo): Record<string, unknown> {
  const { id, name, description, visibility, salt, createdAtMs } = project;
  return { id, name, description, visibility, salt, createdAt: toRfc3339(createdAtMs) };
}
