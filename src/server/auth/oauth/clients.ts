/** Programs that may ask for tokens: mic itself, those that registered, those that have a document of their own. */

import type Database from "better-sqlite3";
import type { Clock } from "../../../core/base/clock.ts";
import type { Random } from "../../../core/base/random.ts";
import type { AuthDatabase } from "../database/auth-database.ts";
import type { ClientDocuments } from "./client-documents.ts";
import { type ClientMetadata, DEVICE_GRANT, type GrantType } from "./client-metadata.ts";
import { NetworkShares } from "./network-shares.ts";
import { OAuthError } from "./oauth-error.ts";

export interface Client extends ClientMetadata {
  readonly id: string;
  /** How it is introduced to people: what it calls itself says nothing about who made it. */
  readonly origin: "built-in" | "registered" | "document";
}

const ID_RANDOM_BYTES = 16;
const CLIENTS_MAX = 10_000;
/** Where room is needed, those go that nobody has signed in with so long after they registered, the oldest first, */
const UNUSED_MS = 3_600_000;
/** then younger ones of the network that has the most of them, down to so many, */
const UNUSED_PER_NETWORK = 20;
/** and as many at a time, so that a flood is not looked through for each. */
const REMOVED_AT_ONCE = 100;

const BUILT_IN: Client = {
  id: "mic-cli",
  origin: "built-in",
  name: "mic on the command line",
  redirectUris: ["http://127.0.0.1/callback", "http://[::1]/callback", "http://localhost/callback"],
  grantTypes: ["authorization_code", "refresh_token", DEVICE_GRANT],
};

interface Row {
  readonly name: string;
  readonly redirect_uris: string;
  readonly grant_types: string;
}

export interface ClientsOptions {
  readonly database: AuthDatabase;
  readonly documents: ClientDocuments;
  readonly clock: Clock;
  readonly random: Random;
}

export class Clients {
  readonly #options: ClientsOptions;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  /** `address`: of who asks. Errors: `invalid_client`, `temporarily_unavailable`. */
  async find(id: string, address: string): Promise<Client> {
    const known = this.findKnown(id);
    if (known !== undefined) return known;
    if (!id.startsWith("https:")) {
      throw new OAuthError("invalid_client", "the client is not known here");
    }
    return { ...(await this.#options.documents.find(id, address)), id, origin: "document" };
  }

  /** Without asking anybody else. */
  findKnown(id: string): Client | undefined {
    if (id === BUILT_IN.id) return BUILT_IN;
    const row = this.#options.database.sql
      .prepare<[string], Row>("SELECT name, redirect_uris, grant_types FROM oauth_clients WHERE id = ?")
      .get(id);
    if (row === undefined) return undefined;
    return {
      id,
      origin: "registered",
      name: row.name,
      redirectUris: JSON.parse(row.redirect_uris) as string[],
      grantTypes: JSON.parse(row.grant_types) as GrantType[],
    };
  }

  /** Errors: `temporarily_unavailable` where there are too many that are in use, or were just registered by many. */
  register({ name, redirectUris, grantTypes }: ClientMetadata, address: string): Client {
    const { database, clock, random } = this.#options;
    const nowMs = clock.nowMs();
    const id = `client-${Buffer.from(random.bytes(ID_RANDOM_BYTES)).toString("base64url")}`;
    database.write((sql) => {
      const count = (): number =>
        sql.prepare<[], { n: number }>("SELECT count(*) AS n FROM oauth_clients").get()!.n;
      if (count() >= CLIENTS_MAX) {
        removeUnused(sql, nowMs);
        if (count() >= CLIENTS_MAX) {
          throw new OAuthError("temporarily_unavailable", "no more clients can be registered", {
            retryAfter: 3600,
          });
        }
      }
      sql
        .prepare(
          `INSERT INTO oauth_clients (id, name, redirect_uris, grant_types, address, created_at)
           VALUES (?, ?, ?, ?, ?, ?)`,
        )
        .run(id, name, JSON.stringify(redirectUris), JSON.stringify(grantTypes), address, nowMs);
    });
    return { id, origin: "registered", name, redirectUris, grantTypes };
  }
}

/** Used: it has tokens, or somebody is signing in with it. */
function removeUnused(sql: Database.Database, nowMs: number): void {
  const unused = sql
    .prepare<{ nowMs: number }, { id: string; address: string; created_at: number }>(
      `SELECT id, address, created_at FROM oauth_clients
       WHERE id NOT IN (SELECT client_id FROM tokens WHERE client_id IS NOT NULL)
         AND id NOT IN (SELECT client_id FROM device_codes WHERE expires_at > @nowMs)
         AND id NOT IN (SELECT client_id FROM authorization_codes WHERE expires_at > @nowMs)
       ORDER BY created_at`,
    )
    .all({ nowMs });
  let removed = unused.filter(({ created_at }) => created_at < nowMs - UNUSED_MS);
  if (removed.length === 0) {
    const shares = new NetworkShares<(typeof unused)[number]>();
    for (const client of unused) shares.of(client.address).push(client);
    const most = shares.largest();
    removed = most.slice(0, Math.max(0, most.length - UNUSED_PER_NETWORK));
  }
  const remove = sql.prepare("DELETE FROM oauth_clients WHERE id = ?");
  for (const { id } of removed.slice(0, REMOVED_AT_ONCE)) remove.run(id);
}

/** What to call it where people read: of a document the host is what is proved. */
export function displayName({ id, origin, name }: Client): string {
  if (origin === "document") {
    const { host } = new URL(id);
    return name === "" ? host : `${name} (${host})`;
  }
  return name === "" ? "a program without a name" : name;
}
