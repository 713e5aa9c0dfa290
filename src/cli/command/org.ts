/** `mic org create|list|get|member`. */
import type { OrganizationInfo } from "../../core/forge/forge.ts";
import { chooseForge } from "../choose-forge.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { sayLeftOut } from "../left-out.ts";
import { formatDay, toRfc3339 } from "../render/time.ts";
import { escapeLine, firstLine, padEnd, truncate } from "../text.ts";
import { defineOrganizationMember } from "./member.ts";

interface CreateOptions {
  readonly description?: string;
}

export const define: DefineCommand = (command, bind) => {
  command
    .command("create <name>")
    .description("make an organization; creating a project in it does so too")
    .option("-d, --description <text>", "what it is")
    .action(bind(create));
  command.command("list").description("list organizations").action(bind(list));
  command.command("get <name>").description("show one organization").action(bind(get));
  defineOrganizationMember(command, bind);
  command.addHelpText(
    "after",
    examples('mic org create acme -d "Makers of everything"', "mic org list --server /srv/forge"),
  );
};

async function create(invocation: Invocation, name: string, options: CreateOptions): Promise<void> {
  const forge = await chooseForge(invocation, { create: true });
  const { signal } = invocation;
  const { description } = options;
  const request = { name, ...(description === undefined ? {} : { description }) };
  const created = await forge.createOrganization(request, { signal });
  invocation.output.answer(organizationDocument(created), () => `${created.name} is there`);
}

async function list(invocation: Invocation): Promise<number> {
  const forge = await chooseForge(invocation, { create: false });
  const { output, signal } = invocation;
  const organizations: OrganizationInfo[] = [];
  const damaged: string[] = [];
  let after: string | undefined;
  do {
    const page = await forge.listOrganizations(after === undefined ? {} : { after }, { signal });
    organizations.push(...page.items);
    damaged.push(...(page.damaged ?? []));
    after = page.next;
  } while (after !== undefined);
  const width = Math.max(0, ...organizations.map(({ name }) => name.length));
  const document = { organizations: organizations.map(organizationDocument) };
  output.answer(damaged.length === 0 ? document : { ...document, damaged }, () =>
    organizations
      .map(({ name, description, createdAtMs }) => {
        const text = truncate(firstLine(description), output.columns - width - 14);
        return `${padEnd(name, width)}  ${formatDay(createdAtMs)}  ${text}`.trimEnd();
      })
      .join("\n"),
  );
  if (organizations.length + damaged.length === 0) output.note("no organizations");
  return sayLeftOut(output, damaged);
}

async function get(invocation: Invocation, name: string): Promise<void> {
  const forge = await chooseForge(invocation, { create: false });
  const organization = await forge.getOrganization(name, { signal: invocation.signal });
  invocation.output.answer(organizationDocument(organization), () =>
    [
      `organization  ${organization.name}`,
      ...(organization.description === "" ? [] : [`description   ${escapeLine(organization.description)}`]),
      `created       ${formatDay(organization.createdAtMs)}`,
    ].join("\n"),
  );
}

function organizationDocument({ name, description, createdAtMs }: OrganizationInfo): Record<string, unknown> {
  return { name, description, createdAt: toRfc3339(createdAtMs) };
}
