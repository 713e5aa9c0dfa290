import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { NOBODY, type Principal } from "../../src/server/auth/principal.ts";
import { SqliteAudit } from "../../src/server/auth/sqlite-audit.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const ADA: Principal = {
  ...NOBODY,
  account: "ada",
  userId: "a".repeat(32),
  tokenId: "b".repeat(32),
  scope: "admin",
};

let directory: string;
let database: AuthDatabase;
let clock: VirtualClock;
let audit: SqliteAudit;
const file = (): string => join(directory, "accounts.db");

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mic-audit-"));
  database = new AuthDatabase({ file: file() });
  clock = new VirtualClock();
  audit = new SqliteAudit({ database, clock });
});
afterEach(() => {
  database[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

const pass = (ms: number) => clock.run(clock.sleep(ms));

describe("SqliteAudit", () => {
  test("keeps who did what, from where, with which token", () => {
    const entry = { principal: ADA, address: "192.0.2.7", action: "token.created", target: "token:1" };
    audit.record({ ...entry, detail: { scope: "read" } });
    audit.record({ principal: NOBODY, address: "192.0.2.8", action: "sign-in.refused", target: "user:ada" });
    expect(audit.list({ limit: 10 }).records).toEqual([
      {
        log: "accounts",
        id: 2,
        atMs: clock.nowMs(),
        account: "",
        userId: undefined,
        tokenId: undefined,
        address: "192.0.2.8",
        action: "sign-in.refused",
        target: "user:ada",
        detail: {},
      },
      {
        log: "accounts",
        id: 1,
        atMs: clock.nowMs(),
        account: "ada",
        userId: ADA.userId,
        tokenId: ADA.tokenId,
        address: "192.0.2.7",
        action: "token.created",
        target: "token:1",
        detail: { scope: "read" },
      },
    ]);
  });

  test("filters by account, action, noun, target and time, and goes on from an id", async () => {
    const startMs = clock.nowMs();
    const actions = ["token.created", "token.revoked", "tokens", "user.created", "token-x.y"];
    for (const [i, action] of actions.entries()) {
      const principal = i % 2 === 0 ? ADA : NOBODY;
      audit.record({ principal, address: "", action, target: i < 2 ? "token:1" : "user:ada" });
      await pass(1000);
    }
    const ids = (query: Parameters<SqliteAudit["list"]>[0]): number[] =>
      audit.list(query).records.map(({ id }) => id);
    const limit = 10;
    expect(ids({ limit })).toEqual([5, 4, 3, 2, 1]);
    expect(ids({ limit: 2 })).toEqual([5, 4]);
    const { next } = audit.list({ limit: 2 });
    expect(ids({ limit: 2, before: next! })).toEqual([3, 2]);
    expect(() => ids({ limit, before: "4" })).toThrow(expect.objectContaining({ code: "usage" }));
    expect(ids({ limit, account: "ada" })).toEqual([5, 3, 1]);
    expect(ids({ limit, account: "" })).toEqual([4, 2]);
    expect(ids({ limit, action: "token.created" })).toEqual([1]);
    expect(ids({ limit, action: "token." })).toEqual([2, 1]);
    expect(ids({ limit, target: "token:1", account: "ada" })).toEqual([1]);
    expect(ids({ limit, sinceMs: startMs + 1000, untilMs: startMs + 3000 })).toEqual([3, 2]);
  });

  test("what was written is neither changed nor removed", () => {
    audit.record({ principal: ADA, address: "", action: "token.created", target: "token:1" });
    const message = /append-only/;
    expect(() => database.write((sql) => sql.exec("UPDATE audit SET account = 'eve'"))).toThrow(message);
    expect(() => database.write((sql) => sql.exec("DELETE FROM audit"))).toThrow(message);
    expect(() =>
      database.write((sql) => sql.exec("INSERT OR REPLACE INTO audit SELECT * FROM audit")),
    ).toThrow(message);
    expect(audit.list({ limit: 10 }).records).toHaveLength(1);
  });

  test("leaves out what would fill the disk", () => {
    const long = "x".repeat(1 << 20);
    audit.record({ principal: ADA, address: long, action: "a.b", target: long, detail: { long } });
    const [entry] = audit.list({ limit: 1 }).records;
    expect(JSON.stringify(entry).length).toBeLessThan(3_000);
    expect(entry?.detail).toEqual({ leftOut: long.length + 11 });
  });

  test("is pruned up to a time, and refuses to be changed again after it", async () => {
    audit.record({ principal: ADA, address: "", action: "token.created", target: "token:1" });
    await pass(1000);
    audit.record({ principal: ADA, address: "", action: "token.created", target: "token:2" });
    expect(await audit.prune(clock.nowMs())).toBe(1);
    expect(audit.list({ limit: 10 }).records.map(({ target }) => target)).toEqual(["token:2"]);
    expect(() => database.write((sql) => sql.exec("DELETE FROM audit"))).toThrow(/append-only/);
  });

  test("does nothing on a server that follows another one", () => {
    using follower = new AuthDatabase({ file: file(), readOnly: true });
    const following = new SqliteAudit({ database: follower, clock });
    following.record({ principal: ADA, address: "", action: "a.b", target: "" });
    expect(following.list({ limit: 10 }).records).toEqual([]);
  });
});
