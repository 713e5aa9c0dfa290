/** Who may do what in a project or an organization. */
import { z } from "zod";
import { MicError } from "../../../core/base/errors.ts";
import type { ProjectId } from "../../../core/base/ids.ts";
import { parseProjectName } from "../../../core/base/project-name.ts";
import type { Role } from "../../auth/principal.ts";
import * as shapes from "../account-documents.ts";
import { memberDocument } from "../account-documents.ts";
import { jsonAnswer } from "../answer.ts";
import * as parameters from "../parameters.ts";
import { type Call, defineRoute, type Route } from "../route.ts";
import { existingUser, record } from "./account-support.ts";

const OF_PROJECT = "/api/mic/projects/{project}/members";
const OF_ORGANIZATION = "/api/mic/organizations/{org}/members";
const tag = "members";

const user = parameters.parameter(
  { type: "string", description: "A user's name, address or id" },
  z.string(),
);
const projectParams = z.object({ project: parameters.projectParameter });
const projectMemberParams = z.object({ project: parameters.projectParameter, user });
const organizationParams = z.object({ org: z.string() });
const organizationMemberParams = z.object({ org: z.string(), user });
const body = { kind: "json", schema: z.strictObject({ role: shapes.role }) } as const;

const listed = [{ status: 200, description: "All of them, by name", schema: shapes.memberPage }] as const;
const changed = [{ status: 200, description: "The member", schema: shapes.memberShape }] as const;
const gone = [{ status: 204, description: "The role is gone, on every server" }] as const;

export const memberRoutes: readonly Route[] = [
  defineRoute(
    {
      method: "GET",
      path: OF_PROJECT,
      id: "listProjectMembers",
      tag,
      access: "project-own",
      summary: "Who has a role in the project",
      description:
        "One item for each role: in the project itself, or with `inherited=true` also through its organization, which " +
        "is then named. The greater of two counts.",
      params: projectParams,
      query: z.strictObject({ inherited: z.enum(["true", "false"]).default("false") }),
      answers: [{ status: 200, description: "All of them, by name", schema: shapes.projectMemberPage }],
      errors: ["not-found"],
    },
    async (call) => {
      const { accounts } = call.state.context;
      const { id, name } = await call.forge.getProject(await call.project());
      const items = accounts.listProjectMembers(id).map(memberDocument);
      if (call.query.inherited === "false") return jsonAnswer(200, { items });
      const { org: through } = parseProjectName(name);
      const inherited = accounts.listOrganizationMembers(through).map(memberDocument);
      items.push(...inherited.map((member) => ({ ...member, through })));
      // A sort keeps the order of what is equal: the project's own role first.
      items.sort((a, b) => (a.user < b.user ? -1 : a.user > b.user ? 1 : 0));
      return jsonAnswer(200, { items });
    },
  ),
  defineRoute(
    {
      method: "PUT",
      path: `${OF_PROJECT}/{user}`,
      id: "setProjectMember",
      tag,
      access: "project-own",
      changesAccounts: true,
      summary: "Gives a user a role in the project, or another one",
      params: projectMemberParams,
      body,
      answers: changed,
      errors: ["not-found"],
    },
    async (call) => await setInProject(call, call.body.role),
  ),
  defineRoute(
    {
      method: "DELETE",
      path: `${OF_PROJECT}/{user}`,
      id: "removeProjectMember",
      tag,
      access: "project-own",
      changesAccounts: true,
      summary: "Takes a user's role in the project away",
      params: projectMemberParams,
      answers: gone,
      errors: ["not-found"],
    },
    async (call) => await setInProject(call, undefined),
  ),
  defineRoute(
    {
      method: "GET",
      path: OF_ORGANIZATION,
      id: "listOrganizationMembers",
      tag,
      access: "organization-own",
      summary: "Who has a role in the organization, and so in all of its projects",
      params: organizationParams,
      answers: listed,
      errors: ["not-found"],
    },
    async (call) => {
      const name = await existingOrganization(call, "organization-own");
      const members = call.state.context.accounts.listOrganizationMembers(name);
      return jsonAnswer(200, { items: members.map(memberDocument) });
    },
  ),
  defineRoute(
    {
      method: "PUT",
      path: `${OF_ORGANIZATION}/{user}`,
      id: "setOrganizationMember",
      tag,
      access: "organization-own",
      changesAccounts: true,
      summary: "Gives a user a role in the organization, or another one",
      params: organizationMemberParams,
      body,
      answers: changed,
      errors: ["not-found"],
    },
    async (call) => await setInOrganization(call, call.body.role),
  ),
  defineRoute(
    {
      method: "DELETE",
      path: `${OF_ORGANIZATION}/{user}`,
      id: "removeOrganizationMember",
      tag,
      access: "organization-own",
      changesAccounts: true,
      summary: "Takes a user's role in the organization away",
      description: "The last owner stays.",
      params: organizationMemberParams,
      answers: gone,
      errors: ["not-found"],
    },
    async (call) => await setInOrganization(call, undefined),
  ),
];

async function setInProject(
  call: Call<{ readonly project: string; readonly user: string }, unknown, unknown>,
  role: Role | undefined,
) {
  const { accounts, durability } = call.state.context;
  const project = await existingProject(call);
  const member = existingUser(call, call.params.user);
  const before = accounts.listProjectMembers(project).find((each) => each.user.id === member.id);
  if (role === undefined && before === undefined) throw noMember(member.name);
  accounts.setProjectRole(project, member.id, role);
  recordRole(call, `project:${project}`, member.name, before?.role, role);
  await durability.flushed();
  return role === undefined ? NO_CONTENT : jsonAnswer(200, memberDocument({ user: member, role }));
}

async function setInOrganization(
  call: Call<{ readonly org: string; readonly user: string }, unknown, unknown>,
  role: Role | undefined,
) {
  const { accounts, durability } = call.state.context;
  const name = await existingOrganization(call, "organization-own");
  const member = existingUser(call, call.params.user);
  const before = accounts.listOrganizationMembers(name).find((each) => each.user.id === member.id);
  if (role === undefined && before === undefined) throw noMember(member.name);
  accounts.setOrganizationRole(name, member.id, role);
  recordRole(call, `organization:${name}`, member.name, before?.role, role);
  await durability.flushed();
  return role === undefined ? NO_CONTENT : jsonAnswer(200, memberDocument({ user: member, role }));
}

const NO_CONTENT = { kind: "empty", status: 204, headers: {} } as const;

function recordRole(
  call: Parameters<typeof record>[0],
  target: string,
  user: string,
  before: Role | undefined,
  role: Role | undefined,
): void {
  record(call, role === undefined ? "member.removed" : "member.set", target, { user, before, role });
}

/** An administrator of the site may name any id: it must be there. Errors: `not-found`. */
async function existingProject(call: Call<unknown, unknown, unknown>): Promise<ProjectId> {
  return (await call.forge.getProject(await call.project())).id;
}

/** The one of a user's name is there before its first project. Errors: `not-found`. */
async function existingOrganization(
  call: Call<{ readonly org: string }, unknown, unknown>,
  access: "organization-own",
): Promise<string> {
  const { accounts, authorizer } = call.state.context;
  const name = await authorizer.organization(call.principal, access, call.params.org);
  if (!accounts.isNameTaken(name)) await call.forge.getOrganization(name);
  return name;
}

function noMember(name: string): MicError {
  return new MicError("not-found", `${name} has no role there`);
}
