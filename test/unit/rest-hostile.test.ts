import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { JSON_BYTES_MAX } from "../../src/server/rest/body.ts";
import { type RestClient, RestServer, TOKEN } from "../support/rest-server.ts";

const P = "/api/mic/projects/acme%2Fapp";
let server: RestServer;
let client: RestClient;

beforeAll(async () => {
  server = await RestServer.start();
  client = server.client();
  await client.post("/api/mic/projects", { name: "acme/app" });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** Sends bytes as they are; resolves with all that came back until the end, or until `until` is in it. */
function raw(bytes: string | Uint8Array, until?: RegExp, timeoutMs = 5_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    let text = "";
    const timer = setTimeout(() => finish(), timeoutMs);
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(text);
    };
    socket.on("data", (part) => {
      text += part.toString("latin1");
      if (until?.test(text)) finish();
    });
    socket.on("close", finish);
    socket.on("error", (error) => {
      if (text === "") reject(error);
      else finish();
    });
  });
}

/** By hand, since clients tidy a path up before they send it. */
async function rawGet(path: string, headers = ""): Promise<{ status: number; text: string }> {
  const head = `GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TOKEN}\r\nconnection: close\r\n`;
  const text = await raw(`${head}${headers}\r\n`);
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]), text };
}

describe("paths", () => {
  test.each([
    ["..%2f..%2fetc%2fpasswd", "unsafe-path"],
    ["a/%2e%2e/b", "unsafe-path"],
    ["%2e%2e/x", "unsafe-path"],
    ["..", "unsafe-path"],
    ["a//b", "unsafe-path"],
    ["%2fetc%2fpasswd", "unsafe-path"],
    ["a%00b", "unsafe-path"],
    ["a%5cb", "unsafe-path"],
    [".git/config", "unsafe-path"],
    [".GIT%2fconfig", "unsafe-path"],
    [".g%e2%80%8cit/config", "unsafe-path"],
    [".mic/forge", "unsafe-path"],
    ["C:/x", "unsafe-path"],
  ])("files/%s is refused as %s", async (path, code) => {
    for (const place of ["files", "blame"]) {
      const { status, text } = await rawGet(`${P}/${place}/${path}`);
      expect(status).toBe(400);
      expect(text).toContain(`"code":"${code}"`);
    }
  });

  test.each(["%", "%2", "%zz", "a%ff", "%c0%ae%c0%ae", "%ed%a0%80"])(
    "%s is no percent-encoded UTF-8",
    async (bad) => {
      expect((await rawGet(`${P}/files/${bad}`)).status).toBe(400);
      expect((await rawGet(`${P}/tree?dir=${bad}`)).status).toBe(400);
      expect((await rawGet(`/api/mic/projects/${bad}`)).status).toBe(400);
    },
  );

  test("a percent sign, a slash and a question mark in a name come through", async () => {
    const names = ["a%2Fb.txt", "100%.txt", "q?x=1#y.txt", "a;b&c=d+e.txt", "%252F.txt", "日本/ü.txt"];
    const { json } = await client.post(`${P}/sessions`, { goal: "Names" });
    const operations = [];
    for (const path of names) {
      const blob = await client.call("POST", `${P}/blobs`, { bytes: path });
      operations.push({ op: "put", path, ...blob.json });
    }
    await client.post(`${P}/sessions/${json.id}/operations`, { operations });
    expect((await client.post(`${P}/sessions/${json.id}/land`)).status).toBe(200);
    for (const path of names) {
      expect((await client.get(`${P}/files/${encodeURIComponent(path)}`)).text).toBe(path);
      const piecewise = path.split("/").map(encodeURIComponent).join("/");
      expect((await client.get(`${P}/files/${piecewise}`)).text).toBe(path);
    }
  });

  test("a path of more bytes than a key has, and an address without end, are too large", async () => {
    expect((await client.get(`${P}/files/${"a".repeat(5000)}`)).json.code).toBe("too-large");
    const long = await rawGet(`${P}/files/${"a/".repeat(8000)}x`);
    expect([400, 413, 414, 431]).toContain(long.status);
  });

  test.each([
    "/",
    "/api",
    "/api/mic",
    "/api/mic/projects/",
    "/api/mic/projects//head",
    `${P}/files`,
    `${P}/nope`,
  ])("there is nothing at %s", async (path) => {
    expect((await client.get(path)).json.code).toBe("not-found");
  });

  test.each([
    ["not a name", "usage"],
    ["UPPER%2Fcase", "usage"],
    ["..%2F..", "usage"],
    ["acme%2Fnone", "not-found"],
    ["0123456789abcdef0123456789abcde0", "not-found"],
    ["constructor", "usage"],
    ["__proto__", "usage"],
  ])("the project %s is refused as %s", async (project, code) => {
    expect((await client.get(`/api/mic/projects/${project}/head`)).json.code).toBe(code);
  });
});

describe("callers", () => {
  test("no token, another token, and a token in another scheme are 401 on every route that is not public", async () => {
    for (const authorization of ["", "Bearer", "Bearer x", `Basic ${TOKEN}`, `Bearer ${TOKEN}x`]) {
      const answer = await client.call("GET", `${P}/head`, { headers: { authorization } });
      expect(answer).toMatchObject({ status: 401, json: { code: "unauthenticated" } });
      expect(answer.headers.get("www-authenticate")).toContain("Bearer");
    }
    expect((await client.call("POST", "/api/mic/projects", { anonymous: true, body: {} })).status).toBe(401);
  });

  test("a caller without a token cannot tell which projects exist", async () => {
    const there = await client.call("GET", P, { anonymous: true });
    const absent = await client.call("GET", "/api/mic/projects/acme%2Fnone", { anonymous: true });
    expect(there.json).toEqual(absent.json);
  });
});

describe("methods and headers", () => {
  test("another method is 405 with what is allowed", async () => {
    const answer = await client.call("DELETE", `${P}/head`);
    expect(answer).toMatchObject({ status: 405, json: { code: "usage" } });
    expect(answer.headers.get("allow")).toBe("GET, HEAD, OPTIONS");
    expect((await client.call("PUT", P)).headers.get("allow")).toBe("GET, HEAD, PATCH, DELETE, OPTIONS");
    expect((await client.call("PROPFIND", "/nope")).status).toBe(404);
  });

  test("OPTIONS says what is allowed, to anybody", async () => {
    const answer = await client.call("OPTIONS", `${P}/sessions`, { anonymous: true });
    expect(answer.status).toBe(204);
    expect(answer.headers.get("allow")).toBe("GET, HEAD, POST, OPTIONS");
  });

  test("HEAD answers as GET does, without a body", async () => {
    for (const path of [`${P}/head`, `${P}/tree`, `${P}/landings`, "/SKILL.md", "/nope", `${P}/files/nope`]) {
      const [head, get] = [await client.call("HEAD", path), await client.get(path)];
      expect(head.status).toBe(get.status);
      expect(head.bytes).toHaveLength(0);
      expect(head.headers.get("content-type")).toBe(get.headers.get("content-type"));
    }
  });

  test("Accept that excludes the answer is 406", async () => {
    expect((await client.get(`${P}/head`, { accept: "text/html" })).status).toBe(406);
    expect((await client.get(`${P}/head`, { accept: "application/json;q=0" })).status).toBe(406);
    expect((await client.get(`${P}/head`, { accept: "application/json;q=0, */*" })).status).toBe(406);
    for (const accept of ["*/*", "application/*;q=0.1", "text/html, */*;q=0.5", "garbage", ""]) {
      expect((await client.get(`${P}/head`, { accept })).status).toBe(200);
    }
  });

  test("a refusal keeps the connection, a body that nobody reads closes it", async () => {
    const head = `host: x\r\nauthorization: Bearer ${TOKEN}\r\n`;
    const refused = await raw(`GET ${P}/nope HTTP/1.1\r\n${head}\r\n`, /\}$/);
    expect(refused.toLowerCase()).toContain("connection: keep-alive");
    const smuggled = `GET ${P}/nope HTTP/1.1\r\nhost: x\r\n\r\n`;
    for (const path of ["head", "nope"]) {
      const declared = `content-length: ${smuggled.length + 10}\r\n\r\n${smuggled}`;
      const answer = await raw(`GET ${P}/${path} HTTP/1.1\r\n${head}${declared}`, /\r\n\r\n\{.*\}$/s);
      expect(answer.match(/^HTTP/gm)).toHaveLength(1);
      expect(answer.toLowerCase()).toContain("connection: close");
    }
  });

  test("10,000 values in headers are answered", async () => {
    const answer = await rawGet(
      `${P}/head`,
      `if-none-match: ${'"x",'.repeat(2000)}"y"\r\naccept: ${"a/b,".repeat(2000)}*/*\r\n`,
    );
    expect([200, 431]).toContain(answer.status);
  });

  test.each([
    "bytes=5-1",
    "bytes=a-b",
    "bytes=0-1,3-4",
    "items=0-1",
    "bytes=-",
    "bytes=0-0x",
    "bytes=99999999999999999999-",
  ])("the range %s is ignored", async (range) => {
    const blob = await client.call("POST", `${P}/blobs`, { bytes: "0123456789" });
    const answer = await client.get(blob.headers.get("location")!, { range });
    expect(answer).toMatchObject({ status: 200, text: "0123456789" });
  });

  test("a suffix of nothing is not satisfiable", async () => {
    const blob = await client.call("POST", `${P}/blobs`, { bytes: "0123456789" });
    expect((await client.get(blob.headers.get("location")!, { range: "bytes=-0" })).status).toBe(416);
    expect((await client.get(blob.headers.get("location")!, { range: "bytes=-99" })).status).toBe(206);
  });
});

describe("queries", () => {
  test.each([
    "tree?at=1&at=2",
    "tree?nope=1",
    "tree?at=-1",
    "tree?at=1e3",
    "tree?at=0x1",
    "tree?at=99999999999999999999999",
    "tree?at=9007199254740992",
    "tree?at=",
    "tree?limit=0",
    "tree?limit=10001",
    "tree?limit=-5",
    "tree?recursive=maybe",
    "tree?recursive=true&after=x",
    "tree?__proto__=1",
    "diff",
    "diff?from=x",
    "diff?from=0&format=xml",
    "sessions?state=nope",
    "sessions?after=garbage",
    "landings/1.5",
    "landings/-1",
    "landings/events?after=x",
    "sessions/zz",
    "blobs/zz",
    `blobs/${"A".repeat(64)}`,
    "packs/zz",
  ])("%s is refused", async (path) => {
    const answer = await client.get(`${P}/${path}`);
    expect(answer.status).toBe(400);
    expect(["usage", "out-of-range"]).toContain(answer.json.code);
  });

  test("a position beyond the head is out of range", async () => {
    for (const path of [
      "tree?at=9007199254740991",
      "files/x?at=999",
      "diff?from=0&to=999",
      "blame/x?at=999",
    ]) {
      expect((await client.get(`${P}/${path}`)).json.code).toBe("out-of-range");
    }
  });
});

describe("bodies", () => {
  const post = (bytes: string | Uint8Array, headers: Readonly<Record<string, string>> = {}) =>
    client.call("POST", "/api/mic/projects", {
      bytes,
      headers: { "content-type": "application/json", ...headers },
    });

  test.each(["{", "[]", "null", "1", '"x"', "{}", '{"name":1}', '{"name":"a/b","nope":1}', "\ufeff{}"])(
    "%s is refused",
    async (body) => {
      expect((await post(body)).json.code).toBe("usage");
    },
  );

  test("an empty body, bad UTF-8 and nesting without end are refused", async () => {
    expect((await post("")).json.code).toBe("usage");
    expect((await post(Buffer.from('{"name":"\xff\xfe"}', "latin1"))).json.detail).toContain("UTF-8");
    const bomb = "[".repeat(4_000_000);
    expect((await post(bomb)).json.detail).toContain("levels deep");
    expect((await post(`{"name":${'{"a":'.repeat(100_000)}`)).json.detail).toContain("levels deep");
    expect((await post(JSON.stringify({ name: "[[[[".repeat(100) }))).json.detail).not.toContain(
      "levels deep",
    );
  });

  test("names of prototypes are fields like others", async () => {
    const answer = await post('{"name":"acme/proto","__proto__":{"visibility":"public"}}');
    expect(answer.json.code).toBe("usage");
    expect((await post('{"name":"acme/proto","constructor":{}}')).json.code).toBe("usage");
  });

  test("another content type or encoding is 415", async () => {
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "application/jsonp",
      "application/json; charset=latin1",
    ]) {
      expect((await post("{}", { "content-type": type })).status).toBe(415);
    }
    expect((await post("{}", { "content-encoding": "gzip" })).status).toBe(415);
    expect(
      (await client.call("POST", `${P}/blobs`, { bytes: "x", headers: { "content-encoding": "br" } })).status,
    ).toBe(415);
    expect(
      (await post('{"name":"acme/x1"}', { "content-type": "application/json; charset=UTF-8" })).status,
    ).toBe(201);
  });

  test("a body above the limit is 413, said or not said to be so", async () => {
    expect((await post("x".repeat(JSON_BYTES_MAX + 1))).status).toBe(413);
    const declared = await raw(
      `POST /api/mic/projects HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TOKEN}\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{`,
      /"status":413/,
    );
    expect(declared).toMatch(/^HTTP\/1\.1 413/);
    expect(declared.toLowerCase()).toContain("connection: close");
    const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
    const chunked = await raw(
      `POST /api/mic/projects HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TOKEN}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${chunk.repeat(130)}`,
      /"status":413/,
    );
    expect(chunked).toMatch(/^HTTP\/1\.1 413/);
  });

  test("a blob that is cut short is not stored", async () => {
    const before = await client.get(`${P}/head`);
    await raw(
      `POST ${P}/blobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TOKEN}\r\ncontent-length: 100\r\n\r\nabc`,
      /never/,
      200,
    );
    expect((await client.get(`${P}/head`)).json).toEqual(before.json);
    const { hashObject } = await import("../../src/core/base/hash.ts");
    expect((await client.get(`${P}/blobs/${hashObject(Buffer.from("abc"))}`)).status).toBe(404);
  });

  test("a pack that is none is refused, and named as corrupt", async () => {
    const answer = await client.call("POST", `${P}/packs`, { bytes: "not a pack" });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect((await client.get(`${P}/packs/${"1".repeat(64)}`)).json.code).toBe("not-found");
  });

  test.each([
    { op: "put", path: "../x", hash: "1".repeat(64), size: 1 },
    { op: "put", path: ".git/hooks/x", hash: "1".repeat(64), size: 1 },
    { op: "put", path: "a\0b", hash: "1".repeat(64), size: 1 },
    { op: "put", path: "x", hash: "zz", size: 1 },
    { op: "put", path: "x", hash: "1".repeat(64), size: -1 },
    { op: "put", path: "x", hash: "1".repeat(64), size: 1.5 },
    { op: "put", path: "x", hash: "1".repeat(64), size: 2 ** 60 },
    { op: "put", path: "x", hash: "1".repeat(64), size: 1, kind: "fifo" },
    { op: "put", path: "x", hash: "1".repeat(64), size: 99_999, kind: "symlink" },
    { op: "rename", path: "x" },
  ])("the operation %j is refused", async (operation) => {
    const { json } = await client.post(`${P}/sessions`, { goal: "x" });
    const answer = await client.post(`${P}/sessions/${json.id}/operations`, { operations: [operation] });
    expect(answer.status).toBe(400);
    expect(["usage", "unsafe-path"]).toContain(answer.json.code);
  });
});

describe("failures inside", () => {
  test("what is not meant for callers is logged under an id, and only the id is told", async () => {
    const forge = new ForgeService({
      store: new MemoryStore(systemClock),
      address: "memory",
      clock: systemClock,
      random: systemRandom,
      trustWriters: false,
    });
    const failures: unknown[] = [
      new Error("secret of the code"),
      new MicError("internal", "secret of the core", { hint: "secret hint", data: { secret: 1 } }),
      "a secret string",
    ];
    const failing = new Proxy(forge, {
      get(target, name) {
        if (name === "listProjects") return () => Promise.reject(failures[0]);
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    await using broken = await RestServer.start({ forge: failing });
    while (failures.length > 0) {
      const answer = await broken.client().get("/api/mic/projects");
      expect(answer).toMatchObject({ status: 500, json: { code: "internal", detail: "internal error" } });
      expect(answer.text).not.toContain("secret");
      expect(broken.log.at(-1)).toMatchObject({
        level: "error",
        fields: { requestId: answer.json.requestId },
      });
      expect(JSON.stringify(broken.log.at(-1))).toContain("secret");
      failures.shift();
    }
  });

  test("a forge that does not hand out packs says so", async () => {
    const forge = new ForgeService({
      store: new MemoryStore(systemClock),
      address: "memory",
      clock: systemClock,
      random: systemRandom,
      trustWriters: false,
    });
    const without = new Proxy(forge, {
      get(target, name) {
        if (name === "getPack") return undefined;
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    await using other = await RestServer.start({ forge: without });
    await other.client().post("/api/mic/projects", { name: "acme/app" });
    const answer = await other.client().get(`${P}/packs/${"1".repeat(64)}`);
    expect(answer).toMatchObject({ status: 501, json: { code: "unsupported" } });
  });

  test("content that turns out to be corrupt is cut, never passed for the whole", async () => {
    const forge = new ForgeService({
      store: new MemoryStore(systemClock),
      address: "memory",
      clock: systemClock,
      random: systemRandom,
      trustWriters: false,
    });
    async function* corrupted(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("01234");
      throw new MicError("corrupt", "a chunk is not what it is named");
    }
    const failing = new Proxy(forge, {
      get(target, name) {
        if (name === "readFile") return corrupted;
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    await using broken = await RestServer.start({ forge: failing });
    const own = broken.client();
    await own.post("/api/mic/projects", { name: "acme/app" });
    const blob = await own.call("POST", `${P}/blobs`, { bytes: "0123456789" });
    await expect(own.get(blob.headers.get("location")!)).rejects.toThrow();
    expect(broken.log.at(-1)).toMatchObject({ event: "request-failed", fields: { code: "corrupt" } });
  });

  test("no token is ever logged", () => {
    expect(JSON.stringify(server.log)).not.toContain(TOKEN);
  });
});
