/**
 * What grpc-js offers no option for. The names below are private there; a test fails when one of them is gone.
 *
 * - Flow control windows: 64 KiB of HTTP/2's default move 2 MB/s at a round trip of 30 ms.
 * - Interceptors after the construction, so that a caller is known before its first message is read into memory.
 */
import type { Http2Server, ServerHttp2Session, Settings } from "node:http2";
import type { Server, ServerInterceptor } from "@grpc/grpc-js";
import { MicError } from "../../core/base/errors.ts";
import { MESSAGE_BYTES_MAX } from "../../core/wire/framing.ts";

/** Of each stream, and of each connection: what a sender may have on the way. */
export const WINDOW_BYTES = 8 << 20;
const STREAMS_MAX = 1000;

interface ServerInternals {
  readonly options: Record<string, unknown>;
  readonly interceptors: ServerInterceptor[];
  readonly commonServerOptions: { settings?: Settings };
  createHttp2Server(credentials: unknown): Http2Server;
}

/** Before the server listens or makes an injector. */
export function configureServer(server: Server, interceptor: ServerInterceptor): void {
  const internals = server as unknown as ServerInternals;
  if (
    !Array.isArray(internals.interceptors) ||
    typeof internals.commonServerOptions !== "object" ||
    typeof internals.options !== "object" ||
    typeof internals.createHttp2Server !== "function"
  ) {
    throw new MicError("internal", "bug: grpc-js has other internals than this was written for");
  }
  // The array may be shared between servers.
  Object.assign(internals, { interceptors: [...internals.interceptors, interceptor] });
  internals.options["grpc.max_receive_message_length"] = MESSAGE_BYTES_MAX;
  internals.options["grpc.max_send_message_length"] = -1;
  internals.commonServerOptions.settings = {
    maxConcurrentStreams: STREAMS_MAX,
    ...internals.commonServerOptions.settings,
    initialWindowSize: WINDOW_BYTES,
  };
  const create = internals.createHttp2Server.bind(server);
  internals.createHttp2Server = (credentials) => {
    const http2Server = create(credentials);
    http2Server.on("session", (session: ServerHttp2Session) => session.setLocalWindowSize(WINDOW_BYTES));
    return http2Server;
  };
}

interface ReadableInternals {
  readonly _readableState: { highWaterMark: number };
}

/** A stream of requests is read one message ahead; grpc-js would read 16 of up to 16 MiB. */
export function readOneAhead(stream: unknown): void {
  (stream as ReadableInternals)._readableState.highWaterMark = 1;
}
