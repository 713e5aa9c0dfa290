import { request as httpRequest } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { NOBODY } from "../../src/server/auth/principal.ts";
import type { ServerContext } from "../../src/server/context.ts";
import { chargedCaller, createGate, tellStanding } from "../../src/server/network/gate.ts";
import { createHostCheck } from "../../src/server/network/hosts.ts";
import { createNetwork, type Network, type NetworkOptions } from "../../src/server/network/network.ts";
import { type NetworkFlags, readNetworkSettings } from "../../src/server/network/network-options.ts";
import { exchange } from "../support/raw-socket.ts";
import { administrator } from "../support/server-access.ts";
import { openTestPort, type TestPort } from "../support/test-port.ts";

let opened: TestPort | undefined;
afterEach(async () => {
  await opened?.[Symbol.asyncDispose]();
  opened = undefined;
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

interface Opened {
  readonly network: Network;
  /** What reached the handler behind the gate. */
  readonly reached: string[];
  ask(method: string, path: string, headers?: Record<string, string>): Promise<Answer>;
}

async function open(flags: NetworkFlags = {}, options: Partial<NetworkOptions> = {}): Promise<Opened> {
  const network = createNetwork({
    settings: readNetworkSettings(flags, {}),
    listenHost: "127.0.0.1",
    hasTls: false,
    publicUrl: undefined,
    clock: systemClock,
    ...options,
  });
  const ada = administrator("ada");
  const context = {
    network,
    clock: systemClock,
    random: systemRandom,
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    authenticate(authorization: string | undefined) {
      if (authorization === undefined) return NOBODY;
      if (authorization === "Bearer right") return ada;
      throw new MicError("unauthenticated", "no");
    },
  } as unknown as ServerContext;
  const gate = createGate(context);
  const reached: string[] = [];
  const server = await openTestPort((request, response) => {
    if (!gate(request, response)) return;
    reached.push(`${request.method} ${request.url}`);
    response.setHeader("x-origin", network.originOf(request) ?? "none");
    response.setHeader("x-peer", network.peerOf(request).address);
    response.setHeader("x-same", String(network.crossOrigin.isSameOrigin(request)));
    request.resume();
    response.end("through");
  });
  opened = server;
  const ask = (method: string, path: string, headers: Record<string, string> = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const sent = httpRequest(
        { host: "127.0.0.1", port: server.port.number, method, path, headers, agent: false },
        (answer) => {
          let text = "";
          answer.on("data", (part) => {
            text += part;
          });
          answer.on("end", () => resolve({ status: answer.statusCode!, headers: answer.headers, text }));
        },
      );
      sent.on("error", reject);
      sent.end(method === "POST" ? "{}" : undefined);
    });
  return { network, reached, ask };
}

describe("Host", () => {
  test.each([
    "127.0.0.1",
    "127.0.0.1:7420",
    "localhost",
    "LOCALHOST:1",
    "localhost.",
    "forge.localhost:80",
    "[::1]",
    "[2001:db8::1]:443",
    "203.0.113.7",
    "forge.example.com",
    "Forge.Example.COM.:8443",
    "other.example",
  ])("%s is this server's", (host) => {
    const kind = createHostCheck({
      listenHost: "127.0.0.1",
      publicUrl: "https://forge.example.com",
      allowedHosts: ["other.example"],
    });
    expect(kind(host)).toBe("own");
  });

  test.each([
    "evil.example",
    "forge.example.com.evil.example",
    "evil-forge.example.com",
    "sub.forge.example.com",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "notlocalhost",
    "",
    "a b",
    "forge.example.com@evil.example",
    "forge.example.com, evil.example",
    "[::1",
    "[fe80::1%eth0]",
    "1.2.3",
    "2130706433.evil.example",
  ])("%j is foreign", (host) => {
    const kind = createHostCheck({
      listenHost: "127.0.0.1",
      publicUrl: "https://forge.example.com",
      allowedHosts: [],
    });
    expect(kind(host)).toBe("foreign");
    expect(kind(undefined)).toBe("foreign");
  });

  test("any other is unknown to a server that others reach and that was not told its names", () => {
    const listenHost = "0.0.0.0";
    const told = createHostCheck({ listenHost, publicUrl: undefined, allowedHosts: ["a.example"] });
    const untold = createHostCheck({ listenHost, publicUrl: undefined, allowedHosts: [] });
    expect([told("a.example"), told("b.example")]).toEqual(["own", "foreign"]);
    expect([untold("a.example"), untold("10.0.0.1"), untold("a b")]).toEqual(["unknown", "own", "foreign"]);
  });

  test("a server remembers few of the names it is asked for", () => {
    const kind = createHostCheck({ listenHost: "127.0.0.1", publicUrl: undefined, allowedHosts: [] });
    for (let i = 0; i < 10_000; i++) expect(kind(`h${i}.example`)).toBe("foreign");
    expect(kind("localhost")).toBe("own");
  });

  test("a foreign one is answered 421 before anything is done", async () => {
    const { ask, reached } = await open();
    for (const path of ["/", "/api/mic/projects", "/mic.v1.ContentService/GetHead", "/login", "/metrics"]) {
      for (const method of ["GET", "POST", "OPTIONS", "HEAD"]) {
        const answer = await ask(method, path, { host: "evil.example", authorization: "Bearer right" });
        expect([path, method, answer.status]).toEqual([path, method, 421]);
      }
    }
    expect(reached).toEqual([]);
    const { text } = await ask("GET", "/api/mic/projects", { host: "evil.example" });
    expect(JSON.parse(text)).toMatchObject({ status: 421, code: "usage" });
  });

  test("an unknown one is taken for calls with tokens, and not for pages", async () => {
    const { ask } = await open({}, { listenHost: "0.0.0.0" });
    const status = async (path: string) => (await ask("GET", path, { host: "forge.example" })).status;
    expect(await status("/api/mic/projects")).toBe(200);
    expect(await status("/SKILL.md")).toBe(200);
    expect(await status("/login")).toBe(421);
    expect(await status("/oauth/authorize?x=/api/")).toBe(421);
    expect(await status("/device")).toBe(421);
  });

  test("none, of HTTP/1.0, is taken", async () => {
    const { reached } = await open();
    const { statuses } = await exchange(opened!.port.number, "GET /old HTTP/1.0\r\n\r\n");
    expect([statuses, reached]).toEqual([[200], ["GET /old"]]);
  });
});

test("originOf() is the public URL, or what only this server can be called", async () => {
  const told = await open({}, { publicUrl: "https://forge.example.com" });
  const at = (host: string, more = {}) => ({ host, ...more });
  const origin = async (server: Opened, headers: Record<string, string>) =>
    (await server.ask("GET", "/api/x", headers)).headers["x-origin"];
  expect(await origin(told, at("127.0.0.1:1"))).toBe("https://forge.example.com");
  await opened?.[Symbol.asyncDispose]();
  const untold = await open({ trustedProxy: "127.0.0.1" }, { listenHost: "0.0.0.0" });
  expect(await origin(untold, at("LOCALHOST:7"))).toBe("http://localhost:7");
  expect(await origin(untold, at("localhost", { "x-forwarded-proto": "https" }))).toBe("https://localhost");
  expect(await origin(untold, at("forge.example"))).toBe("none");
});

describe("pages of other origins", () => {
  test("may not change anything", async () => {
    const { ask, reached } = await open();
    const foreign: Record<string, string>[] = [
      { origin: "https://evil.example" },
      { origin: "null" },
      { origin: "http://127.0.0.1:1" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
      { origin: "https://evil.example", "sec-fetch-site": "cross-site" },
      { origin: "not an origin" },
    ];
    for (const headers of foreign) {
      for (const path of ["/api/mic/projects", "/oauth/register", "/login", "/oauth/authorize"]) {
        for (const method of ["POST", "PATCH", "DELETE", "PUT"]) {
          const answer = await ask(method, path, { ...headers, authorization: "Bearer right" });
          expect([headers, path, method, answer.status]).toEqual([headers, path, method, 403]);
          expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
        }
      }
    }
    expect(reached).toEqual([]);
  });

  test("may read nothing where none is allowed", async () => {
    const { ask } = await open();
    const answer = await ask("GET", "/api/mic/projects", { origin: "https://evil.example" });
    expect(answer.status).toBe(200);
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
    const preflight = { origin: "https://evil.example", "access-control-request-method": "POST" };
    const asked = await ask("OPTIONS", "/api/mic/projects", preflight);
    expect(asked.headers["access-control-allow-origin"]).toBeUndefined();
    expect(asked.headers["access-control-allow-methods"]).toBeUndefined();
  });

  test("may call the API where the operator allows them, and never with cookies", async () => {
    const { ask } = await open({ corsOrigin: "https://app.example" });
    const origin = "https://app.example";
    const preflight = await ask("OPTIONS", "/api/mic/projects", {
      origin,
      "access-control-request-method": "DELETE",
      "access-control-request-headers": "authorization",
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({
      "access-control-allow-origin": origin,
      vary: "origin",
      "access-control-max-age": "600",
    });
    expect(preflight.headers["access-control-allow-headers"]).toContain("authorization");
    expect(preflight.headers["access-control-allow-methods"]).toContain("DELETE");
    const posted = await ask("POST", "/api/mic/projects", { origin, "sec-fetch-site": "cross-site" });
    expect([posted.status, posted.headers["access-control-allow-origin"]]).toEqual([200, origin]);
    for (const { headers } of [preflight, posted]) {
      expect(headers["access-control-allow-credentials"]).toBeUndefined();
    }
    // Others are told apart by caches, and stay out; so do pages with cookies, of everybody.
    const other = await ask("GET", "/api/mic/projects", { origin: "https://app.example.evil.example" });
    expect([other.headers["access-control-allow-origin"], other.headers["vary"]]).toEqual([
      undefined,
      "origin",
    ]);
    for (const path of ["/login", "/device", "/oauth/authorize", "/logout"]) {
      expect((await ask("POST", path, { origin })).status).toBe(403);
      expect((await ask("GET", path, { origin })).headers["access-control-allow-origin"]).toBeUndefined();
    }
  });

  test("* allows every origin to call the API, still without cookies", async () => {
    const { ask } = await open({ corsOrigin: "*" });
    const answer = await ask("POST", "/api/mic/projects", { origin: "null" });
    expect([answer.status, answer.headers["access-control-allow-origin"]]).toEqual([200, "*"]);
    expect(answer.headers["access-control-allow-credentials"]).toBeUndefined();
  });
});

test("pages of this server, and who sends no page's headers, may change things", async () => {
  const { ask } = await open({}, { publicUrl: "https://forge.example.com" });
  const own: Record<string, string>[] = [
    {},
    { "sec-fetch-site": "same-origin", origin: "null" },
    { "sec-fetch-site": "none" },
    { origin: "https://forge.example.com" },
    { host: "localhost:7420", origin: "http://localhost:7420" },
  ];
  for (const headers of own) {
    const answer = await ask("POST", "/login", headers);
    expect([headers, answer.status, answer.headers["x-same"]]).toEqual([headers, 200, "true"]);
  }
});

test("a caller's address is the proxy's word only where the proxy is trusted", async () => {
  const headers = { "x-forwarded-for": "203.0.113.7" };
  const trusting = await open({ trustedProxy: "127.0.0.0/8" });
  expect((await trusting.ask("GET", "/api/x", headers)).headers["x-peer"]).toBe("203.0.113.7");
  await opened?.[Symbol.asyncDispose]();
  const wary = await open();
  expect((await wary.ask("GET", "/api/x", headers)).headers["x-peer"]).toBe("127.0.0.1");
});

test("pages are charged to the address that asks for them", async () => {
  const { ask } = await open({ rateLimit: "1,1" });
  const statuses: number[] = [];
  for (let i = 0; i < 70; i++) statuses.push((await ask("GET", "/login")).status);
  expect(statuses.slice(0, 60)).toEqual(Array(60).fill(200));
  expect(statuses.at(-1)).toBe(429);
  // What is no page is charged where the caller is known.
  expect((await ask("GET", "/api/mic/projects")).status).toBe(200);
});

test("guesses at a password are counted by address", async () => {
  const { ask, reached } = await open();
  const path = "/api/mic/account/password";
  const statuses: number[] = [];
  for (let i = 0; i < 12; i++) statuses.push((await ask("POST", path)).status);
  expect(statuses).toEqual([...Array(10).fill(200), 429, 429]);
  const last = await ask("POST", path);
  expect(last.headers["retry-after"]).toBe("10");
  expect(JSON.parse(last.text)).toMatchObject({
    code: "rate-limited",
    status: 429,
    retryAfterMs: expect.any(Number),
  });
  expect(reached.length).toBe(10);
});

test("chargedCaller() charges a user's budget, or the address of who sent none or a wrong token", async () => {
  const { network } = await open({ rateLimit: "1,1" });
  const authenticate = (authorization: string | undefined) => {
    if (authorization === undefined) return NOBODY;
    if (authorization === "Bearer right") return administrator("ada");
    throw new MicError("unauthenticated", "no");
  };
  const caller = { authenticate, network };
  let looked = 0;
  const address = () => {
    looked++;
    return "203.0.113.7";
  };
  expect(chargedCaller(caller, "Bearer right", address, 60).account).toBe("ada");
  expect(looked).toBe(0);
  expect(() => chargedCaller(caller, "Bearer right", address, 60)).toThrow(
    expect.objectContaining({ code: "rate-limited" }),
  );
  const outcomes = new Set<string>();
  for (let i = 0; i < 31; i++) {
    try {
      chargedCaller(caller, "Bearer wrong", address, 1);
    } catch (error) {
      outcomes.add((error as MicError).code);
    }
  }
  expect([...outcomes]).toEqual(["unauthenticated", "rate-limited"]);
  expect(() => chargedCaller(caller, undefined, address, 2)).toThrow(
    expect.objectContaining({ code: "rate-limited" }),
  );
});

test("tellStanding() says how much is left to who has used more than half", async () => {
  const { network } = await open({ rateLimit: "1,1" });
  const headers: Record<string, unknown> = {};
  const response = {
    headersSent: false,
    setHeader: (name: string, value: unknown) => (headers[name] = value),
  };
  const address = () => "203.0.113.7";
  network.limits.charge(NOBODY, address, 20);
  tellStanding(network.limits, NOBODY, address, response as never);
  expect(headers).toEqual({});
  network.limits.charge(NOBODY, address, 20);
  tellStanding(network.limits, NOBODY, address, response as never);
  expect(headers).toMatchObject({
    "ratelimit-policy": '"calls";q=60;w=60',
    ratelimit: expect.stringMatching(/^"calls";r=20;t=(39|40)$/),
  });
});

describe("strict-transport-security", () => {
  const of = async (hasTls: boolean, headers: Record<string, string>): Promise<unknown> => {
    const flags = { trustedProxy: "127.0.0.1", allowedHost: "forge.example.com" };
    const { ask } = await open(flags, { hasTls });
    const answer = await ask("GET", "/api/mic/projects", headers);
    await opened?.[Symbol.asyncDispose]();
    opened = undefined;
    return answer.headers["strict-transport-security"];
  };
  const host = "forge.example.com";

  test("is told to who came over TLS by a name, also through a trusted proxy", async () => {
    expect(await of(true, { host })).toBe("max-age=31536000");
    expect(await of(true, { host: `${host}:8443` })).toBe("max-age=31536000");
    expect(await of(false, { host, "x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https" })).toBe(
      "max-age=31536000",
    );
  });

  test("is not told to others: without TLS, to an address, to localhost", async () => {
    expect(await of(false, { host })).toBeUndefined();
    expect(
      await of(true, { host, "x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "http" }),
    ).toBeUndefined();
    for (const other of ["127.0.0.1", "[::1]:7420", "localhost:7420", "a.localhost"]) {
      expect(await of(true, { host: other })).toBeUndefined();
    }
  });
});
