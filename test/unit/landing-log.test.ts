import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import type { LandingId, Position, ProjectId, SessionId } from "../../src/core/base/ids.ts";
import { systemClock } from "../../src/core/base/system.ts";
import type { HeadInfo, ImportLandings, LandResult } from "../../src/core/forge/forge.ts";
import type { LandingEntry } from "../../src/server/auth/audit.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { NOBODY, type Principal } from "../../src/server/auth/principal.ts";
import { SqliteAudit } from "../../src/server/auth/sqlite-audit.ts";
import { landingLogFile, SqliteLandingLog } from "../../src/server/auth/sqlite-landing-log.ts";
import { auditedImport, auditedLanding } from "../../src/server/landing-audit.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const user = (account: string, id: string): Principal => ({
  ...NOBODY,
  account,
  userId: id.repeat(32),
  tokenId: "b".repeat(32),
  scope: "write",
});
const ADA = user("ada", "a");
const EVE = user("eve", "e");
const PROJECT = "01".repeat(16) as ProjectId;
const landingId = (number: number): LandingId => number.toString(16).padStart(32, "0") as LandingId;

let directory: string;
let clock: VirtualClock;
let log: SqliteLandingLog;
let lost: number;
const file = (): string => join(directory, "landings.db");

function open(rowsMax?: number): SqliteLandingLog {
  lost = 0;
  return new SqliteLandingLog({
    file: file(),
    clock,
    onFailure: (_error, count) => {
      lost += count;
    },
    ...(rowsMax === undefined ? {} : { rowsMax }),
  });
}

const landing = (position: number, more: Partial<LandingEntry> = {}): LandingEntry => ({
  principal: ADA,
  address: "192.0.2.7",
  action: "landing.created",
  project: PROJECT,
  position: position as Position,
  landingId: landingId(position),
  detail: { author: "bob <bob@example.org>" },
  ...more,
});
/** As another process has it. */
function sql<T>(work: (database: Database.Database) => T): T {
  const database = new Database(file());
  try {
    return work(database);
  } finally {
    database.close();
  }
}
const positions = (): unknown[] => log.list({ limit: 1000 }).map(({ detail }) => detail["position"]);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mic-landing-log-"));
  clock = new VirtualClock();
  log = open();
});
afterEach(() => {
  log[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

describe("SqliteLandingLog", () => {
  test("keeps whose token landed, from where, and what author it stated", async () => {
    await log.record(landing(7));
    expect(log.list({ limit: 10 })).toEqual([
      {
        log: "landings",
        id: 1,
        atMs: clock.nowMs(),
        account: "ada",
        userId: ADA.userId,
        tokenId: ADA.tokenId,
        address: "192.0.2.7",
        action: "landing.created",
        target: `project:${PROJECT}`,
        detail: { position: 7, landing: landingId(7), author: "bob <bob@example.org>" },
      },
    ]);
    if (process.platform !== "win32") expect(statSync(file()).mode & 0o777).toBe(0o600);
  });

  test("the first to be answered landed it; whoever sends the same landing later did not", async () => {
    await log.record(landing(1));
    await log.record(landing(1, { principal: EVE }));
    // Another landing at that position, in a project that was restored to an earlier one.
    await log.record(landing(1, { principal: EVE, landingId: landingId(9) }));
    expect(log.list({ limit: 10 }).map(({ account }) => account)).toEqual(["eve", "ada"]);
  });

  test("what is recorded in one turn is written in one transaction, before anybody is told", async () => {
    const all = [1, 2, 3].map((position) => log.record(landing(position)));
    expect(positions()).toEqual([]);
    await all[0];
    expect(positions()).toEqual([3, 2, 1]);
  });

  test("is there after the process that wrote it is gone without closing it", async () => {
    await log.record(landing(1));
    const read = (other: Database.Database) => other.prepare("SELECT account FROM landings").pluck().all();
    expect(sql(read)).toEqual(["ada"]);
  });

  test("filters by account, noun, project and time", async () => {
    await log.record(landing(1));
    await clock.run(clock.sleep(1000));
    const at = clock.nowMs();
    await log.record(landing(2, { principal: EVE, project: "02".repeat(16) as ProjectId }));
    await log.record({ ...landing(3), action: "import.done" });
    const ids = (query: object): number[] => log.list({ limit: 10, ...query }).map(({ id }) => id);
    expect(ids({ account: "ada" })).toEqual([3, 1]);
    expect(ids({ action: "landing." })).toEqual([2, 1]);
    expect(ids({ action: "token." })).toEqual([]);
    expect(ids({ target: `project:${PROJECT}` })).toEqual([3, 1]);
    expect(ids({ target: "user:ada" })).toEqual([]);
    expect(ids({ sinceMs: at })).toEqual([3, 2]);
    expect(ids({ untilMs: at })).toEqual([1]);
  });

  test("is neither changed nor shortened by anybody", async () => {
    await log.record(landing(1));
    for (const change of ["UPDATE landings SET account = 'eve'", "DELETE FROM landings"]) {
      expect(() => sql((other) => other.exec(change))).toThrow(/append-only/);
    }
    const again = "INSERT OR REPLACE INTO landings SELECT * FROM landings";
    expect(() => sql((other) => other.exec(again))).toThrow(/append-only/);
  });

  test("is bounded, and whoever fills it loses its own records", async () => {
    log[Symbol.dispose]();
    for (const name of [file(), `${file()}-wal`, `${file()}-shm`]) rmSync(name, { force: true });
    log = open(2_000);
    for (let position = 1; position <= 3; position++) await log.record(landing(position));
    for (let position = 4; position < 6_000; position++)
      void log.record(landing(position, { principal: EVE }));
    await log.record(landing(6_000));
    // Opened anew, it counts what is there.
    log[Symbol.dispose]();
    log = open(2_000);
    for (let position = 6_001; position < 7_500; position++) {
      void log.record(landing(position, { principal: EVE }));
    }
    await log.record(landing(7_500, { principal: EVE }));
    const all = log.list({ limit: 100_000 });
    expect(all.length).toBeGreaterThanOrEqual(2_000);
    expect(all.length).toBeLessThan(3_000);
    expect(all[0]!.detail["position"]).toBe(7_500);
    const ofAda = all.filter(({ account }) => account === "ada").map(({ detail }) => detail["position"]);
    expect(ofAda).toEqual([6_000, 3, 2, 1]);
    expect(lost).toBe(0);
    expect(() => sql((other) => other.exec("DELETE FROM landings"))).toThrow(/append-only/);
  });

  test("is bounded where nobody has many", async () => {
    log[Symbol.dispose]();
    for (const name of [file(), `${file()}-wal`, `${file()}-shm`]) rmSync(name, { force: true });
    log = open(1_000);
    const others = Array.from({ length: 40 }, (_, number) => user(`other${number}`, "c"));
    for (let position = 1; position < 6_000; position++)
      void log.record(landing(position, { principal: others[position % 40]! }));
    await log.record(landing(6_000));
    for (let position = 6_001; position < 7_000; position++)
      void log.record(landing(position, { principal: others[position % 40]! }));
    await log.record(landing(7_000));
    const all = log.list({ limit: 100_000 });
    expect(all.length).toBeGreaterThanOrEqual(1_000);
    expect(all.length).toBeLessThan(2_000);
    expect(all.filter(({ account }) => account === "ada")).toHaveLength(2);
    expect(lost).toBe(0);
  });

  test("is as long again as it may be, after another process made it shorter", async () => {
    log[Symbol.dispose]();
    log = open(2_000);
    for (let position = 1; position < 5_000; position++) void log.record(landing(position));
    await log.record(landing(5_000));
    // So that all of them are counted.
    await log.record(landing(5_001));
    using pruner = new SqliteLandingLog({ file: file(), clock: systemClock });
    await pruner.prune(clock.nowMs() + 1);
    for (let position = 6_001; position < 7_500; position++) {
      void log.record(landing(position));
      if (position % 100 === 0) await log.record(landing(position));
    }
    await log.record(landing(7_500));
    expect(log.list({ limit: 100_000 })).toHaveLength(1_500);
  });

  test("a landing is answered though the log cannot be written", async () => {
    sql((other) => other.exec("DROP TABLE landings"));
    await log.record(landing(1));
    expect(lost).toBe(1);
  });

  test("a file that is something else, or of a newer version, is refused", () => {
    log[Symbol.dispose]();
    sql((other) => other.pragma("user_version = 2"));
    expect(() => open()).toThrow(expect.objectContaining({ code: "unsupported" }));
    for (const name of [file(), `${file()}-wal`, `${file()}-shm`]) rmSync(name, { force: true });
    writeFileSync(file(), "no database at all".repeat(100));
    expect(() => open()).toThrow(expect.objectContaining({ code: "corrupt" }));
    rmSync(file());
    log = open();
  });
});

describe("SqliteAudit with landings", () => {
  test("lists both logs by time, in pages, each record once", async () => {
    using database = new AuthDatabase({ file: join(directory, "accounts.db") });
    expect(landingLogFile(database.file)).toBe(file());
    const audit = new SqliteAudit({ database, clock, landings: log });
    const expected: string[] = [];
    for (let i = 1; i <= 12; i++) {
      if (i % 3 === 0) {
        audit.record({ principal: ADA, address: "", action: "token.created", target: `token:${i}` });
        expected.unshift(`token:${i}`);
      } else {
        await log.record(landing(i));
        expected.unshift(String(i));
      }
      // Some share a time.
      if (i % 2 === 0) await clock.run(clock.sleep(10));
    }
    for (const limit of [1, 2, 5, 12, 100]) {
      const seen: string[] = [];
      let before: string | undefined;
      do {
        const page = audit.list({ limit, ...(before === undefined ? {} : { before }) });
        for (const { log: of, target, detail } of page.records) {
          seen.push(of === "accounts" ? target : String(detail["position"]));
        }
        before = page.next;
      } while (before !== undefined);
      expect(seen.toSorted()).toEqual(expected.toSorted());
      const order = (text: string): number => Math.ceil(Number(text.replace("token:", "")) / 2);
      expect(seen.map(order)).toEqual(expected.map(order));
    }
    expect(audit.list({ limit: 10, action: "token." }).records).toHaveLength(4);
  });

  test("a server goes on writing while much is removed", async () => {
    for (let position = 1; position <= 12_000; position++) void log.record(landing(position));
    await log.record(landing(12_001));
    const beforeMs = clock.nowMs() + 1;
    await clock.run(clock.sleep(10));
    using pruner = new SqliteLandingLog({ file: file(), clock: systemClock });
    let isOver = false;
    const pruning = Promise.resolve(pruner.prune(beforeMs)).finally(() => {
      isOver = true;
    });
    await log.record(landing(12_002));
    expect(isOver).toBe(false);
    expect(await pruning).toBe(12_001);
    expect(positions()).toEqual([12_002]);
    expect(lost).toBe(0);
  });

  test("prunes both", async () => {
    using database = new AuthDatabase({ file: join(directory, "accounts.db") });
    const audit = new SqliteAudit({ database, clock, landings: log });
    audit.record({ principal: ADA, address: "", action: "token.created", target: "token:1" });
    await log.record(landing(1));
    await clock.run(clock.sleep(1000));
    await log.record(landing(2));
    expect(await audit.prune(clock.nowMs())).toBe(2);
    expect(positions()).toEqual([2]);
    expect(() => sql((other) => other.exec("DELETE FROM landings"))).toThrow(/append-only/);
  });
});

describe("auditedLanding()", () => {
  const wanted = { landingId: landingId(1), author: "bob", agent: "codex" };
  const run = (answer: LandResult | MicError, stated = wanted): Promise<LandResult> =>
    auditedLanding(
      { context: { landingLog: log }, principal: ADA, address: "192.0.2.7" },
      PROJECT,
      stated,
      () => (answer instanceof MicError ? Promise.reject(answer) : Promise.resolve(answer)),
    );
  const actions = (): string[] => log.list({ limit: 10 }).map(({ action }) => action);

  test("records what landed before it answers, and no conflict", async () => {
    const root = "00".repeat(32) as never;
    await run({ kind: "landed", position: 1 as Position, root, session: "cd".repeat(16) as SessionId });
    await run({ kind: "conflict", paths: [] });
    expect(log.list({ limit: 10 }).map(({ detail }) => detail)).toEqual([
      { position: 1, landing: wanted.landingId, author: "bob", agent: "codex" },
    ]);
  });

  test("keeps no more of what is stated than says who it is: the log is on the disk of the accounts", async () => {
    const long = { ...wanted, author: "b".repeat(4_096), agent: "c".repeat(4_096) };
    const root = "00".repeat(32) as never;
    await run({ kind: "landed", position: 1 as Position, root, session: "cd".repeat(16) as SessionId }, long);
    const caller = { context: { landingLog: log }, principal: ADA, address: "192.0.2.7" };
    const landings = Array.from({ length: 3 }, () => ({ author: long.author }));
    const request = { after: { position: 1 }, landings } as unknown as ImportLandings;
    await auditedImport(caller, PROJECT, request, () => Promise.resolve({} as HeadInfo));
    const [imported, landed] = log.list({ limit: 10 }).map(({ detail }) => detail);
    expect(landed).toMatchObject({ author: `${"b".repeat(200)}…`, agent: `${"c".repeat(200)}…` });
    expect(imported).toMatchObject({ authors: [`${"b".repeat(200)}…`] });
  });

  test("records a landing whose caller left before the answer, and none that was refused", async () => {
    await expect(run(new MicError("usage", "no"))).rejects.toThrow("no");
    expect(actions()).toEqual([]);
    for (const code of ["aborted", "outcome-unknown"] as const) {
      await expect(run(new MicError(code, "gone"))).rejects.toThrow("gone");
    }
    expect(actions()).toEqual(["landing.unknown", "landing.unknown"]);
    expect(log.list({ limit: 1 })[0]!.detail).toMatchObject({ landing: wanted.landingId });
  });
});
