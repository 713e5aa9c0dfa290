/**
 * Webhooks in the auth database, how far they are and their deliveries in the records beside it. Secrets stand there as
 * they are, because they must sign: the file is for its owner only (docs/adr/0134-webhooks.md).
 */
import type Database from "better-sqlite3";
import { utf8 } from "../../core/base/bytes.ts";
import { MicError } from "../../core/base/errors.ts";
import { hashObject } from "../../core/base/hash.ts";
import type { Position, ProjectId } from "../../core/base/ids.ts";
import type { AuthDatabase } from "../auth/database/auth-database.ts";
import type { WebhookMessage } from "./payloads.ts";
import type { Delivery, Webhook, WebhookId } from "./webhook.ts";
import { type DeliveryRow, type ToldRow, toDelivery, toWebhook, type WebhookRow } from "./webhook-rows.ts";

/** Messages of one webhook that wait at a time; what follows is still in the log. */
export const WAITING_MAX = 100;
/** Deliveries of one webhook that are remembered, beside those that wait. */
export const REMEMBERED_MAX = 200;
export const REMEMBERED_MS: number = 30 * 24 * 3_600_000;
/** Open sessions of which a webhook is told changes. */
export const SESSIONS_MAX = 1000;

/** What a webhook was last told of a session. */
export interface ToldSession {
  readonly updatedAtMs: number;
  readonly state: string;
  readonly toldAtMs: number;
}

export interface Attempt {
  readonly status: number | undefined;
  readonly error: string | undefined;
  readonly durationMs: number;
  /** Undefined: there is no further one. */
  readonly nextAttemptAtMs: number | undefined;
  readonly isDelivered: boolean;
}

export interface NewMessages {
  readonly messages: readonly WebhookMessage[];
  /** Landings up to it are in `messages`, or not asked for. */
  readonly position?: Position;
  /** Undefined: it is open no more. */
  readonly sessions?: ReadonlyMap<string, ToldSession | undefined>;
}

/** Where it began, until it got further. */
const WITH_PROGRESS = `SELECT webhooks.*, coalesce(webhook_progress.position, webhooks.position) AS reached
  FROM webhooks LEFT JOIN webhook_progress ON webhook_id = webhooks.id`;

export class WebhookStore {
  readonly #database: AuthDatabase;

  constructor(database: AuthDatabase) {
    this.#database = database;
  }

  get isReadOnly(): boolean {
    return this.#database.isReadOnly;
  }

  /** At least whenever `isReadOnly` changed. Returns what ends it. */
  onChange(listener: () => void): () => void {
    return this.#database.onWrite(listener);
  }

  // Webhooks

  add(webhook: Webhook, secret: string): void {
    this.#database.write((sql) =>
      sql
        .prepare(
          "INSERT INTO webhooks (id, project_id, url, events, secret, is_active, created_by, created_at, position) VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?)",
        )
        .run(
          webhook.id,
          webhook.project,
          webhook.url,
          JSON.stringify(webhook.events),
          secret,
          webhook.createdBy,
          webhook.createdAtMs,
          webhook.position,
        ),
    );
  }

  /** Waking a webhook forgets why it was stopped. */
  change(id: WebhookId, change: Partial<Pick<Webhook, "url" | "events" | "isActive">>): void {
    const { url, events, isActive } = change;
    this.#database.write((sql) => {
      if (url !== undefined) sql.prepare("UPDATE webhooks SET url = ? WHERE id = ?").run(url, id);
      if (events !== undefined) {
        sql.prepare("UPDATE webhooks SET events = ? WHERE id = ?").run(JSON.stringify(events), id);
      }
      if (isActive !== undefined) {
        sql
          .prepare("UPDATE webhooks SET is_active = ?, stopped_because = NULL WHERE id = ?")
          .run(isActive ? 1 : 0, id);
        sql.prepare("UPDATE webhook_progress SET given_up = 0 WHERE webhook_id = ?").run(id);
      }
    });
  }

  replaceSecret(id: WebhookId, secret: string, previousUntilMs: number): void {
    this.#database.write((sql) =>
      sql
        .prepare(
          "UPDATE webhooks SET previous_secret = secret, previous_secret_until = ?, secret = ? WHERE id = ?",
        )
        .run(previousUntilMs, secret, id),
    );
  }

  /** With its deliveries. */
  remove(id: WebhookId): void {
    this.#database.write((sql) => {
      sql.prepare("DELETE FROM webhooks WHERE id = ?").run(id);
      // And what the end of a machine left of others: the two files are replicated each on its own.
      for (const table of ["deliveries", "webhook_sessions", "webhook_progress"]) {
        sql.prepare(`DELETE FROM ${table} WHERE webhook_id NOT IN (SELECT id FROM webhooks)`).run();
      }
    });
  }

  get(id: WebhookId): Webhook | undefined {
    const row = this.#database.prepare(`${WITH_PROGRESS} WHERE id = ?`).get(id);
    return row === undefined ? undefined : toWebhook(row as WebhookRow);
  }

  /** In the order in which they were made. */
  list(project: ProjectId): readonly Webhook[] {
    const rows = this.#database
      .prepare(`${WITH_PROGRESS} WHERE project_id = ? ORDER BY created_at, id`)
      .all(project);
    return (rows as WebhookRow[]).map(toWebhook);
  }

  /** Those that sign now, the newest first. */
  secrets(id: WebhookId, nowMs: number): readonly string[] {
    const row = this.#database
      .prepare("SELECT secret, previous_secret, previous_secret_until FROM webhooks WHERE id = ?")
      .get(id) as Pick<WebhookRow, "secret" | "previous_secret" | "previous_secret_until"> | undefined;
    if (row === undefined) return [];
    const { secret, previous_secret: previous, previous_secret_until: until } = row;
    return previous !== null && until !== null && until > nowMs ? [secret, previous] : [secret];
  }

  activeProjects(): readonly ProjectId[] {
    return this.#database
      .prepare("SELECT DISTINCT project_id FROM webhooks WHERE is_active = 1")
      .pluck()
      .all() as ProjectId[];
  }

  moveTo(id: WebhookId, position: Position): void {
    this.#change((sql) => reach(sql, id, position));
  }

  stop(id: WebhookId, because: string): void {
    this.#database.write((sql) =>
      sql.prepare("UPDATE webhooks SET is_active = 0, stopped_because = ? WHERE id = ?").run(because, id),
    );
  }

  // Messages

  /** All or nothing, with how far they go; one that is there already is not added again. */
  addMessages(webhook: Webhook, { messages, position, sessions }: NewMessages, nowMs: number): void {
    this.#change((sql) => {
      if (this.get(webhook.id) === undefined) return;
      const insert = sql.prepare(
        "INSERT OR IGNORE INTO deliveries (id, message, webhook_id, kind, event, payload, created_at, next_attempt_at) VALUES (?, ?, ?, 'event', ?, ?, ?, ?)",
      );
      for (const { event, key, payload } of messages) {
        const id = messageId(webhook, key);
        insert.run(id, id, webhook.id, event, payload, nowMs, nowMs);
      }
      if (position !== undefined) reach(sql, webhook.id, position);
      if (sessions !== undefined) tellSessions(sql, webhook.id, sessions);
    });
  }

  toldSessions(id: WebhookId): ReadonlyMap<string, ToldSession> {
    const rows = this.#database.prepare("SELECT * FROM webhook_sessions WHERE webhook_id = ?").all(id);
    return new Map(
      (rows as ToldRow[]).map(({ session_id, updated_at, state, told_at }) => [
        session_id,
        { updatedAtMs: updated_at, state, toldAtMs: told_at },
      ]),
    );
  }

  /** Sent once, out of turn. */
  addOne(
    webhook: Webhook,
    one: Pick<Delivery, "id" | "message" | "kind" | "event" | "payload">,
    nowMs: number,
  ): Delivery {
    this.#change((sql) =>
      sql
        .prepare(
          "INSERT INTO deliveries (id, message, webhook_id, kind, event, payload, created_at, next_attempt_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .run(one.id, one.message, webhook.id, one.kind, one.event, one.payload, nowMs, nowMs),
    );
    return this.getDelivery(webhook.id, one.id)!;
  }

  countWaiting(id: WebhookId): number {
    return this.#database
      .prepare(
        "SELECT count(*) FROM deliveries WHERE webhook_id = ? AND next_attempt_at IS NOT NULL AND kind = 'event'",
      )
      .pluck()
      .get(id) as number;
  }

  /** Of all webhooks. */
  countAllWaiting(): number {
    return this.#database.prepare(`SELECT count(*) ${WAITING}`).pluck().get() as number;
  }

  /** Pings and redeliveries. */
  countAskedFor(id: WebhookId): number {
    return this.#database
      .prepare(
        "SELECT count(*) FROM deliveries WHERE webhook_id = ? AND next_attempt_at IS NOT NULL AND kind <> 'event'",
      )
      .pluck()
      .get(id) as number;
  }

  /** What comes next: in turn, or what was asked for out of turn. */
  nextWaiting(id: WebhookId, lane: "in-turn" | "out-of-turn"): Delivery | undefined {
    const operator = lane === "in-turn" ? "=" : "<>";
    const row = this.#database
      .prepare(
        `SELECT * FROM deliveries WHERE webhook_id = ? AND next_attempt_at IS NOT NULL AND kind ${operator} 'event' ORDER BY number LIMIT 1`,
      )
      .get(id);
    return row === undefined ? undefined : toDelivery(row as DeliveryRow);
  }

  webhooksWithWaiting(): readonly WebhookId[] {
    return this.#database.prepare(`SELECT DISTINCT webhook_id ${WAITING}`).pluck().all() as WebhookId[];
  }

  /** Messages in a row that were given up, this one included. Forgets the oldest of what is done. */
  attempted(delivery: Delivery, attempt: Attempt, nowMs: number): number {
    const { status, error, durationMs, nextAttemptAtMs, isDelivered } = attempt;
    return this.#change((sql) => {
      sql
        .prepare(
          "UPDATE deliveries SET attempts = attempts + 1, status = ?, error = ?, duration_ms = ?, next_attempt_at = ?, delivered_at = ? WHERE id = ?",
        )
        .run(
          status ?? null,
          error ?? null,
          Math.round(durationMs),
          nextAttemptAtMs ?? null,
          isDelivered ? nowMs : null,
          delivery.id,
        );
      if (nextAttemptAtMs !== undefined) return 0;
      forgetOldest(sql, delivery.webhook, nowMs);
      if (delivery.kind !== "event") return 0;
      const count = sql
        .prepare(
          `INSERT INTO webhook_progress SELECT id, position, ? FROM webhooks WHERE id = ?
           ON CONFLICT DO UPDATE SET given_up = ${isDelivered ? "0" : "given_up + 1"} RETURNING given_up`,
        )
        .pluck()
        .get(isDelivered ? 0 : 1, delivery.webhook);
      return (count as number | undefined) ?? 0;
    });
  }

  // Deliveries

  /** Newest first. `before`: the number of the last one of the page before. */
  listDeliveries(
    id: WebhookId,
    { before, limit }: { readonly before?: number | undefined; readonly limit: number },
  ): { readonly items: readonly Delivery[]; readonly next: number | undefined } {
    const rows = this.#database
      .prepare("SELECT * FROM deliveries WHERE webhook_id = ? AND number < ? ORDER BY number DESC LIMIT ?")
      .all(id, before ?? Number.MAX_SAFE_INTEGER, limit + 1) as DeliveryRow[];
    const items = rows.slice(0, limit);
    return { items: items.map(toDelivery), next: rows.length > limit ? items.at(-1)!.number : undefined };
  }

  getDelivery(webhook: WebhookId, id: string): Delivery | undefined {
    const row = this.#database
      .prepare("SELECT * FROM deliveries WHERE webhook_id = ? AND id = ?")
      .get(webhook, id);
    return row === undefined ? undefined : toDelivery(row as DeliveryRow);
  }

  /**
   * Of records. It does not wait for the disk, which holds everybody up for milliseconds: a power cut that takes the
   * last of these changes back leaves a state of before, from which messages are found and sent again, under the same
   * ids. A crash of the process takes nothing back.
   */
  #change<T>(change: (sql: Database.Database) => T): T {
    if (this.#database.isReadOnly) {
      throw new MicError("forbidden", "webhooks are delivered by the server that keeps the accounts");
    }
    return this.#database.writeRecords(change, "normal");
  }
}

/** Messages to be delivered; those of a webhook that is no more are not. */
const WAITING =
  "FROM deliveries WHERE next_attempt_at IS NOT NULL AND webhook_id IN (SELECT id FROM webhooks)";

function reach(sql: Database.Database, webhook: WebhookId, position: Position): void {
  sql
    .prepare(
      "INSERT INTO webhook_progress (webhook_id, position) VALUES (?, ?) ON CONFLICT DO UPDATE SET position = excluded.position",
    )
    .run(webhook, position);
}

/** The same for the same event: who finds it twice, after a backup was restored, sends it under the same id. */
function messageId({ id, project }: Webhook, key: string): string {
  return hashObject(utf8(`${id} ${project} ${key}`)).slice(0, 32);
}

function tellSessions(
  sql: Database.Database,
  webhook: WebhookId,
  sessions: ReadonlyMap<string, ToldSession | undefined>,
): void {
  const forget = sql.prepare("DELETE FROM webhook_sessions WHERE webhook_id = ? AND session_id = ?");
  const tell = sql.prepare("INSERT OR REPLACE INTO webhook_sessions VALUES (?, ?, ?, ?, ?)");
  for (const [session, told] of sessions) {
    if (told === undefined) forget.run(webhook, session);
    else tell.run(webhook, session, told.updatedAtMs, told.state, told.toldAtMs);
  }
  sql
    .prepare(
      "DELETE FROM webhook_sessions WHERE webhook_id = ? AND session_id IN (SELECT session_id FROM webhook_sessions WHERE webhook_id = ? ORDER BY updated_at DESC LIMIT -1 OFFSET ?)",
    )
    .run(webhook, webhook, SESSIONS_MAX);
}

function forgetOldest(sql: Database.Database, webhook: WebhookId, nowMs: number): void {
  sql
    .prepare(
      "DELETE FROM deliveries WHERE webhook_id = ? AND next_attempt_at IS NULL AND (created_at < ? OR number <= (SELECT number FROM deliveries WHERE webhook_id = ? AND next_attempt_at IS NULL ORDER BY number DESC LIMIT 1 OFFSET ?))",
    )
    .run(webhook, nowMs - REMEMBERED_MS, webhook, REMEMBERED_MAX);
}
