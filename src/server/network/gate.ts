/** What every HTTP/1.1 request passes before anything is done for it, and how a call is charged to its caller. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP } from "node:net";
import type { Access } from "../auth/access.ts";
import { NOBODY, type Principal } from "../auth/principal.ts";
import type { ServerContext } from "../context.ts";
import { sendAnswer } from "../rest/answer.ts";
import { HttpError, problemAnswer } from "../rest/problem.ts";
import { isApiPath } from "./cross-origin.ts";
import type { RateLimits } from "./rate-limits.ts";

/** Of a token that is not valid, or a method that there is not, to whoever sent it. */
export const FAILED_PRICE = 2;

/** Of a page, whoever asks. */
const PAGE_PRICE = 1;
/** A guess at one's own password; the OAuth endpoints count for themselves. */
const PASSWORD_PATH = "/api/mic/account/password";

/** A year. Nothing is said of other names below this one: they are not this server's. */
const STRICT_TRANSPORT = "max-age=31536000";

export type Gate = (request: IncomingMessage, response: ServerResponse) => boolean;

/** False: the request has its answer already, being for another host, of another origin, a preflight, or too many. */
export function createGate(context: ServerContext): Gate {
  const { network } = context;
  return (request, response) => {
    try {
      const url = request.url ?? "";
      checkHost(context, request, url);
      if (isNamedSecurely(context, request))
        response.setHeader("strict-transport-security", STRICT_TRANSPORT);
      const received = network.crossOrigin.receive(request, response);
      if (received === "refused") {
        throw new HttpError(403, "forbidden", "a page of another site may not do this", {
          hint: "the operator of this server can allow its origin: mic serve --cors-origin ORIGIN",
        });
      }
      if (received === "answered") return false;
      // The API charges by what is asked for; of pages the caller is known only once their cookie was read.
      if (!isApiPath(url)) network.limits.charge(NOBODY, () => network.peerOf(request).address, PAGE_PRICE);
      if (request.method === "POST" && url.startsWith(PASSWORD_PATH)) {
        network.limits.attempt("password", network.peerOf(request).address);
      }
      return true;
    } catch (error) {
      // The rest of the request is nobody's to read.
      if (!request.complete) response.setHeader("connection", "close");
      const method = request.method === "HEAD" ? "HEAD" : "GET";
      void sendAnswer(response, problemAnswer(error, context, request), { method, signal: NEVER_ASKED });
      return false;
    }
  };
}

/**
 * Whether the caller reached this server over TLS by a name that browsers may remember to be served so (RFC 6797):
 * not an address, which they would ignore, and not `localhost`, which other servers share.
 */
function isNamedSecurely({ network }: ServerContext, request: IncomingMessage): boolean {
  const host = request.headers.host?.replace(/:\d{1,5}$/, "").toLowerCase();
  if (host === undefined || host.startsWith("[") || isIP(host) !== 0) return false;
  if (/(?:^|\.)localhost\.?$/.test(host)) return false;
  return network.peerOf(request).isSecure;
}

/** Answers that are one text need no signal. */
const NEVER_ASKED = (): AbortSignal => AbortSignal.abort();

/** Errors: 421. */
function checkHost({ network }: ServerContext, request: IncomingMessage, url: string): void {
  const { host } = request.headers;
  // HTTP/1.0 knows no host, and no browser speaks it.
  const kind = host === undefined ? "own" : network.hostKind(host);
  if (kind === "own" || (kind === "unknown" && isApiPath(url))) return;
  throw new HttpError(421, "usage", `this server does not answer as ${JSON.stringify(host!.slice(0, 255))}`, {
    hint: "start it with --public-url or --allowed-host to let it",
  });
}

type Caller = Pick<ServerContext, "authenticate"> & { readonly network: { readonly limits: RateLimits } };

/**
 * The caller, whose budget the price was taken from. `address` is asked for where nobody signed in.
 * Where anybody may call, nobody is looked for: who refreshes a token may well bring the old one.
 * Errors: `unauthenticated`, `rate-limited`.
 */
export function chargedCaller(
  { authenticate, network }: Caller,
  authorization: string | undefined,
  address: () => string,
  price: number,
  access?: Access,
): Principal {
  if (access === "anyone") {
    network.limits.charge(NOBODY, address, price);
    return NOBODY;
  }
  let principal: Principal;
  try {
    principal = authenticate(authorization);
  } catch (error) {
    network.limits.charge(NOBODY, address, FAILED_PRICE);
    throw error;
  }
  network.limits.charge(principal, address, price);
  return principal;
}

/** Tells callers how they stand once they have used half of what they may (draft-ietf-httpapi-ratelimit-headers). */
export function tellStanding(
  limits: RateLimits,
  principal: Principal,
  address: () => string,
  response: ServerResponse,
): void {
  const standing = limits.standing(principal, address);
  if (standing === undefined || response.headersSent) return;
  const { limit, windowSeconds, remaining, resetSeconds } = standing;
  response.setHeader("ratelimit-policy", `"calls";q=${limit};w=${windowSeconds}`);
  response.setHeader("ratelimit", `"calls";r=${remaining};t=${resetSeconds}`);
}
