/** A project's webhooks as its owners manage them. Who may is for the caller to have asked. */
import { bytesToHex } from "../../core/base/bytes.ts";
import type { Clock } from "../../core/base/clock.ts";
import { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import type { Forge } from "../../core/forge/forge.ts";
import type { UserId } from "../auth/principal.ts";
import type { Outbound } from "../network/outbound.ts";
import { pingPayload } from "./payloads.ts";
import { wantsLandings } from "./project-feed.ts";
import { mintWebhookSecret } from "./signature.ts";
import {
  type Delivery,
  parseWebhookEvents,
  parseWebhookUrl,
  stateOf,
  WEBHOOKS_MAX,
  type Webhook,
  type WebhookEvent,
  type WebhookId,
} from "./webhook.ts";
import type { WebhookJob } from "./webhook-job.ts";
import type { WebhookStore } from "./webhook-store.ts";

/** How long the secret before also signs. */
const PREVIOUS_SECRET_MS = 24 * 3_600_000;
/** Of pings and redeliveries that wait, by webhook. */
const ASKED_FOR_MAX = 10;

export interface CreateWebhook {
  readonly url: string;
  readonly events: readonly WebhookEvent[];
  readonly createdBy: UserId;
}

export interface ChangeWebhook {
  readonly url?: string;
  readonly events?: readonly WebhookEvent[];
  /** One that was stopped goes on where it was: what happened since is made up for. */
  readonly isActive?: boolean;
  readonly newSecret?: boolean;
}

/** The secret is shown by the call that makes it, and never again. */
export interface MadeWebhook {
  readonly webhook: Webhook;
  readonly secret: string | undefined;
}

export interface WebhooksOptions {
  readonly store: WebhookStore;
  readonly job: Pick<WebhookJob, "changed" | "kick" | "removed">;
  readonly forge: Pick<Forge, "getHead" | "getProject">;
  readonly outbound: Pick<Outbound, "check">;
  readonly clock: Clock;
  readonly random: Random;
}

export class Webhooks {
  readonly #options: WebhooksOptions;

  constructor(options: WebhooksOptions) {
    this.#options = options;
  }

  list(project: ProjectId): readonly Webhook[] {
    return this.#options.store.list(project);
  }

  /** Errors: `not-found`. */
  get(project: ProjectId, id: WebhookId): Webhook {
    const webhook = this.#options.store.get(id);
    if (webhook === undefined || webhook.project !== project) {
      throw new MicError("not-found", "the project has no such webhook", {
        hint: "see `mic project webhook list`",
      });
    }
    return webhook;
  }

  /** Told is what happens from now on. Errors: `usage`, `forbidden` for an address that is not public. */
  async create(project: ProjectId, request: CreateWebhook): Promise<MadeWebhook> {
    const { store, job, forge, clock, random } = this.#options;
    const events = parseWebhookEvents(request.events);
    const url = await this.#checkUrl(request.url);
    const { position } = await forge.getHead(project);
    if (store.list(project).length >= WEBHOOKS_MAX) {
      throw new MicError("usage", `a project has at most ${WEBHOOKS_MAX} webhooks`, {
        hint: "remove one first",
      });
    }
    const webhook: Webhook = {
      id: bytesToHex(random.bytes(16)),
      project,
      url,
      events,
      isActive: true,
      stoppedBecause: undefined,
      createdBy: request.createdBy,
      createdAtMs: clock.nowMs(),
      position,
    };
    const secret = mintWebhookSecret(random);
    store.add(webhook, secret);
    job.changed(project);
    return { webhook, secret };
  }

  /** Errors: `not-found`, `usage`, `forbidden`. */
  async change(project: ProjectId, id: WebhookId, change: ChangeWebhook): Promise<MadeWebhook> {
    const { store, job, forge, clock, random } = this.#options;
    const before = this.get(project, id);
    const events = change.events === undefined ? undefined : parseWebhookEvents(change.events);
    const url = change.url === undefined ? undefined : await this.#checkUrl(change.url);
    if (events !== undefined && !wantsLandings(before) && wantsLandings({ events })) {
      store.moveTo(id, (await forge.getHead(project)).position);
    }
    store.change(id, {
      ...(url === undefined ? {} : { url }),
      ...(events === undefined ? {} : { events }),
      ...(change.isActive === undefined ? {} : { isActive: change.isActive }),
    });
    let secret: string | undefined;
    if (change.newSecret === true) {
      secret = mintWebhookSecret(random);
      store.replaceSecret(id, secret, clock.nowMs() + PREVIOUS_SECRET_MS);
    }
    job.changed(project);
    job.kick(id);
    return { webhook: this.get(project, id), secret };
  }

  /** Errors: `not-found`. */
  remove(project: ProjectId, id: WebhookId): void {
    const { store, job } = this.#options;
    this.get(project, id);
    store.remove(id);
    job.removed(id);
    job.changed(project);
  }

  /** Newest first. Errors: `not-found`. */
  listDeliveries(
    project: ProjectId,
    id: WebhookId,
    page: { readonly before?: number | undefined; readonly limit: number },
  ): { readonly items: readonly Delivery[]; readonly next: number | undefined } {
    this.get(project, id);
    return this.#options.store.listDeliveries(id, page);
  }

  /** Errors: `not-found`. */
  getDelivery(project: ProjectId, id: WebhookId, delivery: string): Delivery {
    this.get(project, id);
    const found = this.#options.store.getDelivery(id, delivery);
    if (found !== undefined) return found;
    throw new MicError("not-found", "the webhook has no such delivery", {
      hint: "the last 200 are remembered, for 30 days",
    });
  }

  /** Sends the same message again, once, whether or not the webhook is active. Errors: `not-found`, `pending`. */
  redeliver(project: ProjectId, id: WebhookId, delivery: string): Delivery {
    const sent = this.getDelivery(project, id, delivery);
    if (sent.kind !== "event" && stateOf(sent) === "pending") {
      throw new MicError("pending", "it is being sent", { hint: "look again in a moment" });
    }
    const { message, event, payload } = sent;
    return this.#addOne(this.get(project, id), { message, event, payload, kind: "redelivery" });
  }

  /** Errors: `not-found`, `pending`. */
  async ping(project: ProjectId, id: WebhookId): Promise<Delivery> {
    const { forge, clock, random } = this.#options;
    const webhook = this.get(project, id);
    const payload = pingPayload(await forge.getProject(project), id, clock.nowMs());
    return this.#addOne(webhook, {
      message: bytesToHex(random.bytes(16)),
      event: "ping",
      payload,
      kind: "ping",
    });
  }

  #addOne(webhook: Webhook, one: Pick<Delivery, "message" | "event" | "payload" | "kind">): Delivery {
    const { store, job, clock, random } = this.#options;
    if (store.countAskedFor(webhook.id) >= ASKED_FOR_MAX) {
      throw new MicError("pending", `${ASKED_FOR_MAX} are being sent already`, {
        hint: "look again in a moment",
      });
    }
    const added = store.addOne(webhook, { ...one, id: bytesToHex(random.bytes(16)) }, clock.nowMs());
    job.kick(webhook.id);
    return added;
  }

  /** It is resolved now, too: who writes it is told at once. Errors: `usage`, `forbidden`. */
  async #checkUrl(text: string): Promise<string> {
    const url = parseWebhookUrl(text);
    try {
      await this.#options.outbound.check(url);
    } catch (error) {
      // A name that has no address today may have one tomorrow.
      if (!(error instanceof MicError) || error.code !== "unreachable") throw error;
    }
    return url;
  }
}
