/** Projects and organizations. */
import { z } from "zod";
import { mintProjectId } from "../../../core/base/random.ts";
import type { Asking } from "../../auth/owned-projects.ts";
import { jsonAnswer } from "../answer.ts";
import * as bodies from "../bodies.ts";
import { organizationDocument, projectDocument } from "../documents.ts";
import * as parameters from "../parameters.ts";
import { type Call, defineRoute, type Route } from "../route.ts";
import * as shapes from "../schemas.ts";
import { pageRequest } from "./support.ts";

const PROJECTS = "/api/mic/projects";
const ORGANIZATIONS = "/api/mic/organizations";
const tag = "projects";

const page = { after: parameters.afterParameter, limit: parameters.limitParameter(100, 1000) };
const projectParams = z.object({ project: parameters.projectParameter });
const LOCATION = { location: "Where it is" };

export const projectRoutes: readonly Route[] = [
  defineRoute(
    {
      method: "GET",
      path: PROJECTS,
      id: "listProjects",
      tag,
      access: "signed-in",
      summary: "Projects in the order of their names",
      query: z.strictObject({
        org: parameters.projectParameter.optional().describe("Only of this organization"),
        ...page,
      }),
      answers: [{ status: 200, description: "A page", schema: shapes.pageOf("ProjectPage", shapes.project) }],
    },
    async (call) => {
      const { org } = call.query;
      const wanted = { ...pageRequest(call.query), ...(org === undefined ? {} : { org }) };
      const found = await call.projects.listProjects(wanted, call);
      return jsonAnswer(200, { ...found, items: found.items.map(projectDocument) });
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: PROJECTS,
      id: "createProject",
      tag,
      access: "signed-in-write",
      changesAccounts: true,
      summary: "Creates a project, and its organization when that is missing",
      description: "Sent again with the same `id`, it answers with the project that it made.",
      body: { kind: "json", schema: bodies.createProjectBody },
      answers: [{ status: 201, description: "The project", schema: shapes.project, headers: LOCATION }],
      errors: ["already-exists"],
    },
    async (call) => {
      const { id, name, description, visibility, salt } = call.body;
      const wanted = {
        id: id ?? mintProjectId(call.state.context.random),
        name,
        ...(description === undefined ? {} : { description }),
        ...(visibility === undefined ? {} : { visibility }),
        ...(salt === undefined ? {} : { salt }),
      };
      const created = await call.projects.createProject(wanted, lasting(call));
      return jsonAnswer(201, projectDocument(created), { location: `${PROJECTS}/${created.id}` });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${PROJECTS}/{project}`,
      id: "getProject",
      tag,
      access: "project-read",
      summary: "A project, by id or by a present or former name",
      params: projectParams,
      answers: [{ status: 200, description: "The project", schema: shapes.project }],
      errors: ["not-found"],
    },
    async (call) => jsonAnswer(200, projectDocument(await call.forge.getProject(await call.project()))),
  ),
  defineRoute(
    {
      method: "PATCH",
      path: `${PROJECTS}/{project}`,
      id: "updateProject",
      tag,
      access: "project-own",
      changesAccounts: true,
      summary: "Renames a project, or changes its description or visibility",
      params: projectParams,
      body: { kind: "json", schema: bodies.updateProjectBody },
      answers: [{ status: 200, description: "The project as it is now", schema: shapes.project }],
      errors: ["not-found", "already-exists"],
    },
    async (call) => {
      const { name, description, visibility } = call.body;
      const changes = {
        ...(name === undefined ? {} : { name }),
        ...(description === undefined ? {} : { description }),
        ...(visibility === undefined ? {} : { visibility }),
      };
      const updated = await call.projects.updateProject(await call.project(), changes, lasting(call));
      return jsonAnswer(200, projectDocument(updated));
    },
  ),
  defineRoute(
    {
      method: "DELETE",
      path: `${PROJECTS}/{project}`,
      id: "deleteProject",
      tag,
      access: "project-own",
      changesAccounts: true,
      summary: "Deletes a project; its names stay taken",
      params: projectParams,
      answers: [{ status: 204, description: "It is gone" }],
      errors: ["not-found"],
    },
    async (call) => {
      await call.projects.deleteProject(await call.project(), lasting(call));
      return { kind: "empty", status: 204, headers: {} };
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: ORGANIZATIONS,
      id: "listOrganizations",
      tag,
      access: "signed-in",
      summary: "Organizations in the order of their names",
      query: z.strictObject(page),
      answers: [
        {
          status: 200,
          description: "A page",
          schema: shapes.pageOf("OrganizationPage", shapes.organization),
        },
      ],
    },
    async (call) => {
      const found = await call.projects.listOrganizations(pageRequest(call.query), call);
      return jsonAnswer(200, { ...found, items: found.items.map(organizationDocument) });
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: ORGANIZATIONS,
      id: "createOrganization",
      tag,
      access: "signed-in-write",
      changesAccounts: true,
      summary: "Creates an organization",
      body: { kind: "json", schema: bodies.createOrganizationBody },
      answers: [
        { status: 201, description: "The organization", schema: shapes.organization, headers: LOCATION },
      ],
      errors: ["already-exists"],
    },
    async (call) => {
      const { name, description } = call.body;
      const wanted = { name, ...(description === undefined ? {} : { description }) };
      const created = await call.projects.createOrganization(wanted, lasting(call));
      return jsonAnswer(201, organizationDocument(created), { location: `${ORGANIZATIONS}/${created.name}` });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${ORGANIZATIONS}/{org}`,
      id: "getOrganization",
      tag,
      access: "organization-read",
      summary: "An organization",
      params: z.object({ org: z.string() }),
      answers: [{ status: 200, description: "The organization", schema: shapes.organization }],
      errors: ["not-found"],
    },
    async (call) =>
      jsonAnswer(200, organizationDocument(await call.projects.getOrganization(call.params.org, call))),
  ),
];

/** What changes something runs to its end, whether or not the client waits for it. */
function lasting({
  principal,
  request,
  state,
}: Pick<Call<unknown, unknown, unknown>, "principal" | "request" | "state">): Asking {
  return { principal, address: state.context.network.peerOf(request).address };
}
