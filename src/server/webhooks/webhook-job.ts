/**
 * Runs the feeds and queues of all webhooks, on the server that keeps the accounts: a follower, which cannot write
 * them, does nothing, until it becomes the primary.
 */
import type { Clock } from "../../core/base/clock.ts";
import type { Position, ProjectId, SessionId } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import type { ServerLog } from "../context.ts";
import type { ChangeNotices } from "../live/events.ts";
import type { Outbound } from "../network/outbound.ts";
import { DeliveryQueue, type DeliveryQueueOptions } from "./delivery-queue.ts";
import { Places } from "./places.ts";
import { ProjectFeed, type ProjectFeedOptions } from "./project-feed.ts";
import type { Webhook, WebhookId } from "./webhook.ts";
import type { WebhookStore } from "./webhook-store.ts";

/** Attempts under way at a time. */
const FAST_MAX = 24;
const SLOW_MAX = 8;
/** Projects that are read at a time. */
const READING_MAX = 4;

export interface WebhookJobOptions {
  readonly store: WebhookStore;
  readonly forge: ProjectFeedOptions["forge"];
  readonly outbound: Pick<Outbound, "fetch">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
  readonly userAgent: string;
  readonly backlogMax?: number;
  readonly trace?: NonNullable<DeliveryQueueOptions["trace"]>;
  readonly onAttempt: DeliveryQueueOptions["onAttempt"];
  /** The server stopped one by itself. */
  readonly onStopped: (webhook: Webhook, because: string) => void;
}

export class WebhookJob implements ChangeNotices, AsyncDisposable {
  readonly #options: WebhookJobOptions;
  readonly #feeds = new Map<ProjectId, ProjectFeed>();
  readonly #queues = new Map<WebhookId, DeliveryQueue>();
  readonly #places = { fast: new Places(FAST_MAX), slow: new Places(SLOW_MAX) };
  readonly #reading = new Places(READING_MAX);
  /** Those that ended by themselves, or are ending. */
  readonly #ending = new Set<Promise<void>>();
  #isRunning = false;
  #isOver = false;
  #stopWatching: (() => void) | undefined;

  constructor(options: WebhookJobOptions) {
    this.#options = options;
  }

  /** Goes on where the server stopped, or another primary did; from here on it follows the server's role. */
  start(): void {
    if (this.#isOver || this.#stopWatching !== undefined) return;
    this.#stopWatching = this.#options.store.onChange(() => this.#followRole());
    this.#followRole();
  }

  landed(project: ProjectId, position: Position): void {
    this.#feeds.get(project)?.landed(position);
  }

  sessionChanged(project: ProjectId, session: SessionId): void {
    this.#feeds.get(project)?.sessionChanged(session);
  }

  /** Webhooks of the project were made or changed. */
  changed(project: ProjectId): void {
    if (!this.#isRunning) return;
    const feed = this.#feeds.get(project);
    if (feed !== undefined) {
      feed.notice();
      return;
    }
    const { store, forge, clock, random, log, backlogMax } = this.#options;
    const made: ProjectFeed = new ProjectFeed({
      project,
      store,
      forge,
      clock,
      random,
      log,
      ...(backlogMax === undefined ? {} : { backlogMax }),
      feeds: () => this.#feeds.size,
      enter: (signal) => this.#reading.enter(signal),
      onMessages: (webhook) => this.kick(webhook),
      onStopped: (webhook, because) => this.#stop(webhook, because),
      onIdle: () => {
        if (this.#feeds.get(project) === made) this.#feeds.delete(project);
      },
    });
    this.#feeds.set(project, made);
  }

  /** Something waits to be delivered. */
  kick(webhook: WebhookId): void {
    if (this.#isRunning) this.#queue(webhook).kick();
  }

  removed(webhook: WebhookId): void {
    const queue = this.#queues.get(webhook);
    if (queue === undefined) return;
    this.#queues.delete(webhook);
    this.#end(queue);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    this.#stopWatching?.();
    this.#halt();
    await Promise.all(this.#ending);
  }

  #followRole(): void {
    if (this.#options.store.isReadOnly) this.#halt();
    else if (!this.#isRunning && !this.#isOver) this.#begin();
  }

  #begin(): void {
    this.#isRunning = true;
    const { store } = this.#options;
    for (const project of store.activeProjects()) this.changed(project);
    for (const webhook of store.webhooksWithWaiting()) this.#queue(webhook).kick();
  }

  /** An attempt that is under way is made again, by whoever delivers next. */
  #halt(): void {
    this.#isRunning = false;
    for (const feed of this.#feeds.values()) this.#end(feed);
    for (const queue of this.#queues.values()) this.#end(queue);
    this.#feeds.clear();
    this.#queues.clear();
  }

  #end(part: AsyncDisposable): void {
    const ended = Promise.resolve(part[Symbol.asyncDispose]()).finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
  }

  #stop(webhook: Webhook, because: string): void {
    const { store, onStopped, log } = this.#options;
    store.stop(webhook.id, because);
    log.warn("webhook-stopped", { webhook: webhook.id, project: webhook.project, because });
    onStopped(webhook, because);
  }

  #queue(webhook: WebhookId): DeliveryQueue {
    const known = this.#queues.get(webhook);
    if (known !== undefined) return known;
    const { store, outbound, clock, random, log, userAgent, trace, onAttempt } = this.#options;
    const queue = new DeliveryQueue({
      webhook,
      store,
      outbound,
      clock,
      random,
      log,
      places: this.#places,
      userAgent,
      ...(trace === undefined ? {} : { trace }),
      onAttempt,
      onSettled: ({ project }) => this.#feeds.get(project)?.notice(),
      onStopped: (stopped, because) => this.#stop(stopped, because),
    });
    this.#queues.set(webhook, queue);
    return queue;
  }
}
