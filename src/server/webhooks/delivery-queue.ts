/**
 * Delivers the messages of one webhook: in their order, one at a time, each until it is delivered or given up. What
 * somebody asked for besides (a ping, a redelivery) does not wait for them. Everything is in the database before and
 * after an attempt, so that a crash repeats one attempt at most.
 */
import type { Clock } from "../../core/base/clock.ts";
import { isMicError } from "../../core/base/errors.ts";
import type { Random } from "../../core/base/random.ts";
import type { ServerLog } from "../context.ts";
import type { Outbound } from "../network/outbound.ts";
import type { Places } from "./places.ts";
import { GIVEN_UP_MAX, judge, type Outcome, parseRetryAfter } from "./retry.ts";
import { signatureHeaders } from "./signature.ts";
import { type Delivery, originOf, type Webhook, type WebhookId } from "./webhook.ts";
import type { WebhookStore } from "./webhook-store.ts";

/** For one attempt, from the name to the answer. */
export const ATTEMPT_MS_MAX = 10_000;
/** A receiver that took longer waits among others like it. */
const SLOW_MS = 2_000;
/** Of an answer: nobody looks at it. */
const ANSWER_BYTES_MAX = 16 << 10;
/** Longer than any delay: the clock was set back. */
const DELAY_MS_MAX = 24 * 3_600_000;

export type DeliveryResult = "delivered" | "retried" | "given-up" | "gone";

export interface DeliveryQueueOptions {
  readonly webhook: WebhookId;
  readonly store: WebhookStore;
  readonly outbound: Pick<Outbound, "fetch">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
  /** For those that answer quickly, and for the others. */
  readonly places: { readonly fast: Places; readonly slow: Places };
  /** `mic/1.2.3`. */
  readonly userAgent: string;
  /** Further headers of an attempt, such as those of a trace; `done` is called at its end. */
  readonly trace?: (webhook: Webhook, delivery: Delivery) => AttemptTrace;
  readonly onAttempt: (result: DeliveryResult, seconds: number) => void;
  /** There is room for more. */
  readonly onSettled: (webhook: Webhook) => void;
  readonly onStopped: (webhook: Webhook, because: string) => void;
}

export interface AttemptTrace {
  readonly headers: Readonly<Record<string, string>>;
  readonly done: (outcome: Outcome) => void;
}

type Lane = "in-turn" | "out-of-turn";

export class DeliveryQueue implements AsyncDisposable {
  readonly #options: DeliveryQueueOptions;
  readonly #stop = new AbortController();
  readonly #lanes = new Map<
    Lane,
    { pause: AbortController | undefined; isStale: boolean; done: Promise<void> }
  >();
  #lastMs = 0;

  constructor(options: DeliveryQueueOptions) {
    this.#options = options;
  }

  /** There may be something to deliver. */
  kick(): void {
    if (this.#stop.signal.aborted) return;
    for (const lane of ["in-turn", "out-of-turn"] as const) {
      const running = this.#lanes.get(lane);
      if (running === undefined) this.#start(lane);
      else {
        running.isStale = true;
        running.pause?.abort();
      }
    }
  }

  /** An attempt that is under way is made again at the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#lanes.values()].map(({ done }) => done));
  }

  #start(lane: Lane): void {
    const state = { pause: undefined, isStale: false, done: Promise.resolve() };
    this.#lanes.set(lane, state);
    state.done = this.#run(lane).catch((error: unknown) => {
      this.#lanes.delete(lane);
      if (this.#stop.signal.aborted) return;
      this.#options.log.error("webhook-queue", { webhook: this.#options.webhook, error });
    });
  }

  async #run(lane: Lane): Promise<void> {
    const { store, clock, webhook: id } = this.#options;
    const state = this.#lanes.get(lane)!;
    // Whatever is written before the lane is known to run is seen by it.
    await Promise.resolve();
    while (!this.#stop.signal.aborted) {
      state.isStale = false;
      const webhook = store.get(id);
      const delivery = store.nextWaiting(id, lane);
      if (webhook === undefined || delivery === undefined || (lane === "in-turn" && !webhook.isActive)) {
        this.#lanes.delete(lane);
        return;
      }
      const waitMs = delivery.nextAttemptAtMs! - clock.nowMs();
      if (waitMs > 0 && waitMs < DELAY_MS_MAX) {
        if (!state.isStale) await this.#wait(state, waitMs);
      } else await this.#attempt(webhook, delivery);
    }
  }

  async #wait(state: { pause: AbortController | undefined }, waitMs: number): Promise<void> {
    const pause = new AbortController();
    state.pause = pause;
    try {
      await this.#options.clock.sleep(waitMs, AbortSignal.any([pause.signal, this.#stop.signal]));
    } catch (error) {
      if (!isMicError(error, "aborted")) throw error;
    } finally {
      state.pause = undefined;
    }
  }

  async #attempt(webhook: Webhook, delivery: Delivery): Promise<void> {
    const { clock, places, trace } = this.#options;
    const { signal } = this.#stop;
    using _place = await (this.#lastMs > SLOW_MS ? places.slow : places.fast).enter(signal);
    const startedMs = clock.nowMs();
    const tracing = trace?.(webhook, delivery);
    const outcome = await this.#send(webhook, delivery, tracing?.headers ?? {});
    tracing?.done(outcome);
    if (signal.aborted) return;
    this.#lastMs = Math.max(0, clock.nowMs() - startedMs);
    this.#settle(webhook, delivery, outcome, this.#lastMs);
  }

  async #send(
    webhook: Webhook,
    { message, payload }: Delivery,
    traceHeaders: Readonly<Record<string, string>>,
  ): Promise<Outcome> {
    const { store, outbound, clock, userAgent } = this.#options;
    const nowMs = clock.nowMs();
    const signed = signatureHeaders(
      { id: message, atMs: nowMs, body: payload },
      store.secrets(webhook.id, nowMs),
    );
    try {
      const answer = await outbound.fetch(webhook.url, {
        method: "POST",
        headers: { ...traceHeaders, ...signed, "content-type": "application/json", "user-agent": userAgent },
        body: payload,
        bytesMax: ANSWER_BYTES_MAX,
        overflow: "cut",
        timeoutMs: ATTEMPT_MS_MAX,
        signal: this.#stop.signal,
      });
      const retryAfterMs = parseRetryAfter(answer.headers["retry-after"], clock.nowMs());
      return { kind: "answered", status: answer.status, retryAfterMs };
    } catch (error) {
      return { kind: "failed", error: isMicError(error) ? error.message : "the request failed" };
    }
  }

  #settle(webhook: Webhook, delivery: Delivery, outcome: Outcome, durationMs: number): void {
    const { store, clock, random, onAttempt, onSettled, onStopped } = this.#options;
    const attempts = delivery.attempts + 1;
    const judged = judge(outcome, attempts, random);
    const verdict =
      judged.kind === "again" && delivery.kind !== "event" ? { kind: "given-up" as const } : judged;
    const nowMs = clock.nowMs();
    const givenUp = store.attempted(
      delivery,
      {
        status: outcome.kind === "answered" ? outcome.status : undefined,
        error: verdict.kind === "delivered" ? undefined : errorOf(outcome),
        durationMs,
        nextAttemptAtMs: verdict.kind === "again" ? nowMs + verdict.delayMs : undefined,
        isDelivered: verdict.kind === "delivered",
      },
      nowMs,
    );
    onAttempt(verdict.kind === "again" ? "retried" : verdict.kind, durationMs / 1000);
    if (verdict.kind !== "delivered") this.#report(webhook, delivery, outcome, attempts);
    if (verdict.kind === "gone" && delivery.kind === "event")
      onStopped(webhook, "the receiver answered 410 Gone");
    else if (givenUp >= GIVEN_UP_MAX) {
      onStopped(
        webhook,
        `${givenUp} messages in a row could not be delivered; the last: ${errorOf(outcome)}`,
      );
    }
    if (verdict.kind !== "again") onSettled(webhook);
  }

  #report(webhook: Webhook, delivery: Delivery, outcome: Outcome, attempts: number): void {
    this.#options.log.warn("webhook-attempt", {
      webhook: webhook.id,
      project: webhook.project,
      // The path may be a secret.
      receiver: originOf(webhook.url),
      delivery: delivery.id,
      event: delivery.event,
      attempts,
      problem: errorOf(outcome),
    });
  }
}

function errorOf(outcome: Outcome): string {
  return outcome.kind === "answered" ? `the receiver answered ${outcome.status}` : outcome.error;
}
