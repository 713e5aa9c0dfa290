/** What webhooks send: `{ "type", "timestamp", "data" }`, the documents those of REST with long texts cut. */
import type { LandingSummary, ProjectInfo, Session } from "../../core/forge/forge.ts";
import { landingSummaryDocument, recordedDocument, timeOf } from "../rest/documents.ts";
import type { WebhookEvent } from "./webhook.ts";

/** Of goals, in UTF-16 units: a goal may be a MiB. */
const TEXT_CHARACTERS_MAX = 16_384;

/** An event for one webhook, before it has a delivery. */
export interface WebhookMessage {
  readonly event: WebhookEvent;
  /** What tells the event from every other one of the project: the same if it is found a second time. */
  readonly key: string;
  readonly payload: string;
}

type NamedProject = Pick<ProjectInfo, "id" | "name">;

/** `missed`: landings before it that are not told, because too many waited. */
export function landingMessage(
  project: NamedProject,
  landing: LandingSummary,
  missed: number,
): WebhookMessage {
  const document = { ...landingSummaryDocument(landing), goal: cut(landing.goal) };
  return {
    event: "landing.created",
    key: `landing.created ${landing.position} ${landing.landingId}`,
    payload: payloadOf("landing.created", landing.timeMs, project, {
      landing: document,
      ...(missed === 0 ? {} : { missed }),
    }),
  };
}

/** Of the log: what the session's object says besides is not looked up, and there may be none. */
export function sessionLandedMessage(project: NamedProject, landing: LandingSummary): WebhookMessage {
  const { session, goal, position, author, agent } = landing;
  return {
    event: "session.landed",
    key: `session.landed ${position} ${landing.landingId}`,
    payload: payloadOf("session.landed", landing.timeMs, project, {
      session: { id: session, goal: cut(goal), state: "landed", landedAt: position, author, agent },
    }),
  };
}

export function sessionMessage(project: NamedProject, event: WebhookEvent, session: Session): WebhookMessage {
  return {
    event,
    key: `${event} ${session.id} ${session.updatedAtMs} ${session.state}`,
    payload: payloadOf(event, session.updatedAtMs, project, {
      session: { ...recordedDocument(session), goal: cut(session.goal) },
    }),
  };
}

export function pingPayload(project: NamedProject, webhook: string, nowMs: number): string {
  return payloadOf("ping", nowMs, project, { webhook });
}

function payloadOf(
  type: string,
  atMs: number,
  { id, name }: NamedProject,
  data: Readonly<Record<string, unknown>>,
): string {
  return JSON.stringify({ type, timestamp: timeOf(atMs), data: { project: { id, name }, ...data } });
}

function cut(text: string): string {
  return text.length <= TEXT_CHARACTERS_MAX ? text : `${text.slice(0, TEXT_CHARACTERS_MAX).toWellFormed()}…`;
}
