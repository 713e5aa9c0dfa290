/**
 * Calls over HTTP/1.1 with gRPC-Web framing, through the platform's own `fetch`: nothing to load, a call on a new
 * connection takes 2 ms, and content streams both ways with back-pressure (docs/adr/0091-calls-over-fetch.md).
 * Redirects are errors: a token goes to the origin that it was given for and to no other.
 */
import { releaseBytes } from "../base/bytes.ts";
import { isMicError, MicError } from "../base/errors.ts";
import { receive } from "../wire/common.ts";
import { type MessageParts, partsLength } from "../wire/frames.ts";
import {
  CONTENT_TYPE,
  decodeTrailers,
  MessageSplitter,
  messageHeader,
  statusFromFields,
} from "../wire/framing.ts";
import { decodeStatus, GRPC, type WireStatus } from "../wire/status.ts";
import { type Call, CallFailure, type Channel, type ChannelOptions, type TokenSource } from "./channel.ts";
import { connectionFailure } from "./connection-failure.ts";
import { failureOfHttpStatus } from "./http-failure.ts";
import { ServerFetch } from "./server-fetch.ts";

/** Parts below this are joined before they are sent. */
const JOIN_BYTES_MAX = 16 << 10;

export class HttpChannel implements Channel {
  readonly #origin: string;
  readonly #fetch: ServerFetch;
  readonly #token: TokenSource | undefined;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #stopping = new AbortController();

  constructor({ origin, token, ca, agent }: ChannelOptions) {
    this.#origin = origin;
    this.#fetch = new ServerFetch(origin, ca);
    this.#token = token;
    this.#headers = {
      "content-type": CONTENT_TYPE,
      accept: CONTENT_TYPE,
      // Frames are compressed already, and what expands here has no limit.
      "accept-encoding": "identity",
      "user-agent": agent,
    };
  }

  async *call(call: Call): AsyncGenerator<Uint8Array> {
    const ending = new AbortController();
    const end = (): void => ending.abort();
    const { signal } = call;
    signal?.addEventListener("abort", end, { once: true });
    this.#stopping.signal.addEventListener("abort", end, { once: true });
    if (signal?.aborted || this.#stopping.signal.aborted) end();
    const attempt = { started: false };
    let source = new Source();
    try {
      const token = await this.#token?.current(ending.signal);
      try {
        yield* this.#messages(call, await this.#post(call, source, token, ending.signal), attempt);
      } catch (error) {
        // Refused before anything was done: the same call with the token's successor is no repetition.
        if (attempt.started || token === undefined || !isMicError(error, "unauthenticated")) throw error;
        const successor = await this.#token?.replace(token, ending.signal);
        if (successor === undefined) throw error;
        source = new Source();
        yield* this.#messages(call, await this.#post(call, source, successor, ending.signal), attempt);
      }
    } catch (error) {
      if (source.failed) throw source.error;
      throw error instanceof MicError ? error : connectionFailure(this.#origin, error, true);
    } finally {
      signal?.removeEventListener("abort", end);
      this.#stopping.signal.removeEventListener("abort", end);
      // Frees the connection of an answer that was not read to its end.
      end();
    }
  }

  #post(call: Call, source: Source, token: string | undefined, signal: AbortSignal): Promise<Response> {
    return this.#fetch.send({
      method: "POST",
      path: call.path,
      headers: token === undefined ? this.#headers : { ...this.#headers, authorization: `Bearer ${token}` },
      body: () => source.bodyOf(call.messages()),
      isFresh: call.isFresh,
      signal,
    });
  }

  async *#messages(
    call: Call,
    response: Response,
    attempt: { started: boolean },
  ): AsyncGenerator<Uint8Array> {
    const origin = this.#origin;
    const type = response.headers.get("content-type") ?? "";
    const isEncoded = response.headers.has("content-encoding");
    if (response.status !== 200 || isEncoded || !type.startsWith("application/grpc-web")) {
      throw await failureOfHttpStatus(origin, response);
    }
    const { headers, body } = response;
    if (body === null) {
      throwUnlessOk(receive(call.path, () => statusFromFields((name) => headers.get(name) ?? undefined)));
      return;
    }
    const splitter = new MessageSplitter(call.messageBytesMax, call.borrows);
    const reader = body.getReader();
    let status: WireStatus | undefined;
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const chunk: Uint8Array = next.value;
      for (const { trailers, bytes } of receive(call.path, () => splitter.push(chunk))) {
        if (status !== undefined) throw afterEnd(call.path);
        if (trailers) status = receive(call.path, () => decodeTrailers(bytes));
        else {
          attempt.started = true;
          yield bytes;
        }
      }
      // Left to the collector, hundreds of megabytes would be asked of the system page by page.
      if (call.borrows === true && chunk.byteLength === chunk.buffer.byteLength) releaseBytes(chunk);
    }
    if (status === undefined && headers.has("grpc-status")) {
      status = receive(call.path, () => statusFromFields((name) => headers.get(name) ?? undefined));
    }
    if (status === undefined) {
      throw new CallFailure("unreachable", `the answer of ${origin} ended early`, {
        sent: true,
        transient: true,
      });
    }
    throwUnlessOk(status);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
  }
}

function throwUnlessOk(status: WireStatus): void {
  if (status.code !== GRPC.OK) throw decodeStatus(status);
}

function afterEnd(path: string): MicError {
  return new MicError("corrupt", `the server's answer to ${path} is wrong: it goes on after its end`);
}

/** The body of a request. What it is made of may fail on its own account. */
class Source {
  failed = false;
  error: unknown;

  /** Few small messages in one piece, so that they leave with their headers; anything else as a stream. */
  bodyOf(messages: ReturnType<Call["messages"]>): Uint8Array | AsyncIterable<Uint8Array> {
    if (Array.isArray(messages)) {
      const known = messages as readonly MessageParts[];
      const length = known.reduce((sum, parts) => sum + partsLength(parts), 0);
      if (length <= JOIN_BYTES_MAX)
        return Buffer.concat(known.flatMap((parts) => [headerOf(parts), ...parts]));
    }
    return this.#stream(messages);
  }

  async *#stream(messages: ReturnType<Call["messages"]>): AsyncGenerator<Uint8Array> {
    try {
      for await (const parts of messages) yield* joinSmall([headerOf(parts), ...parts]);
    } catch (error) {
      this.failed = true;
      this.error = error;
      throw error;
    }
  }
}

function headerOf(parts: MessageParts): Uint8Array {
  return messageHeader(partsLength(parts));
}

/** Large parts as they are, so that none is copied here. */
function* joinSmall(parts: MessageParts): Generator<Uint8Array> {
  let small: Uint8Array[] = [];
  for (const part of parts) {
    if (part.length <= JOIN_BYTES_MAX) {
      small.push(part);
      continue;
    }
    if (small.length > 0) yield Buffer.concat(small);
    small = [];
    yield part;
  }
  if (small.length > 0) yield Buffer.concat(small);
}
