/**
 * Finds what a project's webhooks are to be told of its sessions. Sessions have no log: one that was noticed is read
 * and compared with what each webhook was told; those of other processes are found by listing the open ones.
 */
import type { Clock } from "../../core/base/clock.ts";
import { isMicError } from "../../core/base/errors.ts";
import type { ProjectId, SessionId } from "../../core/base/ids.ts";
import type { Forge, ProjectInfo, Session, SessionSummary } from "../../core/forge/forge.ts";
import { sessionMessage, type WebhookMessage } from "./payloads.ts";
import { differs, sessionStep, wantsSessions } from "./session-steps.ts";
import type { Webhook, WebhookId } from "./webhook.ts";
import { SESSIONS_MAX, type ToldSession, WAITING_MAX, type WebhookStore } from "./webhook-store.ts";

/** Between two listings of the open sessions. */
export const LIST_MS = 60_000;
/** A session that changes all the time is read this often: it may be large. */
const READ_MS = 1_000;
/** Pages of a listing; where there are more sessions, those behind are found by notices only. */
const PAGES_MAX = 20;
/** Sessions that are read in one turn. */
const READ_MAX = 50;
const NOTICED_MAX = 10_000;

export interface SessionFinderOptions {
  readonly project: ProjectId;
  readonly forge: Pick<Forge, "getSession" | "listSessions">;
  readonly store: WebhookStore;
  readonly clock: Clock;
  readonly onMessages: (webhook: WebhookId) => void;
}

type Told = Map<string, ToldSession>;

export class SessionFinder {
  readonly #options: SessionFinderOptions;
  /** When they are to be read. */
  readonly #due = new Map<SessionId, number>();
  readonly #readAt = new Map<SessionId, number>();
  #listAt = 0;
  #isWanted = true;

  constructor(options: SessionFinderOptions) {
    this.#options = options;
  }

  /** False where nobody wants to know. */
  notice(session: SessionId): boolean {
    if (!this.#isWanted || this.#due.has(session)) return false;
    if (this.#due.size >= NOTICED_MAX) return false;
    const nowMs = this.#options.clock.nowMs();
    const readAtMs = this.#readAt.get(session);
    this.#due.set(session, readAtMs === undefined ? nowMs : Math.min(nowMs, readAtMs) + READ_MS);
    return true;
  }

  /** Milliseconds after which there is something to do. */
  async read(
    webhooks: readonly Webhook[],
    project: () => Promise<ProjectInfo>,
    signal: AbortSignal,
  ): Promise<number> {
    const { store, clock } = this.#options;
    const wanting = webhooks.filter(wantsSessions);
    this.#isWanted = wanting.length > 0;
    if (!this.#isWanted) {
      this.#due.clear();
      return Number.POSITIVE_INFINITY;
    }
    const told = new Map(wanting.map(({ id }) => [id, new Map(store.toldSessions(id))]));
    const startedMs = clock.nowMs();
    if (startedMs >= this.#listAt || this.#listAt - startedMs > LIST_MS) {
      await this.#findChanged(wanting, told, signal);
      this.#listAt = clock.nowMs() + LIST_MS;
    }
    const hasRoom = wanting.filter(({ id }) => store.countWaiting(id) < WAITING_MAX);
    let reads = 0;
    for (const [session, dueMs] of this.#due) {
      if (hasRoom.length < wanting.length || reads >= READ_MAX) break;
      if (dueMs > clock.nowMs()) continue;
      reads++;
      this.#due.delete(session);
      await this.#tell(wanting, told, session, project, signal);
    }
    return this.#nextMs(reads >= READ_MAX, hasRoom.length < wanting.length);
  }

  #nextMs(hasMore: boolean, isFull: boolean): number {
    const nowMs = this.#options.clock.nowMs();
    for (const [session, atMs] of this.#readAt) if (nowMs - atMs > READ_MS) this.#readAt.delete(session);
    // Where there is no room, the end of a delivery is a notice.
    if (isFull) return Number.POSITIVE_INFINITY;
    if (hasMore) return 0;
    let nextMs = this.#listAt - nowMs;
    for (const dueMs of this.#due.values()) nextMs = Math.min(nextMs, dueMs - nowMs);
    return Math.max(0, nextMs);
  }

  async #tell(
    webhooks: readonly Webhook[],
    told: ReadonlyMap<WebhookId, Told>,
    id: SessionId,
    project: () => Promise<ProjectInfo>,
    signal: AbortSignal,
  ): Promise<void> {
    const { store, clock, onMessages } = this.#options;
    const session = await this.#find(id, signal);
    const nowMs = clock.nowMs();
    this.#readAt.set(id, nowMs);
    for (const webhook of webhooks) {
      const known = told.get(webhook.id)!;
      const step = sessionStep(webhook, known.get(id), session, nowMs);
      if (step.kind === "later") this.#due.set(id, nowMs + step.delayMs);
      if (step.kind !== "told") continue;
      const { event } = step;
      const messages: WebhookMessage[] = [];
      if (event !== undefined && session !== undefined && webhook.events.includes(event)) {
        messages.push(sessionMessage(await project(), event, session));
      }
      store.addMessages(webhook, { messages, sessions: new Map([[id, step.told]]) }, nowMs);
      if (step.told === undefined) known.delete(id);
      else known.set(id, step.told);
      if (messages.length > 0) onMessages(webhook.id);
    }
  }

  async #find(id: SessionId, signal: AbortSignal): Promise<Session | undefined> {
    const { forge, project } = this.#options;
    try {
      return await forge.getSession(project, id, { signal });
    } catch (error) {
      if (isMicError(error, "not-found") && error.data["missingPack"] === undefined) return undefined;
      throw error;
    }
  }

  /** Marks those that some webhook was not told of as they are. */
  async #findChanged(
    webhooks: readonly Webhook[],
    told: ReadonlyMap<WebhookId, Told>,
    signal: AbortSignal,
  ): Promise<void> {
    const nowMs = this.#options.clock.nowMs();
    const mark = (session: SessionId): void => {
      if (!this.#due.has(session)) this.#due.set(session, nowMs);
    };
    const open = new Set<string>();
    const isWhole = await this.#listOpen((session) => {
      open.add(session.id);
      for (const { id, createdAtMs } of webhooks) {
        const known = told.get(id)!;
        const last = known.get(session.id);
        const isNews =
          last === undefined
            ? session.updatedAtMs >= createdAtMs && known.size < SESSIONS_MAX
            : differs(last, session);
        if (isNews) mark(session.id);
      }
    }, signal);
    if (!isWhole) return;
    for (const known of told.values()) {
      for (const id of known.keys()) if (!open.has(id)) mark(id as SessionId);
    }
  }

  /** False where there were too many. */
  async #listOpen(take: (session: SessionSummary) => void, signal: AbortSignal): Promise<boolean> {
    const { forge, project } = this.#options;
    let after: string | undefined;
    for (let pages = 0; pages < PAGES_MAX; pages++) {
      const request = { state: "open" as const, ...(after === undefined ? {} : { after }) };
      const page = await forge.listSessions(project, request, { signal });
      page.items.forEach(take);
      if (page.next === undefined) return true;
      after = page.next;
    }
    return false;
  }
}
