/** The key that the servers of one auth database share: in the database, so that it reaches every follower. */
import type { Random } from "../../../core/base/random.ts";
import type { AuthDatabase } from "../database/auth-database.ts";

const NAME = "forward-key";
const BYTES = 32;

/** Made by the primary when there is none; on a follower undefined until it arrives. */
export function forwardKey(database: AuthDatabase, random: Random): Uint8Array | undefined {
  const known = read(database);
  if (known !== undefined || database.isReadOnly) return known;
  database.write((sql) => {
    sql
      .prepare("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING")
      .run(NAME, random.bytes(BYTES));
  });
  return read(database);
}

function read(database: AuthDatabase): Uint8Array | undefined {
  const row = database.sql.prepare("SELECT value FROM settings WHERE name = ?").get(NAME) as
    | { readonly value: Uint8Array }
    | undefined;
  return row?.value;
}
