/**
 * Signed requests to one bucket. `deliver` sends one request once. `ask` is for what may be repeated: it follows
 * the bucket to its region, renews credentials, corrects the clock, and repeats with full jitter.
 */
import { type Clock, throwIfAborted } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import { jitterMs, type Random } from "../../base/random.ts";
import type { Credentials } from "./credentials-types.ts";
import { Endpoint, type Target } from "./endpoint.ts";
import {
  isExpired,
  isRetryable,
  isSkewed,
  type Place,
  type Refusal,
  readRefusal,
  refusalError,
  transportMicError,
} from "./errors.ts";
import type { S3Dialect, S3Operation, S3Options } from "./options.ts";
import type { Signable, Signer, SigningContext } from "./sign.ts";
import { dateOfAnswer, StoreTime } from "./store-time.ts";
import {
  type Transport,
  type TransportAnswer,
  TransportError,
  type TransportRequest,
  transferMs,
} from "./transport.ts";
import { encodePath, encodeQuery } from "./uri.ts";

const TIMEOUT_MS = 30_000;
const PATIENCE_MS = 120_000;
/** A call that is made when its caller's time is over can still find an answer. */
const LAST_LOOK_MS = 1_000;
const ATTEMPTS_MAX = 8;
/** Nobody listens: less than a second of trying. */
const CONNECT_ATTEMPTS_MAX = 5;
const BACKOFF_BASE_MS = 50;
const BACKOFF_CAP_MS = 5_000;
/** No answer of S3 to anything but GET is longer. */
export const DOCUMENT_BYTES_MAX: number = 8 << 20;

export interface S3Call {
  readonly operation: S3Operation;
  readonly method: TransportRequest["method"];
  /** Within the bucket, prefix included; absent: the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Lowercase names. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly answerBytesMax?: number;
  /** The store's time to sign with. Default: now. */
  readonly atMs?: number;
  /** A conditional write: the transport must not repeat it. */
  readonly once?: boolean;
  /** Which repetition this is. */
  readonly attempt?: number;
  readonly signal?: AbortSignal | undefined;
  /** Local time, after which nobody waits for it. */
  readonly untilMs?: number | undefined;
  /** At most, altogether. Default: the store's. */
  readonly patienceMs?: number;
}

type Waiting = Pick<S3Call, "signal" | "untilMs" | "patienceMs">;

/** What a request needs and opening a store does not. */
interface Tools {
  readonly transport: Transport;
  readonly signer: Signer;
  readonly payloadHash: (body: Uint8Array | undefined) => string;
}

export class S3Client {
  readonly endpoint: Endpoint;
  readonly time: StoreTime;
  readonly #options: S3Options;
  readonly #clock: Clock;
  readonly #random: Random;
  #tools: Promise<Tools> | undefined;
  #hasCredentials = false;
  #region: string;
  #target: Target;

  constructor(options: S3Options) {
    this.#options = options;
    this.#clock = options.clock;
    this.#random = options.random;
    this.endpoint = new Endpoint(options);
    this.time = new StoreTime(options.clock);
    this.#region = options.region;
    this.#target = this.endpoint.target(options.region);
  }

  get place(): Place {
    return { bucket: this.endpoint.bucket, region: this.#region, origin: this.#target.origin };
  }

  get origin(): string {
    return this.#target.origin;
  }

  /** One delivery, whatever comes of it. Errors: `TransportError`; what the credentials' source throws. */
  async deliver(call: S3Call): Promise<TransportAnswer> {
    const { transport, signer, payloadHash } = await this.#load();
    const credentials = await this.#credentials(false, call);
    throwIfAborted(call.signal);
    const target = this.#target;
    const query = call.query ?? {};
    const signable = this.#signable(target, call.method, call.key, query, call.headers ?? {});
    const signed = signer.authorize(signable, payloadHash(call.body), this.#context(credentials, call.atMs));
    const search = encodeQuery(query);
    const askedAtMs = this.#clock.nowMs();
    let answer: TransportAnswer | undefined;
    try {
      answer = await transport.send({
        method: call.method,
        origin: target.origin,
        path: search === "" ? signable.path : `${signable.path}?${search}`,
        headers: { ...FIXED_HEADERS, ...this.endpoint.extraHeaders, ...call.headers, ...signed },
        ...(call.body === undefined ? {} : { body: call.body }),
        once: call.once ?? false,
        timeoutMs: this.#timeoutMs(call),
        answerBytesMax: call.answerBytesMax ?? DOCUMENT_BYTES_MAX,
        ...(call.signal === undefined ? {} : { signal: call.signal }),
      });
    } finally {
      this.#options.onRequest?.({
        operation: call.operation,
        status: answer?.status ?? 0,
        sent: call.body?.length ?? 0,
        received: answer?.body.length ?? 0,
        durationMs: this.#clock.nowMs() - askedAtMs,
        attempt: call.attempt ?? 0,
      });
    }
    const dateMs = dateOfAnswer(answer.header);
    if (dateMs !== undefined) this.time.learn(dateMs, askedAtMs);
    return answer;
  }

  /**
   * Repeats until `accept` takes an answer, or until repeating cannot help, or the time is over. `accept` gets what
   * the answer says when its status is not 2xx. Errors: those of errors.ts, named with `doing`; `aborted`.
   */
  async ask(
    asked: S3Call,
    doing: string,
    accept: (answer: TransportAnswer, refusal: Refusal | undefined) => boolean,
  ): Promise<TransportAnswer> {
    let untilMs = this.untilMs(asked);
    let moves = 0;
    let isRenewed = false;
    let isReset = false;
    let failures = 0;
    for (let attempt = 0; ; attempt++) {
      let repeatable: { readonly error: MicError; readonly waitMs: number } | undefined;
      const call = { ...asked, attempt, untilMs };
      try {
        const answer = await this.deliver(call);
        const isGood = answer.status >= 200 && answer.status < 300;
        const refusal = isGood ? undefined : readRefusal(answer);
        if (accept(answer, refusal)) return answer;
        const seen = refusal ?? readRefusal(answer);
        if (moves < 2 && this.follow(seen)) moves++;
        else if (isExpired(seen) && !isRenewed) {
          isRenewed = true;
          await this.#credentials(true, call);
        } else if (isSkewed(seen) && !isReset) {
          isReset = true;
          this.#learnFrom(seen);
        } else {
          // Something with status 200 that is no good (an error inside of it, a truncated document).
          const isBroken = isGood && seen.code === "";
          const error = refusalError(seen, this.place, doing);
          if (!(isBroken || isRetryable(seen)) || ++failures >= ATTEMPTS_MAX) throw error;
          repeatable = { error, waitMs: seen.retryAfterMs ?? 0 };
        }
      } catch (error) {
        if (!(error instanceof TransportError)) throw error;
        const isFinal = error.reason === "aborted" || error.reason === "tls" || error.reason === "too-large";
        const most = error.reason === "connect" ? CONNECT_ATTEMPTS_MAX : ATTEMPTS_MAX;
        const failure = transportMicError(error, this.place, doing);
        if (isFinal || error.code === "ENOTFOUND" || ++failures >= most) throw failure;
        repeatable = { error: failure, waitMs: 0 };
        // Not spent on waiting: a large object that breaks off is asked for again.
        untilMs += transferMs(error.received);
      }
      if (repeatable !== undefined) {
        const waitMs = repeatable.waitMs + this.#jitterMs(failures);
        if (this.#clock.nowMs() + waitMs >= untilMs) throw repeatable.error;
        await this.#clock.sleep(waitMs, asked.signal);
      }
      throwIfAborted(asked.signal);
    }
  }

  /** Before something is asked for again whose answer said that a part of it failed. */
  async backOff(failures: number, signal: AbortSignal | undefined): Promise<void> {
    await this.#clock.sleep(this.#jitterMs(failures), signal);
  }

  /** Goes where the bucket is, when the refusal tells. False: it does not, or we were there. */
  follow(refusal: Refusal): boolean {
    const { status, code, region } = refusal;
    const isElsewhere = status === 301 || status === 302 || status === 307 || status === 308;
    if (!isElsewhere && code !== "AuthorizationHeaderMalformed" && code !== "PermanentRedirect") return false;
    if (region !== undefined && /^[a-z0-9-]{1,63}$/.test(region) && region !== this.#region) {
      this.#region = region;
      if (this.endpoint.given === undefined) this.#target = this.endpoint.target(region);
      else this.#target = this.#regionalTarget(refusal);
      return true;
    }
    const target = isElsewhere ? this.endpoint.redirectTarget(refusal.location) : undefined;
    if (target === undefined || target.origin === this.#target.origin) return false;
    this.#target = target;
    return true;
  }

  /** After a refusal that a later request can do better. */
  async recover(refusal: Refusal, options: Waiting): Promise<void> {
    if (isExpired(refusal)) await this.#credentials(true, options);
    else if (isSkewed(refusal)) this.#learnFrom(refusal);
    else this.follow(refusal);
  }

  /** A URL that is good for `seconds`, with the headers that must be sent along. */
  async presign(
    method: "GET" | "PUT",
    key: string,
    seconds: number,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ url: string; expiresAtMs: number }> {
    const { signer } = await this.#load();
    const credentials = await this.#credentials(false, {});
    const target = this.#target;
    const context = this.#context(credentials, undefined);
    const signable = this.#signable(target, method, key, {}, {});
    const query = signer.presign({ ...signable, headers }, seconds, context);
    const expiresAtMs = Math.floor(context.atMs / 1000) * 1000 + seconds * 1000;
    return {
      url: `${target.origin}${signable.path}?${query}`,
      expiresAtMs: Math.min(expiresAtMs, credentials.expiresAtMs ?? expiresAtMs),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const tools = this.#tools;
    this.#tools = Promise.reject(new MicError("internal", "bug: the store is closed"));
    this.#tools.catch(() => undefined);
    await (await tools)?.transport[Symbol.asyncDispose]();
  }

  /** A regional endpoint that was given as such keeps its form in the other region. */
  #regionalTarget(refusal: Refusal): Target {
    const given = new URL(this.endpoint.given!);
    const regional = /^s3[.-][a-z0-9-]+\.amazonaws\.com(?:\.cn)?$/.test(given.hostname);
    if (regional) return this.endpoint.awsTarget(this.#region);
    return this.endpoint.redirectTarget(refusal.location) ?? this.#target;
  }

  #learnFrom(refusal: Refusal): void {
    if (refusal.serverTimeMs === undefined) return;
    this.time.learn(refusal.serverTimeMs, this.#clock.nowMs());
  }

  #signable(
    target: Target,
    method: string,
    key: string | undefined,
    query: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>>,
  ): Signable {
    const toSign: Record<string, string> = {};
    for (const name of Object.keys(headers)) if (SIGNED.test(name)) toSign[name] = headers[name]!;
    const path = key === undefined ? target.bucketPath : target.bucketPath + encodePath(key);
    return { method, host: target.host, path, query, headers: toSign };
  }

  #context(credentials: Credentials, atMs: number | undefined): SigningContext {
    return { credentials, region: this.#region, atMs: atMs ?? this.time.nowMs() };
  }

  async #credentials(force: boolean, { signal, untilMs }: Waiting): Promise<Credentials> {
    const { credentials } = this.#options;
    const options = { ...(force ? { force } : {}), ...(signal === undefined ? {} : { signal }) };
    if (this.#hasCredentials) return credentials.get(options);
    const waitMs = (untilMs ?? this.untilMs({})) - this.#clock.nowMs();
    const found = await within(waitMs, this.#clock, credentials.get(options));
    this.#hasCredentials = true;
    return found;
  }

  #jitterMs(failures: number): number {
    return jitterMs(this.#random, failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
  }

  /** When a call that begins now is given up. */
  untilMs({ untilMs, patienceMs }: Waiting): number {
    const nowMs = this.#clock.nowMs();
    const ownMs = this.#options.patienceMs ?? PATIENCE_MS;
    const latestMs = nowMs + Math.min(ownMs, patienceMs ?? ownMs);
    return untilMs === undefined ? latestMs : Math.min(latestMs, Math.max(untilMs, nowMs + LAST_LOOK_MS));
  }

  /** For one delivery to be answered. */
  #timeoutMs({ body, untilMs }: S3Call): number {
    const ownMs = this.#options.timeoutMs ?? TIMEOUT_MS;
    const leftMs = untilMs === undefined ? ownMs : Math.max(1, untilMs - this.#clock.nowMs());
    return Math.min(ownMs, leftMs) + transferMs(body?.length ?? 0);
  }

  #load(): Promise<Tools> {
    this.#tools ??= loadTools(this.#options, this.endpoint.dialect);
    return this.#tools;
  }
}

/** Sources of credentials have times of their own, which may be longer. Errors: `unreachable`. */
async function within<T>(waitMs: number, clock: Clock, task: Promise<T>): Promise<T> {
  const finished = new AbortController();
  const late = clock.sleep(Math.max(1, waitMs), finished.signal).then(() => {
    throw new MicError("unreachable", "the source of the S3 credentials does not answer in time", {
      hint: "try again, or wait longer with --timeout",
    });
  });
  try {
    return await Promise.race([task, late]);
  } finally {
    finished.abort();
    late.catch(() => undefined);
  }
}

async function loadTools(
  { transport, clock, certificates, proxy }: S3Options,
  dialect: S3Dialect,
): Promise<Tools> {
  const { Signer, payloadHash } = await import("./sign.ts");
  const signer = new Signer(dialect);
  if (transport === "undici") {
    const { UndiciTransport } = await import("./transport-undici.ts");
    return { transport: new UndiciTransport(clock, certificates, proxy), signer, payloadHash };
  }
  const { FetchTransport } = await import("./transport-fetch.ts");
  return { transport: new FetchTransport(clock, certificates), signer, payloadHash };
}

/** A proxy that strips one of these must break the signature: without its condition a swap overwrites. */
const SIGNED = /^(?:x-amz-|x-goog-|if-match$|if-none-match$|content-md5$)/;
const FIXED_HEADERS = { "accept-encoding": "identity", "user-agent": "mic" };
