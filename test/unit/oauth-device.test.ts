import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AuthServer, Visitor } from "../support/auth-server.ts";

const GRANT = "urn:ietf:params:oauth:grant-type:device_code";
let server: AuthServer;
let alice: Visitor;

beforeEach(async () => {
  server = await AuthServer.start();
  alice = new Visitor(server.url);
});
afterEach(() => server[Symbol.asyncDispose]());

const start = async (scope = "write") =>
  (await server.post("/oauth/device", { client_id: "mic-cli", scope })).body;
const poll = (device: Record<string, unknown>, client = "mic-cli") =>
  server.post("/oauth/token", {
    grant_type: GRANT,
    client_id: client,
    device_code: String(device["device_code"]),
  });
const approve = async (device: Record<string, unknown>, fields: Record<string, string> = {}) => {
  await alice.get(`/device?user_code=${device["user_code"]}`);
  return await alice.post("/device", { decision: "approve", ...fields });
};

describe("the device flow", () => {
  test("gives tokens to the device whose code was approved", async () => {
    const device = await start();
    expect(device).toEqual({
      device_code: expect.stringMatching(/^micd_[\w-]{43}$/),
      user_code: expect.stringMatching(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/),
      verification_uri: `${server.url}/device`,
      verification_uri_complete: `${server.url}/device?user_code=${device["user_code"]}`,
      expires_in: 600,
      interval: 5,
    });
    expect((await poll(device)).body).toMatchObject({ error: "authorization_pending" });
    expect((await alice.logIn()).status).toBe(303);
    const page = await alice.get(`/device?user_code=${device["user_code"]}`);
    expect(page.text).toContain(`<p class="code">${device["user_code"]}</p>`);
    expect(page.text).toContain("<dd>127.0.0.1</dd>");
    const done = await alice.post("/device", { decision: "approve" });
    expect([done.status, done.text]).toEqual([
      200,
      expect.stringContaining("Go back to mic on the command line"),
    ]);
    await server.pass(5_000);
    const given = await poll(device);
    expect(given).toMatchObject({
      status: 200,
      body: {
        token_type: "Bearer",
        expires_in: 3600,
        scope: "write",
        refresh_token: expect.stringMatching(/^micr_/),
      },
    });
    expect(given.headers.get("cache-control")).toBe("no-store");
    const principal = server.accounts.authenticate(String(given.body["access_token"]));
    expect(principal).toMatchObject({ account: "alice", scope: "write" });
    expect(server.actions()).toEqual([
      "alice sign-in.succeeded user",
      "alice device.approved client",
      "alice token.issued token",
    ]);
  });

  test("gives tokens for a code once", async () => {
    const device = await start();
    await alice.logIn();
    await approve(device);
    expect((await poll(device)).status).toBe(200);
    await server.pass(5_000);
    expect(await poll(device)).toMatchObject({ status: 400, body: { error: "invalid_grant" } });
  });

  test("gives a code's tokens to nobody but its client, and knows no other codes", async () => {
    const device = await start();
    await alice.logIn();
    await approve(device);
    const other = await fetch(`${server.url}/oauth/register`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ redirect_uris: ["https://other.example/cb"] }),
    });
    const { client_id: id } = (await other.json()) as { client_id: string };
    expect((await poll(device, id)).body).toMatchObject({ error: "invalid_grant" });
    expect((await poll({ device_code: "micd_wrong" })).body).toMatchObject({ error: "invalid_grant" });
    expect(await poll(device, "unknown")).toMatchObject({ status: 401, body: { error: "invalid_client" } });
    expect((await poll(device)).status).toBe(200);
  });

  test("says that it was denied, and that it has expired", async () => {
    await alice.logIn();
    const denied = await start();
    await alice.get(`/device?user_code=${denied["user_code"]}`);
    expect((await alice.post("/device", { decision: "deny" })).text).toContain("Denied");
    expect((await poll(denied)).body).toMatchObject({ error: "access_denied" });
    const late = await start();
    await server.pass(600_000);
    expect((await poll(late)).body).toMatchObject({ error: "expired_token" });
    const page = await alice.get(`/device?user_code=${late["user_code"]}`);
    expect([page.status, page.text]).toEqual([404, expect.stringContaining("has expired")]);
  });

  test("asks a device that polls too fast to poll more slowly each time", async () => {
    const device = await start();
    expect((await poll(device)).body).toMatchObject({ error: "authorization_pending" });
    await server.pass(4_000);
    expect((await poll(device)).body).toMatchObject({ error: "slow_down" });
    await server.pass(6_000);
    expect((await poll(device)).body).toMatchObject({ error: "slow_down" });
    await server.pass(15_000);
    expect((await poll(device)).body).toMatchObject({ error: "authorization_pending" });
  });

  test("writes nothing for a poll that waits", async () => {
    const device = await start();
    const before = server.database.version();
    await poll(device);
    await server.pass(5_000);
    await poll(device);
    expect(server.database.version()).toBe(before);
  });

  test("lets the user give less than what was asked for, and never more", async () => {
    await alice.logIn();
    const device = await start("write");
    await approve(device, { scope: "read" });
    expect((await poll(device)).body).toMatchObject({ scope: "read" });
    const second = await start("write");
    expect((await approve(second, { scope: "admin" })).status).toBe(400);
    expect((await poll(second)).body).toMatchObject({ error: "authorization_pending" });
  });

  test("takes codes in small letters, without the hyphen, with spaces", async () => {
    await alice.logIn();
    const code = String((await start())["user_code"]);
    for (const typed of [code.toLowerCase(), code.replace("-", ""), ` ${code.replace("-", " ")} `]) {
      expect((await alice.get(`/device?${new URLSearchParams({ user_code: typed })}`)).text).toContain(code);
    }
  });

  test("makes who tries codes wait", async () => {
    await alice.logIn();
    const device = await start();
    const statuses: number[] = [];
    for (let i = 0; i < 8; i++) statuses.push((await alice.get("/device?user_code=BBBB-BBBB")).status);
    expect(statuses).toEqual([404, 404, 404, 404, 404, 404, 429, 429]);
    // The right one does not get through either.
    expect((await alice.get(`/device?user_code=${device["user_code"]}`)).status).toBe(429);
    await server.pass(2_000);
    expect((await alice.get(`/device?user_code=${device["user_code"]}`)).status).toBe(200);
  });

  test("asks who is not signed in to do so, and comes back to the code", async () => {
    const device = await start();
    const asked = await alice.get(`/device?user_code=${device["user_code"]}`);
    expect(asked.headers.get("location")).toBe(`/login?next=%2Fdevice%3Fuser_code%3D${device["user_code"]}`);
    await alice.get(asked.headers.get("location")!);
    const back = await alice.post("/login", {
      login: "alice@example.com",
      password: "correct horse battery staple",
    });
    expect(back.headers.get("location")).toBe(`/device?user_code=${device["user_code"]}`);
  });

  test("does not sign in a user who was disabled after approving", async () => {
    const device = await start();
    await alice.logIn();
    await approve(device);
    server.accounts.setDisabled(server.accounts.findUser("alice")!.id, true);
    expect((await poll(device)).body).toMatchObject({ error: "invalid_grant" });
  });
});

describe("refreshing", () => {
  const signIn = async (): Promise<Record<string, unknown>> => {
    const device = await start();
    await alice.logIn();
    await approve(device);
    return (await poll(device)).body;
  };
  const refresh = (tokens: Record<string, unknown>, fields: Record<string, string> = {}) =>
    server.post("/oauth/token", {
      grant_type: "refresh_token",
      client_id: "mic-cli",
      refresh_token: String(tokens["refresh_token"]),
      ...fields,
    });
  const use = (tokens: Record<string, unknown>) =>
    server.accounts.authenticate(String(tokens["access_token"]));

  test("gives a new pair, and ends the old refresh token once the new pair is used", async () => {
    const first = await signIn();
    const second = (await refresh(first)).body;
    expect(second["access_token"]).not.toBe(first["access_token"]);
    use(second);
    expect((await refresh(first)).body).toMatchObject({ error: "invalid_grant" });
    // Somebody else has a copy: everything of this sign-in ends.
    expect(() => use(second)).toThrow("not valid");
    expect((await refresh(second)).body).toMatchObject({ error: "invalid_grant" });
    expect(server.actions()).toContain("alice token.revoked client");
  });

  test("works again for a client that never saw the answer, and ends the pair that it did not see", async () => {
    const first = await signIn();
    const lost = (await refresh(first)).body;
    const second = (await refresh(first)).body;
    expect(use(second)).toMatchObject({ account: "alice" });
    expect(() => use(lost)).toThrow("not valid");
  });

  test("with the new refresh token also ends the old one", async () => {
    const first = await signIn();
    const second = (await refresh(first)).body;
    const third = (await refresh(second)).body;
    expect((await refresh(first)).body).toMatchObject({ error: "invalid_grant" });
    expect(() => use(third)).toThrow("not valid");
  });

  test("takes a narrower scope and no wider one", async () => {
    const first = await signIn();
    expect((await refresh(first, { scope: "admin" })).body).toMatchObject({ error: "invalid_scope" });
    const narrow = (await refresh(first, { scope: "read" })).body;
    expect(narrow["scope"]).toBe("read");
    expect(use(narrow).scope).toBe("read");
    expect((await refresh(narrow)).body).toMatchObject({ scope: "write" });
  });

  test("lasts 30 days from the last time", async () => {
    let tokens = await signIn();
    for (let i = 0; i < 3; i++) {
      await server.pass(29 * 24 * 3_600_000);
      tokens = (await refresh(tokens)).body;
      expect(tokens["refresh_token"]).toBeDefined();
    }
    await server.pass(30 * 24 * 3_600_000);
    expect((await refresh(tokens)).body).toMatchObject({ error: "invalid_grant" });
  });

  test("takes no access token, and no other client's", async () => {
    const first = await signIn();
    expect((await refresh({ refresh_token: first["access_token"] })).body).toMatchObject({
      error: "invalid_grant",
    });
    const wrong = await refresh(first, { client_id: "https://other.example/client.json" });
    expect(wrong.body).toMatchObject({ error: "invalid_grant" });
  });

  test("after a revocation is refused, of either token", async () => {
    for (const name of ["access_token", "refresh_token"]) {
      const tokens = await signIn();
      const revoked = await server.post("/oauth/revoke", {
        token: String(tokens[name]),
        client_id: "mic-cli",
      });
      expect(revoked.status).toBe(200);
      expect((await refresh(tokens)).body).toMatchObject({ error: "invalid_grant" });
      expect(() => use(tokens)).toThrow("not valid");
    }
    expect((await server.post("/oauth/revoke", { token: "micr_unknown" })).status).toBe(200);
    const tokens = await signIn();
    const other = await server.post("/oauth/revoke", {
      token: String(tokens["access_token"]),
      client_id: "https://other.example/client.json",
    });
    expect(other.body).toMatchObject({ error: "unauthorized_client" });
    expect(use(tokens)).toMatchObject({ account: "alice" });
  });
});

describe("the token endpoint", () => {
  const send = (body: string, headers: Record<string, string> = {}) =>
    fetch(`${server.url}/oauth/token`, { method: "POST", body, headers });
  const FORM = { "content-type": "application/x-www-form-urlencoded" };

  test.each([
    [
      "a JSON body",
      '{"grant_type":"refresh_token"}',
      { "content-type": "application/json" },
      415,
      "invalid_request",
    ],
    ["no body type", "grant_type=x", { "content-type": "text/plain" }, 415, "invalid_request"],
    ["a parameter given twice", "grant_type=a&grant_type=a&client_id=mic-cli", FORM, 400, "invalid_request"],
    ["no client", "grant_type=refresh_token", FORM, 400, "invalid_request"],
    ["an unknown grant", "grant_type=password&client_id=mic-cli", FORM, 400, "unsupported_grant_type"],
    ["broken encoding", "grant_type=%zz&client_id=mic-cli", FORM, 400, "invalid_request"],
    ["a body of 17 KiB", `client_id=mic-cli&x=${"y".repeat(17 << 10)}`, FORM, 413, "invalid_request"],
  ] as const)("refuses %s", async (_name, body, headers, status, error) => {
    const answer = await send(body, headers);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ error });
    expect(answer.headers.get("cache-control")).toBe("no-store");
  });

  test("is reached with POST only", async () => {
    const answer = await fetch(`${server.url}/oauth/token`);
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "POST"]);
  });
});
