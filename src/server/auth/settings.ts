/** Small values of the server itself, in the auth database. */
import type { AuthDatabase } from "./database/auth-database.ts";

/** `owner`: id of the user of the first start; `owner-token`: id of the token that was made for it. */
export type TextSetting = "owner" | "owner-token";

export function readSetting(database: AuthDatabase, name: TextSetting): string | undefined {
  const row = database.prepare("SELECT value FROM settings WHERE name = ?").get(name) as
    | { readonly value: Uint8Array }
    | undefined;
  return row === undefined ? undefined : Buffer.from(row.value).toString();
}

export function writeSetting(database: AuthDatabase, name: TextSetting, value: string): void {
  database.write(() => {
    database
      .prepare(
        "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
      )
      .run(name, Buffer.from(value));
  });
}
