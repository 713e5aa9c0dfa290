import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { MIGRATIONS, RECORDS_LEFT_AT } from "../../src/server/auth/database/migrations.ts";
import { recordsFile } from "../../src/server/auth/database/records.ts";
import { NOBODY } from "../../src/server/auth/principal.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { SqliteAudit } from "../../src/server/auth/sqlite-audit.ts";
import { secretDigest } from "../../src/server/auth/token-secret.ts";
import { openAccounts } from "../support/open-accounts.ts";

const CHILD = join(import.meta.dirname, "../support/accounts-child.ts");
const APPLICATION_ID = 0x6d696361;
const failsWith = (code: string) => expect.objectContaining({ code });

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mic-auth-database-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const file = (): string => join(directory, "auth", "accounts.db");
const open = (): AuthDatabase => new AuthDatabase({ file: file() });
const tablesOf = (sql: Database.Database): unknown =>
  sql.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").all();

describe("AuthDatabase", () => {
  test("makes its file private, in WAL mode, with the newest schema", () => {
    using database = open();
    expect(database.sql.pragma("journal_mode", { simple: true })).toBe("wal");
    expect(database.sql.pragma("synchronous", { simple: true })).toBe(2);
    expect(database.sql.pragma("application_id", { simple: true })).toBe(APPLICATION_ID);
    expect(database.sql.pragma("user_version", { simple: true })).toBe(MIGRATIONS.length);
    if (process.platform !== "win32") expect(statSync(file()).mode & 0o777).toBe(0o600);
  });

  test("takes away what others may do with a file that was there", () => {
    open()[Symbol.dispose]();
    if (process.platform === "win32") return;
    chmodSync(file(), 0o644);
    using _database = open();
    expect(statSync(file()).mode & 0o777).toBe(0o600);
  });

  test.each(MIGRATIONS.map((_, version) => version))(
    "brings a file of version %i to the newest one, with its content",
    (version) => {
      open()[Symbol.dispose]();
      rmSync(file());
      const old = new Database(file());
      for (const migration of MIGRATIONS.slice(0, version)) old.exec(migration);
      if (version > 0) {
        old.pragma(`application_id = ${APPLICATION_ID}`);
        old.pragma(`user_version = ${version}`);
        old.exec("INSERT INTO users (id, name, created_at) VALUES ('1', 'ada', 5)");
        old
          .prepare(
            `INSERT INTO tokens (id, user_id, kind, token_hash, name, scope, created_at)
             VALUES ('t', '1', 'personal', ?, 'n', 'read', 5)`,
          )
          .run(secretDigest("of-an-older-version"));
      }
      old.close();
      using database = open();
      using fresh = new AuthDatabase({ file: join(directory, "fresh.db") });
      expect(tablesOf(database.sql)).toEqual(tablesOf(fresh.sql));
      if (version === 0) return;
      using accounts = new SqliteAccounts({ database, clock: systemClock, random: systemRandom });
      expect(accounts.authenticate("of-an-older-version").account).toBe("ada");
      expect(accounts.roleInOrganization("1", "ada")).toBe("owner");
      new SqliteAudit({ database, clock: systemClock }).record({
        principal: NOBODY,
        address: "",
        action: "a.b",
        target: "",
      });
    },
  );

  test("keeps what grows in a file of its own, also what an older version had among the accounts", () => {
    open()[Symbol.dispose]();
    for (const name of [file(), recordsFile(file())]) rmSync(name);
    const old = new Database(file());
    for (const migration of MIGRATIONS.slice(0, RECORDS_LEFT_AT - 1)) old.exec(migration);
    old.pragma(`application_id = ${APPLICATION_ID}`);
    old.pragma(`user_version = ${RECORDS_LEFT_AT - 1}`);
    old.exec(`
      INSERT INTO users (id, name, created_at) VALUES ('u', 'ada', 5);
      INSERT INTO webhooks VALUES ('w', 'p', 'https://r', '[]', 's', NULL, NULL, 1, NULL, 3, 'u', 5, 70);
      INSERT INTO webhook_sessions VALUES ('w', 's', 1, 'open', 2);
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO audit SELECT i, i, NULL, 'ada', NULL, '', 'a.b', 'user:ada', hex(zeroblob(200)) FROM n;
      INSERT INTO deliveries VALUES (7, 'd', 'w', 'm', 'event', 'landing.created', '{}', 5, 1, 9, 500, 'e', 3, NULL);
    `);
    // As a crash leaves it, after the records were written and before the accounts dropped theirs.
    old.exec("VACUUM");
    old.close();
    const before = readFileSync(file());
    open()[Symbol.dispose]();
    writeFileSync(file(), before);
    for (const end of ["-wal", "-shm"]) rmSync(file() + end, { force: true });

    using database = open();
    const read = (text: string): unknown => database.sql.prepare(text).get();
    expect(read("SELECT count(*) AS count, min(id) AS first, max(id) AS last FROM records.audit")).toEqual({
      count: 20_000,
      first: 1,
      last: 20_000,
    });
    expect(read("SELECT * FROM records.webhook_progress")).toEqual({
      webhook_id: "w",
      position: 70,
      given_up: 3,
    });
    expect(read("SELECT number, next_attempt_at FROM records.deliveries")).toEqual({
      number: 7,
      next_attempt_at: 9,
    });
    expect(read("SELECT session_id FROM records.webhook_sessions")).toEqual({ session_id: "s" });
    const kept = database.sql.pragma("main.page_count", { simple: true }) as number;
    expect(kept, "pages of the accounts").toBeLessThan(100);
    if (process.platform !== "win32") expect(statSync(recordsFile(file())).mode & 0o777).toBe(0o600);
    // A later row has a later id, also where every row was removed.
    database.write((sql) =>
      sql.exec(
        "INSERT INTO audit (at, account, address, action, target, detail) VALUES (1, '', '', '', '', '')",
      ),
    );
    expect(read("SELECT max(id) AS id FROM audit")).toEqual({ id: 20_001 });
  });

  test("tells nobody of records, and writes both or neither", () => {
    using database = open();
    let told = 0;
    database.onWrite(() => told++);
    const version = database.version();
    const add = (sql: Database.Database): unknown =>
      sql.exec(
        "INSERT INTO audit (at, account, address, action, target, detail) VALUES (1, '', '', '', '', '')",
      );
    const rows = (): unknown => database.sql.prepare("SELECT count(*) FROM audit").pluck().get();
    database.writeRecords(add);
    database.writeRecords(add, "normal");
    expect([told, database.version(), rows()]).toEqual([0, version, 2]);
    expect(() =>
      database.write((sql) => {
        sql.exec("UPDATE generations SET roles = 7");
        database.writeRecords(add);
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(rows()).toBe(2);
    expect(database.sql.prepare("SELECT roles FROM generations").pluck().get()).toBe(0);
  });

  test.each([
    [
      "records of a newer version",
      "PRAGMA user_version = 1000; PRAGMA application_id = 0x6d696372",
      "unsupported",
    ],
    ["another program's file in their place", "PRAGMA application_id = 7", "corrupt"],
  ])("refuses %s", (_what, statements, code) => {
    open()[Symbol.dispose]();
    const sql = new Database(recordsFile(file()));
    sql.exec(statements);
    sql.close();
    expect(open).toThrow(failsWith(code));
  });

  test("exchanges its records again where that failed half way", () => {
    using database = open();
    const fresh = `${file()}-fresh`;
    mkdirSync(fresh);
    expect(() => database.exchangeRecords(fresh, `${file()}-aside`)).toThrow(/EISDIR/);
    database.exchangeRecords(undefined, `${file()}-aside-again`);
    expect(database.prepare("SELECT count(*) FROM audit").pluck().get()).toBe(0);
  });

  test("refuses the file of a newer version, and leaves it alone", () => {
    {
      using database = open();
      database.sql.pragma(`user_version = ${MIGRATIONS.length + 1}`);
      database.sql.pragma("wal_checkpoint(TRUNCATE)");
    }
    const before = readFileSync(file());
    expect(open).toThrow(failsWith("unsupported"));
    expect(() => new AuthDatabase({ file: file(), readOnly: true })).toThrow(failsWith("unsupported"));
    expect(readFileSync(file())).toEqual(before);
  });

  test.each([
    ["another program's database", (path: string) => setUp(path, "PRAGMA application_id = 7")],
    ["a database with a version of its own", (path: string) => setUp(path, "PRAGMA user_version = 3")],
    ["a text", (path: string) => writeFileSync(path, "no database at all\n".repeat(100))],
  ])("refuses %s", (_what, make) => {
    open()[Symbol.dispose]();
    rmSync(file());
    make(file());
    expect(open).toThrow(failsWith("corrupt"));
  });

  test("refuses what was cut off", () => {
    open()[Symbol.dispose]();
    truncateSync(file(), 5000);
    expect(() => {
      using database = open();
      new SqliteAccounts({ database, clock: systemClock, random: systemRandom }).authenticate("x");
    }).toThrow();
  });

  test("a change that fails leaves nothing, and nobody is told of it", () => {
    using database = open();
    let told = 0;
    const stop = database.onWrite(() => told++);
    const version = database.version();
    expect(() =>
      database.write((sql) => {
        sql.exec("INSERT INTO users (id, name, created_at) VALUES ('1', 'ada', 5)");
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(database.version()).toBe(version);
    expect(told).toBe(0);
    expect(database.sql.prepare("SELECT count(*) FROM users").pluck().get()).toBe(0);
    database.write(() => database.write((sql) => sql.exec("UPDATE generations SET roles = roles + 1")));
    expect(told).toBe(1);
    expect(database.version()).not.toBe(version);
    stop();
    database.write(() => undefined);
    expect(told).toBe(1);
  });

  test("tells what others write by its version", () => {
    using database = open();
    using other = open();
    const version = database.version();
    expect(database.version()).toBe(version);
    other.write((sql) => sql.exec("UPDATE generations SET roles = roles + 1"));
    expect(database.version()).not.toBe(version);
  });
});

describe("several processes on one file", () => {
  test("lose nothing that any of them was told is done", async () => {
    using opened = openAccounts({ dataDirectory: directory, clock: systemClock, random: systemRandom });
    const outputs = await Promise.all(
      ["a", "b", "c"].map(async (name) => {
        const child = spawn(process.execPath, [CHILD, "tokens", directory, name, "40"], {
          stdio: ["ignore", "pipe", "inherit"],
        });
        const [text] = await Promise.all([textOf(child.stdout), once(child, "close")]);
        return text.trim().split("\n");
      }),
    );
    const secrets = outputs.flat();
    expect(new Set(secrets).size).toBe(120);
    for (const secret of secrets) expect(opened.accounts.authenticate(secret).scope).toBe("read");
    expect(opened.accounts.listUsers({ limit: 10 })).toHaveLength(4);
  });

  test.each([1, 2, 3])(
    "one that is killed leaves what it acknowledged, and a sound file (%i)",
    async (round) => {
      openAccounts({ dataDirectory: directory, clock: systemClock, random: systemRandom })[Symbol.dispose]();
      const child = spawn(process.execPath, [CHILD, "tokens", directory, "a", "1000000"], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let text = "";
      child.stdout.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        if (text.split("\n").length > 20 * round) child.kill("SIGKILL");
      });
      await once(child, "close");
      const secrets = text.split("\n").slice(0, -1);
      expect(secrets.length).toBeGreaterThanOrEqual(20 * round);
      using opened = openAccounts({ dataDirectory: directory, clock: systemClock, random: systemRandom });
      for (const secret of secrets) expect(opened.accounts.authenticate(secret).account).toBe("a");
      expect(opened.database.sql.pragma("integrity_check", { simple: true })).toBe("ok");
    },
  );
});

function setUp(path: string, statement: string): void {
  const sql = new Database(path);
  sql.exec("CREATE TABLE t (x)");
  sql.exec(statement);
  sql.close();
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}
