/** One way of calling a server: messages out, messages back. HTTP/1.1 (http-channel.ts) and gRPC (grpc-channel.ts). */
import type { ErrorCode } from "../base/errors.ts";
import { MicError, type MicErrorOptions } from "../base/errors.ts";
import type { MessageParts } from "../wire/frames.ts";

export interface Call {
  /** `/mic.v1.ContentService/GetHead`. */
  readonly path: string;
  /** The request messages, from the start for every attempt. */
  readonly messages: () => Iterable<MessageParts> | AsyncIterable<MessageParts>;
  /** Of an answer. */
  readonly messageBytesMax: number;
  /** Over a connection of its own: one that was idle may be dead, and that shows only when the call is lost. */
  readonly isFresh: boolean;
  /** A message's bytes are not used any more when the next is asked for. */
  readonly borrows?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Channel extends AsyncDisposable {
  /** The messages of the answer. Errors: what the server said; `CallFailure` where no answer came. */
  call(call: Call): AsyncIterable<Uint8Array>;
}

/** The token that calls carry, which may have to be replaced while they are made. */
export interface TokenSource {
  /** For the next call; undefined: none is sent. */
  current(signal?: AbortSignal): Promise<string | undefined>;
  /** What to send after a server has refused `token`; undefined when there is nothing better. */
  replace(token: string, signal?: AbortSignal): Promise<string | undefined>;
}

/** One token, whatever servers say of it. */
export function fixedToken(token: string): TokenSource {
  return { current: async () => token, replace: async () => undefined };
}

export interface ChannelOptions {
  /** `https://host:port`. */
  readonly origin: string;
  readonly token: TokenSource | undefined;
  /** Certificates in PEM form that are trusted beside the system's. */
  readonly ca: string | undefined;
  /** Sent as the user agent. */
  readonly agent: string;
}

/** A call that no server answered: nothing is known of it but this. */
export class CallFailure extends MicError {
  /** False: the server cannot have seen any of it. */
  readonly sent: boolean;
  /** Whether trying again may help. */
  readonly transient: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    options: MicErrorOptions & { readonly sent: boolean; readonly transient: boolean },
  ) {
    super(code, message, options);
    this.sent = options.sent;
    this.transient = options.transient;
  }
}
