/** A method as grpc-js calls it. grpc-js watches the deadline itself; a call that is over is `cancelled`. */
import {
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  type ServerInterceptingCall,
  type ServerInterceptor,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type StatusObject,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import { asBuffer } from "../../core/base/bytes.ts";
import { TRAILER_DETAIL_BYTES_MAX } from "../../core/wire/status.ts";
import type { Access } from "../auth/access.ts";
import { NOBODY, type Principal } from "../auth/principal.ts";
import { isAccountsMethod } from "../auth/replica/forwarder.ts";
import type { ServerContext } from "../context.ts";
import { interrupted, statusOfFailure } from "../methods/failure.ts";
import type { Answer, Encoded, Method, MethodCall } from "../methods/method.ts";
import { type CallOrigin, enter, openCall, watchCall } from "../methods/open-call.ts";
import type { Peer } from "../network/client-address.ts";
import { chargedCaller } from "../network/gate.ts";
import { BYTE_PRICE } from "../network/prices.ts";
import { noteCaller } from "../telemetry/call-notes.ts";
import { readOneAhead } from "./internals.ts";

/** What may wait in a stream for a slow reader. */
const UNSENT_BYTES_MAX = 1 << 20;
const HEALTH_PREFIX = "/grpc.health.v1.Health/";

/** Messages pass grpc-js as they are; a message that cannot be read is the method's to refuse. */
export function toDefinition(method: {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}): MethodDefinition<Buffer, Buffer> {
  return {
    path: method.path,
    requestStream: method.requestStream,
    responseStream: method.responseStream,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

/** Who called, from the interceptor to the handler. */
const PRINCIPALS = new WeakMap<Metadata, Principal>();

/** Refuses a call before any of its messages is read. */
export function authenticator(
  context: ServerContext,
  accessOf: (path: string) => Access,
  priceOf: (path: string) => number,
): ServerInterceptor {
  return (definition, call) => {
    // Each call passes here: the given object is changed rather than wrapped.
    const intercepted = call as ServerInterceptingCall;
    if (definition.path.startsWith(HEALTH_PREFIX)) return intercepted;
    const start = intercepted.start.bind(intercepted);
    intercepted.start = (listener) => {
      const proceed = listener.onReceiveMetadata;
      listener.onReceiveMetadata = (metadata) => {
        try {
          const access = accessOf(definition.path);
          const principal = chargedCaller(
            context,
            metadata.get("authorization")[0]?.toString(),
            () => addressOf(context, intercepted, metadata),
            priceOf(definition.path),
            access,
          );
          context.authorizer.admit(principal, access);
          PRINCIPALS.set(metadata, principal);
          noteCaller(intercepted, principal);
        } catch (error) {
          intercepted.sendStatus(toStatus(error, context, definition.path));
          return;
        }
        proceed.call(listener, metadata);
      };
      start(listener);
    };
    return intercepted;
  };
}

function addressOf(context: ServerContext, call: { getPeer(): string }, metadata: Metadata): string {
  return peerOf(context, call, metadata).address;
}

function peerOf({ network }: ServerContext, call: { getPeer(): string }, metadata: Metadata): Peer {
  // Address and port.
  const peer = call.getPeer().replace(/:\d+$/, "");
  return network.peerAt(peer, (name) => {
    const values = metadata.get(name);
    return values.length === 0 ? undefined : values.map(String).join(",");
  });
}

function originOf(context: ServerContext, call: ServerCall): CallOrigin {
  return {
    address: () => addressOf(context, call, call.metadata),
    origin: () => context.network.originAt(call.getHost(), peerOf(context, call, call.metadata)),
  };
}

export function principalOf(metadata: Metadata): Principal {
  return PRINCIPALS.get(metadata) ?? NOBODY;
}

export function toHandler(method: Method, context: ServerContext): UntypedHandleCall {
  const { answer } = method;
  if (answer.kind === "unary") return unaryHandler(method, answer, context);
  if (answer.kind === "client-stream") return clientStreamHandler(method, answer, context);
  return serverStreamHandler(method, answer, context);
}

/** The name that who signs in knows this server by: the primary's answer is to name pages under it. */
function pagesHost({ access }: Method, call: ServerCall, { network }: ServerContext): string | undefined {
  const host = call.getHost();
  return access === "anyone" && network.hostKind(host) === "own" ? host : undefined;
}

type ServerCall = Pick<ServerUnaryCall<Buffer, Buffer>, "getPeer" | "getHost" | "metadata">;

interface Cancellable {
  readonly cancelled: boolean;
  once(event: "cancelled", listener: () => void): unknown;
}

/** Fires when a call is over before its method is. */
class Cancellation implements Disposable {
  readonly #controller = new AbortController();
  #isDone = false;
  #ending: Disposable | undefined;
  /** Why the server itself ended the call. */
  reason: unknown;

  constructor(call: Cancellable) {
    if (call.cancelled) this.#controller.abort();
    else {
      // Every call ends `cancelled`; telling a signal that nobody needs any more costs as much as the method.
      call.once("cancelled", () => {
        if (!this.#isDone) this.#controller.abort();
      });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** For calls that last. */
  endWith(opened: MethodCall, method: Method): void {
    this.#ending = watchCall(opened, method, (reason) => {
      this.reason = reason;
      this.#controller.abort(reason);
    });
  }

  [Symbol.dispose](): void {
    this.#isDone = true;
    this.#ending?.[Symbol.dispose]();
  }
}

function unaryHandler(
  method: Method,
  { run }: Extract<Answer, { kind: "unary" }>,
  context: ServerContext,
): handleUnaryCall<Buffer, Buffer> {
  const isForwarded = isAccountsMethod(method.path);
  return async (call, callback) => {
    using cancellation = new Cancellation(call as never);
    try {
      const from = originOf(context, call);
      const opened = openCall(context, principalOf(call.metadata), method, cancellation.signal, from);
      using _place = await enter(method, opened);
      const { forwarder } = context;
      const answer =
        isForwarded && forwarder?.isNeeded === true
          ? await forwarder.call(
              method.path,
              {
                authorization: call.metadata.get("authorization")[0]?.toString(),
                host: pagesHost(method, call, context),
              },
              call.request,
              peerOf(context, call, call.metadata),
              cancellation.signal,
            )
          : await run(call.request, opened);
      callback(null, whole(answer));
    } catch (error) {
      callback(toStatus(error, context, method.path));
    }
  };
}

function clientStreamHandler(
  method: Method,
  { run }: Extract<Answer, { kind: "client-stream" }>,
  context: ServerContext,
): handleClientStreamingCall<Buffer, Buffer> {
  return async (call, callback) => {
    using cancellation = new Cancellation(call);
    try {
      readOneAhead(call);
      const principal = principalOf(call.metadata);
      const from = originOf(context, call);
      const opened = openCall(context, principal, method, cancellation.signal, from);
      cancellation.endWith(opened, method);
      using _place = await enter(method, opened);
      callback(null, whole(await run(requestsOf(call, cancellation.signal), opened)));
    } catch (error) {
      callback(toStatus(cancellation.reason ?? error, context, method.path));
    }
  };
}

/** Errors: `aborted` once the call is over. */
async function* requestsOf(
  call: ServerReadableStream<Buffer, Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  try {
    for await (const message of call) {
      if (signal.aborted) throw interrupted(signal.reason);
      yield message as Buffer;
    }
  } catch (cause) {
    throw interrupted(cause);
  }
  // A call that was cut off ends like a whole one.
  if (call.cancelled) throw interrupted();
}

function serverStreamHandler(
  method: Method,
  { run }: Extract<Answer, { kind: "server-stream" }>,
  context: ServerContext,
): handleServerStreamingCall<Buffer, Buffer> {
  return async (call) => {
    using cancellation = new Cancellation(call);
    try {
      const principal = principalOf(call.metadata);
      const from = originOf(context, call);
      const opened = openCall(context, principal, method, cancellation.signal, from);
      cancellation.endWith(opened, method);
      using _place = await enter(method, opened);
      const spend = (bytes: number): void =>
        context.network.limits.spend(principal, from.address, bytes * BYTE_PRICE);
      await sendAll(call, run(call.request, opened), opened.signal, spend);
      // A live stream ends with its signal, and does not say why.
      if (cancellation.reason !== undefined) throw cancellation.reason;
      call.end();
    } catch (error) {
      if (!call.cancelled) {
        call.emit("error", toStatus(cancellation.reason ?? error, context, method.path));
      }
    }
  };
}

/**
 * Waits where the reader is slow; stops where it is gone. `onEnd` is told how many bytes were sent, however it ends.
 * Errors: those of `responses`, and `aborted`.
 */
export async function sendAll(
  call: ServerWritableStream<Buffer, Buffer>,
  responses: AsyncIterable<Encoded>,
  signal: AbortSignal,
  onEnd: (bytes: number) => void = () => undefined,
): Promise<void> {
  let unsent = 0;
  let bytes = 0;
  let resume: () => void = () => undefined;
  signal.addEventListener("abort", () => resume(), { once: true });
  try {
    for await (const response of responses) {
      const message = whole(response);
      if (call.cancelled || signal.aborted) throw interrupted(signal.reason);
      unsent += message.length;
      bytes += message.length;
      call.write(message, () => {
        unsent -= message.length;
        if (unsent <= UNSENT_BYTES_MAX) resume();
      });
      while (unsent > UNSENT_BYTES_MAX) {
        if (call.cancelled || signal.aborted) throw interrupted(signal.reason);
        await new Promise<void>((resolve) => {
          resume = resolve;
        });
      }
    }
  } finally {
    onEnd(bytes);
  }
}

/** One copy for parts: grpc-js takes a message in one piece. */
function whole(encoded: Encoded): Buffer {
  if (encoded instanceof Uint8Array) return asBuffer(encoded);
  return encoded.length === 1 ? asBuffer(encoded[0]!) : Buffer.concat(encoded);
}

export function toStatus(
  error: unknown,
  context: ServerContext,
  path: string,
): Omit<StatusObject, "progress"> {
  const { code, message, details } = statusOfFailure(error, context, path, TRAILER_DETAIL_BYTES_MAX);
  const metadata = new Metadata();
  if (details !== undefined) metadata.set("grpc-status-details-bin", asBuffer(details));
  return { code, details: message.toWellFormed(), metadata };
}
