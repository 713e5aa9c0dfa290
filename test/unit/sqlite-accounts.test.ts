import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import type { NewToken } from "../../src/server/auth/accounts.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { PasswordHasher } from "../../src/server/auth/password.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { secretDigest } from "../../src/server/auth/token-secret.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const P1 = "1".repeat(32) as ProjectId;
const P2 = "2".repeat(32) as ProjectId;
const MINUTE_MS = 60_000;
/** How long another process's changes may go unseen by calls. */
const LOOK_MS = 20;

let directory: string;
let clock: VirtualClock;
let database: AuthDatabase;
let accounts: SqliteAccounts;
const opened: Disposable[] = [];

const file = (): string => join(directory, "accounts.db");

function openDatabase(readOnly = false): AuthDatabase {
  const made = new AuthDatabase({ file: file(), readOnly });
  opened.push(made);
  return made;
}

function openAccounts(over: AuthDatabase, ownerToken?: string): SqliteAccounts {
  const passwords = new PasswordHasher({ random: systemRandom, cost: { ln: 4, r: 8, p: 1 } });
  const made = new SqliteAccounts({
    database: over,
    clock,
    random: systemRandom,
    passwords,
    onFailure: (error) => {
      throw error;
    },
    ...(ownerToken === undefined ? {} : { ownerToken }),
  });
  opened.push(made);
  return made;
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mic-accounts-"));
  clock = new VirtualClock();
  database = openDatabase();
  accounts = openAccounts(database);
});
afterEach(() => {
  for (const each of opened.splice(0).reverse()) each[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

const failsWith = (code: string) => expect.objectContaining({ code });
const pass = (durationMs: number): Promise<void> => clock.run(clock.sleep(durationMs));

async function userWithToken(name = "ada", more: Partial<NewToken> = {}) {
  const user = await accounts.createUser({ name });
  const request = { user: user.id, kind: "personal", name: "t", scope: "write", ...more } as const;
  return { user, ...accounts.createToken(request) };
}

describe("authenticate()", () => {
  test("gives the same principal for every call with a valid token", async () => {
    const { user, token, secret } = await userWithToken();
    expect(secret).toMatch(/^mic_[A-Za-z0-9_-]{43}$/);
    const principal = accounts.authenticate(secret);
    expect(principal).toMatchObject({
      account: "ada",
      userId: user.id,
      isSiteAdmin: false,
      scope: "write",
      onlyProject: undefined,
      tokenId: token.id,
    });
    accounts.createToken({ user: user.id, kind: "personal", name: "other", scope: "read" });
    accounts.setProjectRole(P1, user.id, "read");
    await accounts.createUser({ name: "ben" });
    expect(accounts.authenticate(secret)).toBe(principal);
    expect(principal.ended.aborted).toBe(false);
  });

  test("a token for one project says so", async () => {
    const { secret } = await userWithToken("ada", { onlyProject: P1 });
    expect(accounts.authenticate(secret).onlyProject).toBe(P1);
  });

  test.each(["", "mic_", `mic_${"A".repeat(43)}`, "x".repeat(4096), "x".repeat(1 << 20), "\0", "ü"])(
    "%j is unauthenticated",
    async (token) => {
      await userWithToken();
      expect(() => accounts.authenticate(token)).toThrow(failsWith("unauthenticated"));
    },
  );

  test.each(["refresh", "session"] as const)("the secret of a %s token is no bearer token", async (kind) => {
    const { secret, token } = await userWithToken("ada", { kind, expiresAtMs: clock.nowMs() + MINUTE_MS });
    expect(secret).toMatch(kind === "refresh" ? /^micr_/ : /^mics_/);
    expect(() => accounts.authenticate(secret)).toThrow(failsWith("unauthenticated"));
    expect(accounts.findToken(secret, kind)).toEqual(token);
    expect(accounts.findToken(secret, "personal")).toBeUndefined();
  });

  test("a revocation refuses the next call, and ends those that are running, at once", async () => {
    const { secret, token } = await userWithToken();
    const { ended } = accounts.authenticate(secret);
    expect(accounts.revokeToken(token.id)).toBe(true);
    expect(ended.aborted).toBe(true);
    expect(() => accounts.authenticate(secret)).toThrow(failsWith("unauthenticated"));
    expect(accounts.revokeToken(token.id)).toBe(false);
  });

  test("a principal whose end nobody waited for is over all the same", async () => {
    const { secret, token } = await userWithToken();
    const principal = accounts.authenticate(secret);
    accounts.revokeToken(token.id);
    expect(principal.ended.aborted).toBe(true);
  });

  test("an expired token is refused from that millisecond on, and its calls end", async () => {
    const { secret } = await userWithToken("ada", { expiresAtMs: clock.nowMs() + MINUTE_MS });
    const later = await userWithToken("ben", { expiresAtMs: clock.nowMs() + 2 * MINUTE_MS });
    const { ended } = accounts.authenticate(secret);
    const other = accounts.authenticate(later.secret).ended;
    await pass(MINUTE_MS - 1);
    accounts.poll();
    expect(ended.aborted).toBe(false);
    expect(accounts.authenticate(secret).ended).toBe(ended);
    await pass(1);
    accounts.poll();
    expect(ended.aborted).toBe(true);
    expect(() => accounts.authenticate(secret)).toThrow(failsWith("unauthenticated"));
    expect(other.aborted).toBe(false);
    await pass(MINUTE_MS);
    accounts.poll();
    expect(other.aborted).toBe(true);
  });

  test("disabling a user ends all it does; enabling it brings personal tokens back, and no sign-ins", async () => {
    const { user, secret } = await userWithToken();
    const expiresAtMs = clock.nowMs() + MINUTE_MS;
    const access = accounts.createToken({
      user: user.id,
      kind: "access",
      name: "a",
      scope: "write",
      expiresAtMs,
    });
    const ended = [secret, access.secret].map((each) => accounts.authenticate(each).ended);
    accounts.setDisabled(user.id, true);
    expect(ended.map(({ aborted }) => aborted)).toEqual([true, true]);
    expect(accounts.findUser("ada")?.disabledAtMs).toBe(clock.nowMs());
    expect(() => accounts.authenticate(secret)).toThrow(failsWith("unauthenticated"));
    expect(() => accounts.createToken({ user: user.id, kind: "personal", name: "x", scope: "read" })).toThrow(
      failsWith("not-found"),
    );
    accounts.setDisabled(user.id, false);
    expect(accounts.authenticate(secret).account).toBe("ada");
    expect(() => accounts.authenticate(access.secret)).toThrow(failsWith("unauthenticated"));
  });

  test("who becomes an administrator, or stops being one, gets another principal", async () => {
    const { user, secret } = await userWithToken();
    const before = accounts.authenticate(secret);
    accounts.setSiteAdmin(user.id, true);
    expect(before.ended.aborted).toBe(true);
    const after = accounts.authenticate(secret);
    expect(after.isSiteAdmin).toBe(true);
    await accounts.createUser({ name: "root", isSiteAdmin: true });
    accounts.setSiteAdmin(user.id, false);
    expect(after.ended.aborted).toBe(true);
    expect(accounts.authenticate(secret).isSiteAdmin).toBe(false);
  });

  test("what another process revokes is refused a moment later", async () => {
    const { secret, token } = await userWithToken();
    accounts.authenticate(secret);
    openAccounts(openDatabase()).revokeToken(token.id);
    await pass(LOOK_MS);
    expect(() => accounts.authenticate(secret)).toThrow(failsWith("unauthenticated"));
  });

  test("what another process revokes ends calls that are running within a second", async () => {
    const { secret, token } = await userWithToken();
    const { ended } = accounts.authenticate(secret);
    openAccounts(openDatabase()).revokeToken(token.id);
    expect(ended.aborted).toBe(false);
    await new Promise((resolve) => {
      ended.addEventListener("abort", resolve);
      AbortSignal.timeout(1000).addEventListener("abort", resolve);
    });
    expect(ended.aborted).toBe(true);
  });

  test("what another process adds is known: tokens at once, roles a moment later", async () => {
    const other = openAccounts(openDatabase());
    const user = await other.createUser({ name: "ada" });
    expect(accounts.roleIn(user.id, P1, "org")).toBeUndefined();
    other.setProjectRole(P1, user.id, "write");
    const { secret } = other.createToken({ user: user.id, kind: "personal", name: "t", scope: "read" });
    expect(accounts.authenticate(secret).userId).toBe(user.id);
    await pass(LOOK_MS);
    expect(accounts.roleIn(user.id, P1, "org")).toBe("write");
  });

  test("content that is replaced as a whole is asked again, whatever it counts", async () => {
    const { user, secret } = await userWithToken();
    const { ended } = accounts.authenticate(secret);
    accounts.roleIn(user.id, P1, "org");
    // As a copy that has seen as many changes, but others.
    database.sql.exec(
      `PRAGMA foreign_keys = OFF; DELETE FROM users; UPDATE generations SET tokens = tokens - 1`,
    );
    database.replaced();
    expect(ended.aborted).toBe(true);
    expect(() => accounts.authenticate(secret)).toThrow(failsWith("unauthenticated"));
  });

  test("revoking one token of a sign-in revokes them all", async () => {
    const expiresAtMs = clock.nowMs() + MINUTE_MS;
    const { user } = await userWithToken();
    const make = (kind: "access" | "refresh", family: string) =>
      accounts.createToken({
        user: user.id,
        kind,
        name: "n",
        scope: "write",
        family,
        client: "c",
        expiresAtMs,
      });
    const [access, refresh, other] = [make("access", "f"), make("refresh", "f"), make("access", "g")];
    const { ended } = accounts.authenticate(access.secret);
    accounts.revokeToken(refresh.token.id);
    expect(ended.aborted).toBe(true);
    expect(accounts.getToken(access.token.id)).toBeUndefined();
    expect(accounts.authenticate(other.secret).account).toBe("ada");
  });

  test("the first use of an access token confirms the refresh token that it was given for", async () => {
    const expiresAtMs = clock.nowMs() + MINUTE_MS;
    const { user, token } = await userWithToken("ada", { kind: "refresh", expiresAtMs });
    const issued = { user: user.id, kind: "access", name: "n", scope: "write", expiresAtMs } as const;
    const { secret } = accounts.createToken({ ...issued, issuedBy: token.id });
    const confirmedAt = () =>
      database.sql.prepare("SELECT confirmed_at FROM tokens WHERE id = ?").pluck().get(token.id);
    expect(confirmedAt()).toBeNull();
    await pass(1000);
    accounts.authenticate(secret);
    const firstMs = clock.nowMs();
    expect(confirmedAt()).toBe(firstMs);
    await pass(1000);
    openAccounts(openDatabase()).authenticate(secret);
    expect(confirmedAt()).toBe(firstMs);
  });

  test("a follower knows who calls, and changes nothing", async () => {
    const { user, secret } = await userWithToken();
    const follower = openAccounts(openDatabase(true));
    expect(follower.authenticate(secret).userId).toBe(user.id);
    await pass(2 * MINUTE_MS);
    follower.authenticate(secret);
    follower.poll();
    expect(accounts.listTokens(user.id)[0]?.lastUsedAtMs).toBeUndefined();
    expect(() => follower.setDisabled(user.id, true)).toThrow(failsWith("forbidden"));
    await expect(follower.createUser({ name: "ben" })).rejects.toThrow(failsWith("forbidden"));
  });
});

describe("the last use of a token", () => {
  test("is known at once, and written once a minute", async () => {
    const { token, secret } = await userWithToken();
    const stored = () =>
      database.sql.prepare("SELECT last_used_at FROM tokens WHERE id = ?").pluck().get(token.id);
    accounts.authenticate(secret);
    expect(accounts.getToken(token.id)?.lastUsedAtMs).toBe(clock.nowMs());
    accounts.poll();
    expect(stored()).toBeNull();
    await pass(MINUTE_MS);
    accounts.authenticate(secret);
    const firstMs = clock.nowMs();
    accounts.poll();
    expect(stored()).toBe(firstMs);
    await pass(MINUTE_MS / 2);
    accounts.authenticate(secret);
    accounts.poll();
    expect(stored()).toBe(firstMs);
  });

  test("is written when the server stops", async () => {
    const { token, secret } = await userWithToken();
    accounts.authenticate(secret);
    accounts[Symbol.dispose]();
    const again = openAccounts(openDatabase());
    expect(again.getToken(token.id)?.lastUsedAtMs).toBe(clock.nowMs());
  });

  test("is no change that ends anything", async () => {
    const { secret } = await userWithToken();
    const principal = accounts.authenticate(secret);
    await pass(MINUTE_MS);
    accounts.poll();
    expect(accounts.authenticate(secret)).toBe(principal);
  });
});

describe("tokens", () => {
  test("are listed newest first, without what is over", async () => {
    const { user } = await userWithToken("ada", { name: "first", expiresAtMs: clock.nowMs() + MINUTE_MS });
    const make = (name: string, more: Partial<NewToken> = {}) =>
      accounts.createToken({ user: user.id, kind: "personal", name, scope: "read", ...more });
    await pass(1);
    const revoked = make("revoked");
    make("signed in", { kind: "access", expiresAtMs: clock.nowMs() + 1000 });
    await pass(MINUTE_MS);
    make("second");
    accounts.revokeToken(revoked.token.id);
    // One that was made for a script is shown when it has expired: somebody may wonder why it stopped.
    expect(accounts.listTokens(user.id).map(({ name }) => name)).toEqual(["second", "first"]);
  });

  test.each([
    { name: "" },
    { name: "a\nb" },
    { expiresAtMs: 0 },
    { expiresAtMs: Number.NaN },
    { expiresAtMs: Number.POSITIVE_INFINITY },
  ])("%j is refused", async (more) => {
    await expect(userWithToken("ada", more)).rejects.toThrow(failsWith("usage"));
  });

  test("no secret is in the database", async () => {
    const { secret } = await userWithToken();
    database.sql.pragma("wal_checkpoint(TRUNCATE)");
    const bytes = readFileSync(file());
    expect(bytes.includes(secret.slice(4))).toBe(false);
    expect(bytes.includes(secretDigest(secret))).toBe(true);
  });
});

describe("roles", () => {
  test("the greater of the project's and the organization's counts", async () => {
    const { user } = await userWithToken();
    const role = () => accounts.roleIn(user.id, P1, "org");
    expect(role()).toBeUndefined();
    accounts.setOrganizationRole("org", user.id, "write");
    expect(role()).toBe("write");
    accounts.setProjectRole(P1, user.id, "read");
    expect(role()).toBe("write");
    accounts.setProjectRole(P1, user.id, "owner");
    expect(role()).toBe("owner");
    expect(accounts.roleIn(user.id, P2, "org")).toBe("write");
    expect(accounts.roleIn(user.id, P2, "other")).toBeUndefined();
    accounts.setProjectRole(P1, user.id, undefined);
    accounts.releaseOrganization("org", user.id);
    expect(role()).toBeUndefined();
  });

  test("a user owns the organization of its name", async () => {
    const { user } = await userWithToken();
    expect(accounts.roleInOrganization(user.id, "ada")).toBe("owner");
    expect(accounts.roleIn(user.id, P1, "ada")).toBe("owner");
    expect(accounts.listOrganizationMembers("ada")).toMatchObject([{ user: { name: "ada" }, role: "owner" }]);
    const { user: ben } = await userWithToken("ben");
    accounts.setOrganizationRole("ada", ben.id, "owner");
    for (const role of [undefined, "read", "write"] as const) {
      expect(() => accounts.setOrganizationRole("ada", user.id, role)).toThrow(failsWith("usage"));
    }
    accounts.setOrganizationRole("ada", ben.id, undefined);
  });

  test("the last owner of an organization stays; one who is disabled is none", async () => {
    const { user: ada } = await userWithToken("ada");
    const { user: ben } = await userWithToken("ben");
    accounts.setOrganizationRole("org", ada.id, "owner");
    expect(() => accounts.setOrganizationRole("org", ada.id, undefined)).toThrow(failsWith("usage"));
    accounts.setOrganizationRole("org", ben.id, "owner");
    accounts.setDisabled(ben.id, true);
    expect(() => accounts.setOrganizationRole("org", ada.id, "write")).toThrow(failsWith("usage"));
    accounts.setOrganizationRole("org", ben.id, "read");
    accounts.setOrganizationRole("org", ben.id, "owner");
    accounts.setDisabled(ben.id, false);
    accounts.setOrganizationRole("org", ada.id, undefined);
    expect(accounts.roleInOrganization(ada.id, "org")).toBeUndefined();
  });

  test("what a transaction saw and took back is not remembered", async () => {
    const { user } = await userWithToken();
    expect(() =>
      database.write(() => {
        accounts.setProjectRole(P1, user.id, "owner");
        expect(accounts.roleIn(user.id, P1, "org")).toBe("owner");
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(accounts.roleIn(user.id, P1, "org")).toBeUndefined();
  });

  test("names of users and of organizations with members are taken", async () => {
    const { user } = await userWithToken();
    expect(accounts.isNameTaken("ada")).toBe(true);
    expect(accounts.isNameTaken("org")).toBe(false);
    accounts.setOrganizationRole("org", user.id, "owner");
    expect(accounts.isNameTaken("org")).toBe(true);
    await expect(accounts.createUser({ name: "org" })).rejects.toThrow(failsWith("already-exists"));
  });

  test("nobody who is not there gets one", () => {
    expect(() => accounts.setProjectRole(P1, "f".repeat(32), "read")).toThrow(failsWith("not-found"));
    expect(() => accounts.setOrganizationRole("org", "f".repeat(32), "owner")).toThrow(
      failsWith("not-found"),
    );
  });
});

describe("passwords", () => {
  const password = "a horse that nobody rides";

  test("let the user in by name and by address, in any case, and nobody else", async () => {
    const user = await accounts.createUser({ name: "ada", email: "ada@example.org", password });
    for (const login of ["ada", "Ada", "ada@example.org", "ADA@EXAMPLE.ORG"]) {
      expect((await accounts.checkPassword(login, password)).id).toBe(user.id);
    }
    await accounts.createUser({ name: "ben" });
    const wrong = [
      ["ada", `${password} `],
      ["ada", password.toUpperCase()],
      ["ada", ""],
      ["ben", ""],
      ["ben", password],
      ["nobody", password],
      [user.id, password],
    ] as const;
    for (const [login, each] of wrong) {
      await expect(accounts.checkPassword(login, each)).rejects.toThrow(failsWith("unauthenticated"));
    }
    accounts.setDisabled(user.id, true);
    await expect(accounts.checkPassword("ada", password)).rejects.toThrow(failsWith("unauthenticated"));
  });

  test("are the same in every Unicode form", async () => {
    await accounts.createUser({ name: "ada", password: "Größe \u00e9\u212b" });
    expect(
      (await accounts.checkPassword("ada", "Gro\u0308\u00dfe e\u0301\u00c5".normalize("NFD"))).name,
    ).toBe("ada");
  });

  test("a new one ends sign-ins, and leaves personal tokens", async () => {
    const { user, secret } = await userWithToken();
    const expiresAtMs = clock.nowMs() + MINUTE_MS;
    const session = accounts.createToken({
      user: user.id,
      kind: "session",
      name: "s",
      scope: "admin",
      expiresAtMs,
    });
    await accounts.setPassword(user.id, password);
    expect(accounts.findToken(session.secret, "session")).toBeUndefined();
    expect(accounts.authenticate(secret).account).toBe("ada");
    expect((await accounts.checkPassword("ada", password)).hasPassword).toBe(true);
  });

  test("one that is changed while it is checked does not let in", async () => {
    const user = await accounts.createUser({ name: "ada", password });
    const checked = accounts.checkPassword("ada", password);
    database.write((sql) =>
      sql.prepare("UPDATE users SET password_hash = ? WHERE id = ?").run("other", user.id),
    );
    await expect(checked).rejects.toThrow(failsWith("unauthenticated"));
  });

  test("hashes that have become cheap are made again when the password is known", async () => {
    await accounts.createUser({ name: "ada", password });
    const hashOf = () =>
      database.sql.prepare("SELECT password_hash FROM users WHERE name = 'ada'").pluck().get();
    expect(hashOf()).toMatch(/^\$scrypt\$ln=4,r=8,p=1\$/);
    const passwords = new PasswordHasher({ random: systemRandom, cost: { ln: 5, r: 8, p: 1 } });
    using stronger = new SqliteAccounts({ database, clock, random: systemRandom, passwords });
    await expect(stronger.checkPassword("ada", "wrong")).rejects.toThrow(failsWith("unauthenticated"));
    expect(hashOf()).toMatch(/ln=4,/);
    await stronger.checkPassword("ada", password);
    expect(hashOf()).toMatch(/^\$scrypt\$ln=5,r=8,p=1\$/);
    await stronger.checkPassword("ada", password);
  });
});

describe("users", () => {
  test("two with one name, or one address, are not made, at the same time either", async () => {
    const twice = await Promise.allSettled([
      accounts.createUser({ name: "ada", email: "a@example.org" }),
      accounts.createUser({ name: "ada" }),
      accounts.createUser({ name: "other", email: "A@example.org" }),
    ]);
    expect(twice.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
  });

  test("one administrator stays", async () => {
    const ada = await accounts.createUser({ name: "ada", isSiteAdmin: true });
    const ben = await accounts.createUser({ name: "ben", isSiteAdmin: true });
    accounts.setDisabled(ben.id, true);
    expect(() => accounts.setDisabled(ada.id, true)).toThrow(failsWith("usage"));
    expect(() => accounts.setSiteAdmin(ada.id, false)).toThrow(failsWith("usage"));
    accounts.setDisabled(ben.id, false);
    accounts.setSiteAdmin(ada.id, false);
    expect(() => accounts.setDisabled("f".repeat(32), true)).toThrow(failsWith("not-found"));
  });
});

describe("changeUser()", () => {
  const password = "a battery of correct horses";
  const state = (name: string) => {
    const { isSiteAdmin, hasPassword, disabledAtMs } = accounts.findUser(name)!;
    return { isSiteAdmin, hasPassword, isDisabled: disabledAtMs !== undefined };
  };

  test("makes every change that is named, and no other", async () => {
    await accounts.createUser({ name: "root", isSiteAdmin: true });
    const { id } = await accounts.createUser({ name: "ada" });
    await accounts.changeUser(id, { password, siteAdmin: true, disabled: true });
    expect(state("ada")).toEqual({ isSiteAdmin: true, hasPassword: true, isDisabled: true });
    await accounts.changeUser(id, { disabled: false });
    expect(state("ada")).toEqual({ isSiteAdmin: true, hasPassword: true, isDisabled: false });
  });

  test("makes none where one of them is refused", async () => {
    const { id } = await accounts.createUser({ name: "ada", isSiteAdmin: true });
    const before = { isSiteAdmin: true, hasPassword: false, isDisabled: false };
    for (const change of [
      { password, disabled: true },
      { password, siteAdmin: false },
      { password: "short", siteAdmin: true },
    ]) {
      await expect(accounts.changeUser(id, change)).rejects.toEqual(failsWith("usage"));
      expect(state("ada")).toEqual(before);
    }
    const other = await accounts.createUser({ name: "bob" });
    await expect(accounts.changeUser(other.id, { siteAdmin: true, password: "bob" })).rejects.toEqual(
      failsWith("usage"),
    );
    expect(state("bob")).toEqual({ isSiteAdmin: false, hasPassword: false, isDisabled: false });
  });
});
