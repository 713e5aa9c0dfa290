/** Accounts from the command line: the built executable on both sides, and a browser's requests in between. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import Database from "better-sqlite3";
import { beforeAll, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { Visitor } from "../support/auth-server.ts";
import { Served } from "./served.ts";
import { type JsonDocument, type RunOptions, World } from "./support.ts";
import { hasTmux, Terminal } from "./terminal.ts";

const OWNER_TOKEN = "token-of-the-end-to-end-tests";
const ID = /^[0-9a-f]{32}$/;

let world: World;
let served: Served;
let password: string;

beforeAll(async () => {
  world = await World.create();
  // Before the first start of the server, in the directory that it is going to have.
  const made = world.json([
    "admin",
    "user",
    "create",
    "ada",
    "--email",
    "ada@example.org",
    "--admin",
    "--data",
    "forge",
  ]);
  expect(made).toMatchObject({
    code: 0,
    document: {
      id: expect.stringMatching(ID),
      name: "ada",
      siteAdmin: true,
      password: expect.stringMatching(/^[a-z2-9]{22}$/),
    },
  });
  password = made.document.password;
  served = await Served.start(world, { token: OWNER_TOKEN });
});

/** No author but the account. */
const asAccount = { MIC_AUTHOR: undefined };

function run(args: readonly string[], options: RunOptions = {}) {
  return world.json(args, { ...options, env: { ...asAccount, ...options.env } });
}

let bobsPassword = "a long enough one";
const ofBob = () => ({ MIC_HOME: world.path("bobs") });

/** With a token: nothing waits for it. */
function signInAsBob(): void {
  using database = new AuthDatabase({ file: world.path("forge", "auth", "accounts.db") });
  using accounts = new SqliteAccounts({ database, clock: systemClock, random: systemRandom });
  const { id: user } = accounts.findUser("bob")!;
  const request = { user, kind: "personal", name: "bobs", scope: "admin" } as const;
  const { secret } = accounts.createToken(request);
  const login = ["auth", "login", "--server", served.url, "--token", "-"];
  expect(run(login, { env: ofBob(), input: secret })).toMatchObject({ document: { account: "bob" } });
}

interface Login {
  readonly userCode: string;
  readonly verificationUri: string;
  readonly child: ChildProcess;
  readonly ended: Promise<{
    readonly code: number | null;
    readonly document: JsonDocument;
    readonly stderr: string;
  }>;
}

/** Until it shows its code. */
async function startLogin(home: string, ...args: readonly string[]): Promise<Login> {
  const child = spawn(world.binary, ["--json", "auth", "login", "--server", served.url, ...args], {
    cwd: world.dir,
    env: { ...world.env, MIC_HOME: world.path(home) },
  });
  child.stdin.end();
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (part) => {
    stdout += String(part);
  });
  child.stderr.on("data", (part) => {
    stderr += String(part);
  });
  const ended = new Promise<Awaited<Login["ended"]>>((resolve) =>
    child.once("close", (code) =>
      resolve({ code, document: stdout === "" ? undefined : JSON.parse(stdout), stderr }),
    ),
  );
  for (let waited = 0; ; waited += 20) {
    const code = /^ {4}([A-Z]{4}-[A-Z]{4})$/m.exec(stderr)?.[1];
    const page = /^Open (\S+) in a browser/m.exec(stderr)?.[1];
    if (code !== undefined && page !== undefined)
      return { userCode: code, verificationUri: page, child, ended };
    if (child.exitCode !== null || waited > 10_000) throw new Error(`no code: ${stdout}${stderr}`);
    await delay(20);
  }
}

async function decide(userCode: string, decision: "approve" | "deny"): Promise<void> {
  const browser = new Visitor(served.url);
  expect((await browser.logIn("ada", password)).status).toBe(303);
  await browser.get(`/device?user_code=${userCode}`);
  expect((await browser.post("/device", { decision })).status).toBe(200);
}

describe("mic auth login", () => {
  test("waits until its code is approved in a browser, and keeps who signed in", async () => {
    const login = await startLogin("home", "--scope", "admin");
    expect(login.verificationUri).toBe(`${served.url}/device`);
    await decide(login.userCode, "approve");
    const { code, document } = await login.ended;
    expect({ code, document }).toEqual({
      code: 0,
      document: {
        server: served.url,
        default: true,
        account: "ada",
        scope: "admin",
        expiresAt: expect.stringMatching(/^\d{4}-.*Z$/),
      },
    });
    const file = credentialFile("home");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({
      origin: served.url,
      token: expect.stringMatching(/^mic_/),
      refreshToken: expect.stringMatching(/^micr_/),
      scope: "admin",
      account: { name: "ada", email: "ada@example.org" },
    });
    expect(run(["auth", "status"])).toMatchObject({
      code: 0,
      document: {
        servers: [{ server: served.url, valid: true, account: "ada", scope: "admin", renews: true }],
      },
    });
  });

  test("says that it was denied, and that it was interrupted", async () => {
    const [denied, interrupted] = await Promise.all([startLogin("denied"), startLogin("interrupted")]);
    interrupted.child.kill("SIGINT");
    expect(await interrupted.ended).toMatchObject({ code: 130, document: { error: { code: "aborted" } } });
    await decide(denied.userCode, "deny");
    expect(await denied.ended).toMatchObject({
      code: 4,
      document: { error: { code: "unauthenticated", message: "the sign-in was denied in the browser" } },
    });
  });

  test("takes a token from stdin instead, and knows whose it is", () => {
    const env = { MIC_HOME: world.path("by-token") };
    expect(
      run(["auth", "login", "--server", served.url, "--token", "-"], { env, input: `${OWNER_TOKEN}\n` }),
    ).toMatchObject({
      code: 0,
      document: { account: "owner", scope: "admin" },
    });
    expect(run(["auth", "login", "--server", served.url, "--token", "mic_wrong"], { env })).toMatchObject({
      code: 4,
    });
    expect(run(["auth", "logout"], { env })).toMatchObject({ code: 0, document: { revoked: false } });
  });
});

describe("signed in", () => {
  test("one lands under the account's name, unless MIC_AUTHOR has another", () => {
    expect(run(["project", "create", "ada/notes"]).code).toBe(0);
    expect(run(["clone", "ada/notes", "work"]).code).toBe(0);
    world.write("work/a", "a\n");
    expect(run(["land", "first"], { in: "work" }).code).toBe(0);
    world.write("work/a", "b\n");
    expect(run(["land", "second"], { in: "work", env: { MIC_AUTHOR: "Bob <bob@example.org>" } }).code).toBe(
      0,
    );
    const authors = world
      .ok(["log", "--json"], { in: "work" })
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).author);
    expect(authors).toEqual(["Bob <bob@example.org>", "ada <ada@example.org>"]);
  });

  test("one makes tokens for scripts, lists them and revokes them", () => {
    const made = run([
      "auth",
      "token",
      "create",
      "ci",
      "--scope",
      "read",
      "--project",
      "ada/notes",
      "--expires",
      "30d",
    ]);
    expect(made).toMatchObject({
      code: 0,
      document: {
        id: expect.stringMatching(ID),
        name: "ci",
        scope: "read",
        secret: expect.stringMatching(/^mic_[\w-]{43}$/),
      },
    });
    const { id, secret, expiresAt } = made.document;
    expect(Date.parse(expiresAt) - Date.now()).toBeGreaterThan(29 * 86_400_000);
    const env = { MIC_HOME: world.path("script"), MIC_TOKEN: secret, MIC_SERVER: served.url };
    expect(run(["ls", "--project", "ada/notes"], { env }).code).toBe(0);
    expect(run(["project", "update", "ada/notes", "-d", "mine"], { env })).toMatchObject({
      code: 4,
      document: { error: { code: "forbidden" } },
    });
    expect(run(["auth", "token", "create", "more"], { env })).toMatchObject({
      code: 4,
      document: { error: { code: "forbidden" } },
    });
    const { document } = run(["auth", "token", "list"]);
    expect(document.tokens.map((token: JsonDocument) => token.name)).toContain("ci");
    expect(JSON.stringify(document)).not.toContain(secret);
    expect(run(["auth", "token", "revoke", secret])).toMatchObject({ code: 2 });
    expect(run(["auth", "token", "revoke", id])).toMatchObject({ code: 0, document: { id, revoked: true } });
    expect(run(["ls", "--project", "ada/notes"], { env })).toMatchObject({
      code: 4,
      document: { error: { code: "unauthenticated" } },
    });
    expect(run(["auth", "token", "revoke", id])).toMatchObject({
      code: 1,
      document: { error: { code: "not-found" } },
    });
  });

  test("an administrator makes users, gives them roles, and shuts them out", () => {
    expect(
      run(["admin", "user", "create", "bob", "--password-stdin"], { input: "a long enough one\n" }),
    ).toMatchObject({
      code: 0,
      document: { name: "bob", siteAdmin: false, disabled: false },
    });
    expect(run(["admin", "user", "create", "bob"])).toMatchObject({
      code: 1,
      document: { error: { code: "already-exists" } },
    });
    expect(run(["admin", "user", "create", "eve", "--password-stdin"], { input: "short\n" })).toMatchObject({
      code: 2,
    });
    expect(run(["project", "member", "add", "bob", "--role", "read"], { in: "work" })).toMatchObject({
      code: 0,
      document: { in: "ada/notes", user: "bob", role: "read" },
    });
    expect(run(["org", "member", "add", "ada", "bob"]).document).toMatchObject({
      user: "bob",
      role: "write",
    });
    expect(run(["project", "member", "list", "--project", "ada/notes"]).document.members).toEqual([
      { user: "ada", role: "owner", through: "ada" },
      { user: "bob", role: "read" },
      { user: "bob", role: "write", through: "ada" },
    ]);
    expect(world.ok(["project", "member", "list", "--project", "ada/notes"])).toBe(
      "ada  owner  through ada\nbob  read\nbob  write  through ada\n",
    );
    expect(run(["org", "member", "remove", "ada", "bob"]).code).toBe(0);
    expect(run(["project", "member", "remove", "bob"], { in: "work" }).code).toBe(0);
    expect(run(["project", "member", "remove", "bob"], { in: "work" })).toMatchObject({ code: 1 });
    expect(run(["admin", "user", "disable", "bob"]).document).toMatchObject({ name: "bob", disabled: true });
    expect(run(["admin", "user", "list"]).document.users).toMatchObject([
      { name: "ada", disabled: false },
      { name: "bob", disabled: true },
      { name: "owner", siteAdmin: true },
    ]);
    expect(run(["admin", "user", "enable", "bob"]).document).toMatchObject({ disabled: false });
    // On the server's machine, while it runs.
    const reset = run(["admin", "user", "reset-password", "bob@nowhere", "--data", "forge"]);
    expect(reset).toMatchObject({ code: 1, document: { error: { code: "not-found" } } });
    bobsPassword = run(["admin", "user", "reset-password", "bob", "--data", "forge"]).document.password;
    expect(bobsPassword).toHaveLength(22);
    expect(run(["admin", "user", "list", "--data", "nowhere"])).toMatchObject({
      code: 1,
      document: { error: { code: "not-found" } },
    });
  });

  test("makes an administrator of one, and takes it back", () => {
    expect(run(["admin", "user", "promote", "bob"]).document).toMatchObject({ name: "bob", siteAdmin: true });
    expect(run(["admin", "user", "demote", "bob"]).document).toMatchObject({ siteAdmin: false });
    expect(run(["admin", "user", "promote", "bob", "--data", "forge"]).document.siteAdmin).toBe(true);
    expect(run(["admin", "user", "demote", "bob", "--data", "forge"]).document.siteAdmin).toBe(false);
  });

  test("a password is changed by its user", async () => {
    signInAsBob();
    const change = (input: string) => run(["auth", "password", "--password-stdin"], { env: ofBob(), input });
    expect(change("not this one\nanother long one\n")).toMatchObject({
      code: 4,
      document: { error: { code: "forbidden" } },
    });
    expect(change(`${bobsPassword}\n`)).toMatchObject({ code: 2 });
    expect(change(`${bobsPassword}\nshort\n`)).toMatchObject({ code: 2 });
    expect(run(["auth", "password"], { env: ofBob() })).toMatchObject({ code: 2 });
    expect(change(`${bobsPassword}\nanother long one\n`)).toMatchObject({
      code: 0,
      document: { server: served.url, account: "bob", changed: true },
    });
    bobsPassword = "another long one";
    const browser = new Visitor(served.url);
    expect((await browser.logIn("bob", bobsPassword)).status).toBe(303);
  });

  test.skipIf(!hasTmux)("it is asked for on a terminal, unseen, and twice", async () => {
    const command = `MIC_HOME="${world.path("bobs")}" "${world.binary}" auth password`;
    const size = { columns: 80, rows: 24 };
    {
      using terminal = new Terminal(world, ".", command, size);
      await terminal.waitFor("current password:");
      terminal.press(bobsPassword, "Enter");
      await terminal.waitFor("new password:");
      terminal.press("a third good one", "Enter");
      await terminal.waitFor("the same again:");
      terminal.press("a third wrong one", "Enter");
      await terminal.waitFor("not the same twice");
      expect(await terminal.waitFor("exit code 2")).not.toContain("third");
    }
    {
      using terminal = new Terminal(world, ".", command, size);
      await terminal.waitFor("current password:");
      terminal.press("C-c");
      await terminal.waitFor("exit code 130");
    }
    using terminal = new Terminal(world, ".", command, size);
    await terminal.waitFor("current password:");
    terminal.press(`${bobsPassword}xy`, "BSpace", "BSpace", "Enter");
    await terminal.waitFor("new password:");
    terminal.press("a third good one", "Enter");
    await terminal.waitFor("the same again:");
    terminal.press("a third good one", "Enter");
    await terminal.waitFor("exit code 0");
  });

  test("an administrator ends the tokens of somebody else", () => {
    const make = (name: string) =>
      run(["auth", "token", "create", name, "--scope", "read"], { env: ofBob() }).document;
    const isValid = ({ secret }: JsonDocument): boolean =>
      run(["auth", "status"], {
        env: { MIC_HOME: world.path("script"), MIC_TOKEN: secret, MIC_SERVER: served.url },
      }).code === 0;
    const names = (...args: string[]) =>
      run(["admin", "token", "list", "--user", "bob", ...args]).document.tokens.map(
        ({ name }: JsonDocument) => name,
      );
    const [one, two, three] = [make("one"), make("two"), make("three")];
    expect(names().toSorted()).toEqual(["bobs", "one", "three", "two"]);
    expect(names("--data", "forge").toSorted()).toEqual(["bobs", "one", "three", "two"]);
    expect(run(["admin", "token", "revoke", one.id, "--user", "ada"])).toMatchObject({ code: 1 });
    expect(run(["admin", "token", "revoke", one.id, "--user", "bob"])).toMatchObject({
      code: 0,
      document: { id: one.id, revoked: true },
    });
    expect(run(["admin", "token", "revoke", two.id, "--user", "bob", "--data", "forge"]).code).toBe(0);
    expect([isValid(one), isValid(two), isValid(three)]).toEqual([false, false, true]);
    expect(run(["admin", "token", "revoke", "--user", "bob"])).toMatchObject({ code: 2 });
    // A new password leaves what is made for scripts, unless it is told otherwise.
    run(["admin", "user", "reset-password", "bob"]);
    expect(isValid(three)).toBe(true);
    expect(run(["admin", "user", "reset-password", "bob", "--revoke-tokens"]).code).toBe(0);
    expect(isValid(three)).toBe(false);
    expect(run(["admin", "token", "revoke", "--all", "--user", "bob"])).toMatchObject({
      document: { user: "bob", revoked: true },
    });
    expect(names()).toEqual([]);
    run(["admin", "user", "enable", "bob"]);
  });

  test("and looks at who did what", () => {
    const entries = (args: readonly string[]): JsonDocument[] =>
      world
        .ok(["admin", "audit", "--json", ...args])
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line));
    // Whoever the author is said to be.
    const landings = [
      { account: "ada", detail: { position: 2, author: "Bob <bob@example.org>" } },
      { account: "ada", detail: { position: 1, author: "ada <ada@example.org>" } },
    ];
    expect(entries(["--action", "landing."])).toMatchObject(landings);
    expect(entries(["--landings"])).toMatchObject(landings);
    expect(entries(["--action", "landing.", "--data", "forge", "-n", "1"])).toMatchObject([landings[0]]);
    expect(entries(["--since", "1h", "--until", "2100-01-01", "-n", "3"])).toHaveLength(3);
    // As many as the log of landings may hold.
    expect(entries(["--until", "1h", "-n", "2000000"])).toEqual([]);
    expect(run(["admin", "audit", "--since", "yesterday"])).toMatchObject({ code: 2 });
    const prune = ["admin", "audit", "prune", "--before", "1h"];
    expect(run([...prune, "--yes"])).toMatchObject({ code: 2 });
    expect(run([...prune, "--data", "forge"])).toMatchObject({ code: 2 });
    expect(run([...prune, "--data", "forge", "--yes"])).toMatchObject({ code: 0, document: { removed: 0 } });
    expect(entries(["--action", "audit."])).toMatchObject([{ address: "local", detail: { removed: 0 } }]);
    expect(entries(["--target", "user:bob", "--action", "user.", "-n", "2"])).toMatchObject([
      { action: "user.enabled", account: "ada", address: "127.0.0.1", token: expect.stringMatching(ID) },
      { action: "user.demoted", account: "", address: "local" },
    ]);
    expect(entries(["--account", "ada", "--action", "token.created"])).toMatchObject([
      { detail: { name: "ci" } },
    ]);
    expect(JSON.stringify(entries([]))).not.toMatch(/mic[rsd]?_[\w-]{20}/);
    expect(run(["admin", "audit", "-n", "0"])).toMatchObject({ code: 2 });
  });
});

describe("a sign-in that is about to expire", () => {
  test("is renewed once by twenty commands at the same time", async () => {
    const before = countPairs();
    expireSoon();
    const results = await Promise.all(
      Array.from({ length: 20 }, () => world.start(["--json", "project", "list"])),
    );
    expect(results.map(({ code, stdout }) => (code === 0 ? 0 : stdout))).toEqual(Array(20).fill(0));
    expect(countPairs() - before).toBe(1);
  });

  test("survives commands that are killed while they renew it", async () => {
    let renewed = 0;
    for (let round = 0; round < 16; round++) {
      expireSoon();
      const before = countPairs();
      const child = spawn(world.binary, ["project", "list"], {
        cwd: world.dir,
        env: world.env,
        stdio: "ignore",
      });
      const ended = new Promise((resolve) => child.once("exit", resolve));
      // As soon as the server has made a pair, or at about that time.
      const deadline = performance.now() + 5_000;
      while (round % 2 === 0 && countPairs() === before && performance.now() < deadline) await delay(1);
      if (round % 2 === 1) await delay(20 + round * 10);
      child.kill("SIGKILL");
      await ended;
      if (countPairs() > before) renewed++;
    }
    expect(renewed).toBeGreaterThan(0);
    expireSoon();
    expect(run(["project", "list"])).toMatchObject({ code: 0, stderr: "" });
    expect(run(["auth", "status"]).code).toBe(0);
  });

  test("works with a clock that is a year behind: what the server refuses is renewed", () => {
    const before = countPairs();
    setExpiry(Date.now() + 365 * 86_400_000);
    // The server ends the token, as time would have.
    const database = new Database(world.path("forge/auth/accounts.db"));
    database
      .prepare("UPDATE tokens SET expires_at = ? WHERE kind = 'access' AND revoked_at IS NULL")
      .run(Date.now() - 1);
    database.close();
    expect(run(["project", "list"])).toMatchObject({ code: 0 });
    expect(countPairs() - before).toBe(1);
  });
});

describe("mic auth logout", () => {
  test("ends the sign-in at the server, and forgets it", async () => {
    const { token, refreshToken } = JSON.parse(readFileSync(credentialFile("home"), "utf8"));
    expect(run(["auth", "logout"])).toMatchObject({
      code: 0,
      document: { server: served.url, revoked: true },
    });
    const answer = await fetch(`${served.url}/api/mic/account`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(answer.status).toBe(401);
    const form = { grant_type: "refresh_token", refresh_token: refreshToken, client_id: "mic-cli" };
    const refreshed = await fetch(`${served.url}/oauth/token`, {
      method: "POST",
      body: new URLSearchParams(form),
    });
    expect(await refreshed.json()).toMatchObject({ error: "invalid_grant" });
    expect(run(["auth", "status"])).toMatchObject({
      code: 4,
      document: { servers: [{ source: null, valid: false }] },
    });
    expect(run(["project", "list"])).toMatchObject({
      code: 4,
      document: { error: { code: "unauthenticated" } },
    });
  });

  test("forgets it when the server cannot be asked, and says so", async () => {
    const home = { MIC_HOME: world.path("offline") };
    const login = await startLogin("offline");
    await decide(login.userCode, "approve");
    expect((await login.ended).code).toBe(0);
    await served.end("SIGKILL");
    const { code, document, stderr } = run(["auth", "logout", "--timeout", "2"], { env: home });
    expect({ code, document }).toEqual({ code: 0, document: { server: served.url, revoked: false } });
    expect(stderr).toContain("forgotten here, but the server could not be told");
    expect(run(["auth", "logout"], { env: home })).toMatchObject({ code: 1 });
  });
});

function credentialFile(home: string): string {
  return world.path(home, "credentials", `127.0.0.1_${served.port}.json`);
}

function setExpiry(timeMs: number): void {
  const file = credentialFile("home");
  const credential = JSON.parse(readFileSync(file, "utf8"));
  writeFileSync(file, JSON.stringify({ ...credential, expiresAt: new Date(timeMs).toISOString() }), {
    mode: 0o600,
  });
}

function expireSoon(): void {
  setExpiry(Date.now() + 60_000);
}

/** Refresh tokens that the server ever made and still remembers. */
function countPairs(): number {
  const database = new Database(world.path("forge/auth/accounts.db"), { readonly: true });
  try {
    return (
      database.prepare("SELECT count(*) AS n FROM tokens WHERE kind = 'refresh'").get() as { n: number }
    ).n;
  } finally {
    database.close();
  }
}
