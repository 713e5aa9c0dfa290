import { readdirSync } from "node:fs";
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { EMPTY_ROOT, type ObjectId, type Position, type ProjectId } from "../../src/core/base/ids.ts";
import { mintLandingId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { openVerifiedFrame } from "../../src/core/objects/read-frame.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { encodeEntries } from "../../src/core/wire/entries.ts";
import { encodeReadObjectsResponse } from "../../src/core/wire/frames.ts";
import { CONTENT_TYPE } from "../../src/core/wire/framing.ts";
import { GetBlobResponse, Head } from "../../src/core/wire/gen/mic/v1/content.ts";
import { Organization } from "../../src/core/wire/gen/mic/v1/projects.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { path, TestProject } from "../support/forge-project.ts";
import { answerBytes, answerForever, framed, HostileServer, OK } from "../support/hostile-server.ts";
import { TOKEN, WireServer } from "../support/wire-server.ts";
import { TestWorkspaces } from "../support/workspaces.ts";

const PROJECT = "ab".repeat(16) as ProjectId;
const ONE = 1 as Position;
/** What is refused is refused however slow this machine is; what waits for ever is given up on soon. */
const PATIENT_MS = 20_000;
const TIMEOUT_MS = 400;

let open: AsyncDisposable[];
beforeEach(() => {
  open = [];
});
afterEach(async () => {
  for (const each of open.reverse()) await each[Symbol.asyncDispose]();
});

async function client(origin: string, timeoutMs: number): Promise<Forge> {
  const forge = await openRemoteForge(origin, {
    token: TOKEN,
    clock: systemClock,
    random: systemRandom,
    timeoutMs,
  });
  open.push(forge);
  return forge;
}

async function http(
  answer: Parameters<typeof HostileServer.http>[0],
  timeoutMs = PATIENT_MS,
): Promise<[Forge, HostileServer]> {
  const server = await HostileServer.http(answer);
  open.push(server);
  return [await client(server.origin, timeoutMs), server];
}

async function raw(answer: Parameters<typeof HostileServer.raw>[0], timeoutMs = PATIENT_MS): Promise<Forge> {
  const server = await HostileServer.raw(answer);
  open.push(server);
  return client(server.origin, timeoutMs);
}

function code(expected: string): unknown {
  return expect.objectContaining({ code: expected });
}

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

const head = (): Uint8Array =>
  Head.encode({ position: 1n, root: Buffer.alloc(32, 1), hlc: 5n, salt: Buffer.alloc(8) }).finish();

describe("what is no answer", () => {
  test("bytes that are no HTTP", async () => {
    const forge = await raw((socket) => socket.end("SSH-2.0-OpenSSH_9.9\r\n"));
    const error = await forge.getHead(PROJECT).catch((thrown: unknown) => thrown);
    expect(["corrupt", "unreachable"]).toContain((error as { code: string }).code);
  });

  test("a page of some other server", async () => {
    const [forge] = await http((_request, response) => response.end("<html>welcome</html>"));
    await expect(forge.getHead(PROJECT)).rejects.toEqual(code("corrupt"));
  });

  test("a page without end is not read to its end", async () => {
    const [forge] = await http((_request, response) => {
      response.writeHead(500, { "content-type": "application/json" });
      const more = (): void => {
        while (!response.destroyed && response.write("{".repeat(65_536)));
      };
      response.on("drain", more);
      more();
    });
    await expect(forge.getHead(PROJECT)).rejects.toEqual(code("corrupt"));
  });

  test("headers without end", async () => {
    const forge = await raw((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const more = (): void => {
        while (!socket.destroyed && socket.write(`x-a: ${"b".repeat(60_000)}\r\n`));
      };
      socket.on("drain", more);
      more();
    });
    await expect(forge.getHead(PROJECT)).rejects.toEqual(code("corrupt"));
  });

  test("silence", async () => {
    const forge = await raw(() => undefined, TIMEOUT_MS);
    await expect(forge.getHead(PROJECT)).rejects.toMatchObject({
      code: "unreachable",
      message: expect.stringContaining("did not answer within 0.4 s"),
    });
  });

  test("an answer that comes byte by byte, and never whole", async () => {
    const [forge] = await http((_request, response) => {
      response.writeHead(200, { "content-type": CONTENT_TYPE });
      response.write(Buffer.from([0, 0, 0, 1, 0]));
      const timer = setInterval(() => response.write("x"), 20);
      response.on("close", () => clearInterval(timer));
    }, TIMEOUT_MS);
    await expect(forge.getHead(PROJECT)).rejects.toEqual(code("unreachable"));
  });

  test("a server that is busy is asked a few times", async () => {
    const [forge, server] = await http((_request, response) => {
      response.writeHead(503).end();
    });
    await expect(forge.getHead(PROJECT)).rejects.toEqual(code("unreachable"));
    expect(server.count).toBe(5);
  });
});

test("a server on this machine is not asked for through a proxy, which would see the token", async () => {
  const [, proxy] = await http((_request, response) => response.end());
  const [forge] = await http((_request, response) => answerBytes(response, framed(head()), OK));
  const { HTTP_PROXY } = process.env;
  process.env["HTTP_PROXY"] = proxy.origin;
  try {
    expect((await forge.getHead(PROJECT)).position).toBe(1);
    expect(proxy.count).toBe(0);
  } finally {
    if (HTTP_PROXY === undefined) delete process.env["HTTP_PROXY"];
    else process.env["HTTP_PROXY"] = HTTP_PROXY;
  }
});

describe("redirects", () => {
  for (const status of [301, 302, 303, 307, 308]) {
    test(`${status} to another origin is an error, and the token stays here`, async () => {
      const [, other] = await http((_request, response) => answerBytes(response, framed(head()), OK));
      const [forge, server] = await http((_request, response) => {
        response.writeHead(status, { location: `${other.origin}/mic.v1.ContentService/GetHead` }).end();
      });
      await expect(forge.getHead(PROJECT)).rejects.toMatchObject({
        code: "unreachable",
        message: `${server.origin} redirects to ${other.origin}, which is not followed`,
        data: { location: other.origin },
      });
      expect([server.count, other.count]).toEqual([1, 0]);
    });
  }

  test("to the same origin is an error too", async () => {
    const [forge, server] = await http((_request, response) => {
      response.writeHead(302, { location: "/login" }).end();
    });
    await expect(forge.getHead(PROJECT)).rejects.toEqual(code("unreachable"));
    expect(server.count).toBe(1);
  });
});

describe("addresses", () => {
  for (const origin of [
    "https://good@evil.com",
    "https://user:secret@host",
    "https://host/path",
    "https://host/",
    "https://host?x",
    "https://ho\nst",
    "ftp://host",
    "file:///etc",
    "HTTPS://HOST",
    "host",
    "",
  ]) {
    test(`${JSON.stringify(origin)} is none`, async () => {
      const options = { clock: systemClock, random: systemRandom };
      await expect(openRemoteForge(origin, options)).rejects.toEqual(code("usage"));
    });
  }

  test("a token that would add a header is refused", async () => {
    const options = { clock: systemClock, random: systemRandom, token: "a\r\nx: y" };
    await expect(openRemoteForge("http://host", options)).rejects.toEqual(code("usage"));
  });
});

describe("answers that are wrong", () => {
  const wrong: readonly [string, (response: ServerResponse) => void, string][] = [
    ["garbage", (response) => answerBytes(response, Buffer.from("no frames at all")), "corrupt"],
    [
      "a message of 4 GiB",
      (response) => answerBytes(response, Buffer.from([0, 255, 255, 255, 255])),
      "corrupt",
    ],
    [
      "a compressed message",
      (response) => answerBytes(response, Buffer.from([1, 0, 0, 0, 0]), OK),
      "corrupt",
    ],
    ["no message", (response) => answerBytes(response, OK), "corrupt"],
    ["two messages", (response) => answerBytes(response, framed(head()), framed(head()), OK), "corrupt"],
    ["something after the end", (response) => answerBytes(response, framed(head()), OK, OK), "corrupt"],
    ["no end", (response) => answerBytes(response, framed(head())), "unreachable"],
    ["nothing", (response) => answerBytes(response), "unreachable"],
    ["half a message", (response) => answerBytes(response, framed(head()).subarray(0, 20)), "unreachable"],
    ["a root of 31 bytes", (response) => answerBytes(response, framed(badRoot()), OK), "corrupt"],
    ["a position above 2^53", (response) => answerBytes(response, framed(badPosition()), OK), "corrupt"],
    [
      "trailers without a status",
      (response) => answerBytes(response, framed(head()), Buffer.from([0x80, 0, 0, 0, 0])),
      "corrupt",
    ],
    [
      "an encoding that was not asked for",
      (response) => {
        response.writeHead(200, { "content-type": CONTENT_TYPE, "content-encoding": "gzip" });
        response.end(gzipSync(Buffer.alloc(64 << 20)));
      },
      "corrupt",
    ],
  ];
  for (const [what, answer, expected] of wrong) {
    test(`${what} is ${expected}`, async () => {
      const [forge] = await http((_request, response) => answer(response));
      await expect(forge.getHead(PROJECT)).rejects.toEqual(code(expected));
    });
  }

  function badRoot(): Uint8Array {
    return Head.encode({ position: 1n, root: Buffer.alloc(31), hlc: 5n, salt: Buffer.alloc(8) }).finish();
  }

  function badPosition(): Uint8Array {
    return Head.encode({
      position: 1n << 60n,
      root: Buffer.alloc(32),
      hlc: 5n,
      salt: Buffer.alloc(8),
    }).finish();
  }

  test("a landing that is answered wrongly has an unknown outcome", async () => {
    const [forge] = await http((_request, response) => answerBytes(response, framed(Buffer.from("??")), OK));
    const base = { position: 0 as Position, root: EMPTY_ROOT };
    const texts = { goal: "g", author: "a", agent: "", decisions: [], conversation: [] };
    const landingId = mintLandingId(systemRandom);
    const request = { landingId, base, ...texts, operations: [], packs: [], frames: [] };
    await expect(forge.land(PROJECT, request)).rejects.toMatchObject({
      code: "outcome-unknown",
      data: { landing: landingId },
    });
  });
});

describe("answers without end", () => {
  const entry = { kind: "file", size: 1, id: "ab".repeat(32) as ObjectId } as const;
  const content = Buffer.from("other content");
  const frame: Frame = {
    compressed: false,
    rawLength: content.length,
    stored: content,
    objects: [{ id: hashObject(content), kind: "blob", offset: 0, length: content.length, sidecarLength: 0 }],
  };

  test("entries do not ascend for ever", async () => {
    const page = framed(encodeEntries([{ path: path("a"), entry, hint: 0 }]));
    const [forge] = await http((_request, response) => answerForever(response, page));
    await expect(drain(forge.listEntries(PROJECT, ONE, undefined))).rejects.toEqual(code("corrupt"));
  });

  test("frames that nobody asked for", async () => {
    const message = framed(Buffer.concat(encodeReadObjectsResponse(frame)));
    const [forge] = await http((_request, response) => answerForever(response, message));
    const wants = [{ id: "cd".repeat(32) as ObjectId, hint: 0 }];
    await expect(drain(forge.readObjects(PROJECT, wants))).rejects.toEqual(code("corrupt"));
  });

  test("nothing, over and over", async () => {
    const [forge] = await http((_request, response) => answerForever(response, Buffer.alloc(5 * 100)));
    await expect(drain(forge.fetch(PROJECT, { from: ONE, to: ONE }))).rejects.toEqual(code("corrupt"));
    await expect(forge.blame(PROJECT, ONE, path("a"))).rejects.toEqual(code("corrupt"));
  });

  test("a file that is longer than it says, in bounded memory", async () => {
    const message = framed(GetBlobResponse.encode({ data: Buffer.alloc(100_000) }).finish());
    const [forge] = await http((_request, response) => answerForever(response, message));
    const before = process.memoryUsage().rss;
    const file = { entry: { ...entry, size: 5_000_000 }, hint: 0 };
    await expect(drain(forge.readFile(PROJECT, file))).rejects.toEqual(code("corrupt"));
    expect(process.memoryUsage().rss - before).toBeLessThan(150 << 20);
  });
});

test("what may not be repeated never goes over a connection that may be dead", async () => {
  const used = new Set<unknown>();
  const organization = Organization.encode({ name: "acme", description: "", createdAtMs: 1n }).finish();
  const [forge] = await http((request, response) => {
    // Lost, as with a server that had just closed the connection for being idle.
    if (used.has(request.socket)) request.socket.destroy();
    used.add(request.socket);
    answerBytes(response, framed(organization), OK);
  });
  for (let i = 0; i < 3; i++) {
    expect(await forge.createOrganization({ name: "acme" })).toMatchObject({ name: "acme" });
    expect(await forge.getOrganization("acme")).toMatchObject({ name: "acme" });
  }
});

describe("back-pressure", () => {
  const content = Buffer.alloc(100_000, "x");
  const frame: Frame = {
    compressed: false,
    rawLength: content.length,
    stored: content,
    objects: [{ id: hashObject(content), kind: "blob", offset: 0, length: content.length, sidecarLength: 0 }],
  };

  test("a reader that stands still holds the server up, and one that leaves closes the connection", async () => {
    const message = framed(Buffer.concat(encodeReadObjectsResponse(frame)));
    let socket: Socket | undefined;
    const closed = Promise.withResolvers<void>();
    const [forge] = await http((_request, response) => {
      socket = response.socket ?? undefined;
      response.on("close", closed.resolve);
      answerForever(response, message);
    }, TIMEOUT_MS);
    const wants = [
      { id: hashObject(content), hint: 0 },
      { id: "cd".repeat(32) as ObjectId, hint: 0 },
    ];
    for await (const _ of forge.readObjects(PROJECT, wants)) {
      await systemClock.sleep(TIMEOUT_MS * 2);
      break;
    }
    expect(socket!.bytesWritten).toBeLessThan(32 << 20);
    await closed.promise;
  });

  test("a server that does not read holds the content's source up", async () => {
    const forge = await raw((socket) => socket.pause(), TIMEOUT_MS);
    let taken = 0;
    async function* source(): AsyncGenerator<Uint8Array> {
      for (; taken < 1 << 30; taken += content.length) yield content;
    }
    await expect(forge.putBlob(PROJECT, source())).rejects.toEqual(code("unreachable"));
    expect(taken).toBeLessThan(32 << 20);
  });

  test("a source that fails is what the caller is told", async () => {
    const [forge] = await http((_request, response) => answerBytes(response, OK));
    async function* source(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 100; i++) yield content;
      throw new MicError("not-found", "the file is gone");
    }
    await expect(forge.putBlob(PROJECT, source())).rejects.toMatchObject({ message: "the file is gone" });
  });
});

describe("a server that lies", () => {
  /** A real server whose forge says something else. */
  async function lying(lies: (forge: Forge) => Partial<Forge>): Promise<[Forge, TestProject]> {
    const server = await WireServer.start({
      wrap: (forge) => {
        const changed = lies(forge);
        return new Proxy(forge, {
          get(target, key) {
            const from = Reflect.has(changed, key) ? changed : target;
            const value: unknown = Reflect.get(from, key);
            return typeof value === "function" ? value.bind(from) : value;
          },
        });
      },
    });
    open.push(server);
    const forge = await client(server.url, PATIENT_MS);
    const project = await TestProject.create(forge, "acme/app");
    await project.land({ put: { a: "content of a", b: "content of b" } });
    return [forge, project];
  }

  async function* one<T>(item: T): AsyncGenerator<T> {
    yield item;
  }

  for (const name of ["../x", "/etc/passwd", ".git/config", ".mic/x", "a//b", "x\\y", "GIT~1/x"]) {
    test(`a tree with ${JSON.stringify(name)} is corrupt`, async () => {
      const entry = { kind: "file", size: 1, id: "ab".repeat(32) as ObjectId } as const;
      const located = { path: name as ReturnType<typeof path>, entry, hint: 1 };
      const change = { path: located.path, before: undefined, after: { entry, hint: 1 } };
      const [forge, project] = await lying(() => ({
        listEntries: () => one([located]),
        diff: () => one([change]),
        fetch: () => one({ kind: "changes", changes: [change] }),
        listDirectory: async () => ({ items: [{ kind: "directory", name, count: 1 }] }),
      }));
      const range = { from: 0 as Position, to: ONE };
      await expect(drain(forge.listEntries(project.id, ONE, undefined))).rejects.toEqual(code("corrupt"));
      await expect(drain(forge.diff(project.id, range))).rejects.toEqual(code("corrupt"));
      await expect(drain(forge.fetch(project.id, range))).rejects.toEqual(code("corrupt"));
      await expect(forge.listDirectory(project.id, { at: ONE, dir: "" })).rejects.toEqual(code("corrupt"));
    });
  }

  test("about which position, project or landing it speaks of is corrupt", async () => {
    const [forge, project] = await lying((real) => ({
      getHead: async (id) => ({ ...(await real.getHead(id)), position: 0 as Position }),
      getPosition: async () => ({ position: 7 as Position, root: EMPTY_ROOT }),
      getProject: async (id) => ({ ...(await real.getProject(id)), id: PROJECT }),
      getLanding: async (id) => ({ ...(await real.getLanding(id, ONE)), position: 9 as Position }),
      findContent: async () => ({ id: "ab".repeat(32) as ObjectId, size: 4 }),
    }));
    await expect(forge.getHead(project.id, { atLeast: ONE })).rejects.toEqual(code("corrupt"));
    await expect(forge.getPosition(project.id, ONE)).rejects.toEqual(code("corrupt"));
    await expect(forge.getProject(project.id)).rejects.toEqual(code("corrupt"));
    await expect(forge.getLanding(project.id, ONE)).rejects.toEqual(code("corrupt"));
    const wanted = { id: hashObject(Buffer.from("x")) };
    await expect(forge.findContent(project.id, wanted)).rejects.toEqual(code("corrupt"));
  });

  test("about a file's content is corrupt, and its last piece is never given out", async () => {
    const [forge, project] = await lying(() => ({ readFile: () => one(Buffer.from("content of b")) }));
    const found = await forge.getPath(project.id, ONE, path("a"));
    if (found?.kind !== "entry") throw new Error("a is a file");
    const got: Uint8Array[] = [];
    const read = async (): Promise<void> => {
      for await (const part of forge.readFile(project.id, found)) got.push(part);
    };
    await expect(read()).rejects.toEqual(code("corrupt"));
    expect(got).toEqual([]);
  });

  test("about what a frame holds is corrupt: no bomb goes off", async () => {
    const bomb = zstdCompressSync(Buffer.alloc(64 << 20));
    const wants = [{ id: hashObject(Buffer.from("content of a")), hint: 1 }];
    const object = { id: wants[0]!.id, kind: "blob", offset: 0, length: 12, sidecarLength: 0 } as const;
    const frames: readonly Frame[] = [
      { compressed: true, rawLength: 12, stored: bomb, objects: [object] },
      { compressed: true, rawLength: 12, stored: bomb.subarray(0, 100), objects: [object] },
      { compressed: false, rawLength: 12, stored: Buffer.from("content of b"), objects: [object] },
      { compressed: false, rawLength: 11, stored: Buffer.from("content of "), objects: [object] },
      { compressed: false, rawLength: 12, stored: Buffer.from("content of "), objects: [object] },
      { compressed: true, rawLength: 9 << 20, stored: bomb, objects: [{ ...object, length: 9 << 20 }] },
      { compressed: false, rawLength: 12, stored: Buffer.from("content of a"), objects: [] },
    ];
    for (const frame of frames) {
      const [forge, project] = await lying(() => ({ readObjects: () => one(frame) }));
      const read = async (): Promise<void> => {
        for await (const each of forge.readObjects(project.id, wants)) openVerifiedFrame(each);
      };
      await expect(read()).rejects.toEqual(code("corrupt"));
    }
  });

  test("more frames than the changes have contents are corrupt", async () => {
    const [forge, project] = await lying((real) => ({
      async *fetch(id, request) {
        for await (const item of real.fetch(id, request)) {
          yield item;
          if (item.kind === "frame") for (;;) yield item;
        }
      },
    }));
    const fetched = drain(forge.fetch(project.id, { from: 0 as Position, to: ONE }));
    await expect(fetched).rejects.toEqual(code("corrupt"));
  });

  test("to a clone leaves nothing behind but what tells how to go on", async () => {
    const bomb = zstdCompressSync(Buffer.alloc(64 << 20));
    const [forge] = await lying((real) => ({
      async *fetch(id, request) {
        for await (const item of real.fetch(id, request)) {
          yield item.kind === "frame"
            ? { ...item, frame: { ...item.frame, compressed: true, stored: bomb } }
            : item;
        }
      },
    }));
    await using spaces = new TestWorkspaces();
    const dir = spaces.newDir();
    const options = { address: forge.address, projectName: "acme/app", dir };
    const context = spaces.context({ openForge: async () => forge });
    await expect(cloneWorkspace(options, context)).rejects.toEqual(code("corrupt"));
    expect(readdirSync(dir)).toEqual([".mic"]);
  });

  test("internal errors of a server tell nothing of it", async () => {
    const [forge, project] = await lying(() => ({
      getHead: async () => {
        throw new Error("password of the database");
      },
    }));
    await expect(forge.getHead(project.id)).rejects.toMatchObject({
      code: "internal",
      message: "internal error",
    });
  });
});
