import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { escapeHtml, html } from "../../src/server/auth/pages/html.ts";
import { parseNext } from "../../src/server/auth/pages/login-page.ts";
import { NOBODY } from "../../src/server/auth/principal.ts";
import { AuthServer, PASSWORD, Visitor } from "../support/auth-server.ts";

let server: AuthServer;
let alice: Visitor;

beforeEach(async () => {
  server = await AuthServer.start();
  alice = new Visitor(server.url);
});
afterEach(() => server[Symbol.asyncDispose]());

describe("signing in", () => {
  test("sets a cookie that scripts and other sites cannot use, and ends with signing out", async () => {
    await alice.get("/login");
    const done = await alice.post("/login", { login: "Alice", password: PASSWORD });
    expect(done.headers.getSetCookie()[0]).toMatch(
      /^mic_session=mics_[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Lax$/,
    );
    expect((await alice.get("/login")).text).toContain("You are signed in");
    const cookie = alice.cookies.get("mic_session")!;
    await alice.get("/logout");
    expect((await alice.post("/logout", {})).text).toContain("You are signed out");
    alice.cookies.set("mic_session", cookie);
    expect((await alice.get("/login")).text).toContain("<h1>Sign in</h1>");
    expect(server.actions()).toEqual(["alice sign-in.succeeded user", "alice sign-out.done user"]);
  });

  test("sets a cookie of this host alone where the caller sees https", async () => {
    await using secure = await AuthServer.start({ publicUrl: "https://forge.example.com" });
    const visitor = new Visitor(secure.url);
    await visitor.get("/login");
    const origin = { origin: "https://forge.example.com" };
    const done = await visitor.post("/login", { login: "alice", password: PASSWORD }, origin);
    expect(done.headers.getSetCookie()[0]).toMatch(
      /^__Host-mic_session=mics_.*; HttpOnly; SameSite=Lax; Secure$/,
    );
  });

  test("lasts 12 hours", async () => {
    await alice.logIn();
    await server.pass(12 * 3_600_000);
    expect((await alice.get("/device")).status).toBe(303);
  });

  test("ends when the password is changed and when the user is disabled", async () => {
    const { id } = server.accounts.findUser("alice")!;
    await alice.logIn();
    await server.accounts.setPassword(id, "another battery staple horse");
    expect((await alice.get("/device")).status).toBe(303);
    expect((await alice.logIn("alice", "another battery staple horse")).status).toBe(303);
    server.accounts.setDisabled(id, true);
    expect((await alice.get("/device")).status).toBe(303);
  });

  test("says the same of an unknown user and of a wrong password, and keeps nothing of what was typed", async () => {
    const wrong = await alice.logIn("alice", "wrong");
    const unknown = await alice.logIn("nobody", "wrong");
    const text = ({ text }: { text: string }) => text.replace(/value="[^"]*"/g, "");
    expect([wrong.status, text(wrong)]).toEqual([401, text(unknown)]);
    expect(unknown.status).toBe(401);
    await alice.logIn("my secret password!", "x");
    expect(server.audit.map(({ principal, target }) => [principal, target])).toEqual([
      [NOBODY, "user:alice"],
      [NOBODY, "user:?"],
      [NOBODY, "user:?"],
    ]);
    expect(JSON.stringify(server.audit)).not.toContain("wrong");
  });

  test("makes an account wait longer with every wrong password, from one address", async () => {
    const from = (address: string) => new Visitor(server.url, { "x-forwarded-for": address });
    const guesser = from("203.0.113.7");
    const attempt = async () => (await guesser.logIn("alice", "wrong")).status;
    for (let i = 0; i < 6; i++) expect(await attempt()).toBe(401);
    const waits: number[] = [];
    for (let i = 0; i < 5; i++) {
      expect(await attempt()).toBe(429);
      const seconds = Number(guesser.shown.headers.get("retry-after"));
      waits.push(seconds);
      await server.pass(seconds * 1000);
      expect(await attempt()).toBe(401);
    }
    expect(waits).toEqual([2, 4, 8, 16, 32]);
    // The right password does not get through the wait, under no name of the account.
    expect((await guesser.logIn()).status).toBe(429);
    expect((await guesser.logIn("ALICE@example.com")).status).toBe(429);
    // The owner of the account, somewhere else, is not kept out.
    expect((await from("198.51.100.9").logIn()).status).toBe(303);
  });

  test("counts guesses that run at once", async () => {
    const visitors = Array.from({ length: 20 }, () => new Visitor(server.url));
    await Promise.all(visitors.map((each) => each.get("/login")));
    const tries = visitors.map((each) => each.post("/login", { login: "alice", password: "wrong" }));
    const statuses = (await Promise.all(tries)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(6);
    expect(statuses.filter((status) => status === 429)).toHaveLength(14);
  });

  test("makes an address that tries many accounts wait, whatever IPv6 address of its own it uses", async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 70; i++) {
      const visitor = new Visitor(server.url, { "x-forwarded-for": `2001:db8:1:2::${i.toString(16)}` });
      statuses.push((await visitor.logIn(`user${i}`, "wrong")).status);
    }
    expect(statuses.filter((status) => status === 429)).toHaveLength(9);
  });

  test("refuses a password of a megabyte, and one that nobody can have", async () => {
    await alice.get("/login");
    expect((await alice.post("/login", { login: "alice", password: "x".repeat(1 << 20) })).status).toBe(413);
    await alice.get("/login");
    expect((await alice.post("/login", { login: "alice", password: "x".repeat(8_000) })).status).toBe(401);
  });
});

describe("forms", () => {
  test.each([
    ["another origin", { origin: "https://evil.example" }, {}],
    ["no origin at all", { origin: "null" }, {}],
    ["another port of this host", { origin: "http://127.0.0.1:1" }, {}],
    ["a site that the browser calls another", { "sec-fetch-site": "cross-site" }, {}],
    ["a sister site", { "sec-fetch-site": "same-site" }, {}],
    ["a page without the form's token", {}, { csrf: "" }],
    ["a page with a made-up token", {}, { csrf: "x".repeat(43) }],
  ])("from %s are refused: signing in, approving, signing out", async (_name, headers, fields) => {
    const { user_code: code } = (await server.post("/oauth/device", { client_id: "mic-cli" })).body;
    await alice.get("/login");
    const login = { login: "alice", password: PASSWORD, ...fields };
    expect((await alice.post("/login", login, headers)).status).toBe(403);
    expect(alice.cookies.has("mic_session")).toBe(false);
    await alice.logIn();
    await alice.get(`/device?user_code=${code}`);
    expect((await alice.post("/device", { decision: "approve", ...fields }, headers)).status).toBe(403);
    await alice.get("/logout");
    expect((await alice.post("/logout", fields, headers)).status).toBe(403);
    expect(server.actions()).toEqual(["alice sign-in.succeeded user"]);
  });

  test("of one session do not work in another", async () => {
    await alice.logIn();
    await alice.get("/logout");
    const { csrf } = alice.hidden();
    await server.accounts.createUser({ name: "bob", password: PASSWORD });
    const bob = new Visitor(server.url);
    await bob.logIn("bob");
    await bob.get("/logout");
    expect((await bob.post("/logout", { csrf: csrf! })).status).toBe(403);
  });

  test("are signed with a key that the database keeps", async () => {
    await alice.get("/login");
    const key = server.database.sql.prepare("SELECT value FROM settings WHERE name = 'page-form-key'").get();
    expect((key as { value: Buffer }).value).toHaveLength(32);
  });
});

describe("pages", () => {
  test("can neither be framed, nor run scripts, nor send forms elsewhere, nor be kept", async () => {
    await alice.logIn();
    for (const path of ["/login", "/device", "/device?user_code=BBBB-BBBB", "/logout", "/oauth/authorize"]) {
      const { headers } = await alice.get(path);
      const policy = headers.get("content-security-policy")!;
      for (const part of [
        "default-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
      ]) {
        expect(policy).toContain(part);
      }
      expect(policy).not.toContain("unsafe");
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("referrer-policy")).toBe("same-origin");
    }
  });

  test("escape what they are given", async () => {
    await alice.logIn();
    const hostile = `"><script>alert(1)</script>`;
    for (const path of ["/device?user_code=", "/login?next=", "/oauth/authorize?client_id="]) {
      expect((await alice.get(path + encodeURIComponent(hostile))).text).not.toContain("<script");
    }
    await new Visitor(server.url).logIn(hostile, "x");
    expect(html`<p title="${hostile}">${hostile}</p>`.text).not.toContain("<script");
    expect(escapeHtml("a\u202eb\u0000'\n")).toBe("a\\u{202e}b\\u{0}&#39;\n");
  });

  test.each([
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "/device/../../x",
    "/device\\@evil.example",
    "/devices",
    "/api/mic/account",
    "/device?\n",
    "javascript:alert(1)",
    "/oauth/authorize#x",
  ])("do not send who signed in to %s", async (next) => {
    expect(parseNext(next)).toBeUndefined();
    await alice.get(`/login?next=${encodeURIComponent(next)}`);
    const done = await alice.post("/login", { login: "alice", password: PASSWORD, next });
    expect(done.headers.get("location")).toBe("/login");
  });

  test("answer HEAD without a body, and other methods with 405", async () => {
    const head = await fetch(`${server.url}/login`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    expect((await fetch(`${server.url}/login`, { method: "DELETE" })).status).toBe(405);
  });

  test("are not shown at an address that is not this server's", async () => {
    const answer = await fetch(`${server.url}/login`, { headers: { host: "evil.example" } });
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain("--public-url");
  });
});

describe("metadata", () => {
  test("names the endpoints under the address that the caller used, or the public one", async () => {
    const path = "/.well-known/oauth-authorization-server";
    const document = (await (await fetch(server.url + path)).json()) as Record<string, unknown>;
    expect(document).toMatchObject({
      issuer: server.url,
      token_endpoint: `${server.url}/oauth/token`,
      code_challenge_methods_supported: ["S256"],
    });
    const resource = await fetch(`${server.url}/.well-known/oauth-protected-resource`);
    expect(await resource.json()).toMatchObject({
      resource: server.url,
      authorization_servers: [server.url],
    });
    await using secure = await AuthServer.start({ publicUrl: "https://forge.example.com" });
    const told = (await (await fetch(secure.url + path)).json()) as Record<string, unknown>;
    expect(told["issuer"]).toBe("https://forge.example.com");
  });
});
