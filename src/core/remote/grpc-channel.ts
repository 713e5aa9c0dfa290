/** Calls over gRPC (HTTP/2), for programs that want it; the command line uses http-channel.ts. */
import {
  ChannelCredentials,
  Client,
  type ClientDuplexStream,
  Metadata,
  type StatusObject,
} from "@grpc/grpc-js";
import { concatBytes } from "../base/bytes.ts";
import { isMicError, MicError } from "../base/errors.ts";
import type { MessageParts } from "../wire/frames.ts";
import { LONG_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX } from "../wire/framing.ts";
import { decodeStatus, GRPC } from "../wire/status.ts";
import { type Call, CallFailure, type Channel, type ChannelOptions, type TokenSource } from "./channel.ts";

/** As much as 30 ms of a fast link hold; the library's own is 64 KiB, which is 2 MB/s there. */
const WINDOW_BYTES = 8 << 20;
/** Statuses that the library gives on its own account, not the server. */
const CONNECTION: ReadonlySet<number> = new Set([
  GRPC.CANCELLED,
  GRPC.UNKNOWN,
  GRPC.INTERNAL,
  GRPC.UNAVAILABLE,
  GRPC.DEADLINE_EXCEEDED,
]);
const NOT_CONNECTED = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|Name resolution failed|No connection established/;

type Stream = ClientDuplexStream<Uint8Array, Uint8Array>;

export class GrpcChannel implements Channel {
  readonly #client: Client;
  readonly #token: TokenSource | undefined;
  readonly #host: string;

  constructor({ origin, token, ca, agent }: ChannelOptions) {
    const { protocol, host, hostname, port } = new URL(origin);
    const isSecure = protocol === "https:";
    this.#host = host;
    const credentials = isSecure
      ? ChannelCredentials.createSsl(ca === undefined ? null : Buffer.from(ca))
      : ChannelCredentials.createInsecure();
    this.#client = new Client(`${hostname}:${port === "" ? (isSecure ? 443 : 80) : port}`, credentials, {
      "grpc.max_receive_message_length": LONG_MESSAGE_BYTES_MAX,
      "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
      "grpc-node.flow_control_window": WINDOW_BYTES,
      "grpc.primary_user_agent": agent,
      // Repeating is decided by who knows what may be repeated.
      "grpc.enable_retries": 0,
      // Or a restarted server is found only after the library's own back-off, which reaches two minutes.
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1000,
    });
    this.#token = token;
  }

  async *call(call: Call): AsyncGenerator<Uint8Array> {
    const token = await this.#token?.current(call.signal);
    const attempt = { started: false };
    try {
      yield* this.#attempt(call, token, attempt);
    } catch (error) {
      // Refused before anything was done: the same call with the token's successor is no repetition.
      if (attempt.started || token === undefined || !isMicError(error, "unauthenticated")) throw error;
      const successor = await this.#token?.replace(token, call.signal);
      if (successor === undefined) throw error;
      yield* this.#attempt(call, successor, attempt);
    }
  }

  async *#attempt(
    call: Call,
    token: string | undefined,
    attempt: { started: boolean },
  ): AsyncGenerator<Uint8Array> {
    const metadata = new Metadata();
    if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
    const identity = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const stream: Stream = this.#client.makeBidiStreamRequest(call.path, identity, identity, metadata);
    const cancel = (): void => stream.cancel();
    call.signal?.addEventListener("abort", cancel, { once: true });
    if (call.signal?.aborted) cancel();
    const status = new Promise<StatusObject>((resolve) => stream.once("status", resolve));
    let sourceError: { readonly error: unknown } | undefined;
    const sending = sendAll(stream, call.messages()).catch((error: unknown) => {
      sourceError = { error };
      stream.cancel();
    });
    try {
      for await (const message of stream) {
        attempt.started = true;
        yield message as Uint8Array;
      }
    } catch (error) {
      // The status says what the stream's error says.
      if (!(error instanceof Error) || !("code" in error)) throw error;
    } finally {
      call.signal?.removeEventListener("abort", cancel);
      // For a caller that does not read on.
      stream.cancel();
    }
    if (sourceError !== undefined) throw (sourceError as { readonly error: unknown }).error;
    this.#throwUnlessOk(await status, call);
    await sending;
  }

  #throwUnlessOk({ code, details: message, metadata }: StatusObject, call: Call): void {
    if (code === GRPC.OK) return;
    if (call.signal?.aborted) throw new MicError("aborted", "interrupted");
    const details = metadata.get("grpc-status-details-bin")[0];
    if (details instanceof Uint8Array) throw decodeStatus({ code, message, details });
    if (!CONNECTION.has(code)) throw decodeStatus({ code, message });
    const sent = !NOT_CONNECTED.test(message);
    throw new CallFailure("unreachable", `the call to ${this.#host} failed: ${message}`, {
      sent,
      transient: true,
      hint: "check the address, and that the server runs",
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
  }
}

async function sendAll(
  stream: Stream,
  messages: Iterable<MessageParts> | AsyncIterable<MessageParts>,
): Promise<void> {
  for await (const parts of messages) {
    if (stream.destroyed || stream.writableEnded) return;
    const message = parts.length === 1 ? parts[0]! : concatBytes(parts);
    if (!stream.write(message)) await writable(stream);
  }
  stream.end();
}

/** Until there is room, or nobody reads any more. */
function writable(stream: Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done).off("close", done).off("status", done).off("error", done);
      resolve();
    };
    stream.on("drain", done).on("close", done).on("status", done).on("error", done);
  });
}
