/** What a webhook is told of a session, from what it was told before. */
import type { Session, SessionSummary } from "../../core/forge/forge.ts";
import type { Webhook, WebhookEvent } from "./webhook.ts";
import type { ToldSession } from "./webhook-store.ts";

/** Of one session, `session.changed` comes at most this often. */
export const CHANGED_MS = 5_000;

/** Those that are found by looking at sessions; `session.landed` comes from the log. */
const SESSION_EVENTS: readonly WebhookEvent[] = ["session.started", "session.changed", "session.abandoned"];

export function wantsSessions({ events }: Pick<Webhook, "events">): boolean {
  return SESSION_EVENTS.some((event) => events.includes(event));
}

export type SessionStep =
  | { readonly kind: "nothing" }
  /** `event` may be one that the webhook did not ask for. */
  | {
      readonly kind: "told";
      readonly event: WebhookEvent | undefined;
      readonly told: ToldSession | undefined;
    }
  /** Too soon after the last one. */
  | { readonly kind: "later"; readonly delayMs: number };

type Seen = Pick<Session, "state" | "createdAtMs" | "updatedAtMs">;

export function sessionStep(
  { createdAtMs }: Pick<Webhook, "createdAtMs">,
  told: ToldSession | undefined,
  session: Seen | undefined,
  nowMs: number,
): SessionStep {
  if (session === undefined || session.state === "landed") {
    return told === undefined ? { kind: "nothing" } : { kind: "told", event: undefined, told: undefined };
  }
  if (session.state === "abandoned") {
    const isNews = told !== undefined || session.updatedAtMs >= createdAtMs;
    return isNews ? { kind: "told", event: "session.abandoned", told: undefined } : { kind: "nothing" };
  }
  if (told !== undefined && !differs(told, session)) return { kind: "nothing" };
  const now = { updatedAtMs: session.updatedAtMs, state: session.state, toldAtMs: nowMs };
  if (told === undefined) {
    if (session.createdAtMs >= createdAtMs) return { kind: "told", event: "session.started", told: now };
    const event = session.updatedAtMs >= createdAtMs ? "session.changed" : undefined;
    return { kind: "told", event, told: now };
  }
  const sinceMs = nowMs - told.toldAtMs;
  // A clock that was set back must not silence it.
  if (sinceMs >= 0 && sinceMs < CHANGED_MS) return { kind: "later", delayMs: CHANGED_MS - sinceMs };
  return { kind: "told", event: "session.changed", told: now };
}

export function differs(told: ToldSession, session: Pick<SessionSummary, "state" | "updatedAtMs">): boolean {
  return told.updatedAtMs !== session.updatedAtMs || told.state !== session.state;
}
