/** Calls of a server's REST and OAuth endpoints: small JSON documents, one at a time. */
import type { Clock } from "../base/clock.ts";
import { type ErrorCode, isErrorCode, isMicError, MicError } from "../base/errors.ts";
import { CallFailure, type TokenSource } from "./channel.ts";
import { connectionFailure, timedOut } from "./connection-failure.ts";
import { codeOfHttpStatus, failureOfHttpStatus } from "./http-failure.ts";
import { readAtMost, ServerFetch, type ServerRequest } from "./server-fetch.ts";
import { Watchdog } from "./watchdog.ts";

const ANSWER_BYTES_MAX = 8 << 20;

export interface RestClientOptions {
  /** `https://host:port`. */
  readonly origin: string;
  readonly ca: string | undefined;
  /** Sent as the user agent. */
  readonly agent: string;
  readonly clock: Clock;
  /** A call ends when nothing moved for this long. */
  readonly timeoutMs: number;
}

export interface RestCall {
  readonly method: ServerRequest["method"];
  /** From `/` on, percent-encoded. */
  readonly path: string;
  /** A document. */
  readonly body?: unknown;
  /** Parameters of an OAuth endpoint, instead of a body. */
  readonly form?: Readonly<Record<string, string>>;
  readonly token?: TokenSource | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface RestAnswer {
  readonly status: number;
  /** Undefined where there is none. */
  readonly document: unknown;
}

export class RestClient {
  readonly origin: string;
  readonly #options: RestClientOptions;
  readonly #fetch: ServerFetch;

  constructor(options: RestClientOptions) {
    this.origin = options.origin;
    this.#options = options;
    this.#fetch = new ServerFetch(options.origin, options.ca);
  }

  /** The document of a good answer. Errors: what the problem document says, `unreachable`, `aborted`. */
  async call(call: RestCall): Promise<unknown> {
    const token = await call.token?.current(call.signal);
    let answer = await this.send(call, token);
    if (answer.status === 401 && token !== undefined) {
      const successor = await call.token?.replace(token, call.signal);
      if (successor !== undefined) answer = await this.send(call, successor);
    }
    if (answer.status >= 200 && answer.status < 300) return answer.document;
    throw problemOf(this.origin, answer);
  }

  /** Whatever the status, as long as it is JSON or nothing. Errors: `unreachable`, `aborted`. */
  async send(call: RestCall, token?: string): Promise<RestAnswer> {
    const { clock, timeoutMs } = this.#options;
    const ending = new AbortController();
    const end = (): void => ending.abort();
    call.signal?.addEventListener("abort", end, { once: true });
    if (call.signal?.aborted) end();
    using watchdog = new Watchdog(clock, timeoutMs, end);
    try {
      return await this.#receive(await this.#fetch.send(this.#request(call, token, ending.signal)));
    } catch (error) {
      if (call.signal?.aborted) throw new MicError("aborted", "interrupted", { cause: error });
      if (watchdog.expired) throw timedOut(this.origin, timeoutMs);
      throw isMicError(error) ? error : connectionFailure(this.origin, error, true);
    } finally {
      call.signal?.removeEventListener("abort", end);
      end();
    }
  }

  #request(
    { method, path, body, form }: RestCall,
    token: string | undefined,
    signal: AbortSignal,
  ): ServerRequest {
    const text = form === undefined ? body && JSON.stringify(body) : new URLSearchParams(form).toString();
    const type = form === undefined ? "application/json" : "application/x-www-form-urlencoded";
    return {
      method,
      path,
      headers: {
        accept: "application/json",
        "accept-encoding": "identity",
        "user-agent": this.#options.agent,
        ...(text === undefined ? {} : { "content-type": type }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(text === undefined ? {} : { body: () => Buffer.from(text as string) }),
      // A connection that was idle may be dead, and the platform would then send the request twice.
      isFresh: true,
      signal,
    };
  }

  async #receive(response: Response): Promise<RestAnswer> {
    const { status, headers } = response;
    const type = headers.get("content-type") ?? "";
    const isJson = /^application\/(?:problem\+)?json\b/.test(type) && !headers.has("content-encoding");
    if (status >= 300 && !isJson) throw await failureOfHttpStatus(this.origin, response);
    const bytes = await readAtMost(response, ANSWER_BYTES_MAX);
    if (bytes === undefined) throw wrongAnswer(this.origin, "it is too long");
    if (bytes.length === 0) return { status, document: undefined };
    if (!isJson) throw wrongAnswer(this.origin, "it is no JSON");
    try {
      return { status, document: JSON.parse(bytes.toString("utf8")) };
    } catch (cause) {
      throw wrongAnswer(this.origin, "it is no JSON", cause);
    }
  }
}

/** The members of an answer that must be an object. Errors: `corrupt`. */
export function membersOf(origin: string, document: unknown): Readonly<Record<string, unknown>> {
  if (typeof document === "object" && document !== null && !Array.isArray(document)) {
    return document as Readonly<Record<string, unknown>>;
  }
  throw wrongAnswer(origin, "it is no object");
}

export function wrongAnswer(origin: string, what: string, cause?: unknown): MicError {
  return new MicError("corrupt", `the answer of ${origin} is wrong: ${what}`, {
    hint: "check the address; if it is right, the server is broken",
    ...(cause === undefined ? {} : { cause }),
  });
}

const OWN_MEMBERS = new Set(["type", "title", "status", "detail", "code", "hint"]);

/** RFC 9457, or the errors of RFC 6749. */
function problemOf(origin: string, { status, document }: RestAnswer): MicError {
  const members = membersOf(origin, document ?? {});
  const text = (name: string): string | undefined => {
    const value = members[name];
    return typeof value === "string" && value !== "" ? value.slice(0, 1000) : undefined;
  };
  const said = text("code");
  const code: ErrorCode = isErrorCode(said) ? said : (codeOfHttpStatus(status) ?? "unreachable");
  const message = text("detail") ?? text("error_description") ?? text("error");
  const hint = text("hint");
  const data = Object.fromEntries(Object.entries(members).filter(([name]) => !OWN_MEMBERS.has(name)));
  const options = { ...(hint === undefined ? {} : { hint }), data };
  const shown = message ?? `${origin} answered ${status}`;
  if (code === "unreachable")
    return new CallFailure(code, shown, { ...options, sent: true, transient: status >= 429 });
  return new MicError(code, shown, options);
}
