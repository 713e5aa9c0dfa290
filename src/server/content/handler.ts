/**
 * The methods over HTTP/1.1, for content in bulk: `POST /mic.v1.Service/Method`, body and answer framed as in
 * gRPC-Web, the status in a last message of trailers. HTTP says 200 to all that reached a method.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { MicError } from "../../core/base/errors.ts";
import {
  CONTENT_TYPE,
  encodeTrailers,
  MESSAGE_HEADER_BYTES,
  readMessages,
  writeMessageHeader,
} from "../../core/wire/framing.ts";
import type { ServerContext } from "../context.ts";
import { allMethods } from "../methods/all-methods.ts";
import { DEADLINE_PASSED, interrupted, statusOfFailure } from "../methods/failure.ts";
import type { Encoded, Method, MethodCall } from "../methods/method.ts";
import { enter, openCall, watchCall } from "../methods/open-call.ts";
import { chargedCaller, FAILED_PRICE } from "../network/gate.ts";
import { BYTE_PRICE, priceOfMethod } from "../network/prices.ts";
import { noteCaller } from "../telemetry/call-notes.ts";
import { HttpCall } from "./http-call.ts";

const PREFIX = "/mic.v1.";
/** Parts up to this are sent together with the header before them. */
const JOINED_BYTES_MAX = 16 << 10;
const ACCEPTED = new Set([CONTENT_TYPE, "application/grpc-web"]);

export type ContentHandler = (request: IncomingMessage, response: ServerResponse) => boolean;

/** The handler returns false for a path that is none of these methods' services. */
export function createContentHandler(context: ServerContext): ContentHandler {
  const methods = new Map(allMethods().map((method) => [method.path, method]));
  return (request, response) => {
    const url = request.url ?? "";
    if (!url.startsWith(PREFIX)) return false;
    const call = new HttpCall(request, response);
    void serve(context, methods, call);
    return true;
  };
}

async function serve(
  context: ServerContext,
  methods: ReadonlyMap<string, Method>,
  call: HttpCall,
): Promise<void> {
  const { request } = call;
  const path = request.url ?? "";
  const address = (): string => context.network.peerOf(request).address;
  try {
    if (request.method !== "POST") {
      call.refuse(405, { allow: "POST" });
      return;
    }
    if (!ACCEPTED.has(contentTypeOf(request))) {
      call.refuse(415, { "accept-post": CONTENT_TYPE });
      return;
    }
    const method = methods.get(path);
    const price = method === undefined ? FAILED_PRICE : priceOfMethod(method);
    const principal = chargedCaller(context, request.headers.authorization, address, price, method?.access);
    noteCaller(request, principal);
    if (method === undefined) {
      throw new MicError("unsupported", `there is no method ${JSON.stringify(path.slice(0, 200))}`);
    }
    call.startDeadline();
    const origin = (): string | undefined => context.network.originOf(request);
    const opened = openCall(context, principal, method, call.signal, { address, origin });
    // A short call is answered before it could be ended.
    const isStream = method.requestStream || method.responseStream;
    using _ending = isStream ? watchCall(opened, method, (reason) => call.abort(reason)) : undefined;
    const { socket } = request;
    const sentBefore = socket.bytesWritten;
    try {
      await run(method, call, opened);
    } finally {
      // Also where the caller did not take all of it.
      if (method.responseStream) {
        const bytes = Math.max(0, socket.bytesWritten - sentBefore);
        context.network.limits.spend(principal, address, bytes * BYTE_PRICE);
      }
    }
  } catch (error) {
    const failure = call.abortedWith ?? error;
    const status = call.isExpired ? DEADLINE_PASSED : statusOfFailure(failure, context, path.slice(0, 200));
    call.end(encodeTrailers(status));
  } finally {
    call.finish();
  }
}

function contentTypeOf(request: IncomingMessage): string {
  return (request.headers["content-type"] ?? "").split(";", 1)[0]!.trim().toLowerCase();
}

async function run(method: Method, call: HttpCall, opened: MethodCall): Promise<void> {
  using _place = await enter(method, opened);
  const { answer } = method;
  const requests = readMessages(call.chunks(), method.requestBytesMax);
  if (answer.kind === "client-stream") {
    call.endWith(framed(await answer.run(requests, opened)), encodeTrailers());
    return;
  }
  const request = await onlyRequest(requests);
  if (answer.kind === "unary") {
    call.endWith(framed(await answer.run(request, opened)), encodeTrailers());
    return;
  }
  call.begin();
  for await (const response of answer.run(request, opened)) {
    if (opened.signal.aborted) throw interrupted(opened.signal.reason);
    await call.send(framed(response));
  }
  // A live stream ends with its signal, and does not say why.
  if (call.abortedWith !== undefined) throw call.abortedWith;
  call.end(encodeTrailers());
}

/** Errors: `usage` where there is none, or another one. */
async function onlyRequest(requests: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  let only: Uint8Array | undefined;
  for await (const request of requests) {
    if (only !== undefined) throw new MicError("usage", "the method takes one request message");
    only = request;
  }
  if (only === undefined) throw new MicError("usage", "the call has no request message");
  return only;
}

/** The parts with a message header in front; large parts stay where they are. */
function framed(encoded: Encoded): readonly Uint8Array[] {
  const parts = encoded instanceof Uint8Array ? [encoded] : encoded;
  let length = 0;
  for (const part of parts) length += part.length;
  const first = parts[0];
  const joins = first !== undefined && first.length <= JOINED_BYTES_MAX;
  const head = Buffer.allocUnsafe(MESSAGE_HEADER_BYTES + (joins ? first.length : 0));
  writeMessageHeader(head, 0, length);
  if (!joins) return [head, ...parts];
  head.set(first, MESSAGE_HEADER_BYTES);
  return parts.length === 1 ? [head] : [head, ...parts.slice(1)];
}
