/**
 * The one port: accepts connections, with TLS or without, and hands each to HTTP/1.1 or to HTTP/2 by its first
 * bytes. It keeps the limits of PortLimits, and can drain.
 */
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import { MicError } from "../../core/base/errors.ts";
import type { ServerMetrics } from "../metrics.ts";
import { Connection } from "./connection.ts";
import { type AnsweredListener, Http1, type HttpHandler, refuse } from "./http1.ts";
import type { PortLimits } from "./limits.ts";
import { sniffProtocol } from "./sniff.ts";

export interface TlsFiles {
  /** PEM. */
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** HTTP/2 on connections whose first bytes are still unread. */
export interface Http2 {
  adopt(connection: Connection): void;
  /** Tells every peer to open no more streams; a connection closes with its last stream. */
  drain(): void;
}

export interface PortOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: TlsFiles | undefined;
  readonly limits: PortLimits;
  readonly handler: HttpHandler;
  readonly onAnswered: AnsweredListener;
  readonly http2: Http2;
  readonly metrics: Pick<ServerMetrics, "refused" | "receivedBytes" | "sentBytes">;
  /** A place for a connection of this address: the result gives it back. Undefined: there is none for it. */
  readonly takePlace?: (address: string) => (() => void) | undefined;
}

const SWEEP_MS_MAX = 1000;
/** The kernel asks a silent peer after this long. */
const KEEP_ALIVE_PROBE_MS = 60_000;
const BACKLOG = 1024;
const TLS_MIN = "TLSv1.2";

export class Port {
  readonly #options: PortOptions;
  readonly #server: Server;
  #tlsServer: TlsServer | undefined;
  readonly #http1: Http1;
  readonly #connections = new Map<Socket, Connection>();
  readonly #sweeper: NodeJS.Timeout;
  #now = performance.now();
  #draining = false;
  #emptied: (() => void) | undefined;

  private constructor(options: PortOptions) {
    this.#options = options;
    const { limits, handler, onAnswered, tls } = options;
    this.#http1 = new Http1({
      limits,
      handler,
      onAnswered,
      now: () => this.#now,
      isDraining: () => this.#draining,
    });
    this.#server = tls === undefined ? this.#createPlain() : this.#createTls(tls);
    const shortest = Math.min(limits.headMs, limits.idleMs, limits.stallMs, limits.lingerMs);
    this.#sweeper = setInterval(() => this.#sweep(), Math.min(SWEEP_MS_MAX, shortest / 4));
    this.#sweeper.unref();
  }

  /** Errors: `unreachable` when the address is taken, `forbidden` when it may not be used, `usage` for a bad one. */
  static async listen(options: PortOptions): Promise<Port> {
    const port = new Port(options);
    try {
      await port.#listen();
      return port;
    } catch (error) {
      clearInterval(port.#sweeper);
      throw error;
    }
  }

  /** The port that was given by the system when 0 was asked for. */
  get number(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Calls that are running, over both protocols. */
  get calls(): number {
    let calls = 0;
    for (const connection of this.#connections.values()) calls += connection.calls;
    return calls;
  }

  /** For handshakes from now on; connections keep what they have. Throws where TLS cannot use them. */
  useTls({ cert, key }: TlsFiles): void {
    this.#tlsServer?.setSecureContext({ cert, key, minVersion: TLS_MIN });
  }

  /** Takes no more connections and calls; resolves when the running calls have ended, or after `limitMs`. */
  async drain(limitMs: number): Promise<void> {
    if (!this.#draining) {
      this.#draining = true;
      this.#server.close();
      this.#options.http2.drain();
      for (const [socket, connection] of this.#connections) {
        if (connection.protocol === "http2") continue;
        if (connection.calls === 0) socket.destroy();
      }
    }
    if (this.#connections.size > 0) await this.#waitUntilEmpty(limitMs);
  }

  /** Cuts what is still open. */
  close(): void {
    this.#draining = true;
    clearInterval(this.#sweeper);
    this.#server.close();
    for (const socket of this.#connections.keys()) socket.destroy();
  }

  #waitUntilEmpty(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#emptied = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #createPlain(): Server {
    const server = createServer({
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
    });
    server.on("connection", (socket) => {
      const connection = this.#accept(socket);
      if (connection !== undefined) this.#sniff(connection);
    });
    return server;
  }

  #createTls({ cert, key }: TlsFiles): Server {
    const server = createTlsServer({
      cert,
      key,
      // In order of preference: gRPC clients offer h2 alone, and who offers both wants REST.
      ALPNProtocols: ["http/1.1", "h2"],
      minVersion: TLS_MIN,
      handshakeTimeout: this.#options.limits.headMs,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
    });
    // Connections that shake hands count too; nothing can be said to them yet.
    server.maxConnections = this.#options.limits.connectionsMax;
    server.on("secureConnection", (socket: TLSSocket) => {
      const connection = this.#accept(socket);
      if (connection === undefined) return;
      if (socket.alpnProtocol === "h2") this.#adoptHttp2(connection);
      else this.#sniff(connection);
    });
    server.on("tlsClientError", (_error: Error, socket: TLSSocket) => socket.destroy());
    this.#tlsServer = server;
    return server;
  }

  /** Undefined when there are too many. */
  #accept(socket: Socket): Connection | undefined {
    const { limits, metrics } = this.#options;
    // A reset, or bytes for a peer that is gone: `close` follows.
    socket.on("error", ignoreError);
    if (this.#draining || this.#connections.size >= limits.connectionsMax) {
      metrics.refused.add(1, 'reason="too-many"');
      refuse(socket, 503);
      return undefined;
    }
    const leave = this.#takePlace(socket);
    if (leave === undefined) {
      metrics.refused.add(1, 'reason="too-many-of-one"');
      refuse(socket, 503);
      return undefined;
    }
    const connection = new Connection(socket, this.#now);
    this.#connections.set(socket, connection);
    socket.setNoDelay(true);
    socket.once("close", () => {
      this.#connections.delete(socket);
      leave();
      metrics.receivedBytes.add(socket.bytesRead);
      metrics.sentBytes.add(socket.bytesWritten);
      if (this.#connections.size === 0) this.#emptied?.();
    });
    return connection;
  }

  #takePlace(socket: Socket): (() => void) | undefined {
    const { takePlace } = this.#options;
    return takePlace === undefined ? ignoreError : takePlace(socket.remoteAddress ?? "");
  }

  #sniff(connection: Connection): void {
    const { socket } = connection;
    let head: Buffer | undefined;
    const onData = (part: Buffer): void => {
      head = head === undefined ? part : Buffer.concat([head, part]);
      const protocol = sniffProtocol(head);
      if (protocol === undefined) return;
      socket.off("data", onData);
      socket.off("end", onEnd);
      socket.pause();
      socket.unshift(head);
      if (protocol === "http1") this.#http1.adopt(connection);
      else this.#adoptHttp2(connection);
      socket.resume();
    };
    const onEnd = (): void => {
      socket.end();
    };
    socket.on("data", onData);
    socket.on("end", onEnd);
  }

  #adoptHttp2(connection: Connection): void {
    connection.protocol = "http2";
    this.#options.http2.adopt(connection);
  }

  #sweep(): void {
    this.#now = performance.now();
    const { limits, metrics } = this.#options;
    for (const [socket, connection] of this.#connections) {
      const reason = connection.overdue(this.#now, limits);
      if (reason === undefined) continue;
      if (reason !== "idle") metrics.refused.add(1, `reason="${reason}"`);
      // An answer that has begun cannot be followed by another.
      if (reason === "slow-head" && connection.calls === 0) refuse(socket, 408);
      else socket.destroy();
      connection.headSince = undefined;
    }
  }

  #listen(): Promise<void> {
    const { host, port } = this.#options;
    const server = this.#server;
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => reject(toListenError(error, host, port));
      server.once("error", onError);
      server.listen({ host, port, backlog: BACKLOG }, () => {
        server.off("error", onError);
        // Accepting may fail later too, for want of descriptors: those connections are lost, not the server.
        server.on("error", ignoreError);
        resolve();
      });
    });
  }
}

function ignoreError(): void {
  // Named so that it is seen: nothing is to be done here.
}

function toListenError(error: NodeJS.ErrnoException, host: string, port: number): MicError {
  const where = `${host}:${port}`;
  switch (error.code) {
    case "EADDRINUSE":
      return new MicError("unreachable", `${where} is already in use`, {
        hint: "is another server running? Choose another with --listen HOST:PORT",
        cause: error,
      });
    case "EACCES":
      return new MicError("forbidden", `this user may not listen on ${where}`, {
        hint: "choose a port above 1023 with --listen HOST:PORT",
        cause: error,
      });
    default:
      return new MicError("usage", `cannot listen on ${where}: ${error.message}`, {
        hint: "--listen takes an address of this machine and a port, e.g. 127.0.0.1:7420",
        cause: error,
      });
  }
}
