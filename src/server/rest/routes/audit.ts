/** The audit log, for administrators of the site. */
import { z } from "zod";
import * as shapes from "../account-documents.ts";
import { auditDocument } from "../account-documents.ts";
import { jsonAnswer } from "../answer.ts";
import * as parameters from "../parameters.ts";
import { type Call, defineRoute, type Route } from "../route.ts";

const timeParameter = z.iso.datetime({ offset: true }).optional();
const auditQuery = z.strictObject({
  account: z.string().optional().describe("Name of a user; empty: nobody had signed in"),
  action: z.string().optional().describe("`token.created`; with a final dot, all of a noun: `token.`"),
  target: z.string().optional().describe("`user:NAME`, `token:ID`, `project:ID`, `organization:NAME`"),
  since: timeParameter,
  until: timeParameter.describe("Not including it"),
  before: parameters.parameter(
    { type: "string", description: "`next` of the page before" },
    z.string().max(40).optional(),
  ),
  limit: parameters.limitParameter(100, 1000),
});

export const auditRoutes: readonly Route[] = [
  defineRoute(
    {
      method: "GET",
      path: "/api/mic/audit",
      id: "listAudit",
      tag: "users",
      access: "site-admin",
      // Followers have no records of accounts: the primary is asked.
      changesAccounts: true,
      summary: "Who did what, from where, with which token; newest first",
      query: auditQuery,
      answers: [{ status: 200, description: "A page", schema: shapes.auditPage }],
    },
    (call) => auditPage(call),
  ),
  defineRoute(
    {
      method: "GET",
      path: "/api/mic/audit/landings",
      id: "listLandingAudit",
      tag: "users",
      access: "site-admin",
      summary:
        "Who landed and imported what through this very server, also one that follows another; newest first",
      query: auditQuery,
      answers: [{ status: 200, description: "A page", schema: shapes.auditPage }],
    },
    (call) => auditPage(call, "landings"),
  ),
];

function auditPage({ state, query }: Call<unknown, z.output<typeof auditQuery>, unknown>, log?: "landings") {
  const { account, action, target, since, until, before, limit } = query;
  const { records, next } = state.context.audit.list({
    limit,
    ...(log === undefined ? {} : { log }),
    ...(account === undefined ? {} : { account }),
    ...(action === undefined ? {} : { action }),
    ...(target === undefined ? {} : { target }),
    ...(since === undefined ? {} : { sinceMs: Date.parse(since) }),
    ...(until === undefined ? {} : { untilMs: Date.parse(until) }),
    ...(before === undefined ? {} : { before }),
  });
  return jsonAnswer(200, { items: records.map(auditDocument), ...(next === undefined ? {} : { next }) });
}
