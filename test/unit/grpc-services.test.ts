import * as grpc from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { hexToBytes, utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { decodeStatus } from "../../src/core/wire/status.ts";
import { methodStateOf } from "../../src/server/methods/method-state.ts";
import { TestProject } from "../support/forge-project.ts";
import {
  collectStream,
  type Dynamic,
  dynamicClients,
  metadata,
  reflect,
  unary,
  upload,
} from "../support/grpc-client.ts";
import { WireServer } from "../support/wire-server.ts";

/** A standard client, made of what reflection tells, against every service. */

let server: WireServer;
let projects: Dynamic;
let sessions: Dynamic;
let content: Dynamic;
let health: Dynamic;
const project = "acme/app";

function connect(clients: Readonly<Record<string, Dynamic>>): void {
  projects = clients["mic.v1.ProjectService"];
  sessions = clients["mic.v1.SessionService"];
  content = clients["mic.v1.ContentService"];
  health = clients["grpc.health.v1.Health"];
}

function closeClients(): void {
  for (const client of [projects, sessions, content, health]) client?.close();
}

function codeOf(error: Dynamic): string {
  const [details] = error.metadata.get("grpc-status-details-bin");
  return decodeStatus({ code: error.code, message: error.details, details }).code;
}

async function failure(promise: Promise<unknown>): Promise<Dynamic> {
  return promise.then(
    () => {
      throw new Error("the call succeeded");
    },
    (error: unknown) => error,
  );
}

/** A session that puts one file; it is landed by the caller. */
async function sessionOf(path: string, text: string, base?: object): Promise<Buffer> {
  const stored = await upload(content, "PutBlob", [{ project, data: utf8(text) }]);
  const { summary } = await unary(sessions, "StartSession", { project, goal: `put ${path}`, base });
  const entry = { kind: "ENTRY_KIND_FILE", size: text.length, id: stored.id };
  await unary(sessions, "RecordOperation", { project, session: summary.id, operations: [{ path, entry }] });
  return summary.id;
}

describe("a standard gRPC client", () => {
  beforeAll(async () => {
    server = await WireServer.start();
    connect(await dynamicClients(server.grpcAddress));
    await unary(projects, "CreateProject", { name: project, description: "An app" });
  });
  afterAll(async () => {
    closeClients();
    await server[Symbol.asyncDispose]();
  });

  test.each(["grpc.reflection.v1", "grpc.reflection.v1alpha"])("%s lists every service", async (version) => {
    const [answer] = await reflect(server.grpcAddress, [{ listServices: "*" }], { version });
    const names = answer.listServicesResponse.service.map(({ name }: { name: string }) => name);
    expect(names).toEqual([
      "mic.v1.ProjectService",
      "mic.v1.SessionService",
      "mic.v1.ContentService",
      "mic.v1.AccountService",
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
    ]);
  });

  test("reflection finds files by name and by the symbols in them, and says what it does not know", async () => {
    const answers = await reflect(server.grpcAddress, [
      { fileByFilename: "mic/v1/common.proto" },
      { fileContainingSymbol: "mic.v1.ContentService.GetHead" },
      { fileContainingSymbol: "mic.v1.ErrorDetail" },
      { fileContainingSymbol: "mic.v1.Nothing" },
      { fileContainingExtension: { containingType: "mic.v1.Head" } },
      {},
    ]);
    const files = answers.map((answer) => answer.fileDescriptorResponse?.fileDescriptorProto.length);
    // What was sent before in the stream is left out, but for the file that is asked for.
    expect(files).toEqual([1, 2, 1, undefined, undefined, undefined]);
    expect(answers.map((answer) => answer.errorResponse?.errorCode)).toEqual([
      undefined,
      undefined,
      undefined,
      grpc.status.NOT_FOUND,
      grpc.status.NOT_FOUND,
      grpc.status.INVALID_ARGUMENT,
    ]);
  });

  test("a session is recorded, landed, and read back", async () => {
    const { head: _, ...before } = await unary(content, "GetHead", { project });
    const id = await sessionOf("src/a.txt", "hello world");
    await unary(sessions, "RecordDecision", { project, session: id, text: "short" });
    const recorded = await unary(sessions, "RecordConversation", {
      project,
      session: id,
      messages: [{ role: "user", text: "do it" }],
    });
    expect(recorded).toMatchObject({ decisions: ["short"], conversation: [{ role: "user", text: "do it" }] });
    const landed = await unary(sessions, "LandSession", { project, session: id });
    const head = await unary(content, "GetHead", { project, at_least: landed.position });
    expect(head).toMatchObject({ position: landed.position, root: landed.root, salt: before.salt });
    const at = await unary(content, "GetPath", { project, path: "src/a.txt" });
    const expected = hexToBytes(hashObject(utf8("hello world")));
    expect(at).toMatchObject({ entry: { kind: "ENTRY_KIND_FILE", size: 11, id: expected } });
    const pieces = await collectStream(
      content.GetBlob({ project, id: expected, offset: 6, length: 3 }, metadata()),
    );
    expect(Buffer.concat(pieces.map((piece) => piece.data)).toString()).toBe("wor");
    const landing = await unary(content, "GetLanding", { project, position: landed.position });
    expect(landing.summary).toMatchObject({ goal: "put src/a.txt", author: "ada", session: id });
    const items = (await unary(content, "GetTree", { project })).items;
    expect(items).toEqual([expect.objectContaining({ name: "src", count: 1 })]);
    const fetched = await collectStream(
      content.Fetch({ project, from: landed.position - 1, to: landed.position }, metadata()),
    );
    expect(fetched.map((item) => Object.keys(item))).toEqual([["changes"], ["content"], ["frame"]]);
    const listed = await unary(sessions, "ListSessions", { project, state: "SESSION_STATE_LANDED" });
    expect(listed.sessions.map((session: Dynamic) => session.id)).toContainEqual(id);
  });

  test("a conflict is ABORTED with its paths in typed details", async () => {
    const base = await unary(content, "GetHead", { project });
    const ref = { position: base.position ?? 0, root: base.root };
    const first = await sessionOf("both.txt", "one", ref);
    const second = await sessionOf("both.txt", "two", ref);
    await unary(sessions, "LandSession", { project, session: first });
    const error = await failure(unary(sessions, "LandSession", { project, session: second }));
    expect(error.code).toBe(grpc.status.ABORTED);
    const [details] = error.metadata.get("grpc-status-details-bin");
    expect(decodeStatus({ code: error.code, message: error.details, details })).toMatchObject({
      code: "conflict",
      data: { paths: ["both.txt"], landingId: expect.stringMatching(/^[0-9a-f]{32}$/) },
    });
    const abandoned = await unary(sessions, "AbandonSession", { project, session: second });
    expect(abandoned.summary.state).toBe("SESSION_STATE_ABANDONED");
  });

  test("a landing streams its operations and its content", async () => {
    const head = await unary(content, "GetHead", { project });
    const text = utf8("inline");
    const entry = { kind: "ENTRY_KIND_FILE", size: text.length, id: hexToBytes(hashObject(text)) };
    const frame = {
      raw_length: text.length,
      ids: entry.id,
      kinds: ["OBJECT_KIND_BLOB"],
      lengths: [text.length],
      stored: text,
    };
    const base = { position: head.position ?? 0, root: head.root };
    const landed = await upload(sessions, "Land", [
      { project, base, goal: "inline" },
      { operations: [{ path: "inline.txt", entry }] },
      { frames: [frame] },
    ]);
    const [piece] = await collectStream(content.GetBlob({ project, id: entry.id }, metadata()));
    expect(piece.data.toString()).toBe("inline");
    expect(landed.position).toBe(base.position + 1);
  });

  test("landings are watched as they happen", async () => {
    const head = await unary(content, "GetHead", { project });
    const call = content.WatchLandings({ project, after: head.position ?? 0 }, metadata());
    const seen = new Promise<Dynamic>((resolve, reject) => call.once("data", resolve).on("error", reject));
    const landed = await unary(sessions, "LandSession", {
      project,
      session: await sessionOf("watched.txt", "w"),
    });
    expect((await seen).position).toBe(landed.position);
    call.on("error", () => undefined);
    call.cancel();
  });

  test("a session is watched to its end", async () => {
    const session = await sessionOf("followed.txt", "f");
    const events = collectStream(sessions.WatchSession({ project, session }, metadata()));
    await unary(sessions, "RecordDecision", { project, session, text: "yes" });
    await unary(sessions, "LandSession", { project, session });
    const kinds = (await events).map((event) => Object.keys(event).filter((key) => key !== "id"));
    expect(kinds.flat()).toContain("decision");
    expect(kinds.at(-1)).toEqual(["state"]);
  });

  test("fsck streams its report last", async () => {
    const answers = await collectStream(projects.Fsck({ project }, metadata()));
    expect(answers.at(-1).report.positions).toBeGreaterThan(0);
    expect(answers.at(-1).report.findings ?? []).toEqual([]);
  });

  test.each([
    ["an unknown project", "GetHead", { project: "acme/none" }, grpc.status.NOT_FOUND, "not-found"],
    ["no project", "GetHead", {}, grpc.status.INVALID_ARGUMENT, "usage"],
    [
      "a position beyond the head",
      "GetTreeAtPosition",
      { project, position: 1e6 },
      grpc.status.OUT_OF_RANGE,
      "out-of-range",
    ],
    [
      "a path out of the tree",
      "GetPath",
      { project, path: "../x" },
      grpc.status.INVALID_ARGUMENT,
      "unsafe-path",
    ],
    [
      "an id that is none",
      "FindContent",
      { project, id: Buffer.from("x") },
      grpc.status.INVALID_ARGUMENT,
      "usage",
    ],
  ])("%s is answered with its code", async (_what, method, request, status, code) => {
    const error = await failure(unary(content, method, request));
    expect(error.code).toBe(status);
    expect(codeOf(error)).toBe(code);
  });

  test("a call without the token is UNAUTHENTICATED, reflection too; health needs none", async () => {
    expect((await failure(unary(content, "GetHead", { project }, "wrong"))).code).toBe(
      grpc.status.UNAUTHENTICATED,
    );
    const error = await failure(reflect(server.grpcAddress, [{ listServices: "" }], { token: undefined }));
    expect(error.code).toBe(grpc.status.UNAUTHENTICATED);
    const answer = await new Promise((resolve, reject) =>
      health.Check({}, (cause: unknown, reply: unknown) => (cause === null ? resolve(reply) : reject(cause))),
    );
    expect(answer).toEqual({ status: "SERVING" });
  });

  test("health is told for each service, and NOT_FOUND for others", async () => {
    expect(await unary(health, "Check", { service: "mic.v1.SessionService" })).toEqual({ status: "SERVING" });
    expect((await failure(unary(health, "Check", { service: "mic.v2.X" }))).code).toBe(grpc.status.NOT_FOUND);
  });
});

describe("a hostile gRPC client", () => {
  let test1: TestProject;
  let pages: number;
  let hold: { promise: Promise<void>; release: () => void; signals: AbortSignal[] };

  beforeEach(async () => {
    const signals: AbortSignal[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    hold = { promise, release: resolve, signals };
    const wrap = (forge: Forge): Forge =>
      new Proxy(forge, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name);
          if (name === "listEntries") return endless;
          if (name === "getPosition") {
            return async (_project: unknown, _position: unknown, { signal }: { signal: AbortSignal }) => {
              signals.push(signal);
              await Promise.race([
                promise,
                new Promise<void>((done) => signal.addEventListener("abort", () => done())),
              ]);
              throw new TypeError("secret words");
            };
          }
          return typeof value === "function" ? (value.bind(target) as unknown) : value;
        },
      });
    server = await WireServer.start({ wrap });
    connect(await dynamicClients(server.grpcAddress));
    test1 = await TestProject.create(server.forge, project);
  });
  afterEach(async () => {
    closeClients();
    await server[Symbol.asyncDispose]();
  });

  /** Pages of 1 MiB until the signal fires. */
  async function* endless(
    _project: unknown,
    _at: unknown,
    _paths: unknown,
    { signal }: { signal: AbortSignal },
  ) {
    hold.signals.push(signal);
    const entry = { kind: "file", size: 1, id: "0".repeat(64) };
    const page = Array.from({ length: 256 }, () => ({ path: `${"d/".repeat(2000)}f`, entry, hint: 0 }));
    for (pages = 0; !signal.aborted; pages++) yield page;
  }

  function rawCall(path: string, message: Buffer, options: grpc.CallOptions = {}): Promise<Dynamic> {
    const client = new grpc.Client(server.grpcAddress, grpc.credentials.createInsecure());
    const asIs = (bytes: Buffer): Buffer => bytes;
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, asIs, asIs, message, metadata(), options, (error, answer) => {
        client.close();
        if (error === null) resolve(answer);
        else reject(error);
      });
    });
  }

  test("garbage for a message is INVALID_ARGUMENT", async () => {
    for (const garbage of [Buffer.alloc(40, 0xff), Buffer.from([0x0a, 0x7f, 1]), Buffer.from([0x07])]) {
      const error = await failure(rawCall("/mic.v1.ContentService/GetHead", garbage));
      expect([error.code, codeOf(error)]).toEqual([grpc.status.INVALID_ARGUMENT, "usage"]);
    }
  });

  test("an unknown method is UNIMPLEMENTED", async () => {
    const error = await failure(rawCall("/mic.v1.ContentService/Nothing", Buffer.alloc(0)));
    expect(error.code).toBe(grpc.status.UNIMPLEMENTED);
  });

  test("a message above 16 MiB is RESOURCE_EXHAUSTED", async () => {
    const error = await failure(rawCall("/mic.v1.ContentService/GetHead", Buffer.alloc((16 << 20) + 1)));
    expect(error.code).toBe(grpc.status.RESOURCE_EXHAUSTED);
  });

  test("a pack above the limit is refused before its content, a missing or wrong size too", async () => {
    const put = (requests: object[]): Promise<Dynamic> => failure(upload(content, "PutPack", requests));
    const large = await put([{ project, size: 2 ** 30 + 1, data: Buffer.from("x") }]);
    expect([large.code, codeOf(large)]).toEqual([grpc.status.RESOURCE_EXHAUSTED, "too-large"]);
    expect(codeOf(await put([{ project, data: Buffer.from("x") }]))).toBe("usage");
    expect(codeOf(await put([{ project, size: 3, data: Buffer.from("x") }]))).toBe("usage");
    expect(codeOf(await put([{ project, size: 3, data: Buffer.from("1234") }]))).toBe("usage");
    expect(codeOf(await put([{ project, size: 4, data: Buffer.from("1234") }]))).toBe("corrupt");
    expect(codeOf(await put([]))).toBe("usage");
  });

  test("a failure inside is told as an id, which the log explains", async () => {
    hold.release();
    const error = await failure(unary(content, "GetTreeAtPosition", { project, position: 0 }));
    expect([error.code, error.details]).toEqual([grpc.status.INTERNAL, "internal error"]);
    const [details] = error.metadata.get("grpc-status-details-bin");
    expect(details.toString("latin1")).not.toContain("secret");
    const { request } = decodeStatus({ code: error.code, message: error.details, details }).data;
    const line = server.log.find(({ fields }) => fields["requestId"] === request);
    expect(String(line?.fields["error"])).toContain("secret words");
  });

  test("a deadline that passes is DEADLINE_EXCEEDED, and stops the method", async () => {
    const path = "/mic.v1.ContentService/GetTreeAtPosition";
    const message = Buffer.concat([Buffer.from([0x0a, test1.id.length]), Buffer.from(test1.id)]);
    const error = await failure(rawCall(path, message, { deadline: Date.now() + 1_500 }));
    expect(error.code).toBe(grpc.status.DEADLINE_EXCEEDED);
    await expect.poll(() => hold.signals[0]?.aborted).toBe(true);
  });

  test("a call that is cancelled stops the method", async () => {
    const call = content.GetTreeAtPosition({ project: test1.id, position: 0 }, metadata(), () => undefined);
    await expect.poll(() => hold.signals.length).toBe(1);
    call.cancel();
    await expect.poll(() => hold.signals[0]?.aborted).toBe(true);
  });

  test("a reader that stops reading stops the stream, one that cancels ends it", async () => {
    const call = content.ListEntries({ project: test1.id }, metadata());
    call.on("error", () => undefined);
    call.once("data", () => call.pause());
    let before = -1;
    const isStill = (): boolean => {
      const still = pages > 0 && pages === before;
      before = pages;
      return still;
    };
    await expect.poll(isStill, { interval: 200, timeout: 10_000 }).toBe(true);
    expect(pages).toBeLessThan(40);
    call.cancel();
    await expect.poll(() => hold.signals[0]?.aborted).toBe(true);
  });

  test("an upload whose sender goes away gives its memory back", async () => {
    const { uploads } = methodStateOf(server.context);
    const call = content.PutPack(metadata(), () => undefined);
    call.write({ project, size: 1 << 20, data: Buffer.alloc(1000) });
    await expect.poll(() => uploads.used).toBe(1 << 20);
    call.cancel();
    await expect.poll(() => uploads.used).toBe(0);
  });

  test("a caller without the token is refused before its message is read", async () => {
    const error = await failure(
      new Promise((resolve, reject) => {
        const call = content.PutBlob(metadata("wrong"), (cause: unknown, answer: unknown) =>
          cause === null ? resolve(answer) : reject(cause),
        );
        // It never ends.
        call.write({ project, data: Buffer.alloc(1000) });
      }),
    );
    expect(error.code).toBe(grpc.status.UNAUTHENTICATED);
  });

  test("draining ends live streams with UNAVAILABLE, and the server is NOT_SERVING", async () => {
    const watched = collectStream(content.WatchLandings({ project, after: 0 }, metadata()));
    const healthSeen: string[] = [];
    const healthCall = health.Watch({ service: "" }, metadata());
    const healthEnd = new Promise<Dynamic>((resolve) => healthCall.on("error", resolve));
    healthCall.on("data", ({ status }: { status: string }) => healthSeen.push(status));
    await expect.poll(() => healthSeen).toEqual(["SERVING"]);
    server.drain.abort();
    const error = await failure(watched);
    expect([error.code, codeOf(error)]).toEqual([grpc.status.UNAVAILABLE, "unreachable"]);
    expect((await healthEnd).code).toBe(grpc.status.UNAVAILABLE);
    expect(healthSeen).toEqual(["SERVING", "NOT_SERVING"]);
    expect(await unary(health, "Check", {})).toEqual({ status: "NOT_SERVING" });
    // Calls that end by themselves go on.
    expect((await unary(content, "GetHead", { project })).salt).toHaveLength(8);
  });
});
