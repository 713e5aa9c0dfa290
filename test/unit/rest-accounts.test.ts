import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EMPTY_ROOT, type Position } from "../../src/core/base/ids.ts";
import { mintProjectId, mintSessionId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { accountRoutes } from "../../src/server/rest/routes/accounts.ts";
import { auditRoutes } from "../../src/server/rest/routes/audit.ts";
import { memberRoutes } from "../../src/server/rest/routes/members.ts";
import { userRoutes } from "../../src/server/rest/routes/users.ts";
import { type RunningServer, startServer } from "../../src/server/serve.ts";
import { cheapPasswords } from "../support/cheap-passwords.ts";
import { TestProject } from "../support/forge-project.ts";
import { RestClient, type RestReply, TOKEN } from "../support/rest-server.ts";

const PASSWORD = "a horse that nobody rides";
const API = "/api/mic";

let directory: string;
let server: RunningServer;
let client: RestClient;
const log: string[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "mic-rest-accounts-"));
  server = await startServer({
    flags: { data: directory, listen: "127.0.0.1:0" },
    world: { env: { MIC_OWNER_TOKEN: TOKEN }, platform: "linux", isRoot: false, cwd: directory },
    clock: systemClock,
    random: systemRandom,
    version: "0.0.0-test",
    logFormat: "json",
    writeLog: (line) => void log.push(line),
    passwords: cheapPasswords(),
  });
  client = new RestClient(server.url);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

const owner = (method: string, path: string, body?: unknown): Promise<RestReply> =>
  client.call(method, API + path, body === undefined ? {} : { body });
const as = (token: string, method: string, path: string, body?: unknown): Promise<RestReply> =>
  client.call(method, API + path, {
    headers: { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body }),
  });

/** A user with a token of scope admin; nobody but the server's own program makes one for another. */
async function makeUser(name: string, more: object = {}): Promise<string> {
  expect((await owner("POST", "/users", { name, password: PASSWORD, ...more })).status).toBe(201);
  using database = new AuthDatabase({ file: join(directory, "auth", "accounts.db") });
  using accounts = new SqliteAccounts({ database, clock: systemClock, random: systemRandom });
  const user = accounts.findUser(name)!.id;
  return accounts.createToken({ user, kind: "personal", name: "admin", scope: "admin" }).secret;
}

async function makeToken(token: string, body: object): Promise<{ id: string; secret: string }> {
  const made = await as(token, "POST", "/account/tokens", body);
  expect(made.status, made.text).toBe(201);
  return { id: made.json.token.id, secret: made.json.secret };
}

describe("the caller's account", () => {
  test("says who the owner of the first start is", async () => {
    expect((await owner("GET", "/account")).json).toMatchObject({
      name: "owner",
      isSiteAdmin: true,
      hasPassword: false,
      token: { name: "MIC_OWNER_TOKEN", scope: "admin" },
    });
    expect((await client.call("GET", `${API}/account`, { anonymous: true })).status).toBe(401);
  });

  test("makes, lists and revokes tokens; a secret is shown once", async () => {
    const admin = await makeUser("tina");
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const { id, secret } = await makeToken(admin, { name: "ci", scope: "read", expiresAt });
    expect(secret).toMatch(/^mic_[A-Za-z0-9_-]{43}$/);
    expect((await as(secret, "GET", "/account")).json).toMatchObject({
      name: "tina",
      token: { id, name: "ci", scope: "read", expiresAt },
    });
    const listed = await as(admin, "GET", "/account/tokens");
    expect(listed.json.items.map(({ name }: { name: string }) => name)).toEqual(["ci", "admin"]);
    expect(listed.json.items[0].lastUsedAt).toBeDefined();
    expect(listed.text).not.toContain(secret);
    expect((await as(admin, "DELETE", `/account/tokens/${id}`)).status).toBe(204);
    expect((await as(secret, "GET", "/account")).status).toBe(401);
    expect((await as(admin, "DELETE", `/account/tokens/${id}`)).status).toBe(404);
    const { text } = await owner("GET", "/audit?account=tina");
    expect(text).toContain("token.created");
    expect(text).toContain("token.revoked");
    expect(text).not.toContain(secret);
  });

  test("another user's token is not there", async () => {
    const [a, b] = [await makeUser("una"), await makeUser("ulf")];
    const { id, secret } = await makeToken(a, { name: "mine" });
    expect((await as(b, "DELETE", `/account/tokens/${id}`)).status).toBe(404);
    expect((await as(secret, "GET", "/account")).status).toBe(200);
  });

  test.each([
    ["read", "read"],
    ["read", "write"],
    ["write", "read"],
    ["write", "admin"],
  ])("a token of scope %s makes none of scope %s", async (scope, wanted) => {
    const admin = await makeUser(`scope-${scope}-${wanted}`);
    const { secret } = await makeToken(admin, { name: "small", scope });
    expect((await as(secret, "POST", "/account/tokens", { name: "more", scope: wanted })).status).toBe(403);
    expect((await as(secret, "GET", "/account/tokens")).status).toBe(403);
  });

  test("a token for one project makes none, neither for it nor for others", async () => {
    const admin = await makeUser("pia");
    const project = (await as(admin, "POST", "/projects", { name: "pia/one" })).json.id;
    const { secret } = await makeToken(admin, { name: "one", scope: "admin", project: "pia/one" });
    expect((await as(secret, "GET", "/account")).json.token.project).toBe(project);
    for (const body of [
      { name: "x" },
      { name: "x", project },
      { name: "x", project: "pia/one", scope: "read" },
    ]) {
      expect((await as(secret, "POST", "/account/tokens", body)).status).toBe(403);
    }
  });

  test("no token is made for a project that the caller does not see", async () => {
    const [a, b] = [await makeUser("quin"), await makeUser("quentin")];
    const { id } = (await as(a, "POST", "/projects", { name: "quin/hidden" })).json;
    for (const project of ["quin/hidden", id, "quin/absent", "0".repeat(32)]) {
      expect((await as(b, "POST", "/account/tokens", { name: "x", project })).status).toBe(404);
    }
  });

  test.each([
    { name: "" },
    { name: " " },
    { name: "a\u0007b" },
    { name: "x".repeat(201) },
    { name: "x", scope: "root" },
    { name: "x", expiresAt: "2001-01-01T00:00:00Z" },
    { name: "x", expiresAt: "tomorrow" },
    { name: "x", user: "owner" },
    {},
  ])("a token as in %j is refused", async (body) => {
    expect((await owner("POST", "/account/tokens", body)).status).toBe(400);
  });

  test("a password is changed by who knows the one before; it ends sign-ins", async () => {
    const admin = await makeUser("walt");
    const other = "entirely other words";
    const { secret } = await makeToken(admin, { name: "small", scope: "write" });
    expect((await as(secret, "POST", "/account/password", { password: other })).status).toBe(403);
    expect((await as(admin, "POST", "/account/password", { password: other })).status).toBe(403);
    expect((await as(admin, "POST", "/account/password", { current: "wrong", password: other })).status).toBe(
      403,
    );
    const huge = "x".repeat(1 << 20);
    expect((await as(admin, "POST", "/account/password", { current: huge, password: other })).status).toBe(
      413,
    );
    for (const bad of ["short", "password123", huge]) {
      const body = { current: PASSWORD, password: bad };
      expect((await as(admin, "POST", "/account/password", body)).status).toBe(400);
    }
    const body = { current: PASSWORD, password: other };
    expect((await as(admin, "POST", "/account/password", body)).status).toBe(204);
    expect((await owner("GET", "/audit?target=user:walt&action=password.")).json.items).toMatchObject([
      { action: "password.changed", account: "walt", address: "127.0.0.1" },
      { action: "password.refused" },
      { action: "password.refused" },
    ]);
  });
});

describe("users", () => {
  test("are made, listed in pages, and looked up by name, address and id", async () => {
    const body = { name: "bea", email: "Bea@example.org" };
    const made = await owner("POST", "/users", body);
    expect(made.headers.get("location")).toBe(`${API}/users/bea`);
    for (const what of ["bea", "BEA", "bea@example.org", made.json.id]) {
      expect((await owner("GET", `/users/${encodeURIComponent(what)}`)).json).toEqual(made.json);
    }
    expect((await owner("GET", "/users/nobody")).status).toBe(404);
    expect((await owner("POST", "/users", body)).status).toBe(409);
    expect((await owner("POST", "/users", { name: "bea2", email: "bea@EXAMPLE.org" })).status).toBe(409);
    const names: string[] = [];
    for (let after: string | undefined = ""; after !== undefined; ) {
      const page: RestReply = await owner("GET", `/users?limit=2${after === "" ? "" : `&after=${after}`}`);
      names.push(...page.json.items.map(({ name }: { name: string }) => name));
      after = page.json.next;
    }
    expect(names).toEqual([...names].sort());
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain("bea");
  });

  test.each([
    { name: "Upper" },
    { name: "a/b" },
    { name: "login" },
    { name: "x", email: "no-address" },
    { name: "x", email: "a@b\r\nBcc: c@d" },
    { name: "x", password: "short" },
    { name: "nathaniel", password: "Nathaniel" },
    { name: "x", password: "x".repeat(1025) },
  ])("%j is refused", async (body) => {
    expect((await owner("POST", "/users", body)).status).toBe(400);
  });

  test("none takes the name of an organization", async () => {
    await owner("POST", "/organizations", { name: "guild" });
    expect((await owner("POST", "/users", { name: "guild" })).status).toBe(409);
  });

  test("one who is disabled does nothing; its tokens come back with it", async () => {
    const token = await makeUser("dan");
    expect((await owner("PATCH", "/users/dan", { disabled: true })).json.disabledAt).toBeDefined();
    expect((await as(token, "GET", "/account")).status).toBe(401);
    expect((await owner("PATCH", "/users/dan", { disabled: false })).json.disabledAt).toBeUndefined();
    expect((await as(token, "GET", "/account")).status).toBe(200);
    expect((await owner("GET", "/audit?target=user:dan")).json.items).toMatchObject([
      { action: "user.enabled", account: "owner" },
      { action: "user.disabled" },
      { action: "user.created" },
    ]);
  });

  test("become administrators, and stop being them; one stays", async () => {
    const token = await makeUser("max");
    expect((await as(token, "GET", "/users")).status).toBe(403);
    await owner("PATCH", "/users/max", { siteAdmin: true });
    expect((await as(token, "GET", "/users")).status).toBe(200);
    await owner("PATCH", "/users/max", { siteAdmin: false });
    expect((await as(token, "GET", "/users")).status).toBe(403);
    expect((await owner("PATCH", "/users/owner", { siteAdmin: false })).status).toBe(400);
    expect((await owner("PATCH", "/users/owner", { disabled: true })).status).toBe(400);
  });

  test("lose a token, or all of them, at an administrator's hand", async () => {
    const token = await makeUser("tom");
    const { id, secret } = await makeToken(token, { name: "ci" });
    const listed = await owner("GET", "/users/tom/tokens");
    expect(listed.json.items.map(({ name }: { name: string }) => name)).toEqual(["ci", "admin"]);
    expect(listed.text).not.toContain(secret);
    // The id of somebody else's token.
    expect((await owner("DELETE", `/users/owner/tokens/${id}`)).status).toBe(404);
    expect((await owner("DELETE", `/users/tom/tokens/${id}`)).status).toBe(204);
    expect((await as(secret, "GET", "/account")).status).toBe(401);
    expect((await owner("DELETE", `/users/tom/tokens/${id}`)).status).toBe(404);
    expect((await owner("GET", `/audit?target=token:${id}&action=token.revoked`)).json.items).toMatchObject([
      { account: "owner", detail: { name: "ci", user: "tom" } },
    ]);
    // Without it a personal token outlives both.
    await owner("PATCH", "/users/tom", { password: `${PASSWORD} again` });
    expect((await as(token, "GET", "/account")).status).toBe(200);
    expect((await owner("PATCH", "/users/tom", { disabled: true, revokeTokens: true })).status).toBe(200);
    await owner("PATCH", "/users/tom", { disabled: false });
    expect((await as(token, "GET", "/account")).status).toBe(401);
    expect((await owner("GET", "/users/tom/tokens")).json.items).toEqual([]);
    expect((await owner("GET", "/audit?target=user:tom&action=tokens.")).json.items).toHaveLength(1);
    expect((await owner("PATCH", "/users/tom", { revokeTokens: false })).status).toBe(400);
  });

  test("the audit log is for administrators, and read in pages", async () => {
    const token = await makeUser("eve");
    expect((await as(token, "GET", "/audit")).status).toBe(403);
    const ids: string[] = [];
    for (let before: string | undefined = ""; before !== undefined; ) {
      const page: RestReply = await owner("GET", `/audit?limit=3${before === "" ? "" : `&before=${before}`}`);
      ids.push(...page.json.items.map(({ log: of, id }: { log: string; id: number }) => `${of} ${id}`));
      before = page.json.next;
    }
    expect(ids).toEqual(Array.from(ids, (_, i) => `accounts ${ids.length - i}`));
    expect((await owner("GET", "/audit?before=1")).status).toBe(400);
    const none = await owner("GET", "/audit?until=2001-01-01T00:00:00Z");
    expect(none.json).toEqual({ items: [] });
    expect((await owner("GET", "/audit?since=2001-01-01T00:00:00Z&limit=1")).json.items).toHaveLength(1);
    expect((await owner("GET", "/audit?since=yesterday")).status).toBe(400);
  });
});

describe("the log of landings", () => {
  test("says whose token landed, whatever author the landing states", async () => {
    const token = await makeUser("ann");
    await as(token, "POST", "/projects", { name: "ann/log" });
    const ci = await makeToken(token, { name: "ci", scope: "write" });
    await using forge = await openRemoteForge(server.url, {
      token: ci.secret,
      clock: systemClock,
      random: systemRandom,
    });
    const { id } = await forge.getProject("ann/log");
    const project = new TestProject(forge, id);
    const author = "bob <bob@example.org>";
    const request = project.request({ put: { "a.txt": "a" }, author });
    await forge.land(id, request);
    // The same landing, sent again by somebody else: the answer is the same, and who landed it too.
    await using other = await openRemoteForge(server.url, {
      token: TOKEN,
      clock: systemClock,
      random: systemRandom,
    });
    expect(await other.land(id, request)).toMatchObject({ kind: "landed", position: 1 });
    // Over REST, with a session.
    const P = `/projects/${id}`;
    const session = await as(token, "POST", `${P}/sessions`, { goal: "by hand", owner: "carol" });
    await as(token, "POST", `${P}/sessions/${session.json.id}/operations`, {
      operations: [{ op: "delete", path: "a.txt" }],
    });
    const landed = await as(token, "POST", `${P}/sessions/${session.json.id}/land`, { author: "carol" });
    expect(landed.status, landed.text).toBe(200);
    const { items } = (await owner("GET", `/audit?target=project:${id}&action=landing.`)).json;
    expect((await owner("GET", `/audit/landings?target=project:${id}`)).json.items).toEqual(items);
    const logs = (await owner("GET", "/audit/landings")).json.items.map((item: { log: string }) => item.log);
    expect(new Set(logs)).toEqual(new Set(["landings"]));
    expect(items).toMatchObject([
      {
        log: "landings",
        account: "ann",
        address: "127.0.0.1",
        action: "landing.created",
        detail: { position: 2, landing: landed.json.landingId, author: "carol" },
      },
      {
        account: "ann",
        token: ci.id,
        action: "landing.created",
        detail: { position: 1, landing: request.landingId, author },
      },
    ]);
  });

  test("has one record of an import, and one of each imported session", async () => {
    const token = await makeUser("abe");
    await as(token, "POST", "/projects", { name: "abe/log" });
    const options = { token, clock: systemClock, random: systemRandom };
    await using forge = await openRemoteForge(server.url, options);
    const source = await TestProject.create(forge, "abe/source");
    for (const name of ["bob", "bob", "carol"]) await source.land({ put: { [name]: name }, author: name });
    const target = await forge.createProject({
      id: mintProjectId(systemRandom),
      name: "abe/target",
      salt: (await forge.getHead(source.id)).salt,
    });
    const landings = await Promise.all(
      [1, 2, 3].map((position) => forge.getLanding(source.id, position as Position)),
    );
    const after = { position: 0 as Position, root: EMPTY_ROOT };
    const frames = source.request({ put: { bob: "bob", carol: "carol" } }).frames;
    await forge.importLandings(target.id, { after, landings, packs: [], frames });
    const session = await forge.startSession(source.id, {
      id: mintSessionId(systemRandom),
      goal: "open",
      owner: "dora",
    });
    await forge.importSession(target.id, session);
    const { items } = (await owner("GET", `/audit?target=project:${target.id}`)).json;
    expect(items.slice(0, 2)).toMatchObject([
      { action: "session.imported", account: "abe", detail: { session: session.id, owner: "dora" } },
      {
        action: "import.done",
        account: "abe",
        detail: { from: 1, position: 3, landings: 3, authors: ["bob", "carol"] },
      },
    ]);
    expect(items.slice(2).map(({ action }: { action: string }) => action)).not.toContain("import.done");
  });
});

describe("members", () => {
  test("of a project get roles, and lose them", async () => {
    const [a, b] = [await makeUser("ina"), await makeUser("jon")];
    await as(a, "POST", "/projects", { name: "ina/shared" });
    const P = `/projects/${encodeURIComponent("ina/shared")}`;
    expect((await as(b, "GET", P)).status).toBe(404);
    expect((await as(a, "PUT", `${P}/members/jon`, { role: "read" })).json).toEqual({
      user: "jon",
      role: "read",
    });
    expect((await as(b, "GET", P)).status).toBe(200);
    expect((await as(b, "PUT", `${P}/members/jon`, { role: "owner" })).status).toBe(403);
    expect((await as(a, "PUT", `${P}/members/jon`, { role: "owner" })).status).toBe(200);
    expect((await as(b, "GET", `${P}/members`)).json.items).toEqual([{ user: "jon", role: "owner" }]);
    expect((await as(a, "PUT", `${P}/members/nobody`, { role: "read" })).status).toBe(404);
    expect((await as(a, "PUT", `${P}/members/jon`, { role: "king" })).status).toBe(400);
    expect((await as(a, "DELETE", `${P}/members/jon`)).status).toBe(204);
    expect((await as(b, "GET", P)).status).toBe(404);
    expect((await as(a, "DELETE", `${P}/members/jon`)).status).toBe(404);
    const { json } = await owner("GET", "/audit?account=ina&action=member.");
    expect(json.items.map(({ detail }: { detail: object }) => detail)).toEqual([
      { user: "jon", before: "owner" },
      { user: "jon", before: "read", role: "owner" },
      { user: "jon", role: "read" },
    ]);
  });

  test("of a project that is not there are nobody's, an administrator's call included", async () => {
    const path = `/projects/${"0".repeat(32)}/members`;
    expect((await owner("GET", path)).status).toBe(404);
    expect((await owner("PUT", `${path}/owner`, { role: "read" })).status).toBe(404);
    expect((await owner("PUT", "/organizations/not-there/members/owner", { role: "read" })).status).toBe(404);
  });

  test("of an organization may do the same in all of its projects; the last owner stays", async () => {
    const [a, b] = [await makeUser("kim"), await makeUser("lea")];
    await as(a, "POST", "/projects", { name: "kim-and-lea/one" });
    const P = `/projects/${encodeURIComponent("kim-and-lea/one")}`;
    const O = "/organizations/kim-and-lea/members";
    expect((await as(b, "GET", O)).status).toBe(404);
    expect((await as(a, "PUT", `${O}/lea`, { role: "write" })).status).toBe(200);
    expect((await as(b, "POST", `${P}/sessions`, { goal: "try" })).status).toBe(201);
    expect((await as(b, "GET", O)).status).toBe(403);
    expect((await as(a, "GET", O)).json.items).toEqual([
      { user: "kim", role: "owner" },
      { user: "lea", role: "write" },
    ]);
    await as(a, "PUT", `${P}/members/lea`, { role: "read" });
    expect((await as(a, "GET", `${P}/members`)).json.items).toEqual([{ user: "lea", role: "read" }]);
    expect((await as(a, "GET", `${P}/members?inherited=true`)).json.items).toEqual([
      { user: "kim", role: "owner", through: "kim-and-lea" },
      { user: "lea", role: "read" },
      { user: "lea", role: "write", through: "kim-and-lea" },
    ]);
    await as(a, "DELETE", `${P}/members/lea`);
    expect((await as(a, "DELETE", `${O}/kim`)).status).toBe(400);
    expect((await as(a, "PUT", `${O}/kim`, { role: "read" })).status).toBe(400);
    expect((await as(a, "PUT", `${O}/lea`, { role: "owner" })).status).toBe(200);
    expect((await as(b, "DELETE", `${O}/kim`)).status).toBe(204);
    expect((await as(b, "DELETE", `${O}/lea`)).status).toBe(400);
  });

  test("a user owns the organization of its name, before its first project too", async () => {
    const token = await makeUser("mia");
    const O = "/organizations/mia/members";
    expect((await as(token, "GET", O)).json.items).toEqual([{ user: "mia", role: "owner" }]);
    expect((await as(token, "PUT", `${O}/mia`, { role: "read" })).status).toBe(400);
    expect((await as(token, "DELETE", `${O}/mia`)).status).toBe(400);
  });
});

test("every route of accounts has answered with success above", () => {
  const ids = [...accountRoutes, ...userRoutes, ...auditRoutes, ...memberRoutes].map(({ id }) => id);
  expect(ids.filter((id) => !client.succeeded.has(id))).toEqual([]);
});
