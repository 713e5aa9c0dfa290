/** Both transports against servers that do with a connection whatever they want. */

import { getEventListeners } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/base/system.ts";
import {
  ERROR_BYTES_MAX,
  type Transport,
  TransportError,
  type TransportRequest,
} from "../../src/core/store/s3/transport.ts";
import { FetchTransport } from "../../src/core/store/s3/transport-fetch.ts";
import { UndiciTransport } from "../../src/core/store/s3/transport-undici.ts";

const TRANSPORTS: [string, () => Transport][] = [
  ["fetch", () => new FetchTransport(systemClock)],
  ["undici", () => new UndiciTransport(systemClock)],
];

/** What a raw server saw and does; `onRequest` runs for each request, complete with its body. */
class RawServer {
  readonly requests: string[] = [];
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  connections = 0;

  constructor(onRequest: (socket: Socket, count: number) => void) {
    this.#server = createServer((socket) => {
      this.connections++;
      this.sockets.add(socket);
      let text = "";
      socket.on("error", () => undefined);
      socket.on("close", () => this.sockets.delete(socket));
      socket.on("data", (piece) => {
        text += piece.toString("latin1");
        for (;;) {
          const end = text.indexOf("\r\n\r\n");
          const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
          if (end === -1 || text.length < end + 4 + length) return;
          this.requests.push(text.slice(0, end + 4 + length));
          text = text.slice(end + 4 + length);
          onRequest(socket, this.requests.length);
        }
      });
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

const tls = (name: string): string =>
  readFileSync(new URL(`../support/tls/${name}`, import.meta.url), "utf8");

const OK = 'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 2\r\n\r\nok';

describe.each(TRANSPORTS)("%s", (name, make) => {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const thing of open.splice(0).reverse()) await thing.close();
  });
  function transport(): Transport {
    const made = make();
    open.push({ close: async () => made[Symbol.asyncDispose]() });
    return made;
  }
  async function serve(onRequest: (socket: Socket, count: number) => void): Promise<[RawServer, string]> {
    const server = new RawServer(onRequest);
    open.push(server);
    return [server, await server.listen()];
  }
  function request(origin: string, change: Partial<TransportRequest> = {}): TransportRequest {
    const body = new Uint8Array([65, 66]);
    return {
      method: "PUT",
      origin,
      path: "/b/%252F?a=&b=%2F",
      headers: { "if-match": '"e"', "accept-encoding": "identity" },
      body,
      once: true,
      timeoutMs: 5_000,
      answerBytesMax: 1_000,
      ...change,
    };
  }
  async function failure(promise: Promise<unknown>): Promise<TransportError> {
    const error = await promise.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(error).toBeInstanceOf(TransportError);
    return error as TransportError;
  }

  test("send() delivers path, headers and body as they are", async () => {
    const [server, origin] = await serve((socket) => socket.write(OK));
    const answer = await transport().send(request(origin));
    expect(answer.status).toBe(200);
    expect(answer.header("etag")).toBe('"x"');
    expect(answer.header("missing")).toBeUndefined();
    expect(new TextDecoder().decode(answer.body)).toBe("ok");
    expect(Object.getPrototypeOf(answer.body)).toBe(Uint8Array.prototype);
    expect(server.requests[0]).toMatch(/^PUT \/b\/%252F\?a=&b=%2F HTTP\/1\.1\r\n/);
    expect(server.requests[0]).toMatch(/\r\nif-match: "e"\r\n/i);
    expect(server.requests[0]).toMatch(/\r\naccept-encoding: identity\r\n/i);
    expect(server.requests[0]).toMatch(/\r\n\r\nAB$/);
  });

  test("send() gives an empty body its length", async () => {
    const [server, origin] = await serve((socket) => socket.write(OK));
    for (const method of ["PUT", "POST"] as const) {
      await transport().send(request(origin, { method, body: new Uint8Array(0) }));
    }
    for (const sent of server.requests) expect(sent).toMatch(/\r\ncontent-length: 0\r\n/i);
  });

  test("send() uses connections again", async () => {
    const [server, origin] = await serve((socket) => socket.write(OK));
    const client = transport();
    for (let i = 0; i < 10; i++) await client.send(request(origin, { once: false }));
    expect(server.connections).toBeLessThanOrEqual(2);
  });

  test("send() never delivers a request twice that is to be sent once", async () => {
    // The second request on a connection is cut off: what a client takes for an idle connection that ended.
    const seen = new Map<Socket, number>();
    const [server, origin] = await serve((socket) => {
      const count = (seen.get(socket) ?? 0) + 1;
      seen.set(socket, count);
      if (count === 1) socket.write(OK);
      else socket.destroy();
    });
    const client = transport();
    await client.send(request(origin, { once: false }));
    const sent = await client.send(request(origin)).then(
      () => "answered",
      (error: TransportError) => error,
    );
    if (sent !== "answered") expect(sent).toMatchObject({ reason: "reset", mayBeSent: true });
    expect(server.requests).toHaveLength(2);
  });

  test("send() says that nothing was sent when nobody listens", async () => {
    const [server, origin] = await serve(() => undefined);
    await server.close();
    expect(await failure(transport().send(request(origin)))).toMatchObject({
      reason: "connect",
      mayBeSent: false,
    });
  });

  test("send() says that nothing was sent when a host has no address", async () => {
    expect(await failure(transport().send(request("http://no-such-host.invalid")))).toMatchObject({
      reason: "connect",
      mayBeSent: false,
    });
  });

  test("send() gives up on a connection that does not come about", async () => {
    // It takes the connection and says nothing: there is no TLS to send a request over.
    const [, origin] = await serve(() => undefined);
    const sent = transport().send(request(origin.replace("http:", "https:"), { timeoutMs: 200 }));
    const waits = systemClock.sleep(5_000).then(() => Promise.reject(new Error("still waits")));
    const failed = await failure(Promise.race([sent, waits]));
    expect(failed.reason).toBe(name === "undici" ? "connect" : "timeout");
    // The platform does not tell how far a request came.
    expect(failed.mayBeSent).toBe(name !== "undici");
  });

  test("send() tells that the other side has no TLS", async () => {
    const plain = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", () => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    });
    await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
    open.push({ close: () => new Promise<void>((resolve) => plain.close(() => resolve())) });
    const origin = `https://127.0.0.1:${(plain.address() as AddressInfo).port}`;
    expect((await failure(transport().send(request(origin)))).reason).toBe("tls");
  });

  test("send() fails when the connection ends without an answer", async () => {
    const [server, origin] = await serve((socket) => socket.destroy());
    expect(await failure(transport().send(request(origin)))).toMatchObject({
      reason: "reset",
      mayBeSent: true,
    });
    expect(server.requests).toHaveLength(1);
  });

  test("send() refuses an answer that is cut off", async () => {
    const [, origin] = await serve((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
      setTimeout(() => socket.destroy(), 20);
    });
    expect(await failure(transport().send(request(origin)))).toMatchObject({
      reason: "reset",
      mayBeSent: true,
    });
  });

  test("send() gives up on an answer that does not begin", async () => {
    const [server, origin] = await serve(() => undefined);
    const error = await failure(transport().send(request(origin, { timeoutMs: 300 })));
    expect(error).toMatchObject({ reason: "timeout", mayBeSent: true });
    await expect.poll(() => server.sockets.size, { timeout: 20_000 }).toBe(0);
  });

  test("send() gives up on an answer that stalls, not on one that goes on", async () => {
    const [, stalled] = await serve((socket) =>
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
    );
    expect((await failure(transport().send(request(stalled, { timeoutMs: 300 })))).reason).toBe("timeout");
    const [, slow] = await serve((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      let left = 10;
      const timer = setInterval(() => {
        socket.write("1\r\nx\r\n");
        if (--left > 0) return;
        socket.write("0\r\n\r\n");
        clearInterval(timer);
      }, 100);
    });
    const answer = await transport().send(request(slow, { timeoutMs: 500 }));
    expect(answer.body.length).toBe(10);
  });

  test("send() refuses an answer that is larger than allowed, declared or not", async () => {
    const [, declared] = await serve((socket) =>
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"),
    );
    expect((await failure(transport().send(request(declared)))).reason).toBe("too-large");
    const [server, endless] = await serve((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      const timer = setInterval(() => socket.write(`190\r\n${"x".repeat(400)}\r\n`), 1);
      socket.on("close", () => clearInterval(timer));
    });
    expect((await failure(transport().send(request(endless)))).reason).toBe("too-large");
    await expect.poll(() => server.sockets.size, { timeout: 20_000 }).toBe(0);
  });

  test("send() cuts the body of an error", async () => {
    const [server, origin] = await serve((socket) => {
      socket.write("HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n");
      const timer = setInterval(() => socket.write(`2000\r\n${"x".repeat(8192)}\r\n`), 1);
      socket.on("close", () => clearInterval(timer));
    });
    const answer = await transport().send(request(origin));
    expect(answer.status).toBe(500);
    expect(answer.body.length).toBe(ERROR_BYTES_MAX);
    await expect.poll(() => server.sockets.size, { timeout: 20_000 }).toBe(0);
  });

  test("send() takes an answer without a length", async () => {
    const [, origin] = await serve((socket) =>
      socket.end("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole"),
    );
    const answer = await transport().send(request(origin));
    expect(new TextDecoder().decode(answer.body)).toBe("whole");
  });

  test("send() does not wait for a body that HEAD, 204 and 304 do not have", async () => {
    const [, origin] = await serve((socket, count) =>
      socket.write(
        `HTTP/1.1 ${count === 1 ? "200 OK" : "304 Not Modified"}\r\nETag: "x"\r\nContent-Length: 5000\r\n\r\n`,
      ),
    );
    const client = transport();
    for (const method of ["HEAD", "GET"] as const) {
      const { body: _, ...bare } = request(origin, { method });
      expect((await client.send(bare)).body.length).toBe(0);
    }
  });

  test("send() follows no redirect", async () => {
    const [server, origin] = await serve((socket) =>
      socket.write(`HTTP/1.1 307 Go\r\nLocation: ${origin}/elsewhere\r\nContent-Length: 0\r\n\r\n`),
    );
    const answer = await transport().send(request(origin, { once: false }));
    expect(answer.status).toBe(307);
    expect(answer.header("location")).toBe(`${origin}/elsewhere`);
    expect(server.requests).toHaveLength(1);
  });

  test("send() expands nothing", async () => {
    const [, origin] = await serve((socket) =>
      socket.write("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"),
    );
    expect(new TextDecoder().decode((await transport().send(request(origin))).body)).toBe("ok");
  });

  test("send() with a signal that has fired sends nothing", async () => {
    const [server, origin] = await serve((socket) => socket.write(OK));
    const error = await failure(transport().send(request(origin, { signal: AbortSignal.abort() })));
    expect(error).toMatchObject({ reason: "aborted", mayBeSent: false });
    await systemClock.sleep(20);
    expect(server.requests).toHaveLength(0);
  });

  test("a signal ends a request that waits, and its connection", async () => {
    const [server, origin] = await serve(() => undefined);
    const ending = new AbortController();
    const waiting = failure(transport().send(request(origin, { signal: ending.signal })));
    await expect.poll(() => server.requests.length, { timeout: 20_000 }).toBe(1);
    ending.abort();
    expect(await waiting).toMatchObject({ reason: "aborted", mayBeSent: true });
    await expect.poll(() => server.sockets.size, { timeout: 20_000 }).toBe(0);
  });

  test("a transport that is closed ends its requests and connections", async () => {
    const [server, origin] = await serve((socket, count) => (count === 1 ? socket.write(OK) : undefined));
    const client = make();
    await client.send(request(origin));
    const waiting = failure(client.send(request(origin)));
    await expect.poll(() => server.requests.length, { timeout: 20_000 }).toBe(2);
    await client[Symbol.asyncDispose]();
    expect((await waiting).mayBeSent).toBe(true);
    if (name === "undici") await expect.poll(() => server.sockets.size, { timeout: 20_000 }).toBe(0);
  });

  test("a signal that many requests share keeps none of their listeners", async () => {
    const [, origin] = await serve((socket) => socket.write(OK));
    const client = transport();
    const { signal } = new AbortController();
    for (let i = 0; i < 20; i++) await client.send(request(origin, { once: false, signal }));
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("a certificate that nobody trusts ends a request before it is sent", async () => {
    let requests = 0;
    const server = createHttpsServer({ cert: tls("cert.pem"), key: tls("key.pem") }, (_, response) => {
      requests++;
      response.end("ok");
    });
    await new Promise<void>((resolve) => server.listen(0, resolve));
    open.push({ close: () => new Promise<void>((resolve) => server.close(() => resolve())) });
    const origin = `https://localhost:${(server.address() as AddressInfo).port}`;
    expect(await failure(transport().send(request(origin)))).toMatchObject({
      reason: "tls",
      mayBeSent: false,
    });
    expect(requests).toBe(0);
    const trusting =
      name === "fetch"
        ? new FetchTransport(systemClock, tls("cert.pem"))
        : new UndiciTransport(systemClock, tls("cert.pem"));
    open.push({ close: async () => trusting[Symbol.asyncDispose]() });
    const sent = await Promise.all([1, 2, 3].map(() => trusting.send(request(origin))));
    expect(sent.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(requests).toBe(3);
    // The name is checked all the same.
    const byAddress = origin.replace("localhost", "127.0.0.2");
    expect(await failure(trusting.send(request(byAddress)))).toMatchObject({ reason: "tls" });
    expect(requests).toBe(3);
    server.closeAllConnections();
  });

  test("many requests at a time all get their own answers", async () => {
    const [, origin] = await serve((socket, count) => {
      const text = String(count).padStart(6, "0");
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n${text}`);
    });
    const client = transport();
    const answers = await Promise.all(
      Array.from({ length: 500 }, () => client.send(request(origin, { once: false }))),
    );
    expect(new Set(answers.map(({ body }) => new TextDecoder().decode(body))).size).toBe(500);
  });
});
