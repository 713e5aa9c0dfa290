/** The accounts that a sub-command of `mic admin` works on. */
import path from "node:path";
import type { AccountAdmin, LocalAccountAdmin } from "../../account/account-admin.ts";
import { usageError } from "../../errors.ts";
import type { Invocation } from "../../invocation.ts";

export const DATA_OPTION = [
  "--data <dir>",
  "work on the accounts in this data directory of `mic serve`, not over the network",
] as const;

export interface AdminOptions {
  readonly data?: string;
}

/** `create`: a data directory without accounts gets an empty database. Errors: `usage`, `not-found`. */
export async function openAdmin(
  invocation: Invocation,
  { data }: AdminOptions,
  { create = false }: { readonly create?: boolean } = {},
): Promise<AccountAdmin> {
  if (data === undefined) return await invocation.accountClient();
  return await openLocalAdmin(invocation, { data }, { create });
}

/** Errors: `usage` without a directory, `not-found`. */
export async function openLocalAdmin(
  invocation: Invocation,
  { data }: AdminOptions,
  { create = false }: { readonly create?: boolean } = {},
): Promise<LocalAccountAdmin> {
  if (data === undefined) throw usageError("this is done on the server's own machine", "give --data DIR");
  if (invocation.options.server !== undefined) throw usageError("--data and --server exclude each other");
  const { loadOfflineAccounts } = invocation.world;
  if (loadOfflineAccounts === undefined) throw usageError("there is no server in this program");
  const { openAccountAdmin } = await loadOfflineAccounts();
  return await openAccountAdmin({ dataDirectory: path.resolve(invocation.cwd, data), create });
}
