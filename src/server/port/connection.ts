/** One accepted connection: what it is busy with, and when it has been at it for too long. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { PortLimits } from "./limits.ts";

/** Why a connection is closed by the server, as it is counted. */
export type CloseReason = "slow-head" | "stalled" | "idle" | "lingering";

/** Times are ticks of the port's own clock, in milliseconds. */
export class Connection {
  readonly socket: Socket;
  /** `tls`: before the handshake is done. */
  protocol: "tls" | "unknown" | "http1" | "http2" = "unknown";
  /** Calls that are running; HTTP/1.1 pipelines, HTTP/2 multiplexes. */
  calls = 0;
  /** The request whose body is being read. */
  request: IncomingMessage | undefined;
  /** The answer to `request`. */
  response: ServerResponse | undefined;
  /** The connection ends with the answer that is being made. */
  isLast = false;
  /** A head is being read since then. */
  headSince: number | undefined;
  /** The last call ended, or the connection began. */
  idleSince: number;
  /** Bytes of a body came last, or its reader asked for more. */
  readAt: number;
  lingerSince: number | undefined;
  #sentBytes = 0;
  #sentAt: number;

  constructor(socket: Socket, now: number) {
    this.socket = socket;
    this.headSince = now;
    this.idleSince = now;
    this.readAt = now;
    this.#sentAt = now;
  }

  /** Undefined while the connection behaves. */
  overdue(now: number, limits: PortLimits): CloseReason | undefined {
    if (this.lingerSince !== undefined && now - this.lingerSince > limits.lingerMs) return "lingering";
    if (this.headSince !== undefined && now - this.headSince > limits.headMs) return "slow-head";
    if (this.#answerStalls(now, limits)) return "stalled";
    if (this.protocol !== "http1") return undefined;
    if (this.calls === 0) {
      return this.headSince === undefined && now - this.idleSince > limits.idleMs ? "idle" : undefined;
    }
    return this.#bodyStalls(now, limits) ? "stalled" : undefined;
  }

  /** The caller sends nothing although its body is not complete and somebody waits for it. */
  #bodyStalls(now: number, limits: PortLimits): boolean {
    const { request } = this;
    if (request === undefined || request.complete) return false;
    if (request.readableLength > 0) {
      this.readAt = now;
      return false;
    }
    return now - this.readAt > limits.stallMs;
  }

  /** The caller takes nothing although bytes wait for it. */
  #answerStalls(now: number, limits: PortLimits): boolean {
    const { bytesWritten, writableLength } = this.socket;
    const sent = bytesWritten - writableLength;
    if (writableLength === 0 || sent !== this.#sentBytes) {
      this.#sentBytes = sent;
      this.#sentAt = now;
      return false;
    }
    return now - this.#sentAt > limits.stallMs;
  }
}
