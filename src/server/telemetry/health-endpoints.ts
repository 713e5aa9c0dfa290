/** `/healthz`, `/readyz` and `/metrics`: for whoever runs the server, and for what balances load to it. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { isMicError } from "../../core/base/errors.ts";
import type { ServerContext } from "../context.ts";
import { httpStatusOf } from "../http-status.ts";
import type { ServerMetrics } from "../metrics.ts";
import { chargedCaller } from "../network/gate.ts";
import { type Check, ReadinessChecks, storeCheck } from "./readiness.ts";

/** Of a scrape, for its caller's budget. */
const METRICS_PRICE = 1;

export interface HealthParts {
  readonly context: ServerContext;
  readonly metrics: ServerMetrics;
  /** Beside the store's. */
  readonly checks?: readonly Check[];
}

export interface HealthEndpoints {
  /** Takes `/healthz` and `/readyz`, for whatever host: who probes by address knows no name. */
  probe(request: IncomingMessage, response: ServerResponse, path: string): boolean;
  /** `/metrics`: access `site-read`. */
  metrics(request: IncomingMessage, response: ServerResponse): void;
}

export function createHealthEndpoints({ context, metrics, checks = [] }: HealthParts): HealthEndpoints {
  const readiness = new ReadinessChecks({
    checks: [storeCheck(bound(context)), ...checks],
    draining: context.draining,
    clock: context.clock,
    elapsedMs: () => performance.now(),
    log: context.log,
  });
  return {
    probe(request, response, path) {
      if (path === "/healthz") {
        // Whoever reads this has seen the event loop turn.
        sendText(request, response, 200, "ok\n");
        return true;
      }
      if (path !== "/readyz") return false;
      void sendReadiness(readiness, request, response);
      return true;
    },
    metrics: (request, response) => sendMetrics(context, metrics, request, response),
  };
}

function bound({ forge }: ServerContext): Parameters<typeof storeCheck>[0] {
  return { listProjects: (page, options) => forge.listProjects(page, options) };
}

/** A sentence for people; with `?verbose` a JSON document for programs. Neither has a secret in it. */
async function sendReadiness(
  readiness: ReadinessChecks,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { problem, checks } = await readiness.ask();
  const status = problem === undefined ? 200 : 503;
  response.setHeader("cache-control", "no-store");
  if (/[?&]verbose(?:[=&]|$)/.test(request.url ?? "")) {
    const document = { ready: problem === undefined, ...(problem === undefined ? {} : { problem }), checks };
    sendText(request, response, status, `${JSON.stringify(document)}\n`, "application/json");
  } else sendText(request, response, status, `${problem ?? "ok"}\n`);
}

function sendMetrics(
  context: ServerContext,
  metrics: ServerMetrics,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  try {
    const { authorization } = request.headers;
    const address = (): string => context.network.peerOf(request).address;
    const principal = chargedCaller(context, authorization, address, METRICS_PRICE, "site-read");
    context.authorizer.admit(principal, "site-read");
  } catch (error) {
    if (!isMicError(error)) throw error;
    if (error.code === "unauthenticated") response.setHeader("www-authenticate", "Bearer");
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
    type = "text/plain; charset=utf-8";
  }
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(text),
    "x-content-type-options": "nosniff",
  });
  response.end(request.method === "HEAD" ? undefined : text);
}
