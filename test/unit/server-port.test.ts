import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { answered, closed, connected, exchange } from "../support/raw-socket.ts";
import { openTestClient, openTestPort, WAIT_MS } from "../support/test-port.ts";

const HEAD = "Host: x\r\n\r\n";
const get = (path: string): string => `GET ${path} HTTP/1.1\r\n${HEAD}`;

async function handler(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === "/deny") {
    response.writeHead(401).end("no");
  } else if (request.url === "/wait") {
    await delay(WAIT_MS);
    response.end("waited");
  } else if (request.url === "/flood") {
    const part = Buffer.alloc(1 << 20);
    for (let i = 0; i < 64 && !response.destroyed; i++) response.write(part);
  } else {
    let bytes = 0;
    for await (const part of request) bytes += part.length;
    response.end(`read ${bytes}`);
  }
}

describe("Port", () => {
  test("answers HTTP/1.1, pipelined or in parts, and gRPC on the same port", async () => {
    await using opened = await openTestPort(handler);
    const { number } = opened.port;
    expect((await exchange(number, get("/a") + get("/b"), { until: answered(2) })).statuses).toEqual([
      200, 200,
    ]);
    const socket = await connected(number);
    const answer = new Promise<string>((resolve) => socket.once("data", (part) => resolve(String(part))));
    for (const character of "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab") {
      socket.write(character);
      await delay(1);
    }
    expect(await answer).toContain("read 2");
    socket.destroy();
    using client = openTestClient(number);
    expect(await client.call("Echo", "hello")).toBe("hello");
    expect(opened.metrics.render()).toContain('mic_requests_total{endpoint="/test.Test/Echo",code="OK"} 1');
  });

  test("refuses connections above its limit with 503, and takes them again", async () => {
    await using opened = await openTestPort(handler, { connectionsMax: 2 });
    const { number } = opened.port;
    const held = [await connected(number), await connected(number)];
    const refused = await exchange(number, get("/"));
    expect(refused.statuses).toEqual([503]);
    expect(refused.text).toContain("Retry-After: 1");
    for (const socket of held) socket.destroy();
    await expect.poll(() => opened.port.connections).toBe(0);
    expect((await exchange(number, get("/"), { until: answered(1) })).statuses).toEqual([200]);
  });

  test("gives an early answer to who is still sending, and drops the rest only for a while", async () => {
    await using opened = await openTestPort(handler, { lingerMs: 200 });
    const start = `POST /deny HTTP/1.1\r\nHost: x\r\nContent-Length: ${64 << 20}\r\n\r\n`;
    const socket = await connected(opened.port.number);
    socket.write(start);
    const answer = await new Promise<string>((resolve) =>
      socket.once("data", (part) => resolve(String(part))),
    );
    expect(answer).toContain("401");
    const startedAt = performance.now();
    const drip = setInterval(() => socket.write(Buffer.alloc(1000)), 20);
    await closed(socket);
    clearInterval(drip);
    expect(performance.now() - startedAt).toBeGreaterThan(100);
  });

  test("a connection goes on after an early answer once the body was sent", async () => {
    await using opened = await openTestPort(handler);
    const body = "x".repeat(300_000);
    const text = `POST /deny HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}${get("/after")}`;
    expect((await exchange(opened.port.number, text, { until: answered(2) })).statuses).toEqual([401, 200]);
  });

  test("reads no further ahead of a handler than its limit", async () => {
    let seen: IncomingMessage | undefined;
    let proceed = (): void => undefined;
    const mayRead = new Promise<void>((resolve) => {
      proceed = resolve;
    });
    await using opened = await openTestPort(async (request, response) => {
      seen = request;
      await mayRead;
      let bytes = 0;
      for await (const part of request) bytes += part.length;
      response.end(`read ${bytes}`);
    });
    const size = 128 << 20;
    const socket = await connected(opened.port.number);
    socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`);
    const part = Buffer.alloc(1 << 20);
    for (let sent = 0; sent < size; sent += part.length) socket.write(part);
    await delay(500);
    // What the system's own buffers took does not count.
    expect(seen!.readableLength).toBeLessThan(4 << 20);
    const answer = new Promise<string>((resolve) => socket.once("data", (data) => resolve(String(data))));
    proceed();
    expect(await answer).toContain(`read ${size}`);
    socket.destroy();
  });
});

describe("a slow caller", () => {
  test.each([
    ["that sends nothing", ""],
    ["that stops in the request line", "GET / HT"],
    ["that stops in a header", "GET / HTTP/1.1\r\nHost: x\r\nX-Long: aaa"],
    ["that stops in the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM"],
  ])("%s is told 408 and cut", async (_what, bytes) => {
    await using opened = await openTestPort(handler, { headMs: 200 });
    const { statuses, state } = await exchange(opened.port.number, bytes);
    expect({ statuses, state }).toEqual({ statuses: [408], state: "end" });
    expect(opened.metrics.refused.value('reason="slow-head"')).toBe(1);
  });

  test("that drips a header byte by byte is cut all the same", async () => {
    await using opened = await openTestPort(handler, { headMs: 200 });
    const socket = await connected(opened.port.number);
    socket.write("GET / HTTP/1.1\r\nX: ");
    const drip = setInterval(() => socket.write("a"), 20);
    const startedAt = performance.now();
    await closed(socket);
    clearInterval(drip);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });

  test("that stops in a later head on the same connection is cut", async () => {
    await using opened = await openTestPort(handler, { headMs: 200 });
    const socket = await connected(opened.port.number);
    socket.write(get("/"));
    await new Promise((resolve) => socket.once("data", resolve));
    socket.write("GET / HT");
    const startedAt = performance.now();
    await closed(socket);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });

  test("whose body does not move is cut, and its handler told", async () => {
    let failure: unknown;
    const told = Promise.withResolvers<void>();
    await using opened = await openTestPort(
      async (request) => {
        try {
          for await (const _part of request);
        } catch (error) {
          failure = error;
        }
        told.resolve();
      },
      { stallMs: 200 },
    );
    const text = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab";
    expect((await exchange(opened.port.number, text)).state).not.toBe("open");
    await told.promise;
    expect(failure).toBeInstanceOf(Error);
  });

  test("whose body moves slowly is served", async () => {
    // Twice as long in all, with room for a busy machine between two bytes.
    await using opened = await openTestPort(handler, { stallMs: 1200 });
    const socket = await connected(opened.port.number);
    const answer = new Promise<string>((resolve) => socket.once("data", (part) => resolve(String(part))));
    socket.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n");
    for (let i = 0; i < 8; i++) {
      await delay(300);
      socket.write("a");
    }
    expect(await answer).toContain("read 8");
    socket.destroy();
  });

  test("that takes none of its answer is cut", async () => {
    await using opened = await openTestPort(handler, { stallMs: 300 });
    const socket = await connected(opened.port.number);
    socket.pause();
    socket.on("error", () => undefined);
    socket.write(get("/flood"));
    await expect.poll(() => opened.port.connections).toBe(0);
    expect(opened.metrics.refused.value('reason="stalled"')).toBe(1);
    socket.destroy();
  });

  test("that is idle between requests is closed in the end", async () => {
    await using opened = await openTestPort(handler, { idleMs: 200 });
    const { statuses, state } = await exchange(opened.port.number, get("/"));
    expect({ statuses, state }).toEqual({ statuses: [200], state: "end" });
  });
});

describe("Port.drain()", () => {
  test("lets running calls end, over HTTP/1.1 and gRPC, and takes no others", async () => {
    await using opened = await openTestPort(handler);
    const { port } = opened;
    const idle = await connected(port.number);
    using client = openTestClient(port.number);
    await client.call("Echo", "connects");
    const running = Promise.all([exchange(port.number, get("/wait")), client.call("Wait", "x")]);
    await expect.poll(() => port.calls, { interval: 5 }).toBe(2);
    const drained = port.drain(5000);
    await closed(idle);
    await expect(connected(port.number)).rejects.toThrow();
    const [answer, echoed] = await running;
    expect(answer.text).toContain("waited");
    expect(answer.state).toBe("end");
    expect(echoed).toBe("x");
    await drained;
    expect(port.connections).toBe(0);
  });

  test("gives up on calls that do not end in time", async () => {
    await using opened = await openTestPort(() => undefined);
    const socket = await connected(opened.port.number);
    socket.write(get("/forever"));
    await expect.poll(() => opened.port.calls).toBe(1);
    const startedAt = performance.now();
    await opened.port.drain(150);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(opened.port.connections).toBe(1);
    opened.port.close();
    await closed(socket);
  });
});
