/** Bytes as they are, to a port on this machine. */
import { connect, type Socket } from "node:net";

export interface Exchange {
  /** What came back, one character for each byte. */
  readonly text: string;
  /** `end`: closed by the other side in order; `reset`: cut; `open`: still open after the wait. */
  readonly state: "end" | "reset" | "open";
  /** Status codes of the HTTP/1.1 answers in it. */
  readonly statuses: readonly number[];
}

export interface ExchangeOptions {
  /** How long an open connection is watched, 10 s if not given: whoever expects an end waits for it. */
  readonly waitMs?: number;
  /** Nothing more is waited for once this is true of what came. */
  readonly until?: (text: string) => boolean;
}

/** As `until`: so many HTTP/1.1 answers have begun. */
export function answered(count: number): (text: string) => boolean {
  return (text) => statusesIn(text).length >= count;
}

function statusesIn(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]));
}

/** Sends everything, and reports what came until the connection was closed, or the wait is over. */
export function exchange(
  port: number,
  bytes: string | Uint8Array,
  options: ExchangeOptions = {},
): Promise<Exchange> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    let state: Exchange["state"] = "open";
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text, state, statuses: statusesIn(text) });
    };
    const timer = setTimeout(finish, options.waitMs ?? 10_000);
    socket.on("data", (part) => {
      text += part.toString("latin1");
      if (options.until?.(text) === true) finish();
    });
    socket.on("end", () => {
      state = "end";
    });
    socket.on("error", () => {
      if (state === "open") state = "reset";
    });
    socket.on("close", () => {
      if (state === "open") state = "end";
      finish();
    });
    socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  });
}

export function connected(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", reject);
    socket.once("connect", () => resolve(socket));
  });
}

export function closed(socket: Socket): Promise<void> {
  if (socket.closed) return Promise.resolve();
  return new Promise((resolve) => {
    socket.on("error", () => undefined);
    socket.once("close", () => resolve());
    socket.resume();
  });
}
