/**
 * Changing one small object that lives under a fixed key: read, change, swap, until the answer is definite.
 *
 * A swap can have no answer, and one that is reported lost may still be our own (a request can be delivered
 * twice). So every attempt starts from what is stored now, and `change` must recognise its own work: it
 * returns what it was given when there is nothing left to do.
 */
import { type Clock, throwIfAborted } from "../base/clock.ts";
import { isMicError, MicError } from "../base/errors.ts";
import { jitterMs, type Random } from "../base/random.ts";
import type { ObjectStore } from "../store/object-store.ts";

export interface SwapContext {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  /** From the first attempt until it is given up. Default 120 s. */
  readonly timeoutMs?: number;
}

export interface SwapChange<T> {
  readonly key: string;
  /** Names the object in errors: `session 0123…`. */
  readonly what: string;
  decode(bytes: Uint8Array): T;
  encode(value: T): Uint8Array;
  /** The new value, or `current` itself to leave it. Throws to refuse. Called again after every lost swap. */
  change(current: T | undefined): T | Promise<T>;
  readonly signal?: AbortSignal | undefined;
}

const TIMEOUT_MS = 120_000;
const ATTEMPTS_MAX = 60;
const BACKOFF_BASE_MS = 5;
const BACKOFF_CAP_MS = 2_000;

/** What is not known of swaps that were sent: those without an answer, and one that is said to be lost until the next look. */
interface Doubt {
  isUnanswered: boolean;
  isLost: boolean;
}

/**
 * Returns the value that is stored when it ends. Errors: whatever `change` throws before anything was sent,
 * `outcome-unknown` when something was sent and the store gave no definite answer, `unreachable` when other
 * writers always came first.
 */
export async function swapLoop<T>(context: SwapContext, request: SwapChange<T>): Promise<T> {
  const doubt: Doubt = { isUnanswered: false, isLost: false };
  try {
    return await attempts(context, request, doubt);
  } catch (error) {
    const isDefinite = !doubt.isUnanswered && !doubt.isLost;
    // A request without an answer may still be applied: then a failure to look is no refusal.
    if (isDefinite || !isMicError(error) || isRefusal(error)) throw error;
    throw new MicError("outcome-unknown", `it is not known whether ${request.what} was changed`, {
      hint: "run the command again",
      cause: error,
    });
  }
}

/** What `change` says about what is stored now, and the caller's own wish to stop. */
function isRefusal(error: MicError): boolean {
  return error.kind === "input" || error.kind === "rebase" || error.code === "aborted";
}

async function attempts<T>(context: SwapContext, request: SwapChange<T>, doubt: Doubt): Promise<T> {
  const { store, clock, random } = context;
  const { key, what, signal } = request;
  const untilMs = clock.nowMs() + (context.timeoutMs ?? TIMEOUT_MS);
  const options = { untilMs, ...(signal === undefined ? {} : { signal }) };
  for (let attempt = 0; ; attempt++) {
    throwIfAborted(signal);
    const stored = await store.get(key, options);
    const current = stored === undefined ? undefined : request.decode(stored.bytes);
    const next = await request.change(current);
    if (next === current) return next;
    doubt.isLost = false;
    // Only after the look: the last swap may have been applied, whatever was said of it.
    if (attempt === ATTEMPTS_MAX || (attempt > 0 && clock.nowMs() >= untilMs)) break;
    const swap = { key, expected: stored?.etag ?? null, bytes: request.encode(next) };
    const outcome = await store.commit([], swap, options);
    if (outcome.kind === "committed") return next;
    if (outcome.kind === "missing") throw new MicError("not-found", `${what} is gone`);
    if (outcome.kind === "unknown") doubt.isUnanswered = true;
    else doubt.isLost = true;
    await clock.sleep(jitterMs(random, attempt, BACKOFF_BASE_MS, BACKOFF_CAP_MS), signal);
  }
  throw new MicError("unreachable", `${what} is changed by others too often`, { hint: "try again" });
}
