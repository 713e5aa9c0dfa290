import { readFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { answered, closed, connected, type ExchangeOptions, exchange } from "../support/raw-socket.ts";
import { openTestClient, openTestPort, type TestPort } from "../support/test-port.ts";

/** What reached the handler: `METHOD target body`. */
const reached: string[] = [];
let opened: TestPort;

beforeAll(async () => {
  opened = await openTestPort(async (request, response) => {
    let body = "";
    try {
      for await (const part of request) body += String(part);
    } catch {
      return;
    }
    reached.push(`${request.method} ${request.url} ${body}`);
    response.end("fine");
  });
});
afterAll(() => opened[Symbol.asyncDispose]());

async function send(bytes: string | Uint8Array, options: ExchangeOptions = {}) {
  reached.length = 0;
  return await exchange(opened.port.number, bytes, options);
}

/** Every test leaves a server behind that serves. */
async function expectAlive(): Promise<void> {
  expect((await send("GET /alive HTTP/1.1\r\nHost: x\r\n\r\n", { until: answered(1) })).statuses).toEqual([
    200,
  ]);
  using client = openTestClient(opened.port.number);
  expect(await client.call("Echo", "alive")).toBe("alive");
}

const post = (headers: string, body: string): string =>
  `POST /a HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n${body}`;
const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

describe("a request that two servers could read differently is refused, and what is behind it is not run", () => {
  test.each([
    ["both lengths", post("Content-Length: 6\r\nTransfer-Encoding: chunked", `0\r\n\r\n${SMUGGLED}`)],
    [
      "both lengths, the other order",
      post("Transfer-Encoding: chunked\r\nContent-Length: 6", `0\r\n\r\n${SMUGGLED}`),
    ],
    ["two lengths", post("Content-Length: 3\r\nContent-Length: 5", `abcde${SMUGGLED}`)],
    ["the same length twice", post("Content-Length: 3\r\nContent-Length: 3", `abc${SMUGGLED}`)],
    ["a list of lengths", post("Content-Length: 3, 5", `abc${SMUGGLED}`)],
    ["a signed length", post("Content-Length: +3", `abc${SMUGGLED}`)],
    ["a negative length", post("Content-Length: -3", `abc${SMUGGLED}`)],
    ["a hexadecimal length", post("Content-Length: 0x3", `abc${SMUGGLED}`)],
    ["an empty length", post("Content-Length: ", SMUGGLED)],
    ["a length beyond 64 bits", post("Content-Length: 99999999999999999999999", SMUGGLED)],
    ["a space before the colon", post("Content-Length : 3", `abc${SMUGGLED}`)],
    ["bare line feeds", "GET /a HTTP/1.1\nHost: x\n\n"],
    ["a bare line feed in a header", post("X: y\nTransfer-Encoding: chunked", `0\r\n\r\n${SMUGGLED}`)],
    ["a bare carriage return", "GET /a HTTP/1.1\r\nHost: x\rX: y\r\n\r\n"],
    ["a folded header", "GET /a HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n"],
    ["NUL in a header", "GET /a HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n"],
    ["an unknown transfer coding", post("Transfer-Encoding: xchunked", `0\r\n\r\n${SMUGGLED}`)],
    ["the coding `identity`", post("Transfer-Encoding: identity", SMUGGLED)],
    ["a coding before chunked", post("Transfer-Encoding: gzip, chunked", `0\r\n\r\n${SMUGGLED}`)],
    [
      "two codings",
      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", `0\r\n\r\n${SMUGGLED}`),
    ],
    [
      "chunked twice",
      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", `0\r\n\r\n${SMUGGLED}`),
    ],
    ["a vertical tab before chunked", post("Transfer-Encoding: \x0bchunked", `0\r\n\r\n${SMUGGLED}`)],
    [
      "chunks in HTTP/1.0",
      `POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ["chunks that end in bare line feeds", post("Transfer-Encoding: chunked", `3\nabc\n0\n\n${SMUGGLED}`)],
    ["a chunk longer than it says", post("Transfer-Encoding: chunked", `3\r\nabcXX0\r\n\r\n${SMUGGLED}`)],
    [
      "a chunk size that is no number",
      post("Transfer-Encoding: chunked", `zz\r\nabc\r\n0\r\n\r\n${SMUGGLED}`),
    ],
    [
      "a chunk size beyond 64 bits",
      post("Transfer-Encoding: chunked", `fffffffffffffffff\r\nabc\r\n${SMUGGLED}`),
    ],
    ["no host", `GET /a HTTP/1.1\r\n\r\n${SMUGGLED}`],
    ["two hosts", `GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n${SMUGGLED}`],
    ["another server's address as its target", `GET http://other/a HTTP/1.1\r\nHost: x\r\n\r\n${SMUGGLED}`],
    ["HTTP/0.9", "GET /a\r\n\r\n"],
    ["HTTP/3.7", "GET /a HTTP/3.7\r\nHost: x\r\n\r\n"],
  ])("%s", async (_what, bytes) => {
    const { statuses, state } = await send(bytes);
    expect({ statuses, state, reached }).toEqual({ statuses: [400], state: "end", reached: [] });
  });

  test("what only looks odd is served", async () => {
    // An answer to what follows says that nothing was between them.
    const last = "GET /last HTTP/1.1\r\nHost: x\r\n\r\n";
    const until = answered(2);
    const trailing = post("Transfer-Encoding: chunked", "3;name=value\r\nabc\r\n0\r\nTrailer: x\r\n\r\n");
    expect((await send(trailing + last, { until })).statuses).toEqual([200, 200]);
    expect(reached.sort()).toEqual(["GET /last ", "POST /a abc"]);
    const body = "GET /inside HTTP/1.1\r\n\r\n";
    const withBody = `GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    expect((await send(withBody + last, { until })).statuses).toEqual([200, 200]);
    expect(reached.sort()).toEqual([`GET /a ${body}`, "GET /last "]);
  });
});

describe("bytes that are no request", () => {
  test.each([
    ["a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [400]],
    ["text", "hello?\r\n\r\n", [400]],
    ["zeros", "\0".repeat(10_000), [400]],
    ["a method that is none", "FOO(BAR / HTTP/1.1\r\nHost: x\r\n\r\n", [400]],
    ["a header of 64 KiB", `GET / HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(65_536)}\r\n\r\n`, [431]],
    ["a request line of 64 KiB", `GET /${"a".repeat(65_536)} HTTP/1.1\r\nHost: x\r\n\r\n`, [431]],
    ["10,000 headers", `GET / HTTP/1.1\r\nHost: x\r\n${"X: a\r\n".repeat(10_000)}\r\n`, [431]],
    ["a tunnel", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", [405]],
  ])("%s get their answer and the connection ends", async (_what, bytes, expected) => {
    const { statuses, state } = await send(bytes);
    expect({ statuses, state, reached }).toEqual({ statuses: expected, state: "end", reached: [] });
  });

  test("noise never takes the server down", async () => {
    let seed = 20_261_121;
    const next = (): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return seed >>> 16;
    };
    const starts = [
      "",
      "GET / HTTP/1.1\r\n",
      post("Transfer-Encoding: chunked", ""),
      PREFACE.toString("latin1"),
    ];
    await Promise.all(
      Array.from({ length: 120 }, async (_, i) => {
        const noise = Buffer.from(Array.from({ length: 1 + (next() % 3000) }, next));
        await exchange(opened.port.number, Buffer.concat([Buffer.from(starts[i % 4]!, "latin1"), noise]), {
          waitMs: 100,
        });
      }),
    );
    await expectAlive();
  });
});

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
const GOAWAY = 7;

/** RFC 9113, section 4.1. */
function frame(
  type: number,
  flags: number,
  stream: number,
  payload = Buffer.alloc(0),
  length = payload.length,
): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

function frameTypes(text: string): number[] {
  const bytes = Buffer.from(text, "latin1");
  const types: number[] = [];
  for (let offset = 0; offset + 9 <= bytes.length; offset += 9 + bytes.readUIntBE(offset, 3)) {
    types.push(bytes[offset + 3]!);
  }
  return types;
}

describe("HTTP/2 that breaks its rules", () => {
  const SETTINGS = frame(4, 0, 0);
  const continued = Buffer.concat([Buffer.from("000161fe", "hex"), Buffer.alloc(996, 0x62)]);
  test.each([
    ["text after the preface", [Buffer.from("GET / HTTP/1.1\r\n\r\n")]],
    ["a frame of 16 MiB", [SETTINGS, frame(0, 0, 1, undefined, 0xffffff)]],
    ["a header block that is none", [SETTINGS, frame(1, 5, 1, Buffer.from("ff".repeat(10), "hex"))]],
    ["headers on stream 0", [SETTINGS, frame(1, 5, 0, Buffer.from([0x82]))]],
    ["headers on a server's stream", [SETTINGS, frame(1, 5, 2, Buffer.from([0x82]))]],
    ["a window update of 0", [SETTINGS, frame(8, 0, 0, Buffer.alloc(4))]],
    ["a window above 2^31", [SETTINGS, frame(8, 0, 0, Buffer.from("7fffffff", "hex"))]],
    ["settings of 3 bytes", [frame(4, 0, 0, Buffer.from("abc"))]],
    ["a ping of 3 bytes", [SETTINGS, frame(6, 0, 0, Buffer.from("abc"))]],
    ["a push by the client", [SETTINGS, frame(5, 4, 1, Buffer.alloc(4))]],
    ["a continuation of nothing", [SETTINGS, frame(9, 4, 1, Buffer.from([0x82]))]],
    [
      "headers that never end (CVE-2024-27316)",
      [
        SETTINGS,
        frame(1, 1, 1, Buffer.from([0x82])),
        ...Array.from({ length: 3000 }, () => frame(9, 0, 1, continued)),
      ],
    ],
  ])("%s ends the connection", async (_what, frames) => {
    const { text, state } = await send(Buffer.concat([PREFACE, ...frames]));
    expect(state).not.toBe("open");
    if (state === "end") expect(frameTypes(text)).toContain(GOAWAY);
    expect(reached).toEqual([]);
  });

  test("floods of empty frames and pings cost no memory and hurt nobody else", async () => {
    const before = process.memoryUsage.rss();
    const floods = [frame(6, 0, 0, Buffer.alloc(8)), SETTINGS, frame(0, 0, 1), frame(0xbb, 0, 0)].map(
      (each) => Buffer.concat([PREFACE, SETTINGS, ...Array.from({ length: 50_000 }, () => each)]),
    );
    await Promise.all(floods.map((flood) => exchange(opened.port.number, flood, { waitMs: 300 })));
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 << 20);
    await expectAlive();
  });

  test("headers that expand to gigabytes cost no memory (a bomb of HPACK references)", async () => {
    const before = process.memoryUsage.rss();
    // One header of 4000 bytes put into the table, then named by one byte each: 60 MB for each frame.
    const value = Buffer.alloc(4000, 0x62);
    const literal = Buffer.concat([Buffer.from("400161", "hex"), Buffer.from([0x7f, 0xa1, 0x1e]), value]);
    const bomb = Buffer.concat([Buffer.from([0x82]), literal, Buffer.alloc(12_000, 0xbe)]);
    const frames = Array.from({ length: 20 }, (_, i) => frame(1, 5, 2 * i + 1, bomb));
    await exchange(opened.port.number, Buffer.concat([PREFACE, SETTINGS, ...frames]), { waitMs: 500 });
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 << 20);
    await expectAlive();
  });

  test("floods of settings, window updates, priorities and resets of nothing hurt nobody else", async () => {
    const before = process.memoryUsage.rss();
    const changing = Buffer.from("000100001000", "hex");
    const floods = [
      frame(4, 0, 0, changing),
      frame(8, 0, 0, Buffer.from("00000001", "hex")),
      frame(2, 0, 3, Buffer.from("0000000000", "hex")),
      frame(3, 0, 1, Buffer.from("00000008", "hex")),
    ].map((each) => Buffer.concat([PREFACE, SETTINGS, ...Array.from({ length: 30_000 }, () => each)]));
    await Promise.all(floods.map((flood) => exchange(opened.port.number, flood, { waitMs: 300 })));
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 << 20);
    await expectAlive();
  });

  test("streams above the limit of a connection are refused, those below it are answered", async () => {
    await using small = await openTestPort(() => undefined, { streamsMax: 10 });
    const session = connectHttp2(`http://127.0.0.1:${small.port.number}`);
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    expect(session.remoteSettings.maxConcurrentStreams).toBe(10);
    session.destroy();
    const RST_STREAM = 3;
    // Whoever does not care what the server said.
    const open = Buffer.from("838684418aa0e41d139d09b8f01e07", "hex");
    const frames = Array.from({ length: 200 }, (_, i) => frame(1, 4, 2 * i + 1, open));
    const { text, state } = await exchange(small.port.number, Buffer.concat([PREFACE, SETTINGS, ...frames]), {
      until: (received) => frameTypes(received).includes(RST_STREAM),
    });
    expect(state !== "open" || frameTypes(text).includes(RST_STREAM)).toBe(true);
    using client = openTestClient(small.port.number);
    expect(await client.call("Echo", "alive")).toBe("alive");
  });

  test("a caller that opens streams only to reset them loses its connection", async () => {
    const session = connectHttp2(`http://127.0.0.1:${opened.port.number}`);
    const over = new Promise<void>((resolve) => session.once("close", () => resolve()));
    session.on("error", () => undefined);
    let streams = 0;
    while (!session.closed && !session.destroyed && streams < 20_000) {
      const stream = session.request({
        ":method": "POST",
        ":path": "/test.Test/Wait",
        "content-type": "application/grpc",
      });
      stream.on("error", () => undefined);
      stream.close(8);
      if (++streams % 50 === 0) await delay(1);
    }
    await over;
    expect(streams).toBeLessThan(20_000);
    expect(opened.metrics.refused.value('reason="resets"')).toBeGreaterThan(0);
    await expectAlive();
  });

  test("a peer that never sends its settings is cut", async () => {
    await using hurried = await openTestPort(() => undefined, { headMs: 200 });
    expect((await exchange(hurried.port.number, PREFACE)).state).not.toBe("open");
  });
});

describe("TLS", () => {
  const cert = readFileSync(new URL("../support/tls/cert.pem", import.meta.url));
  const key = readFileSync(new URL("../support/tls/key.pem", import.meta.url));

  test("gRPC and HTTP/1.1 share the port, told apart by ALPN", async () => {
    await using secure = await openTestPort(
      (_request, response) => void response.end("fine"),
      {},
      { cert, key },
    );
    const { number } = secure.port;
    using client = openTestClient(number, cert);
    expect(await client.call("Echo", "hello")).toBe("hello");
    const answered = await new Promise<{ protocol: string | false | null; text: string }>(
      (resolve, reject) => {
        const socket = connectTls(
          {
            port: number,
            host: "127.0.0.1",
            servername: "localhost",
            ca: cert,
            ALPNProtocols: ["h2", "http/1.1"],
          },
          () => socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        );
        let text = "";
        socket.on("data", (part) => {
          text += String(part);
        });
        socket.on("error", reject);
        socket.on("close", () => resolve({ protocol: socket.alpnProtocol, text }));
      },
    );
    expect(answered.text).toContain("fine");
  });

  test("a handshake that never ends is cut, and counts as a connection", async () => {
    const limits = { headMs: 1500, connectionsMax: 2 };
    await using secure = await openTestPort((_request, response) => void response.end("fine"), limits, {
      cert,
      key,
    });
    const { number } = secure.port;
    const silent = await Promise.all([connected(number), connected(number)]);
    const ended: string[] = [];
    const first = silent.map((socket) => closed(socket).then(() => ended.push("silent")));
    await closed(await connected(number)).then(() => ended.push("one too many"));
    await Promise.all(first);
    expect(ended).toEqual(["one too many", "silent", "silent"]);
    using client = openTestClient(number, cert);
    expect(await client.call("Echo", "hello")).toBe("hello");
  });

  test("plain HTTP on it gets no answer, and the server goes on", async () => {
    await using secure = await openTestPort(
      (_request, response) => void response.end("fine"),
      {},
      { cert, key },
    );
    const { number } = secure.port;
    expect((await exchange(number, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", { waitMs: 500 })).statuses).toEqual(
      [],
    );
    expect((await exchange(number, PREFACE, { waitMs: 500 })).text).not.toContain("fine");
    using client = openTestClient(number, cert);
    expect(await client.call("Echo", "hello")).toBe("hello");
  });
});
