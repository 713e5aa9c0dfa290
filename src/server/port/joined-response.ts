/** A response whose head and small body leave in one write. */
import { ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Above it a copy costs more than a second write. */
const JOINED_BYTES_MAX = 64 << 10;

/**
 * Bun writes head, body and the framing of a chunk each by itself to a connection that was handed over, and a write
 * is the dearest part of a small answer: joined, they serve half as many calls again.
 */
export class JoinedResponse extends ServerResponse {
  override write(...args: unknown[]): boolean {
    const socket = holdBack(this, args[0]);
    try {
      return (super.write as (...args: unknown[]) => boolean)(...args);
    } finally {
      socket?.uncork();
    }
  }

  override end(...args: unknown[]): this {
    const socket = holdBack(this, args[0]);
    try {
      return (super.end as (...args: unknown[]) => this)(...args);
    } finally {
      socket?.uncork();
    }
  }
}

/** The socket, when it now waits for `uncork()`. */
function holdBack(response: ServerResponse, chunk: unknown): Socket | undefined {
  const { socket } = response;
  const isSmall =
    typeof chunk === "string" || chunk instanceof Uint8Array ? chunk.length <= JOINED_BYTES_MAX : true;
  if (socket === null || !isSmall) return undefined;
  socket.cork();
  return socket;
}
