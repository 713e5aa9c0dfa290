/** What HTTP/1.1 requests reach: health, metrics, the content transport, and REST for everything else. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { isMicError } from "../core/base/errors.ts";
import { AUTH_PATHS, type AuthHandler } from "./auth/oauth/handler.ts";
import type { Forwarding } from "./auth/replica/forwarding.ts";
import type { ServerContext } from "./context.ts";
import { httpStatusOf } from "./http-status.ts";
import type { ServerMetrics } from "./metrics.ts";
import { createGate } from "./network/gate.ts";
import type { HttpHandler } from "./port/http1.ts";

export interface HttpParts {
  readonly context: ServerContext;
  readonly metrics: ServerMetrics;
  readonly rest: HttpHandler;
  readonly content: (request: IncomingMessage, response: ServerResponse) => unknown;
  /** The OAuth endpoints and the pages. */
  readonly auth?: AuthHandler;
  /** Passes on to the primary what changes accounts. */
  readonly forwarding?: Forwarding;
}

/** How long an answer of /readyz stands: anybody may ask. */
const READY_MS = 1000;

export function createHttpHandler({
  context,
  metrics,
  rest,
  content,
  auth,
  forwarding,
}: HttpParts): HttpHandler {
  const isReady = createReadiness(context);
  const gate = createGate(context);
  return (request, response) => {
    const url = request.url!;
    // Those who ask for it know no name of this server.
    if (url === "/healthz") {
      sendText(request, response, 200, "ok\n");
      return;
    }
    if (!gate(request, response)) return;
    if (forwarding?.(request, response, pathOf(url)) === true) return;
    if (url.startsWith("/mic.v1.")) {
      content(request, response);
      return;
    }
    switch (pathOf(url)) {
      case "/healthz":
        sendText(request, response, 200, "ok\n");
        return;
      case "/readyz":
        void isReady().then((problem) => {
          sendText(request, response, problem === undefined ? 200 : 503, `${problem ?? "ok"}\n`);
        });
        return;
      case "/metrics":
        sendMetrics(context, metrics, request, response);
        return;
      default:
        if (auth?.(request, response) !== true) rest(request, response);
    }
  };
}

/** Undefined while calls can be served, else why not. */
function createReadiness(context: ServerContext): () => Promise<string | undefined> {
  let checked: Promise<string | undefined> | undefined;
  let checkedAt = 0;
  const check = async (): Promise<string | undefined> => {
    try {
      await context.forge.listProjects({ limit: 1 });
      return undefined;
    } catch (error) {
      context.log.error("not-ready", { error });
      return "the store does not answer";
    }
  };
  return async () => {
    if (context.draining.aborted) return "shutting down";
    const now = performance.now();
    if (checked === undefined || now - checkedAt > READY_MS) {
      checked = check();
      checkedAt = now;
    }
    return await checked;
  };
}

function sendMetrics(
  context: ServerContext,
  metrics: ServerMetrics,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  try {
    context.authenticate(request.headers.authorization);
  } catch (error) {
    if (!isMicError(error)) throw error;
    response.setHeader("www-authenticate", "Bearer");
    sendText(request, response, httpStatusOf(error.code), `${error.message}\n`);
    return;
  }
  response.setHeader("cache-control", "no-store");
  sendText(request, response, 200, metrics.render(), "text/plain; version=0.0.4; charset=utf-8");
}

function sendText(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  text: string,
  type = "text/plain; charset=utf-8",
): void {
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    status = 405;
    text = "use GET\n";
  }
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(text),
    "x-content-type-options": "nosniff",
  });
  response.end(request.method === "HEAD" ? undefined : text);
}

function pathOf(url: string): string {
  const mark = url.indexOf("?");
  return mark === -1 ? url : url.slice(0, mark);
}

const OWN_PATHS = new Set(["/healthz", "/metrics", "/readyz"]);
const OTHER = "/other";
const REMEMBERED_MAX = 4096;

/**
 * Names the endpoint of a call as it is counted: ids and names left out, and one name for whatever does not exist.
 * `findRoute` knows the REST routes.
 */
export function createEndpointNames(
  findRoute: (method: string, path: string) => { readonly path: string } | undefined,
): (method: string, url: string) => string {
  const remembered = new Map<string, string>();
  const name = (method: string, path: string): string => {
    if (OWN_PATHS.has(path) || AUTH_PATHS.has(path)) return path;
    if (path.startsWith("/mic.v1.")) return /^\/mic\.v1\.\w{1,40}\/\w{1,40}$/.test(path) ? path : OTHER;
    return findRoute(method, path)?.path ?? OTHER;
  };
  return (method, url) => {
    const path = pathOf(url);
    const key = `${method} ${path}`;
    let known = remembered.get(key);
    if (known === undefined) {
      known = name(method, path);
      if (remembered.size >= REMEMBERED_MAX) remembered.clear();
      if (key.length <= 256) remembered.set(key, known);
    }
    return known;
  };
}
