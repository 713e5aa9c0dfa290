/** What a follower takes over from a replica; a script stands for Litestream, and copies what a test put there. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock as clock, systemRandom as random } from "../../src/core/base/system.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { MIGRATIONS, RECORDS_LEFT_AT } from "../../src/server/auth/database/migrations.ts";
import { recordsFile } from "../../src/server/auth/database/records.ts";
import { FollowedCopy } from "../../src/server/auth/replica/followed-copy.ts";
import type { LeaseRecord } from "../../src/server/auth/replica/lease-record.ts";
import type { LitestreamProgram } from "../../src/server/auth/replica/litestream.ts";
import { generationPrefix, type Part } from "../../src/server/auth/replica/litestream-config.ts";
import { prepareLocal } from "../../src/server/auth/replica/local-copy.ts";
import { ReplicaStateFile } from "../../src/server/auth/replica/replica-state.ts";
import { readReplicaOptions } from "../../src/server/auth/replica/replica-target.ts";
import type { ServerLog } from "../../src/server/context.ts";

const { settings } = readReplicaOptions(
  { authReplica: "s3://accounts/auth" },
  { S3_ENDPOINT: "http://localhost:9000", S3_ACCESS_KEY_ID: "key", S3_SECRET_ACCESS_KEY: "secret" },
)!;
const log: ServerLog = { info: () => undefined, warn: () => undefined, error: () => undefined };

let directory: string;
let file: string;
let program: LitestreamProgram;
let state: ReplicaStateFile;
let copy: FollowedCopy;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "mic-followed-"));
  const auth = path.join(directory, "auth-here");
  mkdirSync(auth);
  file = path.join(auth, "accounts.db");
  const executable = path.join(directory, "litestream");
  writeFileSync(
    executable,
    `#!/bin/sh
from="${directory}/$(sed -n 's/.*"path": "\\(auth\\/[^"]*\\)".*/\\1/p' "$3").db"
echo "$from" >> "${directory}/asked"
if [ -e "$from" ]; then cp "$from" "$5"; else echo "no matching backup files available" >&2; exit 1; fi
`,
    { mode: 0o755 },
  );
  program = { executable, env: { PATH: process.env["PATH"] }, clock, log };
  state = new ReplicaStateFile(auth, random);
  copy = new FollowedCopy({ file, program, settings, state, log });
});
afterEach(() => rmSync(directory, { recursive: true }));

const leaseOf = (source: number, position: number): LeaseRecord => ({
  generation: source + 1,
  holder: "b".repeat(32),
  url: "",
  expiresAtMs: 0,
  source,
  position,
  nonce: "0".repeat(16),
});

/** As Litestream has it of a primary with that user, and that record. */
function replicate(generation: number, parts: readonly Part[], text: string): void {
  const made = path.join(directory, `made-${generation}-${text}.db`);
  {
    using database = new AuthDatabase({ file: made });
    fill(database, text);
  }
  for (const part of parts) {
    const to = path.join(
      directory,
      "auth",
      generationPrefix(generation),
      part === "records" ? "records.db" : "",
    );
    const target = part === "records" ? to : `${to.replace(/\/$/, "")}.db`;
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(target, readFileSync(part === "records" ? recordsFile(made) : made));
  }
}

function fill(database: AuthDatabase, text: string): void {
  database.write((sql) => {
    sql.prepare("INSERT INTO users (id, name, created_at) VALUES (?, ?, 1)").run(text, text);
    sql
      .prepare(
        "INSERT INTO audit (at, account, address, action, target, detail) VALUES (1, ?, '', '', '', '{}')",
      )
      .run(text);
  });
}

const namesIn = (database: AuthDatabase): unknown =>
  database.sql.prepare("SELECT name FROM users").pluck().all();
const recordsIn = (database: AuthDatabase): unknown =>
  database.sql.prepare("SELECT account FROM audit ORDER BY id").pluck().all();
const asked = (): string => readFileSync(path.join(directory, "asked"), "utf8");
const filesThere = (): string[] =>
  readdirSync(path.dirname(file))
    .filter((name) => !/-(wal|shm)$|^replica\.json$/.test(name))
    .sort();

describe("a follower", () => {
  test("takes accounts and no records, also of who was the primary before, whose own are set aside", async () => {
    using database = new AuthDatabase({ file });
    fill(database, "own");
    replicate(3, ["accounts", "records"], "one");
    await copy.follow(leaseOf(3, 1), database);
    expect([namesIn(database), recordsIn(database)]).toEqual([["one"], []]);
    expect(asked()).not.toContain("records");
    expect(filesThere()).toEqual([
      "accounts-records.db",
      "accounts-records.db.before-generation-4",
      "accounts.db",
      "accounts.db.before-generation-4",
    ]);
    const aside = new Database(path.join(path.dirname(file), "accounts-records.db.before-generation-4"));
    expect(aside.prepare("SELECT account FROM audit ORDER BY id").pluck().all()).toEqual(["own"]);
    aside.close();

    replicate(3, ["accounts"], "two");
    expect(copy.isBehind(leaseOf(3, 1))).toBe(false);
    expect(copy.isBehind(leaseOf(3, 2))).toBe(true);
    await copy.follow(leaseOf(3, 2), database);
    expect(namesIn(database)).toEqual(["two"]);
    expect(filesThere()).toHaveLength(4);
  });

  test("that becomes the primary takes both, and leaves nothing behind", async () => {
    using database = new AuthDatabase({ file });
    state.remember({ generation: 0, origin: "copy" });
    replicate(3, ["accounts", "records"], "one");
    await copy.takeOver(leaseOf(3, 1), database);
    expect([namesIn(database), recordsIn(database)]).toEqual([["one"], ["one"]]);
    expect(filesThere()).toEqual(["accounts-records.db", "accounts.db"]);
    fill(database, "later");
    expect(recordsIn(database)).toEqual(["one", "later"]);
  });

  test("that becomes the primary takes the newest records that a primary before it replicated", async () => {
    using database = new AuthDatabase({ file });
    state.remember({ generation: 0, origin: "copy" });
    replicate(5, ["records"], "five");
    replicate(6, ["records"], "six");
    replicate(8, ["accounts"], "eight");
    await copy.takeOver(leaseOf(8, 1), database);
    expect([namesIn(database), recordsIn(database)]).toEqual([["eight"], ["six"]]);
  });

  test("follows accounts of an older version without what belongs to records, and takes it when it takes over", async () => {
    const old = path.join(directory, "auth", `${generationPrefix(2).replace(/\/$/, "")}.db`);
    mkdirSync(path.dirname(old), { recursive: true });
    const sql = new Database(old);
    for (const migration of MIGRATIONS.slice(0, RECORDS_LEFT_AT - 1)) sql.exec(migration);
    sql.exec(`
      PRAGMA application_id = 0x6d696361;
      PRAGMA user_version = ${RECORDS_LEFT_AT - 1};
      INSERT INTO users (id, name, created_at) VALUES ('1', 'ada', 1);
      INSERT INTO audit (at, account, address, action, target, detail) VALUES (1, 'ada', '', '', '', '{}');
    `);
    sql.close();
    using database = new AuthDatabase({ file });
    state.remember({ generation: 0, origin: "copy" });
    await copy.follow(leaseOf(2, 1), database);
    expect([namesIn(database), recordsIn(database)]).toEqual([["ada"], []]);
    await copy.takeOver(leaseOf(2, 1), database);
    expect([namesIn(database), recordsIn(database)]).toEqual([["ada"], ["ada"]]);
  });
});

test("a primary that starts on an empty disk has the records of the replica, too", async () => {
  replicate(4, ["accounts", "records"], "kept");
  const before = leaseOf(4, 9);
  expect(await prepareLocal({ file, program, settings, state, before, log })).toBe("restored");
  using database = new AuthDatabase({ file });
  expect([namesIn(database), recordsIn(database)]).toEqual([["kept"], ["kept"]]);
  expect(existsSync(`${file}.restored`)).toBe(false);
});
