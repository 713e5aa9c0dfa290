import { hash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  isRedirectUri,
  matchesRedirect,
  readClientMetadata,
} from "../../src/server/auth/oauth/client-metadata.ts";
import type { Outbound, OutboundAnswer } from "../../src/server/network/outbound.ts";
import { AuthServer, goesTo, type Shown, Visitor } from "../support/auth-server.ts";

const VERIFIER = "a".repeat(64);
const CHALLENGE = hash("sha256", VERIFIER, "base64url");
const REDIRECT = "http://127.0.0.1:45678/callback";
const DOCUMENT = "https://agent.example/client.json";

let server: AuthServer;
let alice: Visitor;
const documents = new Map<string, Partial<OutboundAnswer>>();
let asked: string[] = [];

const outbound: Outbound = {
  check: () => Promise.resolve(),
  fetch(url) {
    asked.push(url);
    const answer = documents.get(url);
    if (answer === undefined) return Promise.reject(new Error("no such host"));
    return Promise.resolve({
      status: 200,
      headers: {},
      body: new Uint8Array(),
      isCut: false,
      url,
      ...answer,
    });
  },
};
const jsonDocument = (value: unknown, headers: Record<string, string> = {}): Partial<OutboundAnswer> => ({
  body: Buffer.from(JSON.stringify(value)),
  headers: { "content-type": "application/json", ...headers },
});

beforeEach(async () => {
  asked = [];
  documents.clear();
  server = await AuthServer.start({ outbound });
  alice = new Visitor(server.url);
  await alice.logIn();
});
afterEach(() => server[Symbol.asyncDispose]());

const query = (changes: Record<string, string | undefined> = {}): string => {
  const all: Record<string, string | undefined> = {
    response_type: "code",
    client_id: "mic-cli",
    redirect_uri: REDIRECT,
    code_challenge: CHALLENGE,
    code_challenge_method: "S256",
    scope: "write",
    state: "a state & more",
    ...changes,
  };
  const given = Object.entries(all).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return `/oauth/authorize?${new URLSearchParams(given)}`;
};
const approve = async (changes: Record<string, string | undefined> = {}): Promise<URL> => {
  expect((await alice.get(query(changes))).status).toBe(200);
  return goesTo(await alice.post("/oauth/authorize", { decision: "approve" }));
};
const exchange = (code: string, changes: Record<string, string> = {}) =>
  server.post("/oauth/token", {
    grant_type: "authorization_code",
    client_id: "mic-cli",
    code,
    redirect_uri: REDIRECT,
    code_verifier: VERIFIER,
    ...changes,
  });
const register = async (document: unknown): Promise<{ status: number; body: Record<string, unknown> }> => {
  const answer = await fetch(`${server.url}/oauth/register`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof document === "string" ? document : JSON.stringify(document),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
};

describe("authorization codes", () => {
  test("come back with state and issuer, and give tokens once", async () => {
    const back = await approve();
    expect(`${back.origin}${back.pathname}`).toBe(REDIRECT);
    expect(back.searchParams.get("state")).toBe("a state & more");
    expect(back.searchParams.get("iss")).toBe(server.url);
    const code = back.searchParams.get("code")!;
    const given = await exchange(code);
    expect(given).toMatchObject({ status: 200, body: { scope: "write" } });
    const token = String(given.body["access_token"]);
    expect(server.accounts.authenticate(token)).toMatchObject({ account: "alice" });
    // Whoever comes second, one of the two stole it.
    expect((await exchange(code)).body).toMatchObject({ error: "invalid_grant" });
    expect(() => server.accounts.authenticate(token)).toThrow("not valid");
    expect(server.actions().slice(1)).toEqual([
      "alice client.approved client",
      "alice token.issued token",
      "alice token.revoked client",
    ]);
  });

  test.each([
    ["another verifier", { code_verifier: "b".repeat(64) }],
    ["a verifier that is too short", { code_verifier: "short" }],
    ["another redirect address", { redirect_uri: "http://127.0.0.1:45679/callback" }],
    ["another client", { client_id: DOCUMENT }],
    ["another code", { code: "mico_wrong" }],
  ])("are refused with %s, and stay good", async (_name, changes) => {
    const code = (await approve()).searchParams.get("code")!;
    expect((await exchange(code, changes)).body).toMatchObject({ error: "invalid_grant" });
    expect((await exchange(code)).status).toBe(200);
  });

  test("are refused without a verifier, and after a minute", async () => {
    const code = (await approve()).searchParams.get("code")!;
    const fields = { grant_type: "authorization_code", client_id: "mic-cli", code, redirect_uri: REDIRECT };
    expect((await server.post("/oauth/token", fields)).body).toMatchObject({ error: "invalid_request" });
    await server.pass(60_000);
    expect((await exchange(code)).body).toMatchObject({ error: "invalid_grant" });
  });

  test("are not given when the user says no", async () => {
    await alice.get(query());
    const back = goesTo(await alice.post("/oauth/authorize", { decision: "deny" }));
    expect(back.searchParams.get("error")).toBe("access_denied");
    expect(back.searchParams.has("code")).toBe(false);
  });
});

describe("an authorization request", () => {
  const errorOf = (shown: Shown): string | null => goesTo(shown).searchParams.get("error");

  test.each([
    ["without a challenge", { code_challenge: undefined }, "invalid_request"],
    ["with the method plain", { code_challenge_method: "plain" }, "invalid_request"],
    ["without a method, which would be plain", { code_challenge_method: undefined }, "invalid_request"],
    ["for a token in the address", { response_type: "token" }, "unsupported_response_type"],
    ["for an unknown scope", { scope: "root" }, "invalid_scope"],
    ["for another resource", { resource: "https://other.example/" }, "invalid_target"],
  ])("%s goes back with an error", async (_name, changes, error) => {
    const shown = await alice.get(query(changes));
    expect(errorOf(shown)).toBe(error);
    expect(goesTo(shown).searchParams.get("state")).toBe("a state & more");
  });

  test.each([
    ["http://127.0.0.1:45678/callback/more"],
    ["http://127.0.0.1:45678/"],
    ["http://127.0.0.1:45678/callback?x=1"],
    ["http://127.0.0.1:45678/callback#x"],
    ["http://127.0.0.1:45678@evil.example/callback"],
    ["http://127.0.0.1.evil.example/callback"],
    ["https://127.0.0.1/callback"],
    ["http://[::1]:1/callback/../x"],
    ["javascript:alert(1)"],
    ["//evil.example/callback"],
  ])("that wants its answer at %s is shown an error and sent nowhere", async (uri) => {
    const shown = await alice.get(query({ redirect_uri: uri }));
    expect(shown.status).toBe(400);
    expect(shown.text).not.toContain('http-equiv="refresh"');
    expect(shown.headers.get("location")).toBeNull();
  });

  test.each([
    ["http://[::1]:9/callback"],
    ["http://localhost:65535/callback"],
    ["http://127.0.0.1/callback"],
  ])("may want its answer at %s", async (uri) => {
    expect((await alice.get(query({ redirect_uri: uri }))).status).toBe(200);
  });

  test("with a parameter given twice is refused", async () => {
    expect((await alice.get(`${query()}&client_id=mic-cli`)).status).toBe(400);
  });

  test("of somebody who is not signed in goes through the login page and back, whole", async () => {
    const stranger = new Visitor(server.url);
    const asked = await stranger.get(query());
    await stranger.get(asked.headers.get("location")!);
    const back = await stranger.post("/login", { login: "alice", password: "correct horse battery staple" });
    const page = await stranger.get(back.headers.get("location")!);
    expect(page.text).toContain("Approve access as alice?");
    const done = goesTo(await stranger.post("/oauth/authorize", { decision: "approve" }));
    expect(done.searchParams.get("state")).toBe("a state & more");
  });

  test("cannot be approved for more than was asked", async () => {
    await alice.get(query({ scope: "read" }));
    expect((await alice.post("/oauth/authorize", { decision: "approve", scope: "admin" })).status).toBe(400);
  });
});

describe("clients that register", () => {
  test("are given an id, and may use it", async () => {
    const made = await register({
      client_name: "An Agent",
      redirect_uris: ["https://agent.example/cb", REDIRECT],
    });
    expect(made).toMatchObject({
      status: 201,
      body: {
        client_id: expect.stringMatching(/^client-[\w-]{22}$/),
        client_name: "An Agent",
        token_endpoint_auth_method: "none",
        grant_types: ["authorization_code", "refresh_token"],
      },
    });
    const id = String(made.body["client_id"]);
    const back = await approve({ client_id: id, redirect_uri: "https://agent.example/cb" });
    const fields = { client_id: id, redirect_uri: "https://agent.example/cb" };
    expect((await exchange(back.searchParams.get("code")!, fields)).status).toBe(200);
    expect((await server.post("/oauth/device", { client_id: id })).body).toMatchObject({
      error: "unauthorized_client",
    });
  });

  test.each([
    [{ redirect_uris: ["http://agent.example/cb"] }, "invalid_redirect_uri"],
    [{ redirect_uris: ["javascript:alert(1)"] }, "invalid_redirect_uri"],
    [{ redirect_uris: ["data:text/html,x"] }, "invalid_redirect_uri"],
    [{ redirect_uris: ["https://a.example/#x"] }, "invalid_redirect_uri"],
    [{ redirect_uris: ["https://user@a.example/"] }, "invalid_redirect_uri"],
    [{ redirect_uris: ["https://a.example/\u202e"] }, "invalid_redirect_uri"],
    [{ redirect_uris: [] }, "invalid_redirect_uri"],
    [{ redirect_uris: "https://a.example/" }, "invalid_redirect_uri"],
    [
      { redirect_uris: Array.from({ length: 11 }, (_, i) => `https://a.example/${i}`) },
      "invalid_redirect_uri",
    ],
    [{ redirect_uris: ["https://a.example/"], client_name: "x".repeat(81) }, "invalid_client_metadata"],
    [{ redirect_uris: ["https://a.example/"], client_name: "mic\u202e" }, "invalid_client_metadata"],
    [
      { redirect_uris: ["https://a.example/"], token_endpoint_auth_method: "client_secret_basic" },
      "invalid_client_metadata",
    ],
    [{ redirect_uris: ["https://a.example/"], grant_types: ["password"] }, "invalid_client_metadata"],
    [{ redirect_uris: ["https://a.example/"], response_types: ["token"] }, "invalid_client_metadata"],
    ["[]", "invalid_client_metadata"],
    ["{", "invalid_client_metadata"],
  ])("with %j are refused", async (document, error) => {
    expect(await register(document)).toMatchObject({ status: 400, body: { error } });
  });

  test("with more than 16 KiB are refused, and so are many of one address", async () => {
    expect((await register({ redirect_uris: ["https://a.example/"], x: "y".repeat(16 << 10) })).status).toBe(
      413,
    );
    const statuses = new Set<number>();
    for (let i = 0; i < 12; i++)
      statuses.add((await register({ redirect_uris: ["https://a.example/"] })).status);
    expect(statuses).toEqual(new Set([201, 429]));
  });

  test("and call themselves mic are shown as what they say they are", async () => {
    const { body } = await register({
      client_name: "<b>mic</b>",
      redirect_uris: ["https://evil.example/cb"],
    });
    const changes = { client_id: String(body["client_id"]), redirect_uri: "https://evil.example/cb" };
    const { text } = await alice.get(query(changes));
    expect(text).toContain("&lt;b&gt;mic&lt;/b&gt;");
    expect(text).not.toContain("<b>mic");
    expect(text).toContain("The name is what the program calls itself.");
    expect(text).toContain("<dd>evil.example</dd>");
  });
});

describe("clients with a document", () => {
  const good = { client_id: DOCUMENT, client_name: "Agent", redirect_uris: ["https://agent.example/cb"] };
  const changes = { client_id: DOCUMENT, redirect_uri: "https://agent.example/cb" };

  test("are known by its address, and it is asked for once in a while", async () => {
    documents.set(DOCUMENT, jsonDocument(good, { "cache-control": "max-age=120" }));
    const back = await approve(changes);
    expect((await exchange(back.searchParams.get("code")!, changes)).status).toBe(200);
    expect(alice.shown.text).toContain("Agent (agent.example)");
    expect(asked).toEqual([DOCUMENT]);
    await server.pass(120_000);
    await alice.get(query(changes));
    expect(asked).toEqual([DOCUMENT, DOCUMENT]);
  });

  test.each([
    ["it is another's", jsonDocument({ ...good, client_id: "https://agent.example/other.json" })],
    ["it has a secret", jsonDocument({ ...good, client_secret: "x" })],
    ["it is a redirect", { status: 302, headers: { location: "https://agent.example/x" } }],
    ["it is HTML", { ...jsonDocument(good), headers: { "content-type": "text/html" } }],
    ["it is no JSON", { ...jsonDocument(good), body: Buffer.from("{") }],
    ["it is JSON of another shape", jsonDocument(null)],
    ["its redirect address is http", jsonDocument({ ...good, redirect_uris: ["http://agent.example/cb"] })],
  ])("are refused where %s", async (_name, document) => {
    documents.set(DOCUMENT, document);
    const shown = await alice.get(query(changes));
    expect(shown.status).toBe(401);
    expect(shown.text).not.toContain('http-equiv="refresh"');
  });

  test.each([
    ["http://agent.example/client.json"],
    ["https://agent.example"],
    ["https://agent.example/"],
    ["https://agent.example/a/../client.json"],
    ["https://agent.example/client.json#x"],
    ["https://user@agent.example/client.json"],
    ["https://AGENT.example/client.json"],
  ])("are not asked for at %s", async (id) => {
    expect((await alice.get(query({ ...changes, client_id: id }))).status).toBe(401);
    expect(asked).toEqual([]);
  });
});

describe("redirect addresses", () => {
  test("of programs are https, this machine, or a scheme with a dot", () => {
    for (const uri of ["https://a.example/cb?x=1", "http://localhost/cb", "com.example.app:/cb"]) {
      expect([uri, isRedirectUri(uri)]).toEqual([uri, true]);
    }
    for (const uri of [
      "ftp://a.example/",
      "app:/cb",
      "http://localhost.evil.example/",
      "https:///cb",
      "https://a b/",
    ]) {
      expect([uri, isRedirectUri(uri)]).toEqual([uri, false]);
    }
  });

  test("match whole; only a loopback address may have another port", () => {
    const registered = ["https://a.example/cb", "http://127.0.0.1/cb?x=1"];
    expect(matchesRedirect(registered, "https://a.example/cb")).toBe(true);
    expect(matchesRedirect(registered, "http://127.0.0.1:81/cb?x=1")).toBe(true);
    for (const uri of [
      "https://a.example:444/cb",
      "https://a.example/cb/",
      "http://127.0.0.1:81/cb?x=2",
      "http://localhost:81/cb?x=1",
    ]) {
      expect([uri, matchesRedirect(registered, uri)]).toEqual([uri, false]);
    }
  });

  test("may be missing for a client that only uses the device flow", () => {
    const { redirectUris } = readClientMetadata({
      grant_types: ["urn:ietf:params:oauth:grant-type:device_code"],
    });
    expect(redirectUris).toEqual([]);
  });
});
