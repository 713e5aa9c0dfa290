/** Where HTTP/1.1 requests leave for the primary, before this server looks at them. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { encodeTrailers } from "../../../core/wire/framing.ts";
import type { ServerContext } from "../../context.ts";
import { statusOfFailure } from "../../methods/failure.ts";
import { sendAnswer } from "../../rest/answer.ts";
import { problemAnswer } from "../../rest/problem.ts";
import { type Forwarder, needsPrimary } from "./forwarder.ts";

export type Forwarding = (request: IncomingMessage, response: ServerResponse, path: string) => boolean;

/** True: the request changes accounts, this server may not, and it is being passed on. `findRoute`: of REST. */
export function createForwarding(
  context: ServerContext,
  forwarder: Forwarder,
  findRoute: (method: string, path: string) => { readonly changesAccounts?: boolean } | undefined,
): Forwarding {
  return (request, response, path) => {
    if (!forwarder.isNeeded) return false;
    const isMethod = path.startsWith("/mic.v1.");
    const route = isMethod ? undefined : findRoute(request.method ?? "GET", path);
    if (!needsPrimary(path, route)) return false;
    forwarder.forward(request, response, context.network.peerOf(request)).catch((error: unknown) => {
      if (response.headersSent || response.destroyed) response.destroy();
      else if (isMethod) fail(context, response, path, error);
      else {
        response.setHeader("connection", "close");
        void sendAnswer(response, problemAnswer(error, context, request), {
          method: "GET",
          signal: NEVER_ASKED,
        });
      }
    });
    return true;
  };
}

/** Answers that are one text need no signal. */
const NEVER_ASKED = (): AbortSignal => AbortSignal.abort();

function fail(context: ServerContext, response: ServerResponse, path: string, error: unknown): void {
  response.writeHead(200, { "content-type": "application/grpc-web+proto", connection: "close" });
  response.end(encodeTrailers(statusOfFailure(error, context, path)));
}
