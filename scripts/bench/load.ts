/**
 * Part of the server benchmark: connections that send one HTTP/1.1 request after the other and count the answers.
 * Knows just enough HTTP to find where an answer ends, so that it can load a server from one core.
 *
 *   bun scripts/bench/load.ts PORT TOKEN CONNECTIONS SECONDS PATH
 *
 * Prints one JSON line: requests, failures, and latency percentiles in milliseconds.
 */
import { connect, type Socket } from "node:net";
import { type Percentiles, percentiles } from "./harness.ts";

const [port, token, connectionsText, secondsText, path] = process.argv.slice(2);
const CONNECTIONS = Number(connectionsText);
const SECONDS = Number(secondsText);

export interface LoadResult extends Percentiles {
  readonly requests: number;
  readonly failures: number;
}

const request = Buffer.from(
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${token}\r\n\r\n`,
);
const latencies: number[] = [];
let failures = 0;
let end = Number.POSITIVE_INFINITY;

const HEAD_END = Buffer.from("\r\n\r\n");

/** Bytes of the answer at the start of `buffer`, or 0 when it is not complete. */
function answerLength(buffer: Buffer): number {
  const headEnd = buffer.indexOf(HEAD_END);
  if (headEnd < 0) return 0;
  const head = buffer.toString("latin1", 0, headEnd);
  if (!head.startsWith("HTTP/1.1 200")) failures++;
  const declared = /\r\ncontent-length: *(\d+)/i.exec(head);
  const length = headEnd + 4 + Number(declared?.[1] ?? 0);
  if (declared !== null) return buffer.length >= length ? length : 0;
  const last = buffer.indexOf("\r\n0\r\n\r\n", headEnd);
  return last < 0 ? 0 : last + 7;
}

function drive(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(port), host: "127.0.0.1", noDelay: true }, () => resolve(socket));
    socket.on("error", reject);
    let rest: Buffer = Buffer.alloc(0);
    let began = 0;
    const send = (): void => {
      began = performance.now();
      socket.write(request);
    };
    socket.on("data", (bytes: Buffer) => {
      rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
      const length = answerLength(rest);
      if (length === 0) return;
      rest = rest.subarray(length);
      const now = performance.now();
      latencies.push(now - began);
      if (now < end) send();
      else socket.end();
    });
    socket.on("go", send);
  });
}

const sockets: Socket[] = [];
for (let i = 0; i < CONNECTIONS; i += 50) {
  sockets.push(...(await Promise.all(Array.from({ length: Math.min(50, CONNECTIONS - i) }, drive))));
}
end = performance.now() + SECONDS * 1000;
const closed = sockets.map((socket) => new Promise((resolve) => socket.on("close", resolve)));
for (const socket of sockets) socket.emit("go");
await Promise.race([Promise.all(closed), Bun.sleep(SECONDS * 1000 + 5000)]);
const result: LoadResult = { requests: latencies.length, failures, ...percentiles(latencies) };
console.log(JSON.stringify(result));
process.exit(0);
