/** `mic serve` as an operator meets it: first start, refusals, signing in, TLS, hostile bytes, and the end. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { closed, connected, exchange } from "../support/raw-socket.ts";
import { Served } from "./served.ts";
import { World } from "./support.ts";

const world = await World.create();
const TOKEN = "token-of-the-end-to-end-tests";
const bearer = (token = TOKEN) => ({ headers: { authorization: `Bearer ${token}` } });

describe("the first start", () => {
  test("makes an owner token, shows it once, and keeps only its hash", async () => {
    const first = await Served.start(world, { data: "first", token: undefined });
    const [listening, shown] = first
      .log()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(listening).toMatchObject({ event: "listening", url: first.url });
    expect(shown).toMatchObject({ event: "owner-token", token: expect.stringMatching(/^mic_[\w-]{43}$/) });
    expect(shown.login).toBe(`mic auth login --server ${first.url} --token ${shown.token}`);
    expect((await fetch(`${first.url}/api/mic/projects`, bearer(shown.token))).status).toBe(200);
    expect(await first.end("SIGTERM")).toBe(0);
    expect(readFileSync(world.path("first/auth/accounts.db")).includes(shown.token)).toBe(false);
    const second = await Served.start(world, { data: "first", token: undefined });
    expect((await fetch(`${second.url}/api/mic/projects`, bearer(shown.token))).status).toBe(200);
    await second.end("SIGTERM");
    expect(second.log()).not.toContain("mic_");
  });

  test("says on a terminal what to do next", async () => {
    const child = spawn(world.binary, ["serve", "--data", world.path("shown"), "--listen", "127.0.0.1:0"], {
      env: world.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let text = "";
    child.stderr.on("data", (part) => {
      text += String(part);
    });
    for (let i = 0; i < 800 && !text.includes("--token"); i++) await delay(25);
    expect(text).toMatch(/serving \S+ at http:\/\/127\.0\.0\.1:\d+\n/);
    expect(text).toMatch(/ {2}mic auth login --server http:\/\/127\.0\.0\.1:\d+ --token mic_\S+\n/);
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGINT");
    expect(await ended).toBe(0);
  });
});

describe("what cannot be served is refused with what to do", () => {
  const refused = (args: readonly string[], env: Record<string, string> = {}) => {
    const { code, document } = world.json(["serve", "--data", world.path("refused"), ...args], { env });
    return {
      exit: code,
      code: document.error.code,
      text: `${document.error.message} ${document.error.hint}`,
    };
  };

  test.each([
    [["--listen", "0.0.0.0:0"], {}, 2, "usage", "--insecure-listen"],
    [["--listen", "nowhere"], {}, 2, "usage", "127.0.0.1:7420"],
    [["--tls-cert", "/missing.pem", "--tls-key", "/missing.pem"], {}, 2, "usage", "/missing.pem"],
    [[], { STORAGE_BACKEND: "s3" }, 2, "usage", "export S3_BUCKET="],
    [["--s3-bucket", "forge", "--s3-endpoint", "minio:9000"], {}, 2, "usage", "--s3-endpoint https://minio"],
    [[], { STORAGE_BACKEND: "disk" }, 2, "usage", "STORAGE_BACKEND=disk"],
    [[], { MIC_OWNER_TOKEN: "short" }, 2, "usage", "openssl rand"],
  ] as const)("%j with %j", (args, env, exit, code, word) => {
    const answer = refused(args, env);
    expect(answer).toMatchObject({ exit, code });
    expect(answer.text).toContain(word);
  });

  test("an address that is taken, and a public one only where it was said", async () => {
    const served = await Served.start(world, { data: "taken" });
    expect(refused(["--listen", `127.0.0.1:${served.port}`])).toMatchObject({ exit: 5, code: "unreachable" });
    await served.end("SIGTERM");
    const open = await Served.start(world, {
      data: "open",
      args: ["--listen", "0.0.0.0:0", "--insecure-listen"],
    });
    expect((await fetch(`${open.url}/healthz`)).status).toBe(200);
    await open.end("SIGTERM");
  });
});

describe("a running server", () => {
  test("asks for the token everywhere but where its health is asked", async () => {
    const { url, ...served } = await Served.start(world, { data: "auth" });
    for (const open of ["/healthz", "/readyz", "/SKILL.md", "/llms.txt", "/api/openapi.json"]) {
      expect([open, (await fetch(url + open)).status]).toEqual([open, 200]);
    }
    for (const kept of ["/metrics", "/api/mic/projects", "/api/mic/projects/a%2Fb/head"]) {
      for (const headers of [{}, { authorization: "Bearer wrong" }, { authorization: "Basic eDp5" }]) {
        const answer = await fetch(url + kept, { headers });
        expect([kept, answer.status]).toEqual([kept, 401]);
        expect(answer.headers.get("www-authenticate")).toMatch(/^Bearer/);
      }
    }
    const metrics = await (await fetch(`${url}/metrics`, bearer())).text();
    expect(metrics).toContain('mic_requests_total{endpoint="/api/mic/projects",code="401"} 3');
    served.child.kill();
  });

  test("outlives bytes that are no protocol at all", async () => {
    const served = await Served.start(world, { data: "garbage" });
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const noise = (seed: number) =>
      String.fromCharCode(...Array.from({ length: 2000 }, (_, i) => (i * seed * 7919 + (i >> 3)) & 255));
    const inputs = [
      preface,
      `${preface}${noise(3)}`,
      noise(5),
      `POST /mic.v1.ContentService/Fetch HTTP/1.1\r\nHost: x\r\n`,
    ];
    for (let i = 0; i < 20; i++) inputs.push(noise(i + 11), `${preface}\0\0\0\x04\0\0\0\0\0${noise(i + 50)}`);
    await Promise.all(inputs.map((input) => exchange(served.port, input, { waitMs: 100 })));
    expect((await fetch(`${served.url}/api/mic/projects`, bearer())).status).toBe(200);
    expect(served.log()).not.toContain('"level":"error"');
    expect(await served.end("SIGTERM")).toBe(0);
  });
});

describe("mic auth", () => {
  test("signs in after trying the token, and out", async () => {
    const served = await Served.start(world, { data: "login" });
    const { url } = served;
    const home = { MIC_HOME: world.path("login-home") };
    const run = (args: readonly string[], input = "", env = {}) =>
      world.json(args, { env: { ...home, ...env }, input });
    expect(run(["auth", "status"])).toMatchObject({ code: 4, document: { servers: [] } });
    expect(run(["project", "list", "--server", url])).toMatchObject({
      code: 4,
      document: { error: { code: "unauthenticated" } },
    });
    expect(run(["auth", "login", "--server", url, "--token", "wrong"])).toMatchObject({ code: 4 });
    expect(run(["auth", "status", "--server", url]).document.servers).toMatchObject([
      { server: url, source: null, valid: false },
    ]);
    expect(run(["auth", "login", "--server", `${url}/`, "--token", "-"], `${TOKEN}\n`)).toMatchObject({
      code: 0,
      document: { server: url, default: true },
    });
    expect(run(["auth", "status"])).toMatchObject({
      code: 0,
      document: { servers: [{ server: url, source: "login", valid: true }] },
    });
    // The default server answers for plain names now.
    expect(run(["project", "create", "ada/notes"])).toMatchObject({ code: 0 });
    expect(run(["clone", "ada/notes", world.path("login-clone")])).toMatchObject({ code: 0 });
    // Another origin gets no token, even on the same machine.
    const elsewhere = url.replace("127.0.0.1", "localhost");
    expect(run(["project", "list", "--server", elsewhere])).toMatchObject({ code: 4 });
    expect(run(["project", "list"], "", { MIC_TOKEN: "wrong" })).toMatchObject({ code: 4 });
    expect(run(["project", "list"], "", { MIC_TOKEN: TOKEN, MIC_SERVER: elsewhere })).toMatchObject({
      code: 0,
    });
    expect(run(["auth", "logout"])).toMatchObject({ code: 0, document: { server: url } });
    expect(run(["auth", "logout"])).toMatchObject({ code: 1, document: { error: { code: "not-found" } } });
    expect(run(["project", "list"])).toMatchObject({ code: 4 });
    await served.end("SIGTERM");
    expect(run(["auth", "login", "--token", TOKEN])).toMatchObject({ code: 5 });
  });

  test("works over TLS with a certificate that the system does not know, and only with it", async () => {
    const files = path.resolve(import.meta.dirname, "../support/tls");
    const args = ["--tls-cert", path.join(files, "cert.pem"), "--tls-key", path.join(files, "key.pem")];
    const served = await Served.start(world, { data: "tls", args });
    expect(served.url).toMatch(/^https:/);
    const env = { MIC_TOKEN: TOKEN, MIC_SERVER: served.url.replace("127.0.0.1", "localhost") };
    expect(world.json(["project", "list"], { env }).code).toBe(5);
    const trusting = { ...env, SSL_CERT_FILE: path.join(files, "cert.pem") };
    world.ok(["project", "create", "ada/sealed"], { env: trusting });
    world.ok(["clone", "ada/sealed", "sealed"], { env: trusting });
    world.write("sealed/a", "1");
    world.ok(["land", "sealed"], { in: "sealed", env: trusting });
    expect(world.json(["log"], { in: "sealed", env: trusting }).document.position).toBe(1);
    await served.end("SIGTERM");
  });
});

describe("SIGTERM", () => {
  /** An upload that is half sent. */
  async function startUpload(url: string) {
    const made = await fetch(`${url}/api/mic/projects`, {
      method: "POST",
      headers: { ...bearer().headers, "content-type": "application/json" },
      body: JSON.stringify({ name: "ada/drained" }),
    });
    expect(made.status).toBe(201);
    const call = httpRequest(`${url}/api/mic/projects/ada%2Fdrained/blobs`, {
      method: "POST",
      headers: {
        ...bearer().headers,
        "content-type": "application/octet-stream",
        "content-length": "2000",
      },
    });
    const answered = new Promise<number | string>((resolve) => {
      call.on("response", (response) => resolve(response.statusCode!));
      call.on("error", (error) => resolve(error.message));
    });
    call.write(Buffer.alloc(1000));
    await expect.poll(() => isBusy(url), { interval: 5 }).toBe(true);
    return { call, answered };
  }

  test("lets running calls finish, ends live streams, takes no others, and exits 0", async () => {
    const served = await Served.start(world, { data: "drain" });
    const { call, answered } = await startUpload(served.url);
    const idle = await connected(served.port);
    const events = await fetch(`${served.url}/api/mic/projects/ada%2Fdrained/landings/events`, bearer());
    const streamed = events.text();
    const ended = served.end("SIGTERM");
    await closed(idle);
    await streamed;
    await expect(connected(served.port)).rejects.toThrow();
    call.end(Buffer.alloc(1000));
    expect(await answered).toBe(201);
    expect(await ended).toBe(0);
    const again = await Served.start(world, { data: "drain" });
    expect((await fetch(`${again.url}/api/mic/projects/ada%2Fdrained/head`, bearer())).status).toBe(200);
    await again.end("SIGTERM");
  });

  test("a second one ends the server at once", async () => {
    const served = await Served.start(world, { data: "twice" });
    const { answered } = await startUpload(served.url);
    const ended = served.end("SIGTERM");
    // Refused from when the first was heard.
    await expect.poll(() => takesConnections(served.port)).toBe(false);
    served.child.kill("SIGTERM");
    expect(await ended).toBe(130);
    expect(await answered).not.toBe(201);
  });

  test("a landing that was running is landed, once", async () => {
    const served = await Served.start(world, { data: "landing" });
    const env = { MIC_TOKEN: TOKEN, MIC_SERVER: served.url };
    world.ok(["project", "create", "ada/landed"], { env });
    world.ok(["clone", "ada/landed", "landed"], { env });
    for (let i = 0; i < 300; i++) world.write(`landed/file-${i}`, `content ${i}`.repeat(200));
    const lander = spawn(world.binary, ["land", "all of it", "--timeout", "20"], {
      cwd: world.path("landed"),
      env: { ...world.env, ...env },
      stdio: "ignore",
    });
    const landed = new Promise((resolve) => lander.once("exit", resolve));
    for (let i = 0; i < 200 && !(await isBusy(served.url)); i++) await delay(2);
    expect(await served.end("SIGTERM")).toBe(0);
    const again = await Served.start(world, { data: "landing", port: served.port });
    const outcome = await landed;
    // Landed before the end, or by the next server, or told that the server was gone: then it lands now.
    if (outcome !== 0) world.ok(["land", "all of it"], { in: "landed", env });
    const positions = world.ok(["log", "--json"], { in: "landed", env }).trim().split("\n");
    expect(positions).toHaveLength(1);
    expect(world.json(["fsck"], { in: "landed", env }).document.findings).toEqual([]);
    await again.end("SIGTERM");
  });
});

async function takesConnections(port: number): Promise<boolean> {
  const socket = await connected(port).catch(() => undefined);
  socket?.destroy();
  return socket !== undefined;
}

async function isBusy(url: string): Promise<boolean> {
  const text = await (await fetch(`${url}/metrics`, bearer())).text();
  return Number(/^mic_calls (\d+)$/m.exec(text)?.[1]) > 1;
}
