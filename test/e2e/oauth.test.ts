/** Signing in at the running server, and what strangers try there: RELIABILITY.md 45, 49 and 50. */
import { hash } from "node:crypto";
import { request as httpRequest } from "node:http";
import { beforeAll, describe, expect, test } from "vitest";
import { goesTo, Visitor } from "../support/auth-server.ts";
import { Served } from "./served.ts";
import { World } from "./support.ts";

const OWNER = { authorization: "Bearer token-of-the-end-to-end-tests", "content-type": "application/json" };
const PASSWORD = "a password for these tests";
const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";
const VERIFIER = "v".repeat(64);

let world: World;
let served: Served;
let alice: Visitor;

beforeAll(async () => {
  world = await World.create();
  served = await Served.start(world, { data: "oauth", args: ["--trusted-proxy", "127.0.0.1"] });
  for (const name of ["alice", "guessed"]) await makeUser(name);
  // Each sign-in costs half a second: that is what the hash is for.
  alice = new Visitor(served.url);
  expect((await alice.logIn("alice", PASSWORD)).status).toBe(303);
});

async function makeUser(name: string): Promise<void> {
  const body = JSON.stringify({ name, password: PASSWORD });
  const made = await fetch(`${served.url}/api/mic/users`, { method: "POST", headers: OWNER, body });
  expect(made.status).toBe(201);
}

type Fields = Readonly<Record<string, string>>;

async function post(path: string, fields: Fields): Promise<Record<string, unknown>> {
  const answer = await fetch(served.url + path, { method: "POST", body: new URLSearchParams(fields) });
  return { ...((await answer.json()) as Record<string, unknown>), status: answer.status };
}
const poll = (code: unknown) =>
  post("/oauth/token", { grant_type: DEVICE_GRANT, client_id: "mic-cli", device_code: String(code) });
const account = async (token: unknown) =>
  (await fetch(`${served.url}/api/mic/account`, { headers: { authorization: `Bearer ${token}` } })).status;

/** With a host that `fetch` would not send. */
function statusOf(method: string, path: string, headers: Fields, body = ""): Promise<number> {
  const { hostname, port } = new URL(served.url);
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: hostname, port, method, path, headers, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode!);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

describe("a sign-in", () => {
  test("by device code gives tokens that work, are renewed, and end with revocation", async () => {
    const device = await post("/oauth/device", { client_id: "mic-cli", scope: "write" });
    await alice.get(`/device?user_code=${device["user_code"]}`);
    expect((await alice.post("/device", { decision: "approve" })).status).toBe(200);
    const first = await poll(device["device_code"]);
    expect(await account(first["access_token"])).toBe(200);
    const renew = (token: unknown) =>
      post("/oauth/token", {
        grant_type: "refresh_token",
        client_id: "mic-cli",
        refresh_token: String(token),
      });
    const second = await renew(first["refresh_token"]);
    expect(await account(second["access_token"])).toBe(200);
    const revoked = await post("/oauth/revoke", {
      token: String(second["refresh_token"]),
      client_id: "mic-cli",
    });
    expect(revoked["status"]).toBe(200);
    expect(await account(second["access_token"])).toBe(401);
    expect(await renew(second["refresh_token"])).toMatchObject({ error: "invalid_grant" });
  });

  test("is asked for with the address of the metadata in every 401", async () => {
    const answer = await fetch(`${served.url}/api/mic/account`);
    const found = /resource_metadata="([^"]+)"/.exec(answer.headers.get("www-authenticate")!);
    const resource = (await (await fetch(found![1]!)).json()) as { authorization_servers: string[] };
    expect(resource.authorization_servers).toEqual([served.url]);
  });

  test("leaves no secret in the log or the audit, and every step in the audit", async () => {
    const device = await post("/oauth/device", { client_id: "mic-cli" });
    await alice.get(`/device?user_code=${device["user_code"]}`);
    await alice.post("/device", { decision: "approve" });
    const tokens = await poll(device["device_code"]);
    const answer = await fetch(`${served.url}/api/mic/audit?account=alice`, { headers: OWNER });
    const text = await answer.text();
    for (const action of ["sign-in.succeeded", "device.approved", "token.issued"])
      expect(text).toContain(action);
    const secrets = [device["device_code"], tokens["access_token"], tokens["refresh_token"], PASSWORD];
    for (const secret of secrets) {
      expect(text).not.toContain(String(secret));
      expect(served.log()).not.toContain(String(secret));
    }
  });
});

describe("45: pages and forms of others", () => {
  test("are refused under a foreign host, as pages, forms and calls", async () => {
    for (const host of ["evil.example", "evil.example:80", "127.0.0.1.evil.example"]) {
      expect(await statusOf("GET", "/login", { host })).toBe(421);
      expect(await statusOf("GET", "/.well-known/oauth-authorization-server", { host })).toBe(421);
      const form = { host, "content-type": "application/x-www-form-urlencoded" };
      expect(await statusOf("POST", "/oauth/device", form, "client_id=mic-cli")).toBe(421);
    }
  });

  test("cannot approve, sign in or sign out for somebody", async () => {
    const device = await post("/oauth/device", { client_id: "mic-cli" });
    for (const headers of [
      { origin: "https://evil.example" },
      { origin: "null" },
      { origin: `http://localhost:${served.port}` },
      { "sec-fetch-site": "same-site" },
    ]) {
      await alice.get(`/device?user_code=${device["user_code"]}`);
      expect((await alice.post("/device", { decision: "approve" }, headers)).status).toBe(403);
    }
    await alice.get(`/device?user_code=${device["user_code"]}`);
    expect((await alice.post("/device", { decision: "approve", csrf: "x" })).status).toBe(403);
    expect(await poll(device["device_code"])).toMatchObject({ error: "authorization_pending" });
    expect((await alice.get("/device")).status).toBe(200);
  });

  test("are not helped by a session's cookie at the API", async () => {
    const cookie = [...alice.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    expect((await fetch(`${served.url}/api/mic/account`, { headers: { cookie } })).status).toBe(401);
    expect(await account(alice.cookies.get("mic_session"))).toBe(401);
  });
});

describe("49: passwords", () => {
  test("of a megabyte are refused, and none of them is tried", async () => {
    const visitor = new Visitor(served.url, { "x-forwarded-for": "192.0.2.1" });
    await visitor.get("/login");
    const login = { login: "guessed", password: "x".repeat(1 << 20) };
    // More than wrong passwords get: none of them is tried.
    for (let i = 0; i < 10; i++) expect((await visitor.post("/login", login)).status).toBe(413);
  });

  test("are guessed ever more slowly, and their owner is let in from elsewhere", async () => {
    const guesser = new Visitor(served.url, { "x-forwarded-for": "192.0.2.2" });
    const statuses: number[] = [];
    for (let i = 0; i < 9; i++) statuses.push((await guesser.logIn("guessed", `wrong ${i}`)).status);
    expect(statuses).toEqual([401, 401, 401, 401, 401, 401, 429, 429, 429]);
    expect(Number(guesser.shown.headers.get("retry-after"))).toBeGreaterThan(0);
    const owner = new Visitor(served.url, { "x-forwarded-for": "192.0.2.3" });
    expect((await owner.logIn("guessed", PASSWORD)).status).toBe(303);
  });

  // A busy machine may spoil a measurement; what is wrong fails them all.
  let round = 0;
  const title = "of users and of nobody are refused with the same words, after about the same time";
  test(title, { retry: 3 }, async () => {
    // Other addresses each time: they are held up after a few wrong passwords.
    const base = 10 + 20 * round++;
    const timed = async (
      name: string,
      address: string,
    ): Promise<{ readonly text: string; readonly ms: number }> => {
      const visitor = new Visitor(served.url, { "x-forwarded-for": address });
      await visitor.get("/login");
      const began = performance.now();
      const { text } = await visitor.post("/login", { login: name, password: "wrong" });
      return { text: text.replaceAll(name, "NAME"), ms: performance.now() - began };
    };
    const real: number[] = [];
    const nobody: number[] = [];
    for (let i = 0; i < 3; i++) {
      const [one, other] = [
        await timed("alice", `192.0.2.${base + i}`),
        await timed("nobod", `192.0.2.${base + 10 + i}`),
      ];
      const plain = (text: string) => text.replace(/name="csrf" value="[^"]*"/g, "");
      expect(plain(one.text)).toBe(plain(other.text));
      real.push(one.ms);
      nobody.push(other.ms);
    }
    const middle = (times: number[]) => times.sort((a, b) => a - b)[1]!;
    // Without the hash that is made for nobody, one takes a hundred times as long as the other.
    expect(middle(real) / middle(nobody)).toBeLessThan(5);
    expect(middle(nobody) / middle(real)).toBeLessThan(5);
  });
});

describe("50: OAuth", () => {
  const query = (changes: Record<string, string | undefined> = {}): string => {
    const all = {
      response_type: "code",
      client_id: "mic-cli",
      redirect_uri: "http://127.0.0.1:45678/callback",
      code_challenge: hash("sha256", VERIFIER, "base64url"),
      code_challenge_method: "S256",
      ...changes,
    };
    const given = Object.entries(all).filter((pair): pair is [string, string] => pair[1] !== undefined);
    return `/oauth/authorize?${new URLSearchParams(given)}`;
  };

  test.each([
    "http://127.0.0.1:45678/callback/",
    "http://127.0.0.1:45678/callback.evil",
    "http://127.0.0.1:45678/callback?to=evil",
    "http://127.0.0.1:45678@evil.example/callback",
    "http://127.0.0.1.evil.example/callback",
    "https://evil.example/callback",
  ])("does not send its answer to %s", async (uri) => {
    const shown = await alice.get(query({ redirect_uri: uri }));
    expect(shown.status).toBe(400);
    expect(shown.headers.get("location")).toBeNull();
    expect(shown.text).not.toContain("refresh");
  });

  test("gives no code without PKCE, or with the plain method", async () => {
    const without = [
      { code_challenge: undefined, code_challenge_method: undefined },
      { code_challenge_method: "plain" },
      { code_challenge_method: undefined },
    ];
    for (const changes of without) {
      const back = goesTo(await alice.get(query(changes)));
      expect([back.searchParams.get("error"), back.searchParams.has("code")]).toEqual([
        "invalid_request",
        false,
      ]);
    }
  });

  test("gives tokens for a code once, and ends them when it comes again", async () => {
    await alice.get(query());
    const back = goesTo(await alice.post("/oauth/authorize", { decision: "approve" }));
    const fields = {
      grant_type: "authorization_code",
      client_id: "mic-cli",
      code: back.searchParams.get("code")!,
      redirect_uri: "http://127.0.0.1:45678/callback",
    };
    expect(await post("/oauth/token", fields)).toMatchObject({ error: "invalid_request" });
    expect(await post("/oauth/token", { ...fields, code_verifier: "w".repeat(64) })).toMatchObject({
      error: "invalid_grant",
    });
    const given = await post("/oauth/token", { ...fields, code_verifier: VERIFIER });
    expect(await account(given["access_token"])).toBe(200);
    expect(await post("/oauth/token", { ...fields, code_verifier: VERIFIER })).toMatchObject({
      error: "invalid_grant",
    });
    expect(await account(given["access_token"])).toBe(401);
  });

  test("gives tokens for a device code once", async () => {
    const device = await post("/oauth/device", { client_id: "mic-cli" });
    await alice.get(`/device?user_code=${device["user_code"]}`);
    await alice.post("/device", { decision: "approve" });
    const polls = await Promise.all(Array.from({ length: 8 }, () => poll(device["device_code"])));
    expect(polls.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(await poll(device["device_code"])).toMatchObject({ error: "invalid_grant" });
  });

  test("does not fetch a client's document from this machine or its network", async () => {
    for (const host of ["127.0.0.1:1", "169.254.169.254", "[::1]", "localhost", "10.0.0.1"]) {
      const client = `https://${host}/client.json`;
      const shown = await alice.get(query({ client_id: client, redirect_uri: "https://a.example/cb" }));
      expect([host, shown.status]).toEqual([host, 401]);
    }
  });

  test("survives the server: codes, sessions and tokens outlive a restart", async () => {
    const device = await post("/oauth/device", { client_id: "mic-cli" });
    await alice.get(`/device?user_code=${device["user_code"]}`);
    const { port } = served;
    expect(await served.end("SIGKILL")).toBe("SIGKILL");
    served = await Served.start(world, { data: "oauth", port, args: ["--trusted-proxy", "127.0.0.1"] });
    expect((await alice.post("/device", { decision: "approve" })).status).toBe(200);
    expect(await poll(device["device_code"])).toMatchObject({ status: 200, token_type: "Bearer" });
  });
});
