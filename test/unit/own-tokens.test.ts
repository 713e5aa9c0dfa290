import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemRandom } from "../../src/core/base/system.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { LOCAL_DURABILITY } from "../../src/server/auth/durability.ts";
import { createOwnToken, PERSONAL_TOKENS_MAX, type TokenCall } from "../../src/server/auth/own-tokens.ts";
import { NOBODY, type UserId } from "../../src/server/auth/principal.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const DAY = 24 * 3_600_000;

let directory: string;
let database: AuthDatabase;
let accounts: SqliteAccounts;
let clock: VirtualClock;
let user: UserId;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "mic-own-tokens-"));
  database = new AuthDatabase({ file: join(directory, "accounts.db") });
  clock = new VirtualClock();
  accounts = new SqliteAccounts({ database, clock, random: systemRandom });
  user = (await accounts.createUser({ name: "ada" })).id;
});
afterEach(() => {
  accounts[Symbol.dispose]();
  database[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

const pass = (ms: number) => clock.run(clock.sleep(ms));

function makeMany(count: number, expiresInMs?: number): string[] {
  const expiry = expiresInMs === undefined ? {} : { expiresAtMs: clock.nowMs() + expiresInMs };
  return database.write(() =>
    Array.from(
      { length: count },
      (_, i) =>
        accounts.createToken({ user, kind: "personal", name: `token ${i}`, scope: "read", ...expiry }).token
          .id,
    ),
  );
}

function create(): Promise<unknown> {
  const principal = { ...NOBODY, account: "ada", userId: user, scope: "admin" } as const;
  const audit = { record: () => undefined };
  const context = { accounts, audit, durability: LOCAL_DURABILITY } as unknown as TokenCall["context"];
  return createOwnToken({ context, principal, address: "" }, { name: "one more", scope: "read" });
}

const rows = (): unknown => database.sql.prepare("SELECT count(*) FROM tokens").pluck().get();

test("createOwnToken() counts what is valid: neither expired nor revoked tokens lock anybody out", async () => {
  makeMany(PERSONAL_TOKENS_MAX, 1000);
  await expect(create()).rejects.toMatchObject({ code: "too-large" });
  await pass(1000);
  await create();
  const valid = makeMany(PERSONAL_TOKENS_MAX - 1);
  await expect(create()).rejects.toMatchObject({ code: "too-large" });
  accounts.revokeToken(valid[0]!);
  await create();
  await expect(create()).rejects.toMatchObject({ code: "too-large" });
});

test("tokens of every kind that ended a month ago are removed, and what is valid stays", async () => {
  const [revoked] = makeMany(1);
  makeMany(1, 1000);
  makeMany(1, 90 * DAY);
  const [lasting] = makeMany(1);
  accounts.revokeToken(revoked!);
  await pass(30 * DAY);
  accounts.poll();
  expect(rows()).toBe(4);
  await pass(2 * DAY);
  accounts.poll();
  expect(rows()).toBe(2);
  expect(accounts.getToken(lasting!)).toBeDefined();
});

test("whoever makes tokens and lets them end keeps a bounded number of rows", async () => {
  for (let round = 0; round < 4; round++) {
    makeMany(700, 1000);
    await pass(1000);
  }
  const [valid] = makeMany(1);
  // 1,000 of the 2,100 that had ended, 700 more, and the one that is valid.
  expect(rows()).toBe(1_701);
  expect(accounts.getToken(valid!)).toBeDefined();
});
