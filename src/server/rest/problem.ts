/** Every failure as an RFC 9457 problem document, with the codes of the command line. */
import { type IncomingMessage, STATUS_CODES } from "node:http";
import { type ErrorCode, isMicError, MicError, type MicErrorOptions } from "../../core/base/errors.ts";
import { bearerChallenge } from "../auth/oauth/origin.ts";
import type { ServerContext } from "../context.ts";
import { httpStatusOf } from "../http-status.ts";
import { requestIdOf } from "../telemetry/call-notes.ts";
import type { Answer, HeaderFields } from "./answer.ts";

export const PROBLEM_TYPE = "application/problem+json";
const PROBLEM_HEADERS: HeaderFields = {
  "content-type": PROBLEM_TYPE,
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};
/** Members that a problem document has of itself; an error's details may not replace them. */
const OWN_MEMBERS = new Set(["type", "title", "status", "detail", "code", "hint", "requestId"]);

/** A failure of the protocol rather than of the forge: it names its status itself. */
export class HttpError extends MicError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: ErrorCode,
    message: string,
    options: MicErrorOptions & { readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(code, message, options);
    this.status = status;
    this.headers = options.headers ?? {};
  }
}

/** What is not a `MicError`, and every `internal` one, is logged under an id and tells the caller that id only. */
export function problemAnswer(error: unknown, context: ServerContext, request: IncomingMessage): Answer {
  if (!isMicError(error) || error.code === "internal") return internalProblem(error, context, request);
  const status = error instanceof HttpError ? error.status : httpStatusOf(error.code);
  if (status >= 500)
    context.log.warn("request-failed", { ...about(request), code: error.code, message: error.message });
  const members: Record<string, unknown> = {
    type: `/SKILL.md#${error.code}`,
    title: STATUS_CODES[status] ?? "Client Closed Request",
    status,
    detail: error.message,
    code: error.code,
  };
  if (error.hint !== undefined) members["hint"] = error.hint;
  for (const [name, value] of Object.entries(error.data)) {
    if (!OWN_MEMBERS.has(name) && value !== undefined) members[name] = value;
  }
  return {
    kind: "text",
    status,
    headers: { ...PROBLEM_HEADERS, ...headersOf(error, context, request) },
    text: JSON.stringify(members, plainNumbers),
  };
}

function internalProblem(
  error: unknown,
  context: ServerContext,
  request: Pick<IncomingMessage, "method" | "url">,
): Answer {
  const requestId = requestIdOf(request, context.random);
  context.log.error("internal-error", {
    requestId,
    ...about(request),
    error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    ...(error instanceof Error && error.cause !== undefined ? { cause: String(error.cause) } : {}),
  });
  const members = {
    type: "/SKILL.md#internal",
    title: STATUS_CODES[500],
    status: 500,
    detail: "internal error",
    code: "internal",
    hint: "report it with the request id",
    requestId,
  };
  return {
    kind: "text",
    status: 500,
    headers: PROBLEM_HEADERS,
    text: JSON.stringify(members),
  };
}

function headersOf(
  error: MicError,
  context: ServerContext,
  request: IncomingMessage,
): Readonly<Record<string, string>> {
  if (error instanceof HttpError) return error.headers;
  if (error.code === "unauthenticated")
    return { "www-authenticate": bearerChallenge(context.network.originOf(request)) };
  if (error.code === "rate-limited") {
    return { "retry-after": String(Math.max(1, Math.ceil(Number(error.data["retryAfterMs"] ?? 0) / 1000))) };
  }
  return error.code === "unreachable" || error.code === "outcome-unknown" ? { "retry-after": "1" } : {};
}

/** The path without its query. */
function about(request: Pick<IncomingMessage, "method" | "url">): Readonly<Record<string, unknown>> {
  return { method: request.method, path: request.url?.split("?", 1)[0]?.slice(0, 1000) };
}

function plainNumbers(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
