/**
 * Requests that change accounts, on a server that may not: passed on whole to the primary, and its answer back. The
 * caller's credentials go with them, to the address in the lease and to no other: redirects are answers like any.
 */
import {
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from "node:http";
import { request as httpsRequest } from "node:https";
import { pipeline } from "node:stream";
import type { Clock } from "../../../core/base/clock.ts";
import { MicError } from "../../../core/base/errors.ts";
import {
  CONTENT_TYPE,
  decodeTrailers,
  MessageSplitter,
  messageHeader,
  statusFromFields,
} from "../../../core/wire/framing.ts";
import { decodeStatus, GRPC, type WireStatus } from "../../../core/wire/status.ts";
import type { AccountsReplica } from "./accounts-replica.ts";
import { FORWARDED_HEADER, type Forwarded, readForwarded, signForwarded } from "./forwarded-header.ts";

export interface ForwarderOptions {
  readonly replica: Pick<AccountsReplica, "isPrimary" | "primaryUrl">;
  readonly key: () => Uint8Array | undefined;
  readonly clock: Clock;
}

/** Methods that write accounts or the audit log, by the path of both transports. */
const METHODS: ReadonlySet<string> = new Set([
  "/mic.v1.AccountService/CreateToken",
  "/mic.v1.AccountService/RevokeToken",
  "/mic.v1.AccountService/StartDeviceFlow",
  "/mic.v1.AccountService/PollDeviceFlow",
  "/mic.v1.AccountService/RefreshToken",
  "/mic.v1.AccountService/RevokeSignIn",
  "/mic.v1.ProjectService/CreateOrganization",
  "/mic.v1.ProjectService/CreateProject",
  "/mic.v1.ProjectService/UpdateProject",
  "/mic.v1.ProjectService/DeleteProject",
]);
/** Signing in, whole: pages, forms and tokens belong together. */
const PAGES = /^\/(?:oauth\/|(?:login|logout|device)(?:\/|$))/;
/** A body that is longer is none of an account's. */
const BODY_BYTES_MAX = 1 << 20;
const ANSWER_MS_MAX = 30_000;
/** RFC 9110, section 7.6.1, and what is said of the connection by whoever sends. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect",
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  FORWARDED_HEADER,
]);

/** Whether a request to `path` may only be answered by the primary. REST routes say it themselves. */
export function needsPrimary(
  path: string,
  route: { readonly changesAccounts?: boolean } | undefined,
): boolean {
  return route?.changesAccounts === true || METHODS.has(path) || PAGES.test(path);
}

/** Whether a method of the API is one of them: on a follower its adapters pass it on. */
export function isAccountsMethod(path: string): boolean {
  return METHODS.has(path);
}

export class Forwarder {
  readonly #options: ForwarderOptions;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /** Whether this server passes on what changes accounts. */
  get isNeeded(): boolean {
    return !this.#options.replica.isPrimary;
  }

  /** The caller, as the follower that passed the request on says; undefined where none did. */
  callerOf(request: IncomingMessage): Forwarded | undefined {
    const header = request.headers[FORWARDED_HEADER];
    if (header === undefined) return undefined;
    const { key, clock } = this.#options;
    return readForwarded(key(), signedOf(request), header.toString(), clock.nowMs());
  }

  /**
   * Answers `request`, whose body nobody has read, with what the primary says. Errors: `unreachable` before anything
   * was answered; later the connection is cut.
   */
  async forward(request: IncomingMessage, response: ServerResponse, caller: Forwarded): Promise<void> {
    if (Number(request.headers["content-length"] ?? 0) > BODY_BYTES_MAX) {
      throw new MicError("too-large", `the body is larger than ${BODY_BYTES_MAX} bytes`);
    }
    const headers = endToEnd(request.headers);
    const sent = this.#send(request, headers, caller);
    const onGone = (): void => void sent.destroy();
    response.once("close", onGone);
    try {
      const answered = answerOf(sent, this.#url);
      let received = 0;
      request.on("data", (chunk: Buffer) => {
        received += chunk.length;
        if (received > BODY_BYTES_MAX) sent.destroy(new Error("the body is too large"));
      });
      pipeline(request, sent, () => undefined);
      const answer = await answered;
      response.writeHead(answer.statusCode ?? 502, endToEnd(answer.headers));
      await new Promise<void>((resolve) => {
        pipeline(answer, response, (error) => {
          if (error !== null && error !== undefined) response.destroy();
          resolve();
        });
      });
    } finally {
      response.off("close", onGone);
    }
  }

  /** A call of gRPC with one message and one answer. `host`: its authority. Errors: those of the primary; `unreachable`. */
  async call(
    path: string,
    {
      authorization,
      host,
    }: { readonly authorization?: string | undefined; readonly host?: string | undefined },
    message: Uint8Array,
    caller: Forwarded,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const headers: OutgoingHttpHeaders = {
      "content-type": CONTENT_TYPE,
      accept: CONTENT_TYPE,
      "content-length": message.length + 5,
      ...(authorization === undefined ? {} : { authorization }),
      ...(host === undefined ? {} : { host }),
    };
    const sent = this.#send({ method: "POST", url: path, headers: { authorization } }, headers, caller);
    const onAbort = (): void => void sent.destroy(new Error("the caller is gone"));
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const answered = answerOf(sent, this.#url);
      sent.write(messageHeader(message.length));
      sent.end(message);
      return await onlyMessage(await answered, this.#url);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  get #url(): string {
    return this.#options.replica.primaryUrl ?? "";
  }

  #send(
    request: Pick<IncomingMessage, "method" | "url" | "headers">,
    headers: OutgoingHttpHeaders,
    caller: Forwarded,
  ): ClientRequest {
    const { primaryUrl } = this.#options.replica;
    if (primaryUrl === undefined) throw noPrimary("there is none at the moment");
    // Two followers that take each other for the primary must not pass it to and fro.
    if (request.headers[FORWARDED_HEADER] !== undefined) throw noPrimary("another server was just replaced");
    const { key, clock } = this.#options;
    const secret = key();
    const signed = signedOf(request);
    const base = new URL(primaryUrl);
    return (base.protocol === "https:" ? httpsRequest : httpRequest)({
      host: base.hostname.replace(/^\[|\]$/g, ""),
      port: base.port === "" ? (base.protocol === "https:" ? 443 : 80) : Number(base.port),
      ...(base.protocol === "https:" ? { servername: base.hostname } : {}),
      method: signed.method,
      path: signed.url,
      headers: {
        ...headers,
        ...(secret === undefined
          ? {}
          : { [FORWARDED_HEADER]: signForwarded(secret, signed, caller, clock.nowMs()) }),
      },
      timeout: ANSWER_MS_MAX,
      agent: false,
    });
  }
}

function signedOf(request: Pick<IncomingMessage, "method" | "url" | "headers">): {
  readonly method: string;
  readonly url: string;
  readonly headers: { authorization?: string; cookie?: string };
} {
  const { authorization, cookie } = request.headers;
  return {
    method: request.method ?? "GET",
    url: request.url ?? "/",
    headers: {
      ...(authorization === undefined ? {} : { authorization }),
      ...(cookie === undefined ? {} : { cookie }),
    },
  };
}

function answerOf(sent: ClientRequest, url: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.once("timeout", () => sent.destroy(new Error("no answer in time")));
    sent.on("error", (cause) => reject(noPrimary(`${url} cannot be reached`, cause)));
    sent.once("response", resolve);
  });
}

async function onlyMessage(answer: IncomingMessage, url: string): Promise<Uint8Array> {
  const splitter = new MessageSplitter();
  let message: Uint8Array | undefined;
  let status: WireStatus | undefined;
  try {
    for await (const chunk of answer) {
      for (const { trailers, bytes } of splitter.push(chunk as Uint8Array)) {
        if (trailers) status = decodeTrailers(bytes);
        else message = Uint8Array.from(bytes);
      }
    }
  } catch (cause) {
    throw noPrimary(`${url} answers wrongly`, cause);
  }
  if (status === undefined && answer.headers["grpc-status"] !== undefined) {
    status = statusFromFields((name) => answer.headers[name]?.toString());
  }
  if (status === undefined) throw noPrimary(`${url} answered ${answer.statusCode}`);
  if (status.code !== GRPC.OK) throw decodeStatus(status);
  if (message === undefined) throw noPrimary(`${url} answers wrongly`);
  return message;
}

function endToEnd(headers: IncomingMessage["headers"]): OutgoingHttpHeaders {
  const named = new Set(
    String(headers.connection ?? "")
      .split(",")
      .map((name) => name.trim().toLowerCase()),
  );
  const kept: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !HOP_BY_HOP.has(name) && !named.has(name)) kept[name] = value;
  }
  return kept;
}

function noPrimary(why: string, cause?: unknown): MicError {
  return new MicError("unreachable", `accounts are changed on the primary server: ${why}`, {
    hint: "repeat the call in a few seconds",
    ...(cause === undefined ? {} : { cause }),
  });
}
