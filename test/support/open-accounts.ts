/** The accounts of a data directory, opened as a server without a replica does. */
import type { Clock } from "../../src/core/base/clock.ts";
import type { Random } from "../../src/core/base/random.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { accountsFile, checkOwnerToken, startOwner } from "../../src/server/auth/owner-token.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";

export interface OpenedAccounts extends Disposable {
  readonly database: AuthDatabase;
  readonly accounts: SqliteAccounts;
  /** The owner's token, when this call made it. */
  readonly minted: string | undefined;
}

export function openAccounts(options: {
  readonly dataDirectory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly ownerToken?: string;
}): OpenedAccounts {
  const { dataDirectory, ownerToken } = options;
  if (ownerToken !== undefined) checkOwnerToken(ownerToken);
  const database = new AuthDatabase({ file: accountsFile(dataDirectory) });
  try {
    const minted = startOwner(database, options);
    const accounts = new SqliteAccounts({ ...options, database });
    return {
      database,
      accounts,
      minted,
      [Symbol.dispose]() {
        accounts[Symbol.dispose]();
        database[Symbol.dispose]();
      },
    };
  } catch (error) {
    database[Symbol.dispose]();
    throw error;
  }
}
