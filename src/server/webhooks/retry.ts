/** When an attempt is made again, and when there is none any more. */
import { type Random, randomFraction } from "../../core/base/random.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** From the end of each failed attempt to the next one: with the first, eight attempts in about a day. */
const DELAYS_MS = [
  5 * SECOND_MS,
  MINUTE_MS,
  10 * MINUTE_MS,
  HOUR_MS,
  3 * HOUR_MS,
  8 * HOUR_MS,
  12 * HOUR_MS,
] as const;

export const ATTEMPTS_MAX: number = DELAYS_MS.length + 1;
/** Each delay is up to so much longer or shorter, so that receivers that come back are not met by all at once. */
const JITTER = 0.2;
/** What a receiver may ask for with `retry-after`. */
const RETRY_AFTER_MS_MAX = 12 * HOUR_MS;
/** Messages in a row that were given up before the webhook is stopped. */
export const GIVEN_UP_MAX = 3;

/** What came of an attempt. */
export type Outcome =
  | { readonly kind: "answered"; readonly status: number; readonly retryAfterMs: number | undefined }
  | { readonly kind: "failed"; readonly error: string };

export type Verdict =
  | { readonly kind: "delivered" }
  | { readonly kind: "again"; readonly delayMs: number }
  | { readonly kind: "given-up" }
  /** The receiver said that there is nobody any more. */
  | { readonly kind: "gone" };

/** `attempts`: made so far, this one included. A redirect is an answer like any other that is no success. */
export function judge(outcome: Outcome, attempts: number, random: Random): Verdict {
  if (outcome.kind === "answered") {
    if (outcome.status >= 200 && outcome.status < 300) return { kind: "delivered" };
    if (outcome.status === 410) return { kind: "gone" };
  }
  const delayMs = DELAYS_MS[attempts - 1];
  if (delayMs === undefined) return { kind: "given-up" };
  const jittered = delayMs * (1 - JITTER + 2 * JITTER * randomFraction(random));
  const asked = outcome.kind === "answered" ? (outcome.retryAfterMs ?? 0) : 0;
  return { kind: "again", delayMs: Math.round(Math.max(jittered, Math.min(asked, RETRY_AFTER_MS_MAX))) };
}

/** Seconds, or a date; undefined for anything else. */
export function parseRetryAfter(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}
