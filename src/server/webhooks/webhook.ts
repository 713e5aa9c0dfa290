/** A project's webhooks: an address that is told of its landings and sessions. */
import { isIP } from "node:net";
import { MicError } from "../../core/base/errors.ts";
import type { Position, ProjectId } from "../../core/base/ids.ts";
import type { UserId } from "../auth/principal.ts";
import { parseOutboundUrl } from "../network/outbound.ts";

export const WEBHOOK_EVENTS = [
  "landing.created",
  "session.started",
  "session.changed",
  "session.landed",
  "session.abandoned",
] as const;

export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number];

/** 32 hex digits. */
export type WebhookId = string;

export interface Webhook {
  readonly id: WebhookId;
  readonly project: ProjectId;
  /** Without a user and a fragment. Its path and query may be secret: it is shown to the project's owners only. */
  readonly url: string;
  /** In the order of WEBHOOK_EVENTS, each once. */
  readonly events: readonly WebhookEvent[];
  readonly isActive: boolean;
  /** Why it was stopped, when the server did it. */
  readonly stoppedBecause: string | undefined;
  readonly createdBy: UserId;
  /** Unix milliseconds. */
  readonly createdAtMs: number;
  /** Landings up to it were taken for delivery. */
  readonly position: Position;
}

/** `event`: in its turn, with retries. The others were asked for by somebody: at once, and only once. */
export type DeliveryKind = "event" | "redelivery" | "ping";

/** One message and what became of it. */
export interface Delivery {
  readonly id: string;
  /** The message's own id, the same when it is sent again: receivers tell by it what they have. */
  readonly message: string;
  readonly webhook: WebhookId;
  readonly kind: DeliveryKind;
  readonly event: WebhookEvent | "ping";
  /** JSON, as it is sent. */
  readonly payload: string;
  readonly createdAtMs: number;
  readonly attempts: number;
  /** Undefined: no further attempt is made. */
  readonly nextAttemptAtMs: number | undefined;
  /** HTTP status of the last attempt, where there was an answer. */
  readonly status: number | undefined;
  /** Why the last attempt failed. */
  readonly error: string | undefined;
  /** Of the last attempt. */
  readonly durationMs: number | undefined;
  readonly deliveredAtMs: number | undefined;
}

export type DeliveryState = "pending" | "delivered" | "failed";

export function stateOf({ nextAttemptAtMs, deliveredAtMs }: Delivery): DeliveryState {
  if (deliveredAtMs !== undefined) return "delivered";
  return nextAttemptAtMs === undefined ? "failed" : "pending";
}

/** Of one project. */
export const WEBHOOKS_MAX = 20;
const URL_CHARACTERS_MAX = 2048;

/** Errors: `usage`. What the address leads to is checked whenever something is sent (../network/outbound.ts). */
export function parseWebhookUrl(text: string): string {
  const url = parseOutboundUrl(text);
  if (url.href.length > URL_CHARACTERS_MAX) {
    throw new MicError("usage", `a webhook's address has at most ${URL_CHARACTERS_MAX} characters`);
  }
  return url.href;
}

/** What may be logged of an address: where it leads, without the path. */
export function originOf(url: string): string {
  return new URL(url).origin;
}

/** True where what is sent can be read on the way. */
export function isUnencrypted(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  if (protocol === "https:") return false;
  return !(isIP(hostname) === 4
    ? hostname.startsWith("127.")
    : hostname === "localhost" || hostname === "[::1]");
}

/** Errors: `usage` for none. */
export function parseWebhookEvents(events: readonly WebhookEvent[]): readonly WebhookEvent[] {
  const chosen = WEBHOOK_EVENTS.filter((event) => events.includes(event));
  if (chosen.length === 0) {
    throw new MicError("usage", "a webhook needs at least one event", {
      hint: `one of ${WEBHOOK_EVENTS.join(", ")}`,
    });
  }
  return chosen;
}
