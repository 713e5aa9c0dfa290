/** Sessions: work recorded step by step, and landed. */
import { z } from "zod";
import { isMicError, MicError } from "../../../core/base/errors.ts";
import type { LandingId, Position, ProjectId } from "../../../core/base/ids.ts";
import { mintLandingId, mintSessionId } from "../../../core/base/random.ts";
import type { Forge, LandResult, LandSession, Operation, PositionRef } from "../../../core/forge/forge.ts";
import { auditedLanding, type LandingCaller } from "../../landing-audit.ts";
import { nextLandingTurn } from "../../landing-turn.ts";
import { jsonAnswer } from "../answer.ts";
import * as bodies from "../bodies.ts";
import { recordedDocument, sessionDocument, sessionSummaryDocument } from "../documents.ts";
import * as parameters from "../parameters.ts";
import { defineRoute, type Route } from "../route.ts";
import * as shapes from "../schemas.ts";
import { pageRequest, positionRefOf } from "./support.ts";

const SESSIONS = "/api/mic/projects/{project}/sessions";
const SESSION = `${SESSIONS}/{session}`;
const tag = "sessions";

const projectParams = z.object({ project: parameters.projectParameter });
const sessionParams = z.object({
  project: parameters.projectParameter,
  session: parameters.sessionParameter,
});
const recorded = {
  status: 200,
  description: "The session after it, with how much it holds",
  schema: shapes.recordedSession,
};

export const sessionRoutes: readonly Route[] = [
  defineRoute(
    {
      method: "POST",
      path: SESSIONS,
      id: "startSession",
      tag,
      access: "project-write",
      summary: "Starts a session",
      description: "Sent again with the same `id`, goal and owner, it answers with the session that it made.",
      params: projectParams,
      body: { kind: "json", schema: bodies.startSessionBody },
      answers: [
        {
          status: 201,
          description: "The session",
          schema: shapes.session,
          headers: { location: "Where it is" },
        },
      ],
      errors: ["not-found", "already-exists", "history-changed", "out-of-range"],
    },
    async (call) => {
      const { forge, body, principal, state } = call;
      const project = await call.project();
      const session = await forge.startSession(project, {
        id: body.id ?? mintSessionId(state.context.random),
        goal: body.goal,
        owner: body.owner ?? principal.account,
        ...(await baseOf(forge, project, body)),
      });
      const location = `/api/mic/projects/${project}/sessions/${session.id}`;
      return jsonAnswer(201, sessionDocument(session), { location });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: SESSIONS,
      id: "listSessions",
      tag,
      access: "project-read",
      summary: "Sessions, in pages",
      params: projectParams,
      query: z.strictObject({
        state: shapes.sessionState.optional(),
        owner: z.string().optional(),
        after: parameters.afterParameter,
        limit: parameters.limitParameter(100, 1000),
      }),
      answers: [
        { status: 200, description: "A page", schema: shapes.pageOf("SessionPage", shapes.sessionSummary) },
      ],
      errors: ["not-found"],
    },
    async (call) => {
      const { state, owner } = call.query;
      const found = await call.forge.listSessions(await call.project(), {
        ...pageRequest(call.query),
        ...(state === undefined ? {} : { state }),
        ...(owner === undefined ? {} : { owner }),
      });
      return jsonAnswer(200, { ...found, items: found.items.map(sessionSummaryDocument) });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: SESSION,
      id: "getSession",
      tag,
      access: "project-read",
      summary: "A session with all that it recorded",
      params: sessionParams,
      answers: [{ status: 200, description: "The session", schema: shapes.session }],
      errors: ["not-found"],
    },
    async (call) =>
      jsonAnswer(
        200,
        sessionDocument(await call.forge.getSession(await call.project(), call.params.session)),
      ),
  ),
  defineRoute(
    {
      method: "POST",
      path: `${SESSION}/operations`,
      id: "recordOperations",
      tag,
      access: "project-write",
      summary: "Records operations; of two on one path the later counts",
      description:
        "Upload the content first (`POST …/blobs`), then put what that answered: `hash`, `size` and, where " +
        "there is one, `chunks`.",
      params: sessionParams,
      body: { kind: "json", schema: bodies.operationsBody },
      answers: [recorded],
      errors: ["not-found", "landed", "unsafe-path"],
    },
    async (call) => {
      const project = await call.project();
      const operations = await toOperations(call.forge, project, call.body.operations);
      const session = await call.forge.recordOperations(project, call.params.session, operations);
      return jsonAnswer(200, recordedDocument(session));
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: `${SESSION}/decisions`,
      id: "recordDecision",
      tag,
      access: "project-write",
      summary: "Records a decision",
      params: sessionParams,
      body: { kind: "json", schema: bodies.decisionBody },
      answers: [recorded],
      errors: ["not-found", "landed"],
    },
    async (call) => {
      const project = await call.project();
      const session = await call.forge.recordDecision(project, call.params.session, call.body.text);
      return jsonAnswer(200, recordedDocument(session));
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: `${SESSION}/conversation`,
      id: "recordConversation",
      tag,
      access: "project-write",
      summary: "Records messages of the conversation",
      params: sessionParams,
      body: { kind: "json", schema: bodies.conversationBody },
      answers: [recorded],
      errors: ["not-found", "landed"],
    },
    async (call) => {
      const project = await call.project();
      const { messages } = call.body;
      const session = await call.forge.recordConversation(project, call.params.session, messages);
      return jsonAnswer(200, recordedDocument(session));
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: `${SESSION}/abandon`,
      id: "abandonSession",
      tag,
      access: "project-write",
      summary: "Abandons a session; twice is harmless",
      params: sessionParams,
      body: { kind: "json", schema: bodies.abandonBody, optional: true },
      answers: [recorded],
      errors: ["not-found", "landed"],
    },
    async (call) => {
      const session = await call.forge.abandonSession(await call.project(), call.params.session);
      return jsonAnswer(200, recordedDocument(session));
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: `${SESSION}/land`,
      id: "landSession",
      tag,
      access: "project-write",
      summary: "Lands what a session recorded",
      description:
        "The answer is the next position of the project, or 409 with code `conflict` and `paths`: those that " +
        "others changed since the session's base. After 503 `outcome-unknown` land again with the `landingId` " +
        "of the problem.",
      params: sessionParams,
      body: { kind: "json", schema: bodies.landBody, optional: true },
      answers: [{ status: 200, description: "It landed", schema: shapes.landed }],
      errors: [
        "not-found",
        "conflict",
        "nothing-to-land",
        "landing-id-reused",
        "unsafe-path",
        "outcome-unknown",
      ],
    },
    async (call) => {
      const { body, principal, state, params, request } = call;
      const { context } = state;
      const project = await call.project();
      const landingId = body.landingId ?? mintLandingId(context.random);
      const caller = { context, principal, address: context.network.peerOf(request).address };
      const result = await land(call.forge, caller, project, {
        session: params.session,
        landingId,
        author: body.author ?? principal.account,
        agent: body.agent ?? "",
        ...(body.goal === undefined ? {} : { goal: body.goal }),
        ...(body.packs === undefined ? {} : { packs: body.packs }),
      });
      if (result.kind === "conflict") throw conflict(result.paths, landingId);
      const { position, root, session } = result;
      return jsonAnswer(200, { position, tree: root, session, landingId, conflicts: [] });
    },
  ),
];

async function baseOf(
  forge: Forge,
  project: ProjectId,
  body: z.output<typeof bodies.startSessionBody>,
): Promise<{ readonly base?: PositionRef }> {
  if (body.base === "latest" && body.tree === undefined) return {};
  const known = await positionRefOf(forge, project, body.base as Position | "latest");
  return { base: { position: known.position, root: body.tree ?? known.root } };
}

type GivenOperation = z.output<typeof bodies.operationsBody>["operations"][number];

async function toOperations(
  forge: Forge,
  project: ProjectId,
  given: readonly GivenOperation[],
): Promise<Operation[]> {
  const operations: Operation[] = [];
  for (const operation of given) {
    const { path } = operation;
    if (operation.op === "delete") {
      operations.push({ kind: "delete", path });
      continue;
    }
    const { kind, hash: id, chunks } = operation;
    const size = operation.size ?? (await sizeOf(forge, project, operation));
    const entry = { kind, size, id, ...(chunks === undefined ? {} : { chunks }) };
    operations.push({ kind: "put", path, entry, hint: 0 });
  }
  return operations;
}

async function sizeOf(
  forge: Forge,
  project: ProjectId,
  { hash: id, chunks, path }: Extract<GivenOperation, { op: "put" }>,
): Promise<number> {
  const found = await forge.findContent(project, { id, ...(chunks === undefined ? {} : { chunks }) });
  if (found !== undefined) return found.size;
  throw new MicError("not-found", `the content ${id} of ${JSON.stringify(path)} is not stored`, {
    hint: "upload it with POST …/blobs, and give `chunks` where that answered some",
    data: { paths: [path], object: id },
  });
}

/** A caller that minted no landing id learns it from every failure, so that it can land again under it. */
async function land(
  forge: Forge,
  caller: LandingCaller,
  project: ProjectId,
  request: LandSession,
): Promise<LandResult> {
  try {
    await nextLandingTurn();
    return await auditedLanding(caller, project, request, () => forge.landSession(project, request));
  } catch (error) {
    if (!isMicError(error) || error.code === "internal") throw error;
    const { code, message, hint, data, kind } = error;
    throw new MicError(code, message, {
      cause: error,
      data: { ...data, landingId: request.landingId },
      kind,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

const PATHS_NAMED = 3;

function conflict(paths: readonly string[], landingId: LandingId): MicError {
  const named = paths.slice(0, PATHS_NAMED).map((path) => JSON.stringify(path));
  const more = paths.length > PATHS_NAMED ? ` and ${paths.length - PATHS_NAMED} more` : "";
  return new MicError("conflict", `others changed ${named.join(", ")}${more} since the session's base`, {
    hint: "read the newest content of these paths, start a session at the newest position and land there",
    data: { paths, landingId },
  });
}
