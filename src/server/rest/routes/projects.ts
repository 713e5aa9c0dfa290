/** Projects and organizations. */
import { z } from "zod";
import { mintProjectId } from "../../../core/base/random.ts";
import { jsonAnswer } from "../answer.ts";
import * as bodies from "../bodies.ts";
import { organizationDocument, projectDocument } from "../documents.ts";
import * as parameters from "../parameters.ts";
import { defineRoute, type Route } from "../route.ts";
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
      summary: "Projects in the order of their names",
      query: z.strictObject({
        org: parameters.projectParameter.optional().describe("Only of this organization"),
        ...page,
      }),
      answers: [{ status: 200, description: "A page", schema: shapes.pageOf("ProjectPage", shapes.project) }],
    },
    async ({ forge, query }) => {
      const { org } = query;
      const found = await forge.listProjects({
        ...pageRequest(query),
        ...(org === undefined ? {} : { org }),
      });
      return jsonAnswer(200, { ...found, items: found.items.map(projectDocument) });
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: PROJECTS,
      id: "createProject",
      tag,
      summary: "Creates a project, and its organization when that is missing",
      description: "Sent again with the same `id`, it answers with the project that it made.",
      body: { kind: "json", schema: bodies.createProjectBody },
      answers: [{ status: 201, description: "The project", schema: shapes.project, headers: LOCATION }],
      errors: ["already-exists"],
    },
    async ({ state, forge, body }) => {
      const { id, name, description, visibility, salt } = body;
      const created = await forge.createProject({
        id: id ?? mintProjectId(state.context.random),
        name,
        ...(description === undefined ? {} : { description }),
        ...(visibility === undefined ? {} : { visibility }),
        ...(salt === undefined ? {} : { salt }),
      });
      return jsonAnswer(201, projectDocument(created), { location: `${PROJECTS}/${created.id}` });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${PROJECTS}/{project}`,
      id: "getProject",
      tag,
      summary: "A project, by id or by a present or former name",
      params: projectParams,
      answers: [{ status: 200, description: "The project", schema: shapes.project }],
      errors: ["not-found"],
    },
    async ({ forge, params }) => jsonAnswer(200, projectDocument(await forge.getProject(params.project))),
  ),
  defineRoute(
    {
      method: "PATCH",
      path: `${PROJECTS}/{project}`,
      id: "updateProject",
      tag,
      summary: "Renames a project, or changes its description or visibility",
      params: projectParams,
      body: { kind: "json", schema: bodies.updateProjectBody },
      answers: [{ status: 200, description: "The project as it is now", schema: shapes.project }],
      errors: ["not-found", "already-exists"],
    },
    async (call) => {
      const { name, description, visibility } = call.body;
      const updated = await call.forge.updateProject(await call.project(), {
        ...(name === undefined ? {} : { name }),
        ...(description === undefined ? {} : { description }),
        ...(visibility === undefined ? {} : { visibility }),
      });
      return jsonAnswer(200, projectDocument(updated));
    },
  ),
  defineRoute(
    {
      method: "DELETE",
      path: `${PROJECTS}/{project}`,
      id: "deleteProject",
      tag,
      summary: "Deletes a project; its names stay taken",
      params: projectParams,
      answers: [{ status: 204, description: "It is gone" }],
      errors: ["not-found"],
    },
    async (call) => {
      await call.forge.deleteProject(await call.project());
      return { kind: "empty", status: 204, headers: {} };
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: ORGANIZATIONS,
      id: "listOrganizations",
      tag,
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
    async ({ forge, query }) => {
      const found = await forge.listOrganizations(pageRequest(query));
      return jsonAnswer(200, { ...found, items: found.items.map(organizationDocument) });
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: ORGANIZATIONS,
      id: "createOrganization",
      tag,
      summary: "Creates an organization",
      body: { kind: "json", schema: bodies.createOrganizationBody },
      answers: [
        { status: 201, description: "The organization", schema: shapes.organization, headers: LOCATION },
      ],
      errors: ["already-exists"],
    },
    async ({ forge, body }) => {
      const { name, description } = body;
      const created = await forge.createOrganization({
        name,
        ...(description === undefined ? {} : { description }),
      });
      return jsonAnswer(201, organizationDocument(created), { location: `${ORGANIZATIONS}/${created.name}` });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${ORGANIZATIONS}/{org}`,
      id: "getOrganization",
      tag,
      summary: "An organization",
      params: z.object({ org: z.string() }),
      answers: [{ status: 200, description: "The organization", schema: shapes.organization }],
      errors: ["not-found"],
    },
    async ({ forge, params }) =>
      jsonAnswer(200, organizationDocument(await forge.getOrganization(params.org))),
  ),
];
