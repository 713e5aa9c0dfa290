/** Live streams: the landings of a project, and what a session records. */
import { z } from "zod";
import type { Position, ProjectId, SessionId } from "../../../core/base/ids.ts";
import type { LandingSummary } from "../../../core/forge/forge.ts";
import type { LiveEvents, SessionEvent } from "../../live/live-events.ts";
import { parseSessionCursor } from "../../live/session-feed.ts";
import { checked } from "../checked.ts";
import { landingSummaryDocument, operationDocument, sessionSummaryDocument } from "../documents.ts";
import { EVENT_STREAM_TYPE, eventStreamAnswer, type StreamEvent } from "../event-stream.ts";
import * as parameters from "../parameters.ts";
import { type Call, defineRoute, type Route } from "../route.ts";

const PROJECT = "/api/mic/projects/{project}";
const tag = "live";
const HOW =
  "Server-sent events. Each has an `id`: sent back as `Last-Event-ID`, or as `after`, the stream goes on behind " +
  "it. Comments keep the connection open.";

export const liveRoutes: readonly Route[] = [
  defineRoute(
    {
      method: "GET",
      path: `${PROJECT}/landings/events`,
      id: "followLandings",
      tag,
      access: "project-read",
      summary: "Landings as they happen",
      description: `${HOW} Every \`landing\` has a LandingSummary as its data. Without a cursor: from now on.`,
      params: z.object({ project: parameters.projectParameter }),
      query: z.strictObject({
        after: parameters.optionalPosition.describe(
          "Only landings above this position, those of the past first",
        ),
      }),
      answers: [{ status: 200, description: "The stream", type: EVENT_STREAM_TYPE }],
      errors: ["not-found", "out-of-range"],
    },
    async (call) => {
      const { forge, state, query } = call;
      const project = await call.project();
      const head = await forge.getHead(project);
      const cursor = lastEventId(call);
      const after =
        cursor === undefined ? query.after : checked(parameters.optionalPosition, cursor, "Last-Event-ID");
      if (after !== undefined) await forge.getPosition(project, after);
      return await eventStreamAnswer(call, (signal) =>
        landingEvents(state.context.events, project, after ?? head.position, signal),
      );
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${PROJECT}/sessions/{session}/events`,
      id: "followSession",
      tag,
      access: "project-read",
      summary: "What a session records, as it happens",
      description:
        `${HOW} \`session\` has a SessionSummary, \`operations\` an array of Operation, \`decision\` a text, ` +
        "`message` a Message, `state` the state and where it landed; the stream ends with the session. Without a " +
        "cursor: from its beginning.",
      params: z.object({ project: parameters.projectParameter, session: parameters.sessionParameter }),
      query: z.strictObject({ after: z.string().max(1024).optional().describe("The id of an event") }),
      answers: [
        { status: 200, description: "The stream", type: EVENT_STREAM_TYPE },
        { status: 204, description: "It ended with the event that the cursor names: do not come back" },
      ],
      errors: ["not-found"],
    },
    async (call) => {
      const { forge, state, query, params } = call;
      const project = await call.project();
      const session = await forge.getSession(project, params.session);
      const cursor = lastEventId(call) ?? query.after;
      if (cursor !== undefined) parseSessionCursor(cursor);
      return await eventStreamAnswer(
        call,
        (signal) => sessionEvents(state.context.events, project, params.session, cursor, signal),
        { isOver: session.state === "landed" || session.state === "abandoned" },
      );
    },
  ),
];

function lastEventId(call: Call<unknown, unknown, unknown>): string | undefined {
  const header = call.request.headers["last-event-id"];
  return typeof header === "string" && header !== "" ? header : undefined;
}

async function* landingEvents(
  events: LiveEvents,
  project: ProjectId,
  after: Position,
  signal: AbortSignal,
): AsyncGenerator<StreamEvent> {
  for await (const landing of events.landings(project, after, signal)) yield landingEvent(landing);
}

function landingEvent(landing: LandingSummary): StreamEvent {
  return { id: String(landing.position), event: "landing", data: landingSummaryDocument(landing) };
}

async function* sessionEvents(
  events: LiveEvents,
  project: ProjectId,
  session: SessionId,
  cursor: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<StreamEvent> {
  for await (const event of events.session(project, session, cursor, signal)) {
    yield { id: event.id, event: event.kind, data: dataOf(event) };
  }
}

function dataOf(event: SessionEvent): unknown {
  switch (event.kind) {
    case "session":
      return sessionSummaryDocument(event.session);
    case "operations":
      return event.operations.map(operationDocument);
    case "decision":
      return { text: event.text };
    case "message":
      return event.message;
    case "state":
      return event.landedAt === undefined
        ? { state: event.state }
        : { state: event.state, landedAt: event.landedAt };
  }
}
