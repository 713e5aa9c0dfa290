/** Requests over the platform's `fetch`: nothing to load, for commands. */
import type { Clock } from "../../base/clock.ts";
import { isNeverProxied } from "./proxy.ts";
import {
  AnswerBody,
  classifyFailure,
  cutOff,
  declaredLength,
  type Transport,
  type TransportAnswer,
  TransportError,
  type TransportRequest,
  tooLarge,
  transferMs,
} from "./transport.ts";
import { allCertificates, hasUnknownIssuer } from "./trust.ts";

/** What this file uses of the platform's fetch; the last four are the runtime's own options. */
type Fetch = (
  url: string,
  init: {
    readonly method: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: Uint8Array;
    readonly redirect: "manual";
    readonly signal: AbortSignal;
    readonly keepalive?: false;
    readonly decompress: false;
    readonly proxy?: false;
    readonly tls?: { readonly ca: readonly string[] };
  },
) => Promise<Response>;

// biome-ignore lint/style/noRestrictedGlobals: this is a place that reaches the network
const platformFetch = fetch as unknown as Fetch;
/**
 * Bodies up to this are taken whole from the platform: half the work of taking them piece by piece. Above it a
 * stall must be noticed before the whole could have come.
 */
const AT_ONCE_BYTES_MAX = 16 << 20;

export class FetchTransport implements Transport {
  readonly #clock: Clock;
  readonly #ending = new AbortController();

  readonly #givenCertificates: string | undefined;
  /** Once a certificate of an unknown issuer was met. */
  #certificates: readonly string[] | undefined;

  /** `certificates`: PEM, trusted beside the runtime's and the system's. */
  constructor(clock: Clock, certificates?: string) {
    this.#clock = clock;
    this.#givenCertificates = certificates;
  }

  async send(request: TransportRequest): Promise<TransportAnswer> {
    const trusted = this.#certificates;
    try {
      return await this.#send(request);
    } catch (error) {
      if (trusted !== undefined || !hasUnknownIssuer(error)) throw error;
      this.#certificates ??= await allCertificates(this.#givenCertificates);
      return this.#send(request);
    }
  }

  async #send(request: TransportRequest): Promise<TransportAnswer> {
    const watch = new Watch(this.#clock, request, this.#ending.signal);
    let stage: "connecting" | "answering" = "connecting";
    try {
      if (watch.stoppedBy === "aborted") throw new TransportError("aborted", false, {});
      const response = await platformFetch(request.origin + request.path, {
        method: request.method,
        headers: request.headers,
        ...(request.body === undefined ? {} : { body: request.body }),
        redirect: "manual",
        signal: watch.signal,
        // On a connection that is used again the runtime sends a request a second time when the first is cut off.
        ...(request.once ? { keepalive: false } : {}),
        decompress: false,
        // The runtime follows the environment; a store on this machine is not behind a proxy whatever that says.
        ...(isNeverProxied(request.origin) ? { proxy: false } : {}),
        ...(this.#certificates === undefined ? {} : { tls: { ca: this.#certificates } }),
      });
      stage = "answering";
      const { headers, status } = response;
      const body = await this.#read(request, response, watch);
      return { status, header: (name) => headers.get(name) ?? undefined, body };
    } catch (error) {
      if (error instanceof TransportError) throw error;
      const stopped = watch.stoppedBy;
      const { received } = watch;
      if (stopped !== undefined) throw new TransportError(stopped, true, { cause: error, received });
      throw classifyFailure(error, stage === "answering" ? true : undefined, received);
    } finally {
      watch.end();
    }
  }

  async #read(request: TransportRequest, response: Response, watch: Watch): Promise<Uint8Array> {
    const { status } = response;
    const declared = declaredLength(
      request.method,
      status,
      response.headers.get("content-length") ?? undefined,
    );
    if (declared !== undefined && status < 300 && declared <= AT_ONCE_BYTES_MAX) {
      if (declared > request.answerBytesMax) throw tooLarge(declared);
      watch.expect(declared);
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (bytes.length !== declared) throw cutOff(bytes.length, declared);
      return bytes;
    }
    const collected = new AnswerBody(status, declared, request.answerBytesMax);
    if (response.body === null) return collected.take();
    const reader = response.body.getReader();
    let isWhole = false;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        watch.progress(value.length);
        if (!collected.add(value)) return collected.take();
      }
      isWhole = true;
      const bytes = collected.take();
      if (declared !== undefined && status < 300 && bytes.length !== declared) {
        throw cutOff(bytes.length, declared);
      }
      return bytes;
    } finally {
      if (!isWhole) await reader.cancel().catch(() => undefined);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
  }
}

/** Ends one request when nothing comes for too long, when its caller wants it, or with the transport. */
class Watch {
  readonly #clock: Clock;
  #timeoutMs: number;
  readonly #callers: readonly AbortSignal[];
  readonly #ending = new AbortController();
  readonly #timer = new AbortController();
  readonly #onAbort = (): void => this.#stop("aborted");
  #hasProgress = false;
  /** Bytes of the answer's body, where they are seen coming. */
  received = 0;
  #stoppedBy: "timeout" | "aborted" | undefined;

  constructor(clock: Clock, request: TransportRequest, closing: AbortSignal) {
    this.#clock = clock;
    this.#timeoutMs = request.timeoutMs;
    this.#callers = request.signal === undefined ? [closing] : [request.signal, closing];
    for (const caller of this.#callers) {
      caller.addEventListener("abort", this.#onAbort, { once: true });
      if (caller.aborted) this.#stop("aborted");
    }
    this.#sleep();
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  get stoppedBy(): "timeout" | "aborted" | undefined {
    return this.#stoppedBy;
  }

  /** A body of this many bytes may take its time; that it goes on cannot be seen. */
  expect(bytes: number): void {
    this.#timeoutMs += transferMs(bytes);
    this.#hasProgress = true;
  }

  /**
   * Something came. The timer looks at it when it ends, so that a stall is seen after one to two timeouts: a
   * timer for each piece costs as much as a request.
   */
  progress(bytes: number): void {
    this.received += bytes;
    this.#hasProgress = true;
  }

  end(): void {
    this.#timer.abort();
    for (const caller of this.#callers) caller.removeEventListener("abort", this.#onAbort);
  }

  #sleep(): void {
    this.#clock.sleep(this.#timeoutMs, this.#timer.signal).then(
      () => {
        if (!this.#hasProgress) return this.#stop("timeout");
        this.#hasProgress = false;
        this.#sleep();
      },
      () => undefined,
    );
  }

  #stop(reason: "timeout" | "aborted"): void {
    this.#stoppedBy ??= reason;
    this.#ending.abort();
  }
}
