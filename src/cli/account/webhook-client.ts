/** A project's webhooks over a server's REST interface. */
import { MicError } from "../../core/base/errors.ts";
import type { TokenSource } from "../../core/remote/channel.ts";
import type { RestCall, RestClient } from "../../core/remote/rest-client.ts";

export const WEBHOOK_EVENTS = [
  "landing.created",
  "session.started",
  "session.changed",
  "session.landed",
  "session.abandoned",
] as const;

/** As the server gives them; times are RFC 3339. */
export interface WebhookDocument {
  readonly id: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly active: boolean;
  readonly stoppedBecause?: string;
  readonly createdBy: string;
  readonly createdAt: string;
  /** Only where it was just made. */
  readonly secret?: string;
}

export interface DeliveryDocument {
  readonly id: string;
  readonly message: string;
  readonly kind: string;
  readonly event: string;
  readonly state: "pending" | "delivered" | "failed";
  readonly createdAt: string;
  readonly attempts: number;
  readonly nextAttemptAt?: string;
  readonly status?: number;
  readonly error?: string;
  readonly durationMs?: number;
  readonly deliveredAt?: string;
}

export interface WebhookChange {
  readonly url?: string;
  readonly events?: readonly string[];
  readonly active?: boolean;
  readonly newSecret?: true;
}

export interface WebhookClientOptions {
  readonly rest: RestClient;
  readonly token: TokenSource | undefined;
  /** An id. */
  readonly project: string;
  readonly signal: AbortSignal;
}

const PAGE_LIMIT = 100;

/** Errors: those of the server, `unreachable`, `corrupt` for an answer that is none. */
export class WebhookClient {
  readonly #options: WebhookClientOptions;

  constructor(options: WebhookClientOptions) {
    this.#options = options;
  }

  async list(): Promise<readonly WebhookDocument[]> {
    return itemsOf(await this.#call("GET", ""), readWebhook);
  }

  async create(url: string, events: readonly string[]): Promise<WebhookDocument> {
    return readWebhook(await this.#call("POST", "", { url, events }));
  }

  async change(id: string, change: WebhookChange): Promise<WebhookDocument> {
    return readWebhook(await this.#call("PATCH", `/${id}`, change));
  }

  async remove(id: string): Promise<void> {
    await this.#call("DELETE", `/${id}`);
  }

  async ping(id: string): Promise<DeliveryDocument> {
    return readDelivery(await this.#call("POST", `/${id}/ping`));
  }

  async redeliver(id: string, delivery: string): Promise<DeliveryDocument> {
    return readDelivery(await this.#call("POST", `/${id}/deliveries/${delivery}/redeliver`));
  }

  async delivery(id: string, delivery: string): Promise<DeliveryDocument> {
    return readDelivery(await this.#call("GET", `/${id}/deliveries/${delivery}`));
  }

  /** Newest first, at most so many. */
  async *deliveries(id: string, most: number): AsyncGenerator<DeliveryDocument> {
    let left = most;
    let after = "";
    while (left > 0) {
      const limit = Math.min(left, PAGE_LIMIT);
      const page = await this.#call("GET", `/${id}/deliveries?limit=${limit}${after}`);
      const items = itemsOf(page, readDelivery);
      yield* items;
      left -= items.length;
      const { next } = page as { readonly next?: unknown };
      if (typeof next !== "string" || items.length === 0) return;
      after = `&after=${encodeURIComponent(next)}`;
    }
  }

  async #call(method: RestCall["method"], path: string, body?: unknown): Promise<unknown> {
    const { rest, token, project, signal } = this.#options;
    const call = {
      method,
      path: `/api/mic/projects/${encodeURIComponent(project)}/webhooks${path}`,
      token,
      signal,
    };
    return await rest.call(body === undefined ? call : { ...call, body });
  }
}

type Members = Readonly<Record<string, unknown>>;

function itemsOf<Item>(value: unknown, read: (item: unknown) => Item): readonly Item[] {
  const { items } = (value ?? {}) as Members;
  if (!Array.isArray(items)) throw wrong("a list");
  return items.map(read);
}

function readWebhook(value: unknown): WebhookDocument {
  const webhook = (value ?? {}) as Members;
  const { events } = webhook;
  if (!hasTexts(webhook, ["id", "url", "createdBy", "createdAt"])) throw wrong("a webhook");
  if (!Array.isArray(events) || typeof webhook["active"] !== "boolean") throw wrong("a webhook");
  return { ...(webhook as unknown as WebhookDocument), events: events.map(String) };
}

function readDelivery(value: unknown): DeliveryDocument {
  const delivery = (value ?? {}) as Members;
  if (!hasTexts(delivery, ["id", "event", "state", "createdAt"])) throw wrong("a delivery");
  if (typeof delivery["attempts"] !== "number") throw wrong("a delivery");
  return delivery as unknown as DeliveryDocument;
}

function hasTexts(value: Members, names: readonly string[]): boolean {
  return names.every((name) => typeof value[name] === "string");
}

function wrong(what: string): MicError {
  return new MicError("corrupt", `what the server says is not ${what}`, {
    hint: "check the address; if it is right, the server is broken or of another version",
  });
}
