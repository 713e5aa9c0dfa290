/** Servers that answer whatever a test says, down to the bytes of the connection. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createNetServer, type Server, type Socket } from "node:net";
import { CONTENT_TYPE, encodeTrailers, messageHeader } from "../../src/core/wire/framing.ts";

export class HostileServer implements AsyncDisposable {
  readonly origin: string;
  /** Requests or, on a raw one, connections. */
  count = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, answer: { count: () => void }) {
    this.#server = server;
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    answer.count = () => {
      this.count += 1;
    };
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  /** Answers after the whole request. */
  static async http(
    answer: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<HostileServer> {
    const counter = { count: (): void => undefined };
    const server = createServer((request, response) => {
      counter.count();
      request.resume();
      request.on("end", () => answer(request, response));
    });
    await listen(server);
    return new HostileServer(server, counter);
  }

  /** Answers after the whole request, and is given its body. */
  static async relay(
    answer: (request: IncomingMessage, body: Buffer, response: ServerResponse) => void,
  ): Promise<HostileServer> {
    const counter = { count: (): void => undefined };
    const server = createServer(async (request, response) => {
      counter.count();
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      answer(request, Buffer.concat(parts), response);
    });
    await listen(server);
    return new HostileServer(server, counter);
  }

  /** A connection after its first bytes. */
  static async raw(answer: (socket: Socket) => void): Promise<HostileServer> {
    const counter = { count: (): void => undefined };
    const server = createNetServer((socket) => {
      counter.count();
      socket.on("error", () => socket.destroy());
      socket.once("data", () => answer(socket));
    });
    await listen(server);
    return new HostileServer(server, counter);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

async function listen(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
}

/** An answer of these bytes, as a method's. */
export function answerBytes(response: ServerResponse, ...parts: readonly Uint8Array[]): void {
  response.writeHead(200, { "content-type": CONTENT_TYPE });
  response.end(Buffer.concat(parts));
}

/** A message with its header. */
export function framed(message: Uint8Array): Uint8Array {
  return Buffer.concat([messageHeader(message.length), message]);
}

export const OK: Uint8Array = encodeTrailers();

/** Repeats `part` for as long as anybody takes it. */
export function answerForever(response: ServerResponse, part: Uint8Array): void {
  response.writeHead(200, { "content-type": CONTENT_TYPE });
  const more = (): void => {
    while (!response.destroyed && response.write(part));
  };
  response.on("drain", more);
  more();
}
