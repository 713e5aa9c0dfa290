/** The OAuth endpoints and the pages, over `node:http`: finds which, runs it, sends what it answers. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { isMicError } from "../../../core/base/errors.ts";
import { httpStatusOf } from "../../http-status.ts";
import { HttpError } from "../../rest/problem.ts";
import { decideAuthorize, showAuthorize } from "../pages/authorize-page.ts";
import { decideDevice, showDevice } from "../pages/device-page.ts";
import { errorPage } from "../pages/error-page.ts";
import { logIn, logOut, showLogin, showLogout } from "../pages/login-page.ts";
import { type AuthCall, type AuthServices, type Handle, jsonReply, type Reply } from "./auth-call.ts";
import { startDevice } from "./device-endpoint.ts";
import { resourceMetadata, serverMetadata } from "./metadata.ts";
import { OAuthError } from "./oauth-error.ts";
import { NO_ORIGIN, RESOURCE_METADATA_PATH } from "./origin.ts";
import { registerClient } from "./register-endpoint.ts";
import { revokeToken } from "./revoke-endpoint.ts";
import { giveToken } from "./token-endpoint.ts";

/** False for what is none of these paths. */
export type AuthHandler = (request: IncomingMessage, response: ServerResponse) => boolean;

interface Endpoint {
  readonly kind: "oauth" | "page";
  readonly get?: Handle;
  readonly post?: Handle;
}

const ENDPOINTS: ReadonlyMap<string, Endpoint> = new Map<string, Endpoint>([
  ["/.well-known/oauth-authorization-server", { kind: "oauth", get: serverMetadata }],
  [RESOURCE_METADATA_PATH, { kind: "oauth", get: resourceMetadata }],
  ["/oauth/device", { kind: "oauth", post: startDevice }],
  ["/oauth/token", { kind: "oauth", post: giveToken }],
  ["/oauth/register", { kind: "oauth", post: registerClient }],
  ["/oauth/revoke", { kind: "oauth", post: revokeToken }],
  ["/oauth/authorize", { kind: "page", get: showAuthorize, post: decideAuthorize }],
  ["/device", { kind: "page", get: showDevice, post: decideDevice }],
  ["/login", { kind: "page", get: showLogin, post: logIn }],
  ["/logout", { kind: "page", get: showLogout, post: logOut }],
]);

/** As they are counted, and as a follower knows what its primary answers. */
export const AUTH_PATHS: ReadonlySet<string> = new Set(ENDPOINTS.keys());

export function createAuthHandler(services: AuthServices): AuthHandler {
  return (request, response) => {
    const url = request.url ?? "";
    const mark = url.indexOf("?");
    const endpoint = ENDPOINTS.get(mark === -1 ? url : url.slice(0, mark));
    if (endpoint === undefined) return false;
    void answer(services, endpoint, mark === -1 ? "" : url.slice(mark + 1), request, response);
    return true;
  };
}

async function answer(
  services: AuthServices,
  endpoint: Endpoint,
  query: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const origin = services.context.network.originOf(request);
  let reply: Reply;
  try {
    if (origin === undefined) throw new OAuthError("invalid_request", NO_ORIGIN);
    const handle = handlerOf(endpoint, request);
    const call: AuthCall = {
      services,
      request,
      query,
      origin,
      address: services.context.network.peerOf(request).address,
    };
    reply = await handle(call);
  } catch (error) {
    reply =
      endpoint.kind === "page"
        ? errorPage({ origin: origin ?? "http://localhost" }, error)
        : oauthErrorReply(error);
    if (reply.status >= 500) {
      services.context.log.error("sign-in-failed", { path: request.url!.split("?", 1)[0], error });
    }
  }
  send(request, response, reply);
}

/** Errors: 405. */
function handlerOf({ get, post }: Endpoint, { method }: IncomingMessage): Handle {
  const isGet = method === "GET" || method === "HEAD";
  const handle = isGet ? get : method === "POST" ? post : undefined;
  if (handle !== undefined) return handle;
  const allow = [...(get === undefined ? [] : ["GET", "HEAD"]), ...(post === undefined ? [] : ["POST"])].join(
    ", ",
  );
  throw new HttpError(405, "usage", `use ${allow}`, { headers: { allow } });
}

function oauthErrorReply(error: unknown): Reply {
  if (error instanceof OAuthError) {
    const { oauth, status, message, retryAfter } = error;
    const headers = retryAfter === undefined ? {} : { "retry-after": String(retryAfter) };
    return jsonReply(status, { error: oauth, error_description: message }, headers);
  }
  if (!isMicError(error) || error.code === "internal") {
    return jsonReply(500, { error: "server_error", error_description: "internal error" });
  }
  if (error.code === "rate-limited") {
    const seconds = Math.ceil(Number(error.data["retryAfterMs"] ?? 1000) / 1000);
    // The one code that programs wait on (RFC 8628, 3.5).
    const body = { error: "slow_down", error_description: error.message };
    return jsonReply(429, body, { "retry-after": String(seconds) });
  }
  const status = error instanceof HttpError ? error.status : httpStatusOf(error.code);
  const code = status < 500 ? "invalid_request" : "temporarily_unavailable";
  const headers = error instanceof HttpError ? error.headers : {};
  return jsonReply(status, { error: code, error_description: error.message.replace(/["\\]/g, "'") }, headers);
}

function send(request: IncomingMessage, response: ServerResponse, { status, headers, text }: Reply): void {
  if (response.destroyed || response.headersSent) return;
  for (const [name, value] of Object.entries(headers)) {
    response.setHeader(name, typeof value === "string" ? value : [...value]);
  }
  // What is left of a body that was refused would be taken for the next request.
  if (!request.complete && hasBody(request)) response.setHeader("connection", "close");
  response.setHeader("content-length", Buffer.byteLength(text));
  response.writeHead(status);
  response.end(request.method === "HEAD" ? undefined : text);
  if (!request.complete && hasBody(request)) request.resume();
}

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers["content-length"];
  return headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}
