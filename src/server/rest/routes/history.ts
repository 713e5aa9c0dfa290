/** The log of a project: head, landings, differences, blame. */
import { z } from "zod";
import type { Position } from "../../../core/base/ids.ts";
import type { HeadInfo, ListLandings } from "../../../core/forge/forge.ts";
import { chooseType } from "../accept.ts";
import { jsonAnswer } from "../answer.ts";
import { blameDocument, headDocument, landingDocument, landingSummaryDocument } from "../documents.ts";
import * as parameters from "../parameters.ts";
import { changeDocuments, patchOf, readChanges } from "../project-changes.ts";
import { isNotModified } from "../range.ts";
import type { RenderedHead } from "../rest-state.ts";
import { defineRoute, type Route } from "../route.ts";
import * as shapes from "../schemas.ts";
import { positionOf } from "./support.ts";

const PROJECT = "/api/mic/projects/{project}";
const tag = "history";
const projectParams = z.object({ project: parameters.projectParameter });
const PATCH_TYPE = "text/x-diff";

export const historyRoutes: readonly Route[] = [
  defineRoute(
    {
      method: "GET",
      path: `${PROJECT}/head`,
      id: "getHead",
      tag,
      access: "project-read",
      summary: "The newest position",
      params: projectParams,
      answers: [
        {
          status: 200,
          description: "The head",
          schema: shapes.head,
          headers: { etag: "Send it back as If-None-Match" },
        },
        { status: 304, description: "It is still the one that If-None-Match names" },
      ],
      errors: ["not-found"],
    },
    async (call) => {
      const project = call.project();
      const id = typeof project === "string" ? project : await project;
      const { etag, text } = call.state.renderHead(id, await call.forge.getHead(id), renderHead);
      const headers = { "content-type": "application/json", "cache-control": "private, no-cache", etag };
      return isNotModified(call.request, etag)
        ? { kind: "empty", status: 304, headers }
        : { kind: "text", status: 200, headers, text };
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${PROJECT}/landings`,
      id: "listLandings",
      tag,
      access: "project-read",
      summary: "Landings, newest first",
      params: projectParams,
      query: z.strictObject({
        path: parameters.pathsParameter,
        author: z.string().optional().describe("Part of the author, in any case"),
        before: parameters.optionalPosition.describe(
          "Only landings below this position: `before` of the next page",
        ),
        since: parameters.optionalPosition.describe("Only landings above this position"),
        limit: parameters.limitParameter(100, 1000),
      }),
      answers: [
        {
          status: 200,
          description: "A page; pass `before` for the next one, it is absent on the last",
          schema: shapes.landingPage,
        },
      ],
      errors: ["not-found"],
    },
    async (call) => {
      const project = await call.project();
      const { path, author, before, since, limit } = call.query;
      if (before === 0) return jsonAnswer(200, { items: [] });
      const head = (await call.forge.getHead(project)).position;
      const request: ListLandings = {
        upTo: before === undefined ? head : (Math.min(before - 1, head) as Position),
        ...(since === undefined ? {} : { after: since }),
        ...(path === undefined ? {} : { paths: path }),
        ...(author === undefined ? {} : { author }),
      };
      const items = [];
      for await (const page of call.forge.listLandings(project, request, { signal: call.signal })) {
        items.push(...page);
        if (items.length > limit) break;
      }
      const shown = items.slice(0, limit);
      const next = items.length > limit ? { before: shown.at(-1)!.position } : {};
      return jsonAnswer(200, { items: shown.map(landingSummaryDocument), ...next });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${PROJECT}/landings/{position}`,
      id: "getLanding",
      tag,
      access: "project-read",
      summary: "A landing with its decisions, conversation and operations",
      params: z.object({ project: parameters.projectParameter, position: parameters.positionParameter }),
      answers: [{ status: 200, description: "The landing", schema: shapes.landing }],
      errors: ["not-found", "out-of-range"],
    },
    async (call) => {
      const project = await call.project();
      const position = await positionOf(call.forge, project, call.params.position);
      return jsonAnswer(200, landingDocument(await call.forge.getLanding(project, position)));
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${PROJECT}/diff`,
      id: "diff",
      tag,
      access: "project-read",
      summary: "What differs between two positions",
      description: "As JSON, or as a patch for `git apply` (`format=patch`, or `Accept: text/x-diff`).",
      params: projectParams,
      query: z.strictObject({
        from: parameters.positionParameter,
        to: parameters.atParameter,
        path: parameters.pathsParameter,
        stat: parameters.flagParameter.describe("With counts of lines, in JSON"),
        format: z.enum(["json", "patch"]).optional(),
      }),
      answers: [
        { status: 200, description: "The differences in path order", schema: shapes.diff },
        { status: 200, description: "The differences as a patch", type: PATCH_TYPE },
      ],
      errors: ["not-found", "out-of-range", "too-large"],
    },
    async (call) => {
      const { forge, query, signal } = call;
      const project = await call.project();
      const from = await positionOf(forge, project, query.from);
      const to = await positionOf(forge, project, query.to);
      const chosen = query.format ?? formatOf(call.request.headers.accept);
      const range = { from, to, ...(query.path === undefined ? {} : { paths: query.path }) };
      const changes = await readChanges(forge, project, range, signal);
      if (chosen === "json") {
        return jsonAnswer(200, {
          from,
          to,
          changes: await changeDocuments(changes, query.stat, signal),
        });
      }
      const headers = { "content-type": PATCH_TYPE, "x-content-type-options": "nosniff" };
      return { kind: "stream", status: 200, headers, body: patchOf(changes, signal) };
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${PROJECT}/blame/{+path}`,
      id: "blame",
      tag,
      access: "project-read",
      summary: "Which landing each line of a file comes from",
      params: z.object({ project: parameters.projectParameter, path: parameters.pathParameter }),
      query: z.strictObject({ at: parameters.atParameter }),
      answers: [{ status: 200, description: "The lines", schema: shapes.blame }],
      errors: ["not-found", "out-of-range", "unsupported", "too-large", "unsafe-path"],
    },
    async (call) => {
      const { forge, params, query, signal } = call;
      const project = await call.project();
      const at = await positionOf(forge, project, query.at);
      const lines = await forge.blame(project, at, params.path, { signal });
      return jsonAnswer(200, blameDocument(at, params.path, lines));
    },
  ),
];

const ROOT_DIGITS = 16;

/** The tag says the tree too: a project restored from a backup comes to a position twice. */
function renderHead(head: HeadInfo): Omit<RenderedHead, "head"> {
  return {
    etag: `"${head.position}-${head.root.slice(0, ROOT_DIGITS)}"`,
    text: JSON.stringify(headDocument(head)),
  };
}

function formatOf(accept: string | undefined): "json" | "patch" {
  return chooseType(accept, ["application/json", PATCH_TYPE]) === PATCH_TYPE ? "patch" : "json";
}
