/** Calls with a time limit, repeated where that is safe and may help. */
import { type Clock, throwIfAborted } from "../base/clock.ts";
import { isMicError, MicError } from "../base/errors.ts";
import { jitterMs, type Random } from "../base/random.ts";
import { decodeMessage, encodeMessage, type MessageType, receive } from "../wire/common.ts";
import type { MessageParts } from "../wire/frames.ts";
import { LONG_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX } from "../wire/framing.ts";
import { type Call, CallFailure, type Channel } from "./channel.ts";
import { timedOut } from "./connection-failure.ts";
import { Watchdog } from "./watchdog.ts";

const ATTEMPTS_MAX = 5;
/** In a row: an answer that never says anything is none. */
const EMPTY_MESSAGES_MAX = 1000;
const BACKOFF_BASE_MS = 100;
const BACKOFF_CAP_MS = 2_000;

export interface CallerOptions {
  readonly origin: string;
  readonly clock: Clock;
  readonly random: Random;
  /** A call ends when nothing moved for this long. */
  readonly timeoutMs: number;
}

/** `again`: the same call twice does no harm. `once`: repeated only where the server cannot have seen it. */
export type Repeat = "again" | "once";

export interface CallSpec {
  readonly path: string;
  readonly messages: Call["messages"];
  readonly repeat: Repeat;
  readonly signal?: AbortSignal | undefined;
  /** The decoded message holds views, which are not used any more when the next message is asked for. */
  readonly borrows?: boolean | undefined;
}

export class Caller {
  readonly origin: string;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly #channel: Channel;
  readonly #random: Random;

  constructor(channel: Channel, options: CallerOptions) {
    this.#channel = channel;
    this.origin = options.origin;
    this.clock = options.clock;
    this.timeoutMs = options.timeoutMs;
    this.#random = options.random;
  }

  /** One message there, one message back. */
  async unary<Request, Response, Result>(
    path: string,
    types: readonly [request: MessageType<Request>, response: MessageType<Response>],
    request: Request,
    decode: (response: Response) => Result,
    options: { readonly signal?: AbortSignal | undefined; readonly repeat?: Repeat } = {},
  ): Promise<Result> {
    const messages = [[encodeMessage(types[0], request)]];
    const bytes = await this.single({
      path,
      messages: () => messages,
      repeat: options.repeat ?? "again",
      signal: options.signal,
    });
    return receive(path, () => decode(decodeMessage(types[1], bytes)));
  }

  /** The only message of an answer. */
  async single(spec: CallSpec): Promise<Uint8Array> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.once(spec);
      } catch (error) {
        if (attempt + 1 >= ATTEMPTS_MAX || !mayRepeat(error, spec)) throw error;
        await this.backOff(attempt, spec.signal, error);
      }
    }
  }

  /** As `single`, without another try. */
  async once(spec: CallSpec): Promise<Uint8Array> {
    let answer: Uint8Array | undefined;
    for await (const message of this.#attempt(spec, LONG_MESSAGE_BYTES_MAX)) {
      if (answer !== undefined) throw wrongCount(spec.path, "more than one message");
      answer = message;
    }
    if (answer === undefined) throw wrongCount(spec.path, "no message");
    return answer;
  }

  /** Every message of an answer; repeated only while none has come. */
  async *stream<T>(spec: CallSpec, decode: (bytes: Uint8Array) => T): AsyncGenerator<T> {
    for (let attempt = 0; ; attempt++) {
      let started = false;
      let empty = 0;
      try {
        for await (const message of this.#attempt(spec, MESSAGE_BYTES_MAX)) {
          started = true;
          empty = message.length === 0 ? empty + 1 : 0;
          if (empty > EMPTY_MESSAGES_MAX) throw wrongCount(spec.path, "messages without end and content");
          yield receive(spec.path, () => decode(message));
        }
        return;
      } catch (error) {
        if (started || attempt + 1 >= ATTEMPTS_MAX || !mayRepeat(error, spec)) throw error;
        await this.backOff(attempt, spec.signal, error);
      }
    }
  }

  /** Full jitter, so that clients of a server that comes back do not all come at once. No sooner than it said. */
  backOff(attempt: number, signal: AbortSignal | undefined, error?: unknown): Promise<void> {
    const jitter = jitterMs(this.#random, attempt, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
    return this.clock.sleep((retryAfterMs(error) ?? 0) + jitter, signal);
  }

  async *#attempt(spec: CallSpec, messageBytesMax: number): AsyncGenerator<Uint8Array> {
    throwIfAborted(spec.signal);
    const ending = new AbortController();
    const end = (): void => ending.abort();
    spec.signal?.addEventListener("abort", end, { once: true });
    using watchdog = new Watchdog(this.clock, this.timeoutMs, end);
    const messages = () => watched(spec.messages(), watchdog);
    try {
      const answer = this.#channel.call({
        path: spec.path,
        messages,
        messageBytesMax,
        isFresh: spec.repeat === "once",
        borrows: spec.borrows,
        signal: ending.signal,
      });
      for await (const message of answer) {
        // What arrived before the interruption is no longer wanted.
        throwIfAborted(spec.signal);
        watchdog.pause();
        yield message;
        watchdog.resume();
      }
      throwIfAborted(spec.signal);
    } catch (error) {
      throwIfAborted(spec.signal);
      if (watchdog.expired) throw timedOut(this.origin, this.timeoutMs);
      if (isMicError(error, "aborted")) throw cutOff(error);
      throw error;
    } finally {
      spec.signal?.removeEventListener("abort", end);
    }
  }
}

/** A whole request stays one; of a stream every message counts as progress. */
function watched(messages: ReturnType<Call["messages"]>, watchdog: Watchdog): ReturnType<Call["messages"]> {
  return Array.isArray(messages) ? messages : eachWatched(messages, watchdog);
}

async function* eachWatched(
  messages: ReturnType<Call["messages"]>,
  watchdog: Watchdog,
): AsyncGenerator<MessageParts> {
  for await (const parts of messages) {
    watchdog.progress();
    yield parts;
  }
}

/** The server gave up on a call that nobody here interrupted. */
function cutOff(cause: MicError): CallFailure {
  return new CallFailure("unreachable", "the server broke the call off", {
    cause,
    sent: true,
    transient: true,
  });
}

function mayRepeat(error: unknown, spec: CallSpec): boolean {
  if (spec.signal?.aborted) return false;
  if (error instanceof CallFailure) return error.transient && (spec.repeat === "again" || !error.sent);
  // The server's own word: it is stopping, busy, cannot reach its store, or has had enough of this caller for now.
  return spec.repeat === "again" && (isMicError(error, "unreachable") || isRateLimited(error));
}

function wrongCount(path: string, what: string): MicError {
  return new MicError("corrupt", `the server's answer to ${path} is wrong: ${what}`, {
    hint: "check the address; if it is right, the server is broken",
  });
}

/** Longer than this is for people to wait. */
const RETRY_AFTER_MS_MAX = 30_000;

/** The server has had enough of this caller for a while that is worth waiting for. */
export function isRateLimited(error: unknown): boolean {
  return isMicError(error, "rate-limited") && retryAfterMs(error) !== undefined;
}

function retryAfterMs(error: unknown): number | undefined {
  if (!isMicError(error, "rate-limited")) return undefined;
  const { retryAfterMs } = error.data;
  const isWait = typeof retryAfterMs === "number" && retryAfterMs >= 0 && retryAfterMs <= RETRY_AFTER_MS_MAX;
  return isWait ? retryAfterMs : undefined;
}
