/** Requests over pools of undici's: many at a time with little work each, for servers. */
import type { Dispatcher } from "undici/index.js";
// Bun replaces the bare name by a stub of its own.
import { Agent, EnvHttpProxyAgent, Pool } from "undici/index.js";
import type { Clock } from "../../base/clock.ts";
import { isNeverProxied, type ProxySettings } from "./proxy.ts";
import {
  AnswerBody,
  classifyFailure,
  cutOff,
  declaredLength,
  type Transport,
  type TransportAnswer,
  TransportError,
  type TransportRequest,
} from "./transport.ts";
import { allCertificates, hasUnknownIssuer } from "./trust.ts";

const CONNECTIONS_MAX = 128;
const CONNECT_TIMEOUT_MS = 10_000;
/** Below what stores allow, so that a request rarely meets a connection that is just being closed. */
const IDLE_MS = 4_000;

export class UndiciTransport implements Transport {
  readonly #clock: Clock;
  readonly #givenCertificates: string | undefined;
  readonly #proxy: ProxySettings | undefined;
  #agents: Agents;
  /** Being replaced by one that trusts more, since a certificate of an unknown issuer was met. */
  #replacing: Promise<void> | undefined;

  /** `certificates`: PEM, trusted beside the runtime's and the system's. */
  constructor(clock: Clock, certificates?: string, proxy?: ProxySettings) {
    this.#clock = clock;
    this.#givenCertificates = certificates;
    this.#proxy = proxy;
    this.#agents = new Agents(undefined, proxy);
  }

  async send(request: TransportRequest): Promise<TransportAnswer> {
    const agents = this.#agents;
    try {
      return await exchange(agents.for(request.origin), this.#clock, request);
    } catch (error) {
      if (!hasUnknownIssuer(error)) throw error;
      this.#replacing ??= this.#replace();
      await this.#replacing;
      if (agents === this.#agents) throw error;
      return exchange(this.#agents.for(request.origin), this.#clock, request);
    }
  }

  async #replace(): Promise<void> {
    const old = this.#agents;
    this.#agents = new Agents(await allCertificates(this.#givenCertificates), this.#proxy);
    // What it still carries goes on; a failure there is its own request's.
    old.close().catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agents.destroy();
  }
}

/** One for what is reached directly, and one for what is behind a proxy, if there is one. */
class Agents {
  readonly #direct: Dispatcher;
  readonly #proxied: Dispatcher;
  readonly #proxy: ProxySettings | undefined;

  constructor(certificates: readonly string[] | undefined, proxy: ProxySettings | undefined) {
    const tls = certificates === undefined ? {} : { ca: [...certificates] };
    const pool = { connections: CONNECTIONS_MAX, pipelining: 1, keepAliveTimeout: IDLE_MS };
    this.#proxy = proxy;
    this.#direct = new Agent({ ...pool, connect: { timeout: CONNECT_TIMEOUT_MS, ...tls } });
    if (proxy === undefined) {
      this.#proxied = this.#direct;
      return;
    }
    this.#proxied = new EnvHttpProxyAgent({
      ...pool,
      connect: { timeout: CONNECT_TIMEOUT_MS, ...tls },
      httpProxy: proxy.http,
      httpsProxy: proxy.https,
      noProxy: proxy.except,
      requestTls: { timeout: CONNECT_TIMEOUT_MS, ...tls },
      proxyTls: { timeout: CONNECT_TIMEOUT_MS, ...tls },
      // A request begins to be timed when it has its tunnel.
      clientFactory: (origin, options) =>
        new Pool(origin, { ...options, headersTimeout: CONNECT_TIMEOUT_MS, connections: CONNECTIONS_MAX }),
    });
  }

  for(origin: string): Dispatcher {
    const proxy = origin.startsWith("https:") ? this.#proxy?.https : this.#proxy?.http;
    return proxy === undefined || proxy === "" || isNeverProxied(origin) ? this.#direct : this.#proxied;
  }

  async close(): Promise<void> {
    await Promise.all([this.#direct.close(), this.#proxied === this.#direct || this.#proxied.close()]);
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#direct.destroy(), this.#proxied === this.#direct || this.#proxied.destroy()]);
  }
}

function exchange(agent: Dispatcher, clock: Clock, request: TransportRequest): Promise<TransportAnswer> {
  return new Promise((resolve, reject) => {
    const exchange = new Exchange(clock, request, resolve, reject);
    try {
      agent.dispatch(
        {
          origin: request.origin,
          path: request.path,
          method: request.method,
          headers: request.headers,
          body: request.body ?? null,
          headersTimeout: request.timeoutMs,
          bodyTimeout: request.timeoutMs,
        },
        exchange,
      );
    } catch (error) {
      exchange.fail(classifyFailure(error, false));
    }
  });
}

/** One request on its way. undici sends it once, and says with `onRequestStart` when it begins to. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: TransportRequest;
  readonly #resolve: (answer: TransportAnswer) => void;
  readonly #reject: (error: TransportError) => void;
  readonly #onAbort = (): void =>
    this.fail(new TransportError("aborted", this.#isStarted, { cause: this.#request.signal?.reason }));
  #controller: Dispatcher.DispatchController | undefined;
  #isStarted = false;
  #isSettled = false;
  #status = 0;
  #headers: Readonly<Record<string, string | string[] | undefined>> = {};
  #body: AnswerBody | undefined;
  #declared: number | undefined;
  /** undici times a request from its start: this is for the wait for a connection, or for a free one. */
  readonly #untilStarted = new AbortController();

  constructor(
    clock: Clock,
    request: TransportRequest,
    resolve: (answer: TransportAnswer) => void,
    reject: (error: TransportError) => void,
  ) {
    this.#request = request;
    this.#resolve = resolve;
    this.#reject = reject;
    clock.sleep(request.timeoutMs, this.#untilStarted.signal).then(
      () => this.fail(new TransportError("connect", false, { code: "ETIMEDOUT" })),
      () => undefined,
    );
    request.signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (request.signal?.aborted) this.#onAbort();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#untilStarted.abort();
    if (this.#isSettled) controller.abort(new Error("no longer wanted"));
    else this.#isStarted = true;
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    // Only the last answer counts; 1xx are on the way to it.
    if (status < 200 || this.#isSettled) return;
    this.#status = status;
    this.#headers = headers;
    try {
      this.#declared = declaredLength(this.#request.method, status, this.#header("content-length"));
      this.#body = new AnswerBody(status, this.#declared, this.#request.answerBytesMax);
    } catch (error) {
      this.#stop(error);
    }
  }

  onResponseData(_: Dispatcher.DispatchController, piece: Uint8Array): void {
    if (this.#isSettled) return;
    try {
      if (this.#body!.add(piece)) return;
      this.#succeed();
      this.#controller?.abort(new Error("the rest of an error is not wanted"));
    } catch (error) {
      this.#stop(error);
    }
  }

  onResponseEnd(): void {
    const got = this.#body?.take().length ?? 0;
    if (this.#declared !== undefined && this.#status < 300 && got !== this.#declared) {
      this.fail(cutOff(got, this.#declared));
    } else {
      this.#succeed();
    }
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    this.fail(classifyFailure(error, this.#isStarted, this.#body?.length));
  }

  fail(error: TransportError): void {
    if (!this.#settle()) return;
    this.#reject(error);
    this.#controller?.abort(error);
  }

  #succeed(): void {
    if (!this.#settle()) return;
    this.#resolve({
      status: this.#status,
      header: (name) => this.#header(name),
      body: this.#body?.take() ?? new Uint8Array(0),
    });
  }

  #stop(error: unknown): void {
    this.fail(error instanceof TransportError ? error : classifyFailure(error, true));
  }

  #settle(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#untilStarted.abort();
    this.#request.signal?.removeEventListener("abort", this.#onAbort);
    return true;
  }

  #header(name: string): string | undefined {
    const value = this.#headers[name];
    return typeof value === "object" ? value.join(", ") : value;
  }
}
