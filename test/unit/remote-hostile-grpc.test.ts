import { createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createNetServer, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { ObjectId, Position, ProjectId } from "../../src/core/base/ids.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { encodeEntries } from "../../src/core/wire/entries.ts";
import { path } from "../support/forge-project.ts";
import { framed } from "../support/hostile-server.ts";

const PROJECT = "ab".repeat(16) as ProjectId;
const ONE = 1 as Position;

let server: Http2Server | Server;
let forge: Forge;
let sessions: ServerHttp2Session[] = [];
afterEach(async () => {
  await forge[Symbol.asyncDispose]();
  for (const session of sessions) session.destroy();
  sessions = [];
  server.close();
});

/** What is refused is refused however slow this machine is. */
async function open(timeoutMs = 20_000): Promise<void> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  forge = await openRemoteForge(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    clock: systemClock,
    random: systemRandom,
    timeoutMs,
    transport: "grpc",
  });
}

async function http2(answer: (stream: ServerHttp2Stream) => void, timeoutMs?: number): Promise<void> {
  const made = createServer();
  made.on("session", (session) => sessions.push(session));
  made.on("sessionError", () => undefined);
  made.on("stream", (stream) => {
    stream.on("error", () => undefined);
    answer(stream as ServerHttp2Stream);
  });
  server = made;
  await open(timeoutMs);
}

async function codeOf(call: Promise<unknown>): Promise<unknown> {
  return await call.then(
    () => "no error",
    (error: unknown) => (error as { code?: unknown }).code,
  );
}

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

const GRPC = { ":status": 200, "content-type": "application/grpc+proto" } as const;

test("bytes that are no HTTP/2 end the call", async () => {
  server = createNetServer((socket) => {
    socket.on("error", () => undefined);
    socket.end("SSH-2.0-OpenSSH_9.9\r\n");
  });
  await open();
  expect(await codeOf(forge.getHead(PROJECT))).toBe("unreachable");
});

test("silence ends the call at its time limit", async () => {
  await http2(() => undefined, 400);
  expect(await codeOf(forge.getHead(PROJECT))).toBe("unreachable");
});

test("a page of some other server is an error", async () => {
  await http2((stream) => {
    stream.respond({ ":status": 200, "content-type": "text/html" });
    stream.end("<html>welcome</html>");
  });
  // The library reads a length in it.
  expect(["corrupt", "too-large", "unreachable"]).toContain(await codeOf(forge.getHead(PROJECT)));
});

test("a message of 4 GiB is refused before it comes", async () => {
  await http2((stream) => {
    stream.respond(GRPC);
    stream.write(Buffer.from([0, 255, 255, 255, 255]));
  });
  expect(["corrupt", "too-large"]).toContain(await codeOf(forge.getHead(PROJECT)));
});

test("a message that is none is corrupt", async () => {
  await http2((stream) => {
    stream.respond(GRPC, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(framed(Buffer.from("no message at all")));
  });
  expect(await codeOf(forge.getHead(PROJECT))).toBe("corrupt");
});

test("entries without end are corrupt", async () => {
  const entry = { kind: "file", size: 1, id: "ab".repeat(32) as ObjectId } as const;
  const page = framed(encodeEntries([{ path: path("a"), entry, hint: 0 }]));
  await http2((stream) => {
    stream.respond(GRPC);
    const more = (): void => {
      while (!stream.destroyed && stream.write(page));
    };
    stream.on("drain", more);
    more();
  });
  expect(await codeOf(drain(forge.listEntries(PROJECT, ONE, undefined)))).toBe("corrupt");
});
