/** Rows of the tables of webhooks (../auth/database/), as what they stand for. */
import type { Position, ProjectId } from "../../core/base/ids.ts";
import type { Delivery, Webhook, WebhookEvent } from "./webhook.ts";

export interface WebhookRow {
  readonly id: string;
  readonly project_id: string;
  readonly url: string;
  readonly events: string;
  readonly secret: string;
  readonly previous_secret: string | null;
  readonly previous_secret_until: number | null;
  readonly is_active: number;
  readonly stopped_because: string | null;
  readonly created_by: string;
  readonly created_at: number;
  /** Landings up to it were taken. */
  readonly reached: number;
}

export interface DeliveryRow {
  readonly number: number;
  readonly id: string;
  readonly message: string;
  readonly webhook_id: string;
  readonly kind: Delivery["kind"];
  readonly event: Delivery["event"];
  readonly payload: string;
  readonly created_at: number;
  readonly attempts: number;
  readonly next_attempt_at: number | null;
  readonly status: number | null;
  readonly error: string | null;
  readonly duration_ms: number | null;
  readonly delivered_at: number | null;
}

export interface ToldRow {
  readonly session_id: string;
  readonly updated_at: number;
  readonly state: string;
  readonly told_at: number;
}

export function toWebhook(row: WebhookRow): Webhook {
  return {
    id: row.id,
    project: row.project_id as ProjectId,
    url: row.url,
    events: JSON.parse(row.events) as WebhookEvent[],
    isActive: row.is_active === 1,
    stoppedBecause: row.stopped_because ?? undefined,
    createdBy: row.created_by,
    createdAtMs: row.created_at,
    position: row.reached as Position,
  };
}

export function toDelivery(row: DeliveryRow): Delivery {
  return {
    id: row.id,
    message: row.message,
    webhook: row.webhook_id,
    kind: row.kind,
    event: row.event,
    payload: row.payload,
    createdAtMs: row.created_at,
    attempts: row.attempts,
    nextAttemptAtMs: row.next_attempt_at ?? undefined,
    status: row.status ?? undefined,
    error: row.error ?? undefined,
    durationMs: row.duration_ms ?? undefined,
    deliveredAtMs: row.delivered_at ?? undefined,
  };
}
