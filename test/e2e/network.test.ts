/** The running server on a hostile network: RELIABILITY.md 40 and 44 to 48 and the limits of docs/network.md. */
import { copyFileSync, mkdirSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { beforeAll, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { TestProject } from "../support/forge-project.ts";
import { answered, connected, exchange } from "../support/raw-socket.ts";
import { Served } from "./served.ts";
import { readTree, World } from "./support.ts";

const TOKEN = "token-of-the-end-to-end-tests";
const BEARER = { authorization: `Bearer ${TOKEN}` };
const PUBLIC = "/api/mic/projects/ada%2Fpublic";

let world: World;
let served: Served;

const forgeOf = ({ url }: Served, token: string | undefined = TOKEN): Promise<Forge> =>
  openRemoteForge(url, { token, clock: systemClock, random: systemRandom });

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** With headers that `fetch` would not send. */
function ask(
  { port }: Served,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body = "",
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: "127.0.0.1", port, method, path, headers, agent: false }, (answer) => {
      let text = "";
      answer.on("data", (part) => {
        text += part;
      });
      answer.on("end", () => resolve({ status: answer.statusCode!, headers: answer.headers, text }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const FILES = {
  "page.html": "<script>alert(document.domain)</script>",
  "image.svg": '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
  "page.xhtml": '<html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>',
  "code.js": "alert(1)",
  "read.md": "[click](javascript:alert(1))",
  "feed.xml": '<?xml-stylesheet href="data:,x"?><a/>',
  "a\r\nset-cookie: x=y": "split",
};

async function prepare(at: Served): Promise<TestProject> {
  await using forge = await forgeOf(at);
  const { id } = await TestProject.create(forge, "ada/public");
  await forge.updateProject(id, { visibility: "public" });
  const project = new TestProject(forge, id);
  await project.land({ put: FILES });
  return project;
}

beforeAll(async () => {
  world = await World.create();
  served = await Served.start(world);
  await prepare(served);
});

async function expectAlive(at = served): Promise<void> {
  expect((await ask(at, "GET", `${PUBLIC}/head`)).status).toBe(200);
}

describe("40: addresses that strangers write", () => {
  /** Counts connections, and answers each request. */
  async function listen(answer: string): Promise<{ port: number; connections: () => number } & Disposable> {
    let connections = 0;
    const server = createServer((socket) => {
      connections++;
      socket.on("error", () => undefined);
      socket.once("data", () => socket.end(answer));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
      port: (server.address() as AddressInfo).port,
      connections: () => connections,
      [Symbol.dispose]: () => void server.close(),
    };
  }

  async function createWebhook(at: Served, url: string): Promise<Answer> {
    const body = JSON.stringify({ url });
    const headers = { ...BEARER, "content-type": "application/json", "content-length": String(body.length) };
    return await ask(at, "POST", `${PUBLIC}/webhooks`, headers, body);
  }

  test("a webhook never reaches what only this machine can reach", async () => {
    using inside = await listen("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    const hosts = [
      "127.0.0.1",
      "localhost",
      "localhost.",
      "0.0.0.0",
      "2130706433",
      "0x7f000001",
      "0177.0.0.1",
      "127.1",
      "[::1]",
      "[::]",
      "[::ffff:127.0.0.1]",
      "[::ffff:7f00:1]",
      "[64:ff9b::7f00:1]",
      "[2002:7f00:1::]",
    ];
    const urls = [
      ...hosts.map((host) => `http://${host}:${inside.port}/`),
      "http://169.254.169.254/latest/meta-data/",
      "http://[fd00:ec2::254]/",
      "http://10.0.0.1/",
      "http://[fe80::1]/",
      "file:///etc/passwd",
      "ftp://example.com/",
      "https://user:secret@example.com/",
      "http://example.com:25/",
    ];
    for (const url of urls) {
      const { status } = await createWebhook(served, url);
      expect([url, [400, 403].includes(status)]).toEqual([url, true]);
    }
    expect(inside.connections()).toBe(0);
  });

  test("nor does the document of an OAuth client", async () => {
    using inside = await listen("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    for (const host of ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"]) {
      const client = encodeURIComponent(`https://${host}:${inside.port}/client.json`);
      const answer = await ask(
        served,
        "GET",
        `/oauth/authorize?response_type=code&client_id=${client}&redirect_uri=https%3A%2F%2Fapp.example%2F&code_challenge=${"a".repeat(43)}&code_challenge_method=S256`,
      );
      expect(answer.headers["location"] ?? "").not.toContain("app.example");
    }
    expect(inside.connections()).toBe(0);
  });

  test("an operator can allow an address; where that redirects to is not asked", async () => {
    using secret = await listen("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    using hook = await listen(
      `HTTP/1.1 307 Temporary Redirect\r\nlocation: http://localhost:${secret.port}/\r\ncontent-length: 0\r\n\r\n`,
    );
    const open = await Served.start(world, {
      data: "hooks",
      args: ["--allow-outbound", `127.0.0.1:${hook.port}`],
    });
    await prepare(open);
    expect((await createWebhook(open, `http://127.0.0.1:${secret.port}/`)).status).toBe(403);
    const made = await createWebhook(open, `http://127.0.0.1:${hook.port}/`);
    expect(made.status).toBe(201);
    const { id } = JSON.parse(made.text);
    const pinged = await ask(open, "POST", `${PUBLIC}/webhooks/${id}/ping`, {
      ...BEARER,
      "content-length": "0",
    });
    expect(pinged.status).toBe(202);
    await expect.poll(() => hook.connections(), { timeout: 30_000 }).toBeGreaterThan(0);
    await delay(500);
    expect(secret.connections()).toBe(0);
    await open.end("SIGTERM");
  });
});

describe("44: files that a browser could run", () => {
  test.each(Object.keys(FILES))("%j comes as bytes, sandboxed, not sniffed, to be saved", async (name) => {
    const { hash } = JSON.parse(
      (await ask(served, "GET", `${PUBLIC}/tree?dir=&recursive=true`)).text,
    ).items.find((item: { path: string }) => item.path === name);
    for (const path of [
      `${PUBLIC}/files/${encodeURIComponent(name)}`,
      `${PUBLIC}/files/${encodeURIComponent(name)}?at=1`,
      `${PUBLIC}/blobs/${hash}`,
    ]) {
      for (const headers of [{}, { accept: "text/html" }, { range: "bytes=0-3" }] as Record<
        string,
        string
      >[]) {
        const answer = await ask(served, "GET", path, headers);
        if (answer.status === 406) continue;
        expect([path, answer.headers]).toEqual([
          path,
          expect.objectContaining({
            "content-type": "application/octet-stream",
            "content-security-policy": "default-src 'none'; sandbox",
            "x-content-type-options": "nosniff",
            "content-disposition": "attachment",
          }),
        ]);
        expect(answer.headers["set-cookie"]).toBeUndefined();
      }
    }
  });

  test("a name in an error or a document is never markup", async () => {
    const name = encodeURIComponent("<script>alert(1)</script>");
    const answers = await Promise.all([
      ask(served, "GET", `${PUBLIC}/files/${name}`),
      ask(served, "GET", `/${name}`),
      ask(served, "GET", `/api/mic/projects/ada%2F${name}`),
    ]);
    for (const { headers } of answers) {
      expect(headers["content-type"]).toBe("application/problem+json");
      expect(headers["x-content-type-options"]).toBe("nosniff");
    }
  });
});

describe("45: pages of other sites, and names of others", () => {
  test("a foreign Host is answered 421, over every way in", async () => {
    for (const path of ["/", "/login", "/metrics", `${PUBLIC}/head`, "/mic.v1.ContentService/GetHead"]) {
      const answer = await ask(served, "GET", path, { host: "evil.example", ...BEARER });
      expect([path, answer.status]).toEqual([path, 421]);
    }
    for (const host of ["127.0.0.1", "localhost:1", "[::1]"]) {
      expect((await ask(served, "GET", `${PUBLIC}/head`, { host })).status).toBe(200);
    }
  });

  test("a POST from another site changes nothing, even with a token", async () => {
    const body = JSON.stringify({ name: "ada/forged" });
    const type = { "content-type": "application/json" };
    for (const headers of [
      { origin: "https://evil.example" },
      { origin: "null" },
      { "sec-fetch-site": "cross-site" },
    ] as Record<string, string>[]) {
      const answer = await ask(
        served,
        "POST",
        "/api/mic/projects",
        { ...BEARER, ...type, ...headers, "content-length": String(body.length) },
        body,
      );
      expect(answer.status).toBe(403);
    }
    expect((await ask(served, "GET", "/api/mic/projects/ada%2Fforged", BEARER)).status).toBe(404);
  });

  test("a page of another origin reads nothing, and gets no preflight", async () => {
    const origin = "https://evil.example";
    const answer = await ask(served, "GET", `${PUBLIC}/head`, { origin });
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
    const preflight = await ask(served, "OPTIONS", `${PUBLIC}/head`, {
      origin,
      "access-control-request-method": "GET",
      "access-control-request-headers": "authorization",
    });
    expect(preflight.headers["access-control-allow-headers"]).toBeUndefined();
  });

  test("a server that others reach takes any name for calls, and for pages only its own", async () => {
    const anywhere = ["--listen", "0.0.0.0:0", "--insecure-listen"];
    const untold = await Served.start(world, { data: "untold", args: anywhere });
    const at = async (server: Served, path: string, host: string) =>
      (await ask(server, "GET", path, { host, ...BEARER })).status;
    expect(await at(untold, "/api/mic/projects", "forge.example")).toBe(200);
    expect(await at(untold, "/login", "forge.example")).toBe(421);
    expect(await at(untold, "/login", "127.0.0.1")).toBe(200);
    await untold.end("SIGTERM");
    const told = await Served.start(world, {
      data: "untold",
      args: [...anywhere, "--public-url", "https://forge.example", "--allowed-host", "inner.example"],
    });
    expect(await at(told, "/api/mic/projects", "forge.example")).toBe(200);
    expect(await at(told, "/login", "forge.example")).toBe(200);
    expect(await at(told, "/login", "inner.example:80")).toBe(200);
    expect(await at(told, "/api/mic/projects", "evil.example")).toBe(421);
    await told.end("SIGTERM");
  });

  test("pages of an allowed origin call the API, and no page of theirs signs in", async () => {
    const origin = "https://app.example";
    const open = await Served.start(world, { data: "cors", args: ["--cors-origin", origin] });
    const preflight = await ask(open, "OPTIONS", "/api/mic/projects", {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type",
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({
      "access-control-allow-origin": origin,
      "access-control-allow-headers": expect.stringContaining("authorization"),
    });
    const listed = await ask(open, "GET", "/api/mic/projects", { origin, ...BEARER });
    expect([listed.status, listed.headers["access-control-allow-origin"]]).toEqual([200, origin]);
    expect(listed.headers["access-control-allow-credentials"]).toBeUndefined();
    const body = "login=ada&password=x";
    const type = {
      "content-type": "application/x-www-form-urlencoded",
      "content-length": String(body.length),
    };
    expect((await ask(open, "POST", "/login", { origin, ...type }, body)).status).toBe(403);
    await open.end("SIGTERM");
  });

  test("options of the network are checked before anything is opened", () => {
    for (const args of [
      ["--trusted-proxy", "proxy.example"],
      ["--allowed-host", "*"],
      ["--cors-origin", "app.example"],
      ["--rate-limit", "much"],
      ["--allow-outbound", "http://inner"],
      ["--public-url", "https://forge.example/path"],
    ]) {
      const { code, document } = world.json([
        "serve",
        "--data",
        world.path("none"),
        "--listen",
        "0",
        ...args,
      ]);
      expect([args, code, document.error.code]).toEqual([args, 2, "usage"]);
    }
  });
});

describe("46: requests that two servers could read differently", () => {
  const post = (headers: string, body: string) =>
    `POST /api/mic/projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/json\r\n${headers}\r\n\r\n${body}`;
  const smuggled = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
  test.each([
    ["both lengths", post("Content-Length: 6\r\nTransfer-Encoding: chunked", `0\r\n\r\n${smuggled}`)],
    [
      "both lengths, the other order",
      post("Transfer-Encoding: chunked\r\nContent-Length: 6", `0\r\n\r\n${smuggled}`),
    ],
    ["two lengths", post("Content-Length: 3\r\nContent-Length: 5", `abcde${smuggled}`)],
    ["a space before the colon", post("Content-Length : 3", `abc${smuggled}`)],
    ["bare line feeds", "GET /healthz HTTP/1.1\nHost: localhost\n\n"],
    ["a folded header", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n"],
    ["an unknown coding", post("Transfer-Encoding: xchunked", `0\r\n\r\n${smuggled}`)],
    ["two hosts", `GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n${smuggled}`],
    [
      "another server's address as its target",
      `GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n${smuggled}`,
    ],
    ["chunks that end in bare line feeds", post("Transfer-Encoding: chunked", `3\nabc\n0\n\n${smuggled}`)],
  ])("%s", async (_what, bytes) => {
    const { statuses, state } = await exchange(served.port, bytes);
    expect([statuses, state]).toEqual([[400], "end"]);
  });

  test("heads without end are refused", async () => {
    const long = `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(64 << 10)}\r\n\r\n`;
    expect((await exchange(served.port, long)).statuses).toEqual([431]);
    const many = `GET / HTTP/1.1\r\nHost: localhost\r\n${"X: a\r\n".repeat(10_000)}\r\n`;
    expect((await exchange(served.port, many)).statuses).toEqual([431]);
    await expectAlive();
  });

  test("a document without end is refused before it is read", async () => {
    const head = `POST /api/mic/projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/json\r\n`;
    const declared = await exchange(served.port, `${head}Content-Length: 99999999999\r\n\r\n{`, {
      until: answered(1),
    });
    expect(declared.statuses).toEqual([413]);
    const chunk = `10000\r\n${" ".repeat(65_536)}\r\n`;
    const chunked = await exchange(
      served.port,
      `${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(600)}`,
      { until: answered(1) },
    );
    expect(chunked.statuses).toEqual([413]);
    await expectAlive();
  });
});

describe("47: slow and restless callers", () => {
  test("a head that never ends is cut after 10 s, and nobody else waits for it", async () => {
    const sockets = await Promise.all(Array.from({ length: 200 }, () => connected(served.port)));
    const ends = sockets.map(
      (socket) => new Promise<void>((resolve) => socket.once("close", () => resolve())),
    );
    const began = performance.now();
    for (const socket of sockets) {
      socket.on("error", () => undefined);
      socket.resume();
      socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n");
    }
    const drip = setInterval(() => {
      for (const socket of sockets) if (socket.writable) socket.write("X: y\r\n");
    }, 500);
    let cut = 0;
    for (const end of ends) void end.then(() => cut++);
    try {
      await expectAlive();
      expect(cut).toBe(0);
      await Promise.all(ends);
      const passed = performance.now() - began;
      expect(passed).toBeGreaterThan(8_000);
      expect(passed).toBeLessThan(25_000);
    } finally {
      clearInterval(drip);
      for (const socket of sockets) socket.destroy();
    }
    await expectAlive();
  });

  test("rapid resets end the connection, not the server", async () => {
    const session = connectHttp2(served.url);
    const closed = new Promise<void>((resolve) => session.once("close", () => resolve()));
    session.on("error", () => undefined);
    const headers = {
      ":method": "POST",
      ":path": "/mic.v1.ContentService/GetHead",
      "content-type": "application/grpc",
      te: "trailers",
    };
    let opened = 0;
    while (!session.destroyed && !session.closed && opened < 20_000) {
      for (let i = 0; i < 100 && !session.closed && !session.destroyed; i++) {
        const stream = session.request(headers);
        stream.on("error", () => undefined);
        stream.close(0x8);
        opened++;
      }
      await delay(5);
    }
    await closed;
    expect(opened).toBeLessThan(20_000);
    await expectAlive();
    const metrics = await ask(served, "GET", "/metrics", BEARER);
    expect(metrics.text).toMatch(/reason="resets"\} [1-9]/);
  });
});

describe("budgets of callers", () => {
  /** Statuses of calls in a row, until one is 429. */
  async function until429(at: Served, path: string, headers: () => Record<string, string>, most: number) {
    for (let calls = 0; calls < most; calls++) {
      const answer = await ask(at, "GET", path, headers());
      if (answer.status === 429) return { calls, answer };
      expect(answer.status).toBe(200);
    }
    return { calls: most, answer: undefined };
  }

  test("48: a caller that claims another address each time stays one caller; behind a trusted proxy it is believed", async () => {
    const wary = await Served.start(world, { data: "wary", args: ["--rate-limit", "1"] });
    await prepare(wary);
    let n = 0;
    const spoofed = (): Record<string, string> => ({
      "x-forwarded-for": `203.0.113.${n % 250}`,
      forwarded: `for=198.51.100.${n++ % 250}`,
      "x-real-ip": `192.0.2.${n % 250}`,
      "true-client-ip": `192.0.2.${n % 250}`,
    });
    // 60 units at once, 2 for a page.
    const { calls, answer } = await until429(wary, `${PUBLIC}/tree`, spoofed, 100);
    expect(calls).toBeGreaterThanOrEqual(20);
    expect(calls).toBeLessThan(40);
    expect(answer?.headers).toMatchObject({
      "retry-after": expect.stringMatching(/^[1-5]$/),
      "content-type": "application/problem+json",
    });
    expect(JSON.parse(answer!.text)).toMatchObject({ code: "rate-limited", status: 429 });
    // Who signs in is another caller.
    expect((await ask(wary, "GET", `${PUBLIC}/tree`, BEARER)).status).toBe(200);
    await wary.end("SIGTERM");
    const trusting = await Served.start(world, {
      data: "wary",
      args: ["--rate-limit", "1", "--trusted-proxy", "127.0.0.1"],
    });
    const { calls: believed } = await until429(
      trusting,
      `${PUBLIC}/tree`,
      () => ({ "x-forwarded-for": `203.0.113.${n++ % 250}` }),
      100,
    );
    expect(believed).toBe(100);
    // What a caller wrote itself comes before what its proxy adds.
    const { calls: forged } = await until429(
      trusting,
      `${PUBLIC}/tree`,
      () => ({ "x-forwarded-for": `192.0.2.${n++ % 250}, 198.51.100.1` }),
      100,
    );
    expect(forged).toBeLessThan(40);
    await trusting.end("SIGTERM");
  });

  test("with the limits as they are, a scraper is stopped, and a clone and 64 landing clients are not", async () => {
    await using forge = await forgeOf(served);
    const project = await TestProject.create(forge, "ada/large");
    await forge.updateProject(project.id, { visibility: "public" });
    const files = Object.fromEntries(
      Array.from({ length: 3_000 }, (_, i) => [`d${i % 60}/f${i}`, `file ${i} ${"x".repeat(i % 900)}\n`]),
    );
    await project.land({ put: files });
    // Nobody in particular clones it, over and over.
    for (let i = 0; i < 5; i++) {
      const { code, stderr } = await world.start(["clone", `${served.url}/ada/large`, `large${i}`], {
        env: { MIC_TOKEN: undefined } as never,
      });
      expect([code, stderr]).toEqual([0, expect.any(String)]);
    }
    expect(Object.keys(readTree(world.path("large4"))).length).toBe(3_000);
    // 64 clients of one user land at once.
    const landings = await Promise.all(
      Array.from({ length: 64 }, async (_, client) => {
        await using own = await forgeOf(served);
        const mine = new TestProject(own, project.id);
        mine.base = project.base;
        for (let i = 0; i < 8; i++) await mine.land({ put: { [`c${client}/n${i}`]: `${i}` } });
        return mine.base.position;
      }),
    );
    expect(Math.max(...landings)).toBe(1 + 64 * 8);
    // And then walks every page of it.
    const path = "/api/mic/projects/ada%2Flarge/tree?limit=100&at=";
    let stopped: number | undefined;
    let told: Answer["headers"] | undefined;
    for (let i = 0; i < 2_000 && stopped === undefined; i += 8) {
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, j) => ask(served, "GET", `${path}${1 + ((i + j) % 500)}`)),
      );
      told ??= answers.find(({ headers }) => headers["ratelimit"] !== undefined)?.headers;
      if (answers.some(({ status }) => status === 429)) stopped = i;
    }
    expect(stopped).toBeLessThan(900);
    expect(told).toMatchObject({ "ratelimit-policy": '"calls";q=1200;w=60' });
    // The user lands on.
    await project.forge.getHead(project.id);
    expect((await ask(served, "GET", `${PUBLIC}/head`, BEARER)).status).toBe(200);
    // gRPC says it in its own way: see unit/rate-limited-calls.
    const metrics = await ask(served, "GET", "/metrics", BEARER);
    expect(metrics.text).toMatch(/reason="rate-calls"\} [1-9]/);
  }, 120_000);
});

test("a renewed certificate is served without a restart, and TLS before 1.2 never", async () => {
  const given = (name: string): string => new URL(`../support/tls/${name}`, import.meta.url).pathname;
  mkdirSync(world.path("tls"), { recursive: true });
  copyFileSync(given("cert.pem"), world.path("tls", "cert.pem"));
  copyFileSync(given("key.pem"), world.path("tls", "key.pem"));
  const secure = await Served.start(world, {
    data: "tls-data",
    args: ["--tls-cert", world.path("tls", "cert.pem"), "--tls-key", world.path("tls", "key.pem")],
  });
  const shake = (options: ConnectionOptions = {}): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls(
        { host: "127.0.0.1", port: secure.port, rejectUnauthorized: false, ...options },
        () => {
          resolve(String(socket.getPeerCertificate().subject.CN));
          socket.destroy();
        },
      );
      socket.once("error", reject);
    });
  expect(await shake()).toBe("localhost");
  await expect(shake({ minVersion: "TLSv1", maxVersion: "TLSv1.1" })).rejects.toThrow();
  copyFileSync(given("renewed-key.pem"), world.path("tls", "key.pem"));
  copyFileSync(given("renewed-cert.pem"), world.path("tls", "cert.pem"));
  await expect.poll(() => shake(), { timeout: 60_000, interval: 250 }).toBe("renewed");
  await secure.end("SIGTERM");
});
