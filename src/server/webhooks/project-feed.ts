/**
 * Finds what a project's webhooks are to be told, from the log and the sessions, and writes it down as messages with
 * how far it came: whoever lands or records, through which server or none, is seen, also what happened while nobody
 * looked. It reads at every notice, and once in a while without one.
 */
import type { Clock } from "../../core/base/clock.ts";
import { isMicError } from "../../core/base/errors.ts";
import type { Position, ProjectId, SessionId } from "../../core/base/ids.ts";
import { type Random, randomFraction } from "../../core/base/random.ts";
import type { Forge, LandingSummary, ProjectInfo } from "../../core/forge/forge.ts";
import type { ServerLog } from "../context.ts";
import { landingMessage, sessionLandedMessage, type WebhookMessage } from "./payloads.ts";
import { SessionFinder } from "./session-finder.ts";
import type { Webhook, WebhookId } from "./webhook.ts";
import { WAITING_MAX, type WebhookStore } from "./webhook-store.ts";

/** Landings that are made up for at most, after a time in which nothing could be told. */
export const BACKLOG_MAX = 1000;
/** Between reads without a notice: how late what passes this server by is told. */
export const POLL_MS = 5_000;
/** All projects together are read at most so often without a notice. */
const POLLS_PER_SECOND = 20;
const FAILURE_DELAY_MS_MAX = 300_000;

export interface ProjectFeedOptions {
  readonly project: ProjectId;
  readonly forge: Pick<Forge, "getHead" | "getProject" | "listLandings" | "getSession" | "listSessions">;
  readonly store: WebhookStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
  /** Default: BACKLOG_MAX. */
  readonly backlogMax?: number;
  /** Projects that have a feed. */
  readonly feeds: () => number;
  /** Waits for one of the places of those who read. */
  readonly enter: (signal: AbortSignal) => Promise<Disposable>;
  readonly onMessages: (webhook: WebhookId) => void;
  readonly onStopped: (webhook: Webhook, because: string) => void;
  /** No webhook is left: it has ended. */
  readonly onIdle: () => void;
}

export class ProjectFeed implements AsyncDisposable {
  readonly #options: ProjectFeedOptions;
  readonly #stop = new AbortController();
  readonly #sessions: SessionFinder;
  readonly #running: Promise<void>;
  #pause: AbortController | undefined;
  #isStale = false;
  #failures = 0;
  #told = 0;
  #info: ProjectInfo | undefined;

  constructor(options: ProjectFeedOptions) {
    this.#options = options;
    this.#sessions = new SessionFinder(options);
    this.#running = this.#run();
  }

  /** Something may have changed. */
  notice(): void {
    this.#isStale = true;
    this.#pause?.abort();
  }

  landed(position: Position): void {
    this.#told = Math.max(this.#told, position);
    this.notice();
  }

  sessionChanged(session: SessionId): void {
    if (this.#sessions.notice(session)) this.notice();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    // After the constructor.
    await Promise.resolve();
    while (!signal.aborted) {
      this.#isStale = false;
      let delayMs = this.#pollMs();
      try {
        using _place = await this.#options.enter(signal);
        const next = await this.#read(signal);
        if (next === "idle") {
          this.#options.onIdle();
          return;
        }
        this.#failures = 0;
        delayMs = Math.min(delayMs, next);
      } catch (error) {
        if (signal.aborted) return;
        if (this.#isGone(error)) return;
        this.#failures++;
        delayMs = Math.min(POLL_MS * 2 ** Math.min(this.#failures, 10), FAILURE_DELAY_MS_MAX);
        this.#isStale = false;
        this.#report(error);
      }
      if (!this.#isStale) await this.#wait(delayMs);
    }
  }

  #pollMs(): number {
    const { random, feeds } = this.#options;
    const leastMs = Math.max(POLL_MS, (feeds() * 1000) / POLLS_PER_SECOND);
    return Math.round(leastMs * (0.9 + 0.2 * randomFraction(random)));
  }

  /** Milliseconds after which there is something to do, whatever happens. */
  async #read(signal: AbortSignal): Promise<number | "idle"> {
    const { store, project } = this.#options;
    const webhooks = store.list(project).filter(({ isActive }) => isActive);
    if (webhooks.length === 0) return "idle";
    this.#info = undefined;
    const forLandings = webhooks.filter(wantsLandings);
    if (forLandings.length > 0) {
      const head = await this.#head(forLandings, signal);
      for (const webhook of forLandings) await this.#readLandings(webhook, head, signal);
    }
    return await this.#sessions.read(webhooks, () => this.#project(signal), signal);
  }

  async #head(webhooks: readonly Webhook[], signal: AbortSignal): Promise<Position> {
    const told = this.#told;
    this.#told = 0;
    if (webhooks.some(({ position }) => told > position)) return told as Position;
    return (await this.#options.forge.getHead(this.#options.project, { signal })).position;
  }

  async #readLandings(webhook: Webhook, head: Position, signal: AbortSignal): Promise<void> {
    const { store, clock, log, project, onMessages, backlogMax = BACKLOG_MAX } = this.#options;
    const { position } = webhook;
    if (position > head) {
      // Told by a notice, another webhook may be ahead; what the store says counts.
      const { position: stored } = await this.#options.forge.getHead(project, { signal });
      if (position <= stored) return;
      log.warn("webhook-history", { webhook: webhook.id, project, position, head: stored });
      store.moveTo(webhook.id, stored);
      return;
    }
    const room = WAITING_MAX - store.countWaiting(webhook.id);
    if (position === head || room < 2) return;
    const missed = Math.max(0, head - position - backlogMax);
    const after = (position + missed) as Position;
    const upTo = Math.min(head, after + Math.floor(room / 2)) as Position;
    const landings = await this.#logBetween(after, upTo, signal);
    const info = await this.#project(signal);
    const messages = landings.flatMap((landing, i) =>
      messagesOf(info, webhook, landing, i === 0 ? missed : 0),
    );
    store.addMessages(webhook, { messages, position: upTo }, clock.nowMs());
    onMessages(webhook.id);
    if (upTo < head) this.#isStale = true;
  }

  /** Of (after, upTo], oldest first. */
  async #logBetween(after: Position, upTo: Position, signal: AbortSignal): Promise<LandingSummary[]> {
    const { forge, project } = this.#options;
    const landings: LandingSummary[] = [];
    for await (const page of forge.listLandings(project, { after, upTo }, { signal })) landings.push(...page);
    return landings.reverse();
  }

  async #project(signal: AbortSignal): Promise<ProjectInfo> {
    this.#info ??= await this.#options.forge.getProject(this.#options.project, { signal });
    return this.#info;
  }

  /** The project was deleted: its webhooks have nothing more to tell. */
  #isGone(error: unknown): boolean {
    if (!isMicError(error, "not-found") || error.data["missingPack"] !== undefined) return false;
    const { store, project, onStopped, onIdle } = this.#options;
    for (const webhook of store.list(project)) {
      if (webhook.isActive) onStopped(webhook, "the project is gone");
    }
    onIdle();
    return true;
  }

  #report(error: unknown): void {
    const { log, project } = this.#options;
    log.warn("webhook-feed", {
      project,
      code: isMicError(error) ? error.code : "internal",
      message: error instanceof Error ? error.message : String(error),
    });
  }

  async #wait(delayMs: number): Promise<void> {
    const pause = new AbortController();
    this.#pause = pause;
    const { clock } = this.#options;
    try {
      await clock.sleep(delayMs, AbortSignal.any([pause.signal, this.#stop.signal]));
    } catch (error) {
      if (!isMicError(error, "aborted")) throw error;
    } finally {
      this.#pause = undefined;
    }
  }
}

export function wantsLandings({ events }: Pick<Webhook, "events">): boolean {
  return events.includes("landing.created") || events.includes("session.landed");
}

function messagesOf(
  project: ProjectInfo,
  { events }: Webhook,
  landing: LandingSummary,
  missed: number,
): readonly WebhookMessage[] {
  return [
    ...(events.includes("landing.created") ? [landingMessage(project, landing, missed)] : []),
    ...(events.includes("session.landed") ? [sessionLandedMessage(project, landing)] : []),
  ];
}
