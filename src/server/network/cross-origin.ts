/**
 * Pages of other origins. They may call the API where the operator names them (`--cors-origin`), with a token that
 * they hold themselves, and never with this server's cookies; nobody else's page may change anything here.
 */
import type { IncomingMessage, ServerResponse } from "node:http";

export interface CrossOrigin {
  /**
   * What a request from a page needs: headers are set where its origin is allowed. `answered`: it was a preflight.
   * `refused`: it would change something, and comes from a page of another origin.
   */
  receive(request: IncomingMessage, response: ServerResponse): "go-on" | "answered" | "refused";
  /** For what a cookie allows: whether a page of this server sent it, or nobody's page did. */
  isSameOrigin(request: IncomingMessage): boolean;
}

/** Of these paths, pages of allowed origins may read answers. Pages with cookies are not among them. */
const API_PATH =
  /^\/(?:api\/|mic\.v1\.|\.well-known\/|oauth\/(?:device|token|register|revoke)(?:$|\?)|SKILL\.md|llms\.txt|metrics$)/;

/** Whether `url` is of the API, which knows its callers by tokens alone. */
export function isApiPath(url: string): boolean {
  return API_PATH.test(url);
}

const METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS =
  "authorization, content-type, accept, if-match, if-none-match, if-range, range, last-event-id, grpc-timeout";
const ANSWER_HEADERS = "etag, link, location, content-range, retry-after, ratelimit, ratelimit-policy";
const PREFLIGHT_SECONDS = 600;

/** `allowed`: origins, or `*` for any. `ownOrigin`: of --public-url. */
export function createCrossOrigin(allowed: readonly string[], ownOrigin: string | undefined): CrossOrigin {
  const origins = new Set(allowed);
  const isAllowed = (origin: string): boolean => origins.has("*") || origins.has(origin);

  const isSameOrigin = (request: IncomingMessage): boolean => {
    const { origin, host } = request.headers;
    // Set by browsers and by no page; it is right where `Origin: null` hides a page of our own.
    const site = request.headers["sec-fetch-site"];
    if (site !== undefined) return site === "same-origin" || site === "none";
    if (origin === undefined) return true;
    if (origin === ownOrigin) return true;
    return URL.canParse(origin) && host !== undefined && new URL(origin).host === host.toLowerCase();
  };

  return {
    isSameOrigin,
    receive(request, response) {
      const { origin } = request.headers;
      if (origin === undefined) {
        return changes(request) && !isSameOrigin(request) ? "refused" : "go-on";
      }
      if (isSameOrigin(request)) return "go-on";
      const isApi = isApiPath(request.url ?? "");
      if (isApi && origins.size > 0) response.setHeader("vary", "origin");
      if (!isApi || !isAllowed(origin)) return changes(request) ? "refused" : "go-on";
      response.setHeader("access-control-allow-origin", origins.has("*") ? "*" : origin);
      const asked = request.headers["access-control-request-method"];
      if (request.method !== "OPTIONS" || asked === undefined) {
        response.setHeader("access-control-expose-headers", ANSWER_HEADERS);
        return "go-on";
      }
      response.writeHead(204, {
        "access-control-allow-methods": METHODS,
        "access-control-allow-headers": REQUEST_HEADERS,
        "access-control-max-age": String(PREFLIGHT_SECONDS),
      });
      response.end();
      return "answered";
    },
  };
}

function changes({ method }: IncomingMessage): boolean {
  return method !== "GET" && method !== "HEAD" && method !== "OPTIONS";
}
