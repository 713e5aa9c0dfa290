import { request as httpRequest, type IncomingMessage } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hexToBytes, utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { decodeFetchItem } from "../../src/core/wire/frames.ts";
import { CONTENT_TYPE, decodeTrailers, MessageSplitter, messageHeader } from "../../src/core/wire/framing.ts";
import {
  FetchRequest,
  GetHeadRequest,
  Head,
  PutBlobRequest,
  PutPackRequest,
  StoredContent,
  WatchLandingsRequest,
} from "../../src/core/wire/gen/mic/v1/content.ts";
import { LandRequest } from "../../src/core/wire/gen/mic/v1/sessions.ts";
import { decodeStatus, GRPC, type WireStatus } from "../../src/core/wire/status.ts";
import { methodStateOf } from "../../src/server/methods/method-state.ts";
import { TestProject } from "../support/forge-project.ts";
import { TOKEN, WireServer } from "../support/wire-server.ts";

/** Calls over HTTP/1.1 as bytes on a socket, with a client that does only what the test says. */

const CONTENT = "/mic.v1.ContentService";
const SESSIONS = "/mic.v1.SessionService";

let server: WireServer;
let project: TestProject;
/** Signals that the forge's `listEntries` was given; it streams until they fire. */
const streams: { signal: AbortSignal; pages: number }[] = [];

beforeAll(async () => {
  server = await WireServer.start({ wrap: endless });
  project = await TestProject.create(server.forge, "acme/app");
  await project.land({ put: { "a.txt": "hello world" } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** `listEntries` never ends, and every page is large. */
function endless(forge: Forge): Forge {
  async function* listEntries(
    _project: unknown,
    _at: unknown,
    _paths: unknown,
    options: { signal: AbortSignal },
  ) {
    const stream = { signal: options.signal, pages: 0 };
    streams.push(stream);
    const path = `${"d/".repeat(2000)}f`;
    const entry = { kind: "file", size: 1, id: "0".repeat(64) };
    const page = Array.from({ length: 256 }, () => ({ path, entry, hint: 0 }));
    while (!stream.signal.aborted) {
      stream.pages++;
      yield page;
    }
  }
  return new Proxy(forge, {
    get(target, name) {
      if (name === "listEntries") return listEntries;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

function frame(message: Uint8Array): Buffer {
  return Buffer.concat([messageHeader(message.length), message]);
}

interface Reply {
  readonly http: number;
  readonly headers: IncomingMessage["headers"];
  readonly messages: readonly Uint8Array[];
  readonly status: WireStatus | undefined;
  readonly code: string | undefined;
}

interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly token?: string;
  /** Sends the body and then nothing more. */
  readonly unfinished?: boolean;
}

function start(path: string, chunks: readonly Uint8Array[], options: CallOptions = {}) {
  const { token = TOKEN, method = "POST" } = options;
  const request = httpRequest(`${server.url}${path}`, {
    method,
    agent: false,
    headers: {
      "content-type": CONTENT_TYPE,
      authorization: `Bearer ${token}`,
      ...options.headers,
    },
  });
  for (const chunk of chunks) request.write(chunk);
  if (options.unfinished !== true) request.end();
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    request.on("response", resolve);
    request.on("error", reject);
  });
  return { request, response };
}

async function call(path: string, chunks: readonly Uint8Array[], options: CallOptions = {}): Promise<Reply> {
  const { request, response: promise } = start(path, chunks, options);
  const response = await promise;
  const splitter = new MessageSplitter();
  const messages: Uint8Array[] = [];
  let status: WireStatus | undefined;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    for (const message of splitter.push(chunk)) {
      expect(status, "the trailers are last").toBeUndefined();
      if (message.trailers) status = decodeTrailers(message.bytes);
      else messages.push(message.bytes);
    }
  }
  expect(splitter.isBetween).toBe(true);
  request.destroy();
  const code = status === undefined || status.code === GRPC.OK ? undefined : decodeStatus(status).code;
  return { http: response.statusCode ?? 0, headers: response.headers, messages, status, code };
}

function headRequest(name = "acme/app"): Buffer {
  return frame(GetHeadRequest.encode({ project: name, atLeast: 0n }).finish());
}

describe("a call over HTTP/1.1", () => {
  test("answers with a message and its status", async () => {
    const reply = await call(`${CONTENT}/GetHead`, [headRequest()]);
    expect([reply.http, reply.headers["content-type"], reply.status?.code]).toEqual([
      200,
      CONTENT_TYPE,
      GRPC.OK,
    ]);
    expect(Head.decode(reply.messages[0]!).position).toBe(1n);
  });

  test("takes a body in pieces of one byte", async () => {
    const pieces = [...headRequest()].map((byte) => Uint8Array.of(byte));
    const reply = await call(`${CONTENT}/GetHead`, pieces);
    expect(Head.decode(reply.messages[0]!).position).toBe(1n);
  });

  test("streams content both ways", async () => {
    const text = utf8("over http");
    const first = PutBlobRequest.encode({ project: "acme/app", data: text.subarray(0, 4) }).finish();
    const second = PutBlobRequest.encode({ project: "", data: text.subarray(4) }).finish();
    const stored = await call(`${CONTENT}/PutBlob`, [frame(first), frame(second)]);
    const { id } = StoredContent.decode(stored.messages[0]!);
    expect(Buffer.from(id)).toEqual(hexToBytes(hashObject(text)));
    const request = FetchRequest.encode({ project: project.id, from: 0n, to: 1n, paths: [] }).finish();
    const fetched = await call(`${CONTENT}/Fetch`, [frame(request)]);
    expect(fetched.messages.map((message) => decodeFetchItem(message).kind)).toEqual([
      "changes",
      "content",
      "frame",
    ]);
    expect(fetched.status?.code).toBe(GRPC.OK);
  });

  test("a conflict carries every path, however many", async () => {
    const names = Array.from({ length: 2000 }, (_, i) => `many/file-${String(i).padStart(5, "0")}`);
    const put = Object.fromEntries(names.map((name) => [name, "x"]));
    const base = project.base;
    await project.land({ put });
    const { operations } = project.request({ put: Object.fromEntries(names.map((name) => [name, "y"])) });
    const message = LandRequest.encode({
      project: project.id,
      landingId: new Uint8Array(0),
      base: { position: BigInt(base.position), root: hexToBytes(base.root) },
      goal: "late",
      author: "",
      agent: "",
      session: new Uint8Array(0),
      decisions: [],
      conversation: [],
      packs: [],
      operations: operations.map(({ path }) => ({ path, entry: undefined })),
      frames: [],
    }).finish();
    const reply = await call(`${SESSIONS}/Land`, [frame(message)]);
    expect(reply.status?.code).toBe(GRPC.ABORTED);
    expect(decodeStatus(reply.status!).data["paths"]).toEqual(names);
  });

  test.each([
    ["an unknown project", `${CONTENT}/GetHead`, () => [headRequest("acme/none")], "not-found"],
    ["an unknown method", `${CONTENT}/Nothing`, () => [headRequest()], "unsupported"],
    ["an unknown service", "/mic.v1.Nothing/GetHead", () => [headRequest()], "unsupported"],
    ["no message", `${CONTENT}/GetHead`, () => [], "usage"],
    ["two messages", `${CONTENT}/GetHead`, () => [headRequest(), headRequest()], "usage"],
    ["a message that is garbage", `${CONTENT}/GetHead`, () => [frame(Buffer.alloc(30, 0xff))], "usage"],
    ["a body that ends within a header", `${CONTENT}/GetHead`, () => [Buffer.alloc(3)], "usage"],
    [
      "a body that ends within a message",
      `${CONTENT}/GetHead`,
      () => [headRequest().subarray(0, 8)],
      "usage",
    ],
    ["a compressed message", `${CONTENT}/GetHead`, () => [Buffer.from([1, 0, 0, 0, 0])], "unsupported"],
    ["trailers in a request", `${CONTENT}/GetHead`, () => [messageHeader(0, true)], "usage"],
    [
      "a message said to be too large",
      `${CONTENT}/GetHead`,
      () => [messageHeader((16 << 20) + 1)],
      "too-large",
    ],
    ["a piece that is too large", `${CONTENT}/PutBlob`, () => [messageHeader((4 << 20) + 1)], "too-large"],
    [
      "a pack said to be above 1 GiB",
      `${CONTENT}/PutPack`,
      () => [
        frame(
          PutPackRequest.encode({
            project: "acme/app",
            size: 2n ** 30n + 1n,
            data: new Uint8Array(0),
          }).finish(),
        ),
      ],
      "too-large",
    ],
  ])("%s is refused with its code", async (_what, path, chunks, code) => {
    const reply = await call(path, chunks());
    expect([reply.http, reply.code, reply.messages.length]).toEqual([200, code, 0]);
  });

  test("a refusal comes before the body's end", async () => {
    const reply = await call(`${CONTENT}/PutPack`, [messageHeader(2 ** 31)], { unfinished: true });
    expect(reply.code).toBe("too-large");
    expect(reply.headers.connection).toBe("close");
  });

  test("a wrong method or content type is HTTP's to refuse, a wrong token is not", async () => {
    const get = start(`${CONTENT}/GetHead`, [], { method: "GET" });
    expect((await get.response).statusCode).toBe(405);
    const json = start(`${CONTENT}/GetHead`, [headRequest()], {
      headers: { "content-type": "application/json" },
    });
    expect((await json.response).statusCode).toBe(415);
    const reply = await call(`${CONTENT}/GetHead`, [headRequest()], { token: "wrong" });
    expect([reply.http, reply.code]).toEqual([200, "unauthenticated"]);
  });

  test("a deadline is kept, and one that cannot be read is refused", async () => {
    const late = await call(`${CONTENT}/PutBlob`, [headRequest()], {
      unfinished: true,
      headers: { "grpc-timeout": "100m" },
    });
    expect(late.status?.code).toBe(GRPC.DEADLINE_EXCEEDED);
    const wrong = await call(`${CONTENT}/GetHead`, [headRequest()], { headers: { "grpc-timeout": "soon" } });
    expect(wrong.code).toBe("usage");
  });

  test("an upload whose sender goes away gives its memory back", async () => {
    const { uploads } = methodStateOf(server.context);
    const size = 1n << 20n;
    const data = new Uint8Array(1000);
    const message = PutPackRequest.encode({ project: "acme/app", size, data }).finish();
    const { request, response } = start(`${CONTENT}/PutPack`, [frame(message)], { unfinished: true });
    response.catch(() => undefined);
    await expect.poll(() => uploads.used).toBe(Number(size));
    request.destroy();
    await expect.poll(() => uploads.used).toBe(0);
  });

  test("a reader that stops reading stops the stream, one that goes away ends it", async () => {
    const request = frame(GetHeadRequest.encode({ project: "acme/app", atLeast: 0n }).finish());
    const { request: sent, response } = start(`${CONTENT}/ListEntries`, [request]);
    const answer = await response;
    answer.once("data", () => answer.pause());
    let before = -1;
    await expect
      .poll(
        () => {
          const stopped = (streams[0]?.pages ?? 0) > 0 && streams[0]!.pages === before;
          before = streams[0]?.pages ?? -1;
          return stopped;
        },
        { interval: 200, timeout: 10_000 },
      )
      .toBe(true);
    // A page is 1 MiB; some wait in the sockets of both sides.
    expect(streams[0]!.pages).toBeLessThan(40);
    sent.destroy();
    await expect.poll(() => streams[0]!.signal.aborted).toBe(true);
  });

  test("a live stream answers before anything happens, and ends with UNAVAILABLE when the server drains", async () => {
    const request = WatchLandingsRequest.encode({ project: project.id, after: 2n }).finish();
    const { response } = start(`${CONTENT}/WatchLandings`, [frame(request)]);
    const answer = await response;
    server.drain.abort();
    const chunks: Uint8Array[] = [];
    for await (const chunk of answer as AsyncIterable<Uint8Array>) chunks.push(chunk);
    const [last] = new MessageSplitter().push(Buffer.concat(chunks));
    expect(last?.trailers).toBe(true);
    expect(decodeStatus(decodeTrailers(last!.bytes)).code).toBe("unreachable");
    // Calls that end by themselves go on.
    expect((await call(`${CONTENT}/GetHead`, [headRequest()])).status?.code).toBe(GRPC.OK);
  });
});
