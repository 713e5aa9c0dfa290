/** Users that are made in a data directory, beside the server. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { openDirectoryForge } from "../../src/core/forge/forge-directory.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { openAccountAdmin } from "../../src/server/auth/offline-accounts.ts";
import { accountsFile } from "../../src/server/auth/owner-token.ts";
import type { Role } from "../../src/server/auth/principal.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mic-offline-accounts-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

async function create(name: string): Promise<void> {
  await using admin = await openAccountAdmin({ dataDirectory: directory, create: true });
  await admin.createUser({ name });
}

function roleInOwn(name: string): Role | undefined {
  using database = new AuthDatabase({ file: accountsFile(directory) });
  using accounts = new SqliteAccounts({ database, clock: systemClock, random: systemRandom });
  return accounts.roleInOrganization(accounts.findUser(name)!.id, name);
}

test("no user takes over an organization of the store in the directory", async () => {
  const ports = { clock: systemClock, random: systemRandom };
  await using forge = await openDirectoryForge(directory, { ...ports, create: true });
  await forge.createOrganization({ name: "acme" });
  await expect(create("acme")).rejects.toMatchObject({ code: "already-exists" });
  await create("ada");
  expect(roleInOwn("ada")).toBe("owner");
});

test("where the store is elsewhere, a user owns nothing before it has made it", async () => {
  await create("acme");
  expect(roleInOwn("acme")).toBeUndefined();
});
