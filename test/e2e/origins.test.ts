/**
 * Numbers 25 to 27 of docs/hostile-inputs.md, with the built executable: a token goes to the origin that it is for
 * and nowhere else, whatever an address looks like and wherever a server sends its callers.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { storeCredential } from "../../src/cli/credentials.ts";
import type { CommandLineWorld } from "../../src/cli/world.ts";
import { decodeWorkspaceSettings, encodeWorkspaceSettings } from "../../src/core/codec/workspace-settings.ts";
import { encodeTrailers, messageHeader } from "../../src/core/wire/framing.ts";
import { Project } from "../../src/core/wire/gen/mic/v1/projects.ts";
import { type RunOptions, World } from "./support.ts";

const TOKEN = "the-token-of-the-good-server";
const TLS = path.resolve(import.meta.dirname, "../support/tls");

interface Seen {
  readonly url: string;
  readonly authorization: string | undefined;
}

/** Says that nobody is known here, or what it is told to say; keeps what it was asked. */
class Recorder {
  readonly seen: Seen[] = [];
  connections = 0;
  answer: RequestListener = (_request, response) => void response.writeHead(404).end();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", () => {
      this.connections += 1;
    });
  }

  static async start(secure = false): Promise<Recorder> {
    const listener: RequestListener = (request, response) => {
      recorder.seen.push({ url: request.url ?? "", authorization: request.headers.authorization });
      request.resume();
      request.on("end", () => recorder.answer(request, response));
    };
    const files = () => ({
      cert: readFileSync(path.join(TLS, "cert.pem")),
      key: readFileSync(path.join(TLS, "key.pem")),
    });
    const server = secure ? createSecureServer(files(), listener) : createServer(listener);
    const recorder = new Recorder(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    afterAll(() => {
      server.closeAllConnections();
      server.close();
    });
    return recorder;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  clear(): void {
    this.seen.length = 0;
    this.connections = 0;
  }
}

let world: World;
let good: Recorder;
let evil: Recorder;
let secure: Recorder;

beforeAll(async () => {
  world = await World.create();
  [good, evil, secure] = [await Recorder.start(), await Recorder.start(), await Recorder.start(true)];
  const home = { cwd: () => world.dir, env: { MIC_HOME: world.path("home") } } as unknown as CommandLineWorld;
  storeCredential(home, { origin: good.url, token: TOKEN });
  storeCredential(home, { origin: `https://localhost:${secure.port}`, token: TOKEN });
});
beforeEach(() => {
  for (const each of [good, evil, secure]) {
    each.clear();
    each.answer = (_request, response) => void response.writeHead(404).end();
  }
});

async function json(args: readonly string[], options: RunOptions = {}) {
  const { code, stdout, stderr } = await world.start(["--json", ...args], options);
  return { code, error: JSON.parse(stdout.split("\n", 1)[0]!).error ?? {}, text: stdout + stderr };
}

const bearer = `Bearer ${TOKEN}`;

describe("26: an address", () => {
  const tricks: readonly (readonly [string, () => string])[] = [
    ["with the good server for a user", () => `http://127.0.0.1:${good.port}@127.0.0.1:${evil.port}`],
    ["with a user and a password", () => `http://127.0.0.1:good@127.0.0.1:${evil.port}`],
    ["with an empty user", () => `http://@127.0.0.1:${evil.port}`],
    ["with a backslash", () => `http://127.0.0.1:${evil.port}\\@127.0.0.1:${good.port}`],
    ["with a line break", () => `http://127.0.0.1:${good.port}\n.evil`],
    ["with a carriage return and a header", () => `http://127.0.0.1:${good.port}/\r\nx: y`],
    ["with a tab", () => `http://127.0.0.1\t:${evil.port}`],
    ["with a space before it", () => ` http://127.0.0.1:${evil.port}`],
    ["with a fragment", () => `http://127.0.0.1:${evil.port}#@127.0.0.1:${good.port}`],
    ["with a query", () => `http://127.0.0.1:${evil.port}?@127.0.0.1:${good.port}`],
    ["with a percent-encoded host", () => `http://127.0.0%2e1:${evil.port}`],
    ["with a percent-encoded user", () => `http://127.0.0.1%40evil:${evil.port}`],
    ["of another kind", () => `ftp://127.0.0.1:${evil.port}`],
    ["of a bucket", () => `s3://127.0.0.1:${evil.port}`],
    ["with a port that is none", () => `http://127.0.0.1:${good.port}0000`],
    ["with one slash", () => `http:/127.0.0.1:${evil.port}`],
    ["with three slashes", () => `http:///127.0.0.1:${evil.port}`],
    ["with three slashes and a user", () => `http:///127.0.0.1:${good.port}@127.0.0.1:${evil.port}`],
  ];

  it.each(tricks)("%s reaches nobody", async (_, address) => {
    const calls: readonly (readonly string[])[] = [
      ["clone", `${address()}/ada/notes`, "trick"],
      ["project", "list", "--server", address()],
      ["auth", "login", "--server", address(), "--token", TOKEN],
    ];
    for (const args of calls) {
      const { code, error, text } = await json(args);
      expect([args[0], code]).toEqual([args[0], expect.toSatisfy((exit) => exit === 2 || exit === 1)]);
      expect(error.code).toMatch(/^(usage|unsupported|not-found)$/);
      expect(text).not.toContain(TOKEN);
    }
    expect([good.connections, evil.connections]).toEqual([0, 0]);
    expect(readdirSync(world.dir)).not.toContain("trick");
  });

  it("gets the token of its exact origin, however that is written, and of no other", async () => {
    for (const host of ["127.0.0.1", "127.1", "0x7f.0.0.1"]) {
      good.clear();
      await json(["clone", `HTTP://${host}:${good.port}/ada/notes`, "same"]);
      expect(good.seen.map(({ authorization }) => authorization)).toContain(bearer);
    }
    good.clear();
    // The same machine under another name, another port, another scheme.
    await json(["clone", `http://localhost:${good.port}/ada/notes`, "other"]);
    await json(["clone", `${evil.url}/ada/notes`, "other"]);
    await json(["clone", `https://127.0.0.1:${good.port}/ada/notes`, "other"]);
    await json(["project", "list", "--server", evil.url]);
    expect(good.seen.length + evil.seen.length).toBeGreaterThan(2);
    for (const { authorization } of [...good.seen, ...evil.seen]) expect(authorization).toBeUndefined();
  });

  it("MIC_TOKEN is for the server that MIC_SERVER names", async () => {
    const env = { MIC_TOKEN: "given", MIC_SERVER: good.url };
    await json(["project", "list"], { env });
    await json(["clone", `${evil.url}/ada/notes`, "other"], { env });
    const { text } = await json(["project", "list", "--server", evil.url], { env });
    expect(text).toContain(`MIC_TOKEN is for ${good.url}, and is not sent to ${evil.url}`);
    expect(new Set(good.seen.map(({ authorization }) => authorization))).toEqual(new Set(["Bearer given"]));
    expect(evil.seen.length).toBeGreaterThan(1);
    for (const { authorization } of evil.seen) expect(authorization).toBeUndefined();
  });

  it("MIC_TOKEN alone is for the server of --server or of the configuration, and of no address", async () => {
    const env = { MIC_TOKEN: "given", MIC_HOME: world.path("nobody") };
    for (const address of [`${evil.url}/ada/notes`, `http://127.0.0.1:${evil.port}/a/b`]) {
      const { code, error } = await json(["clone", address, "other"], { env });
      expect({ code, error: error.code, hint: error.hint }).toEqual({
        code: 2,
        error: "usage",
        hint: expect.stringContaining(`set MIC_SERVER=${evil.url} too`),
      });
    }
    expect(evil.connections).toBe(0);
    await json(["project", "list", "--server", good.url], { env });
    expect(good.seen.map(({ authorization }) => authorization)).toEqual(["Bearer given"]);
    good.clear();
    // The configuration's server: an address beside it is another one's.
    const home = world.path("configured");
    mkdirSync(home, { recursive: true });
    writeFileSync(path.join(home, "config.json"), JSON.stringify({ "server.default": good.url }));
    await json(["clone", `${evil.url}/ada/notes`, "other"], { env: { ...env, MIC_HOME: home } });
    await json(["clone", "ada/notes", "other"], { env: { ...env, MIC_HOME: home } });
    expect(evil.seen.map(({ authorization }) => authorization)).toEqual([undefined]);
    expect(good.seen.map(({ authorization }) => authorization)).toEqual(["Bearer given"]);
  });

  it("MIC_TOKEN does not go where a workspace that somebody else made leads", async () => {
    await world.start(["init", "received", "--name", "ada/notes"]);
    const file = world.path("received", ".mic", "settings");
    const settings = decodeWorkspaceSettings(readFileSync(file));
    writeFileSync(file, encodeWorkspaceSettings({ ...settings, address: evil.url }));
    const env = { MIC_TOKEN: "given", MIC_HOME: world.path("nobody") };
    for (const command of [["sync"], ["land", "goal", "--allow-empty"], ["log"], ["project", "get"]]) {
      const { text } = await json(command, { in: "received", env });
      expect([command, text]).toEqual([
        command,
        expect.stringContaining("MIC_TOKEN is set, and nothing says"),
      ]);
    }
    expect(evil.connections).toBe(0);
  });
});

describe("26, 27: a sign-in", () => {
  const answers =
    (document: unknown): RequestListener =>
    (_request, response) =>
      void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(document));

  it("by a server that calls itself by another's address is refused before anything is asked", async () => {
    good.answer = answers({
      issuer: evil.url,
      device_authorization_endpoint: `${evil.url}/oauth/device`,
      token_endpoint: `${evil.url}/oauth/token`,
    });
    const { code, error } = await json(["auth", "login", "--server", good.url]);
    expect({ code, error: error.code }).toEqual({ code: 2, error: "usage" });
    expect(error.message).toContain(evil.url);
    expect(good.seen.map(({ url }) => url)).toEqual(["/.well-known/oauth-authorization-server"]);
    expect(evil.connections).toBe(0);
  });

  it("asks the server's own endpoints, whatever others its metadata name", async () => {
    const metadata = answers({
      issuer: good.url,
      device_authorization_endpoint: `${evil.url}/oauth/device`,
      token_endpoint: `${evil.url}/oauth/token`,
    });
    good.answer = (request, response) => {
      if (request.url?.startsWith("/.well-known") === true) return metadata(request, response);
      response.writeHead(400, { "content-type": "application/json" }).end('{"error":"invalid_scope"}');
    };
    const { code } = await json(["auth", "login", "--server", good.url]);
    expect(code).toBe(4);
    expect(good.seen.map(({ url }) => url)).toContain("/oauth/device");
    expect(evil.connections).toBe(0);
  });

  it("opens no page that is none, and prints nothing that a terminal would obey", async () => {
    const device = { device_code: "d", user_code: "A\u001b[2JB", verification_uri: "javascript:alert(1)" };
    good.answer = (request, response) =>
      answers(
        request.url?.startsWith("/.well-known") === true
          ? { issuer: good.url, device_authorization_endpoint: "x" }
          : device,
      )(request, response);
    const { code, error, text } = await json(["auth", "login", "--server", good.url, "--browser"]);
    expect({ code, error: error.code }).toEqual({ code: 1, error: "corrupt" });
    expect(text).not.toContain("\u001b");
  });

  it.each([302, 307, 308])("is not renewed or ended by way of a %i to another origin", async (status) => {
    const home = world.path("expiring");
    const stored = { cwd: () => world.dir, env: { MIC_HOME: home }, platform: process.platform };
    const expiresAt = new Date(Date.now() - 1000).toISOString();
    storeCredential(stored, { origin: good.url, token: TOKEN, refreshToken: "micr_secret", expiresAt });
    good.answer = (request, response) =>
      void response.writeHead(status, { location: evil.url + request.url }).end();
    const { code, error } = await json(["project", "list", "--server", good.url], {
      env: { MIC_HOME: home },
    });
    expect({ code, error: error.code }).toEqual({ code: 5, error: "unreachable" });
    const out = await json(["auth", "logout", "--server", good.url], { env: { MIC_HOME: home } });
    expect(out.code).toBe(0);
    expect(good.seen.map(({ url }) => url)).toEqual(["/oauth/token", "/oauth/revoke"]);
    expect(evil.connections).toBe(0);
  });
});

describe("27: a redirect", () => {
  const commands: readonly (readonly string[])[] = [
    ["clone", "/ada/notes", "redirected"],
    ["project", "list", "--server", ""],
    ["auth", "login", "--token", TOKEN, "--server", ""],
  ];
  const toServer = (args: readonly string[], url: string): string[] =>
    args.map((each) => (each === "" || each.startsWith("/") ? url + each : each));

  it.each([301, 302, 303, 307, 308])(
    "%i to another origin is not followed, and takes no token along",
    async (status) => {
      good.answer = (request, response) =>
        void response.writeHead(status, { location: evil.url + request.url }).end();
      for (const args of commands) {
        const { code, error } = await json(toServer(args, good.url));
        expect({ code, error: error.code }).toEqual({ code: 5, error: "unreachable" });
        expect(error.message).toContain(evil.url);
      }
      expect(good.seen.length).toBeGreaterThanOrEqual(commands.length);
      expect(evil.connections).toBe(0);
      expect(readdirSync(world.dir)).not.toContain("redirected");
    },
  );

  it("from https to http, or to the same origin, is not followed either", async () => {
    const env = { SSL_CERT_FILE: path.join(TLS, "cert.pem") };
    const origin = `https://localhost:${secure.port}`;
    secure.answer = (request, response) =>
      void response.writeHead(307, { location: evil.url + request.url }).end();
    const down = await json(["clone", `${origin}/ada/notes`, "redirected"], { env });
    expect(down).toMatchObject({ code: 5, error: { code: "unreachable" } });
    expect(secure.seen.map(({ authorization }) => authorization)).toContain(bearer);
    expect(evil.connections).toBe(0);
    good.answer = (_request, response) => void response.writeHead(302, { location: "/login" }).end();
    expect(await json(["clone", `${good.url}/ada/notes`, "redirected"])).toMatchObject({ code: 5 });
    expect(good.seen.map(({ url }) => url)).not.toContain("/login");
  });
});

describe("25: a name that looks like an option", () => {
  it.each(["-rf", "--upload-pack=touch pwned", "-C", "--help"])("%j is never taken for one", async (name) => {
    for (const args of [
      ["clone", "--", name],
      ["clone", "--", `${name}/x`, "named"],
      ["clone", `${good.url}/${encodeURIComponent(name)}/x`, "named"],
      ["clone", `${good.url}/ada/${encodeURIComponent(name)}`, "named"],
      ["project", "create", "--server", good.url, "--", `ada/${name}`],
      ["project", "show", "--", name],
    ]) {
      const { code, error } = await json(args, { env: { MIC_SERVER: good.url } });
      expect([args.join(" "), code]).toEqual([
        args.join(" "),
        expect.toSatisfy((exit) => exit === 2 || exit === 1),
      ]);
      expect(error.code).toMatch(/^(usage|not-found)$/);
    }
    expect(readdirSync(world.dir)).not.toContain("pwned");
    expect(readdirSync(world.dir).filter((each) => each.startsWith("-"))).toEqual([]);
  });

  it.each(["-rf/x", "ada/--upload-pack", "../../x", "ada/..", "ada/n\u001b[2Jotes", "ada", "ADA/x"])(
    "%j as a server's own name for a project is corrupt",
    async (name) => {
      const message = Project.encode({
        id: Buffer.alloc(16, 1),
        name,
        description: "",
        visibility: 1,
        createdAtMs: 1n,
        salt: Buffer.alloc(8, 1),
      }).finish();
      good.answer = (_request, response) => {
        response.writeHead(200, { "content-type": "application/grpc-web+proto" });
        response.end(Buffer.concat([messageHeader(message.length), message, encodeTrailers()]));
      };
      const { code, error, text } = await json(["clone", `${good.url}/ada/notes`]);
      expect({ code, error: error.code }).toEqual({ code: 1, error: "corrupt" });
      expect(error.message).toContain("is not a project's name");
      expect(text).not.toContain("\u001b");
      expect(readdirSync(world.dir)).not.toContain("notes");
    },
  );
});
