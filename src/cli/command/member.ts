/** `mic project member …` and `mic org member …`: who may do what. */
import { type Command, Option } from "commander";
import type { AccountClient, MembersOf } from "../account/account-client.ts";
import { type MemberRole, ROLES } from "../account/documents.ts";
import { chooseProject } from "../choose-forge.ts";
import type { Bind } from "../command-definition.ts";
import { usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { isServerUrl } from "../server-url.ts";
import { escapeLine, padEnd } from "../text.ts";

interface ProjectOptions {
  readonly project?: string;
}

interface RoleOptions {
  readonly role: MemberRole;
}

/** Where the members are, and what it is called. */
interface Place {
  readonly client: AccountClient;
  readonly of: MembersOf;
  readonly name: string;
}

const PROJECT_OPTION = ["--project <address>", "of this project (default: the workspace's)"] as const;
const roleOption = (): Option =>
  new Option("--role <role>", "each including those before").choices([...ROLES]).default("write");

export function defineProjectMember(project: Command, bind: Bind): void {
  const command = project.command("member").description("who may read, write and own a project");
  command
    .command("list")
    .description("list who has a role, in the project itself or through its organization")
    .option(...PROJECT_OPTION)
    .action(
      bind(async (invocation, options: ProjectOptions) =>
        list(invocation, await ofProject(invocation, options)),
      ),
    );
  command
    .command("add <user>")
    .description("give a user a role, or another one")
    .addOption(roleOption())
    .option(...PROJECT_OPTION)
    .action(
      bind(async (invocation, user: string, options: ProjectOptions & RoleOptions) =>
        add(invocation, await ofProject(invocation, options), user, options.role),
      ),
    );
  command
    .command("remove <user>")
    .description("take a user's role away")
    .option(...PROJECT_OPTION)
    .action(
      bind(async (invocation, user: string, options: ProjectOptions) =>
        remove(invocation, await ofProject(invocation, options), user),
      ),
    );
}

export function defineOrganizationMember(organization: Command, bind: Bind): void {
  const command = organization
    .command("member")
    .description("who may read, write and own all projects of an organization");
  command
    .command("list <org>")
    .description("list members")
    .action(bind(async (invocation, org: string) => list(invocation, await ofOrganization(invocation, org))));
  command
    .command("add <org> <user>")
    .description("give a user a role, or another one")
    .addOption(roleOption())
    .action(
      bind(async (invocation, org: string, user: string, { role }: RoleOptions) =>
        add(invocation, await ofOrganization(invocation, org), user, role),
      ),
    );
  command
    .command("remove <org> <user>")
    .description("take a user's role away; the last owner stays")
    .action(
      bind(async (invocation, org: string, user: string) =>
        remove(invocation, await ofOrganization(invocation, org), user),
      ),
    );
}

async function ofProject(invocation: Invocation, { project: address }: ProjectOptions): Promise<Place> {
  const { forge, project } = await chooseProject(invocation, address);
  if (!isServerUrl(forge.address)) {
    throw usageError(
      `${forge.address} has no members`,
      "members are a server's: who reaches a directory or bucket has it all",
    );
  }
  const client = await invocation.accountClient(forge.address);
  return { client, of: { kind: "project", id: project.id }, name: project.name };
}

async function ofOrganization(invocation: Invocation, name: string): Promise<Place> {
  return { client: await invocation.accountClient(), of: { kind: "organization", name }, name };
}

async function list({ output }: Invocation, { client, of }: Place): Promise<void> {
  const { items } = await client.listMembers(of);
  const width = Math.max(0, ...items.map(({ user }) => user.length));
  output.answer({ members: items }, () =>
    items
      .map(({ user, role, through }) => {
        const from = through === undefined ? "" : `  through ${through}`;
        return `${padEnd(escapeLine(user), width)}  ${padEnd(escapeLine(role), 5)}${escapeLine(from)}`.trimEnd();
      })
      .join("\n"),
  );
  if (items.length === 0) output.note("no members");
}

async function add(
  { output }: Invocation,
  { client, of, name }: Place,
  user: string,
  role: MemberRole,
): Promise<void> {
  const member = await client.setMember(of, user, role);
  output.answer(
    { in: name, ...member },
    () => `${escapeLine(member.user)} has the role ${escapeLine(member.role)} in ${escapeLine(name)}`,
  );
}

async function remove({ output }: Invocation, { client, of, name }: Place, user: string): Promise<void> {
  await client.removeMember(of, user);
  output.answer(
    { in: name, user, role: null },
    () => `${escapeLine(user)} has no role in ${escapeLine(name)}`,
  );
}
