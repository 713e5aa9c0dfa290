/**
 * HTTP/1.1 on connections that the port accepted (docs/adr/0090-one-port.md): `node:http` parses them, this adds
 * what it does not do for a connection that it did not accept itself: back-pressure, limits, and the refusal of
 * requests that two servers could read differently.
 */
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import type { Socket } from "node:net";
import type { Connection } from "./connection.ts";
import { JoinedResponse } from "./joined-response.ts";
import type { PortLimits } from "./limits.ts";

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;
/** `seconds` from the request's head to the answer's end. */
export type AnsweredListener = (request: IncomingMessage, response: ServerResponse, seconds: number) => void;

export interface Http1Options {
  readonly limits: PortLimits;
  readonly handler: HttpHandler;
  /** The port's clock. */
  readonly now: () => number;
  /** No further request is wanted on any connection. */
  readonly isDraining: () => boolean;
  readonly onAnswered: AnsweredListener;
}

export class Http1 {
  readonly #server: Server;
  readonly #options: Http1Options;
  readonly #connections = new WeakMap<Socket, Connection>();

  constructor(options: Http1Options) {
    this.#options = options;
    this.#server = createServer({
      maxHeaderSize: options.limits.headBytesMax,
      insecureHTTPParser: false,
      ServerResponse: JoinedResponse,
      keepAliveTimeout: options.limits.idleMs,
      // The port's own clock covers these, for every kind of connection.
      headersTimeout: 0,
      requestTimeout: 0,
    });
    this.#server.on("request", (request, response) => this.#onRequest(request, response));
    this.#server.on("clientError", (error, socket) => this.#onClientError(error, socket as Socket));
    this.#server.on("connect", (_request, socket) => refuse(socket as Socket, 405));
  }

  /** Takes a connection whose first bytes are still unread. */
  adopt(connection: Connection): void {
    const { socket } = connection;
    const { limits, now } = this.#options;
    connection.protocol = "http1";
    this.#connections.set(socket, connection);
    this.#server.emit("connection", socket);
    // Before the parser's own listener, which may answer a whole request in its turn.
    socket.prependListener("data", () => {
      const time = now();
      connection.readAt = time;
      if (connection.calls === 0) connection.headSince ??= time;
      // Bun's parser goes on whatever its reader does; reading resumes when the body's buffer runs low.
      const { request } = connection;
      if (request !== undefined && request.readableLength > limits.bufferedBytesMax) socket.pause();
    });
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) {
      request.socket.destroy();
      return;
    }
    // Behind the connection's last answer nothing is run: its caller will never know.
    if (connection.isLast) return;
    connection.calls++;
    connection.headSince = undefined;
    connection.lingerSince = undefined;
    connection.request = request;
    connection.response = response;
    connection.readAt = this.#options.now();
    const startedAt = performance.now();
    response.once("close", () => {
      this.#onClose(connection, request);
      this.#options.onAnswered(request, response, (performance.now() - startedAt) / 1000);
    });
    const problem = findAmbiguity(request);
    if (problem !== undefined) {
      connection.isLast = true;
      const body = `${JSON.stringify({ type: "about:blank", title: "Bad Request", status: 400, detail: problem, code: "usage" })}\n`;
      response.writeHead(400, {
        "content-type": "application/problem+json",
        "content-length": Buffer.byteLength(body),
        connection: "close",
      });
      response.end(body);
      return;
    }
    if (this.#options.isDraining()) {
      connection.isLast = true;
      response.setHeader("connection", "close");
    }
    this.#options.handler(request, response);
  }

  /** Bytes that are no HTTP: one answer, and the connection is over. */
  #onClientError({ code }: NodeJS.ErrnoException, socket: Socket): void {
    const connection = this.#connections.get(socket);
    // An answer that has begun cannot be followed by another.
    if (connection !== undefined && connection.calls > 0 && connection.response?.headersSent === true) {
      socket.destroySoon();
    } else if (code === "HPE_HEADER_OVERFLOW") refuse(socket, 431);
    else if (code === "HPE_CHUNK_EXTENSIONS_OVERFLOW") refuse(socket, 413);
    else refuse(socket, 400);
  }

  #onClose(connection: Connection, request: IncomingMessage): void {
    const { socket } = connection;
    connection.calls--;
    connection.idleSince = this.#options.now();
    if (!request.complete && !socket.destroyed) {
      // The rest is read for a while, so that the caller, who is still sending, gets the answer.
      connection.lingerSince = connection.idleSince;
      request.resume();
      request.once("end", () => {
        connection.lingerSince = undefined;
      });
      socket.resume();
    }
    if (connection.calls === 0 && this.#options.isDraining()) socket.end();
  }
}

/**
 * Why two servers in a row could disagree about where this request ends or whom it is for, or undefined. What the
 * parser refuses by itself (both lengths, two lengths, bare line feeds, …) is not looked for again.
 */
function findAmbiguity(request: IncomingMessage): string | undefined {
  const { headers, httpVersionMajor, httpVersionMinor, url } = request;
  if (httpVersionMajor !== 1 || httpVersionMinor > 1) return "this is not HTTP/1.1";
  const coding = headers["transfer-encoding"];
  if (coding !== undefined) {
    if (httpVersionMinor === 0) return "HTTP/1.0 has no transfer encoding";
    if (coding.toLowerCase() !== "chunked") return "the only transfer encoding taken is chunked";
    if (headers["content-length"] !== undefined) return "the request gives its length twice";
  }
  if (headers.host === undefined && httpVersionMinor === 1) return "the request has no host";
  if (countHosts(request.rawHeaders) > 1) return "the request has several hosts";
  if (url === undefined || (url[0] !== "/" && url !== "*")) return "the request's target is not a path";
  return undefined;
}

function countHosts(rawHeaders: readonly string[]): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 4 && name.toLowerCase() === "host") count++;
  }
  return count;
}

/** A bare answer outside any call, and the end of the connection. */
export function refuse(socket: Socket, status: number): void {
  if (socket.destroyed) return;
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Length: 0",
    ...(status === 503 ? ["Retry-After: 1"] : []),
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n`, "latin1", () => socket.destroy());
}
