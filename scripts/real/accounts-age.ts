/**
 * The same bars for a server that is old: with hundreds of thousands of rows in the audit log and deliveries of
 * webhooks, followers see a change and a revocation as soon as ever, and a new primary has every row.
 * `MIC_RECORDS_MB=1000` takes more than the default.
 */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { recordsFile } from "../../src/server/auth/database/records.ts";
import { accountsFile } from "../../src/server/auth/owner-token.ts";
import type { AccountsServer } from "./accounts-server.ts";
import type { Checks } from "./checks.ts";

/** What must hold after a change: seen by a follower, and gone everywhere. */
const SEEN_MS_MAX = 2_000;
const REVOKED_MS_MAX = 3_000;
const RECORDS_BYTES = Number(process.env["MIC_RECORDS_MB"] ?? 100) * 1e6;
const ROUNDS = 5;
const TAKEOVER_MS_MAX = 120_000;

export async function accountsAge(
  checks: Checks,
  directory: string,
  start: (name: string) => Promise<AccountsServer>,
): Promise<void> {
  const data = join(directory, "old");
  const rows = fill(data);
  const megabytes = Math.round(statSync(recordsFile(accountsFile(data))).size / 1e6);
  let began = performance.now();
  const primary = await start("old");
  const owner = primary.ownerToken!;
  const about = (what: string, ms: number): string =>
    `${megabytes} MB of records: ${what} (${ms.toFixed(0)} ms)`;
  checks.expect(about("a primary starts", performance.now() - began), await found(primary, owner), rows);
  const follower = await start("old-follower");
  let [seen, gone] = [0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    const made = await primary.ask("POST", "/api/mic/account/tokens", owner, {
      name: `t${round}`,
      scope: "read",
    });
    const accepts = async (): Promise<boolean> =>
      (await follower.ask("GET", "/api/mic/account", made.body.secret)).status === 200;
    seen = Math.max(seen, await until(accepts));
    const { id } = (await primary.ask("GET", "/api/mic/account", made.body.secret)).body.token;
    began = performance.now();
    const revoked = await primary.ask("DELETE", `/api/mic/account/tokens/${id}`, owner);
    if (revoked.status !== 204) throw new Error(`not revoked: ${JSON.stringify(revoked)}`);
    await until(async () => !(await accepts()));
    gone = Math.max(gone, performance.now() - began);
  }
  checks.expect(about("a follower sees a change", seen), seen < SEEN_MS_MAX, true);
  checks.expect(about("a revoked token stops there", gone), gone < REVOKED_MS_MAX, true);
  // Litestream takes them in the background; a server that ends gives it 15 s.
  await Bun.sleep(RECORDS_BYTES / 20_000);
  began = performance.now();
  const code = await primary.stop();
  checks.expect(about("a primary ends", performance.now() - began), code, 0);
  const takeover = await until(async () => follower.logged("auth-primary") > 0, TAKEOVER_MS_MAX);
  const all = await found(follower, owner);
  checks.expect(about("who takes over has every record", takeover), all, rows);
  checks.expect("it ends", await follower.stop(), 0);
}

/** The oldest record of the audit log, and what waits and was sent. */
async function found(server: AccountsServer, owner: string): Promise<unknown> {
  const page = await server.ask("GET", "/api/mic/audit?account=filler&limit=1", owner);
  using database = new AuthDatabase({ file: accountsFile(server.data), readOnly: true });
  const count = (table: string, where: string): unknown =>
    database.sql.prepare(`SELECT count(*) FROM ${table} ${where}`).pluck().get();
  return {
    listed: page.body.items?.[0]?.account,
    audit: count("audit", "WHERE account = 'filler'"),
    deliveries: count("deliveries", ""),
  };
}

/** Half audit log, half deliveries. */
function fill(data: string): unknown {
  const file = accountsFile(data);
  mkdirSync(join(data, "auth"), { recursive: true, mode: 0o700 });
  new AuthDatabase({ file })[Symbol.dispose]();
  const sql = new Database(recordsFile(file));
  sql.pragma("synchronous = OFF");
  const random = (): string => crypto.randomUUID().replaceAll("-", "");
  const audit = sql.prepare(
    "INSERT INTO audit (at, user_id, account, token_id, address, action, target, detail) VALUES (?, ?, 'filler', ?, '192.0.2.7', 'token.created', ?, ?)",
  );
  const delivery = sql.prepare(
    "INSERT INTO deliveries (id, message, webhook_id, kind, event, payload, created_at) VALUES (?, ?, 'w', 'event', 'landing.created', ?, 1)",
  );
  const rows = { audit: 0, deliveries: 0 };
  while (statSync(recordsFile(file)).size < RECORDS_BYTES) {
    sql.transaction(() => {
      for (let i = 0; i < 5_000; i++) {
        audit.run(1.7e12 + rows.audit++, random(), random(), `token:${random()}`, `{"name":"${random()}"}`);
      }
      for (let i = 0; i < 1_000; i++, rows.deliveries++) {
        delivery.run(random(), random(), `{"goal":"${random().repeat(40)}"}`);
      }
    })();
    sql.pragma("wal_checkpoint(TRUNCATE)");
  }
  sql.close();
  return { listed: "filler", ...rows };
}

async function until(holds: () => Promise<boolean>, limitMs = 30_000): Promise<number> {
  const began = performance.now();
  while (!(await holds()) && performance.now() - began < limitMs) await Bun.sleep(10);
  return performance.now() - began;
}
