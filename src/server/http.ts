/** What HTTP/1.1 requests reach: health, metrics, the content transport, and REST for everything else. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { AUTH_PATHS, type AuthHandler } from "./auth/oauth/handler.ts";
import type { Forwarding } from "./auth/replica/forwarding.ts";
import type { ServerContext } from "./context.ts";
import type { ServerMetrics } from "./metrics.ts";
import { createGate } from "./network/gate.ts";
import type { HttpHandler } from "./port/http1.ts";
import { createHealthEndpoints } from "./telemetry/health-endpoints.ts";
import type { Check } from "./telemetry/readiness.ts";

export interface HttpParts {
  readonly context: ServerContext;
  readonly metrics: ServerMetrics;
  readonly rest: HttpHandler;
  readonly content: (request: IncomingMessage, response: ServerResponse) => unknown;
  /** The OAuth endpoints and the pages. */
  readonly auth?: AuthHandler;
  /** Passes on to the primary what changes accounts. */
  readonly forwarding?: Forwarding;
  /** What must be well for calls to be served, beside the store. */
  readonly checks?: readonly Check[];
}

export function createHttpHandler({
  context,
  metrics,
  rest,
  content,
  auth,
  forwarding,
  checks,
}: HttpParts): HttpHandler {
  const health = createHealthEndpoints({ context, metrics, ...(checks === undefined ? {} : { checks }) });
  const gate = createGate(context);
  return (request, response) => {
    const url = request.url!;
    const path = pathOf(url);
    // Those who ask for it know no name of this server.
    if (health.probe(request, response, path)) return;
    if (!gate(request, response)) return;
    if (forwarding?.(request, response, path) === true) return;
    if (url.startsWith("/mic.v1.")) {
      content(request, response);
      return;
    }
    if (path === "/metrics") health.metrics(request, response);
    else if (auth?.(request, response) !== true) rest(request, response);
  };
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
