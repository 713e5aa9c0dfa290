/** `mic.v1.SessionService`. */
import { isMicError, MicError } from "../../core/base/errors.ts";
import type { LandingId, ProjectId } from "../../core/base/ids.ts";
import { mintLandingId, mintSessionId } from "../../core/base/random.ts";
import type { LandResult } from "../../core/forge/forge.ts";
import { conversationFromWire, operationFromWire, operationToWire } from "../../core/wire/common.ts";
import {
  type Landed,
  SessionServiceDefinition,
  type WatchSessionRequest,
  type SessionEvent as WireSessionEvent,
} from "../../core/wire/gen/mic/v1/sessions.ts";
import { landedToWire } from "../../core/wire/history.ts";
import { LandRequestReader } from "../../core/wire/land.ts";
import {
  landSessionFromWire,
  sessionIdFromWire,
  sessionSummaryToWire,
  sessionToWire,
  startSessionFromWire,
  stateFromWire,
  stateToWire,
} from "../../core/wire/sessions.ts";
import { auditedLanding } from "../landing-audit.ts";
import { nextLandingTurn } from "../landing-turn.ts";
import type { SessionEvent } from "../live/live-events.ts";
import { methodsOf, tunedUpload } from "./define-method.ts";
import { untilDraining } from "./live.ts";
import type { Method, MethodCall } from "./method.ts";
import { pageOf } from "./projects.ts";
import { readProjectUpload } from "./upload.ts";

const ACCESS = {
  startSession: "project-write",
  getSession: "project-read",
  listSessions: "project-read",
  recordOperation: "project-write",
  recordDecision: "project-write",
  recordConversation: "project-write",
  abandonSession: "project-write",
  landSession: "project-write",
  land: "project-write",
  watchSession: "project-read",
} as const;

export function sessionMethods(): Method[] {
  return methodsOf(SessionServiceDefinition, ACCESS, {
    startSession: async (request, call) => {
      const { context, principal, signal } = call;
      const mintId = () => mintSessionId(context.random);
      const project = await call.project(request.project);
      const wanted = startSessionFromWire(request, { mintId, owner: principal.account });
      return sessionToWire(await context.forge.startSession(project, wanted, { signal }));
    },
    getSession: async (request, call) => {
      const project = await call.project(request.project);
      const session = sessionIdFromWire(request.session);
      return sessionToWire(await call.context.forge.getSession(project, session, { signal: call.signal }));
    },
    listSessions: async (request, call) => {
      const project = await call.project(request.project);
      const state = stateFromWire(request.state);
      const { owner } = request;
      const wanted = {
        ...pageOf(request),
        ...(state === undefined ? {} : { state }),
        ...(owner === "" ? {} : { owner }),
      };
      const page = await call.context.forge.listSessions(project, wanted, { signal: call.signal });
      return { sessions: page.items.map(sessionSummaryToWire), next: page.next ?? "" };
    },
    recordOperation: async (request, call) => {
      const project = await call.project(request.project);
      const session = sessionIdFromWire(request.session);
      const operations = request.operations.map(operationFromWire);
      const { context, signal } = call;
      return sessionToWire(await context.forge.recordOperations(project, session, operations, { signal }));
    },
    recordDecision: async (request, call) => {
      const project = await call.project(request.project);
      const session = sessionIdFromWire(request.session);
      const { context, signal } = call;
      return sessionToWire(await context.forge.recordDecision(project, session, request.text, { signal }));
    },
    recordConversation: async (request, call) => {
      const project = await call.project(request.project);
      const session = sessionIdFromWire(request.session);
      const messages = conversationFromWire(request.messages);
      const { context, signal } = call;
      return sessionToWire(await context.forge.recordConversation(project, session, messages, { signal }));
    },
    abandonSession: async (request, call) => {
      const project = await call.project(request.project);
      const session = sessionIdFromWire(request.session);
      return sessionToWire(
        await call.context.forge.abandonSession(project, session, { signal: call.signal }),
      );
    },

    landSession: async (request, call) => {
      const { context, principal, signal } = call;
      const project = await call.project(request.project);
      const wanted = landSessionFromWire(request, {
        mintLandingId: () => mintLandingId(context.random),
        author: principal.account,
      });
      return await landed(call, project, wanted, () =>
        context.forge.landSession(project, wanted, { signal }),
      );
    },
    land: tunedUpload({}, land),

    watchSession: watchSession,
  });
}

async function land(requests: AsyncIterable<Uint8Array>, call: MethodCall): Promise<Landed> {
  const { context, principal, signal } = call;
  const reader = new LandRequestReader();
  const uploaded = await readProjectUpload(call, requests, reader);
  using _memory = uploaded.memory;
  const wanted = reader.finish({
    mintLandingId: () => mintLandingId(context.random),
    author: principal.account,
  });
  const { project } = uploaded;
  return await landed(call, project, wanted, () => context.forge.land(project, wanted, { signal }));
}

/** A caller that minted no landing id learns it from every failure, so that it can land again under it. */
async function landed(
  call: MethodCall,
  project: ProjectId,
  wanted: { readonly landingId: LandingId; readonly author: string; readonly agent: string },
  land: () => Promise<LandResult>,
): Promise<Landed> {
  const { landingId } = wanted;
  await nextLandingTurn();
  try {
    return landedToWire(await auditedLanding(call, project, wanted, land), landingId);
  } catch (error) {
    if (!isMicError(error) || error.code === "internal") throw error;
    const { code, message, hint, data, kind } = error;
    throw new MicError(code, message, {
      cause: error,
      data: { ...data, landingId },
      kind,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

async function* watchSession(
  request: WatchSessionRequest,
  call: MethodCall,
): AsyncGenerator<WireSessionEvent> {
  const project = await call.project(request.project);
  const session = sessionIdFromWire(request.session);
  const cursor = request.after === "" ? undefined : request.after;
  const { events } = call.context;
  for await (const event of untilDraining(call, (signal) =>
    events.session(project, session, cursor, signal),
  )) {
    yield { id: event.id, event: eventToWire(event) };
  }
}

function eventToWire(event: SessionEvent): NonNullable<WireSessionEvent["event"]> {
  switch (event.kind) {
    case "session":
      return { $case: "session", session: sessionSummaryToWire(event.session) };
    case "operations":
      return { $case: "operations", operations: { operations: event.operations.map(operationToWire) } };
    case "decision":
      return { $case: "decision", decision: event.text };
    case "message":
      return { $case: "message", message: event.message };
    case "state": {
      const landedAt = event.landedAt === undefined ? undefined : BigInt(event.landedAt);
      return { $case: "state", state: { state: stateToWire(event.state), landedAt } };
    }
  }
}
