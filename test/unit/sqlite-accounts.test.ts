import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { PasswordHasher } from "../../src/server/auth/password.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const P1 = "1".repeat(32) as ProjectId;
const P2 = "2".repeat(32) as ProjectId;
const MINUTE_MS = 60_000;

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
const pass = async (durationMs: number): Promise<void> => {
  const slept = clock.sleep(durationMs);
  await clock.run(slept);
};

async function userWithToken(name = "ada") {
  const user = await accounts.createUser({ name });
  const { token, secret } = accounts.createToken({ user: user.id, kind: "personal", name: "t", scope: "write" });
  return { user, token, secret };
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
    expect(accounts.authenticate(secret)).toBe(principal);
    expect(principal.ended.aborted).toBe(false);
  });
});
