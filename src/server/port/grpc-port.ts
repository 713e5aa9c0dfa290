/** gRPC on connections that the port accepted: limits of a connection, metrics of its calls, and draining. */
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import {
  type Server,
  ServerCredentials,
  type ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from "@grpc/grpc-js";
import type { ServerMetrics } from "../metrics.ts";
import type { Connection } from "./connection.ts";
import type { PortLimits } from "./limits.ts";
import type { Http2 } from "./port.ts";

/** A peer that answers no ping for this long is gone. */
const PING_EVERY_MS = 60_000;
const PING_TIMEOUT_MS = 20_000;
/** A connection without a call. */
const IDLE_MS_MAX = 30 * 60_000;

/** For `new Server(…)`. */
export function grpcServerOptions(
  limits: PortLimits,
  metrics: ServerMetrics,
  interceptors: readonly ServerInterceptor[] = [],
) {
  return {
    "grpc.max_concurrent_streams": limits.streamsMax,
    "grpc.keepalive_time_ms": PING_EVERY_MS,
    "grpc.keepalive_timeout_ms": PING_TIMEOUT_MS,
    "grpc.max_connection_idle_ms": IDLE_MS_MAX,
    interceptors: [meter(metrics), ...interceptors],
  };
}

/** Counts a call when its status is sent. */
function meter(metrics: ServerMetrics): ServerInterceptor {
  return (definition, call) => {
    // Each call passes here: the given object is changed rather than wrapped.
    const intercepted = call as ServerInterceptingCall;
    const startedAt = performance.now();
    const sendStatus = intercepted.sendStatus.bind(intercepted);
    intercepted.sendStatus = (sent) => {
      const code = status[sent.code ?? status.UNKNOWN] ?? "UNKNOWN";
      metrics.request(definition.path, code, (performance.now() - startedAt) / 1000);
      sendStatus(sent);
    };
    return intercepted;
  };
}

interface ServerInternals {
  createHttp2Server(credentials: unknown): Http2Server;
}

/** Once the services were added, and only once for a server. */
export class GrpcPort implements Http2 {
  readonly #inject: (connection: Connection) => void;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #limits: PortLimits;
  readonly #metrics: ServerMetrics;
  #adopting: Connection | undefined;
  #draining = false;

  constructor(server: Server, limits: PortLimits, metrics: ServerMetrics) {
    this.#limits = limits;
    this.#metrics = metrics;
    // grpc-js makes the HTTP/2 server itself and does not show it.
    const internals = server as unknown as ServerInternals;
    const create = internals.createHttp2Server.bind(server);
    internals.createHttp2Server = (credentials) => {
      const http2Server = create(credentials);
      http2Server.on("session", (session: ServerHttp2Session) => this.#onSession(session));
      http2Server.on("sessionError", ignoreError);
      return http2Server;
    };
    // The port has done what there is of TLS.
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    this.#inject = (connection) => injector.injectConnection(connection.socket);
  }

  adopt(connection: Connection): void {
    this.#adopting = connection;
    try {
      this.#inject(connection);
    } finally {
      this.#adopting = undefined;
    }
  }

  drain(): void {
    this.#draining = true;
    for (const session of this.#sessions) session.close();
  }

  #onSession(session: ServerHttp2Session): void {
    const connection = this.#adopting;
    this.#sessions.add(session);
    session.on("error", ignoreError);
    session.once("close", () => {
      this.#sessions.delete(session);
      connection?.socket.destroy();
    });
    if (connection !== undefined) {
      // The head of HTTP/2 is its settings: a peer that never sends them is cut like one that stops in a header.
      session.once("remoteSettings", () => {
        connection.headSince = undefined;
      });
      this.#watchStreams(session, connection);
    }
    if (this.#draining) session.close();
  }

  /** A caller that opens streams only to reset them makes work without ever waiting for it (CVE-2023-44487). */
  #watchStreams(session: ServerHttp2Session, connection: Connection): void {
    const { resetBurst, resetRate } = this.#limits;
    let allowance = resetBurst;
    let refilledAt = performance.now();
    const onReset = (): void => {
      const now = performance.now();
      allowance = Math.min(resetBurst, allowance + ((now - refilledAt) / 1000) * resetRate) - 1;
      refilledAt = now;
      if (allowance >= 0 || session.destroyed) return;
      this.#metrics.refused.add(1, 'reason="resets"');
      session.destroy(undefined, ENHANCE_YOUR_CALM);
      connection.socket.destroySoon();
    };
    session.on("stream", (stream: ServerHttp2Stream) => {
      connection.calls++;
      stream.once("close", () => {
        connection.calls--;
        if (stream.rstCode !== 0 || stream.aborted) onReset();
      });
    });
  }
}

/** RFC 9113, section 7. */
const ENHANCE_YOUR_CALM = 0xb;

function ignoreError(): void {
  // A broken connection: it closes, and its calls are cancelled.
}
