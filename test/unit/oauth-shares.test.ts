/** What anybody may fill, and what is left for others when somebody does. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemRandom } from "../../src/core/base/system.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { ClientDocuments } from "../../src/server/auth/oauth/client-documents.ts";
import { Clients } from "../../src/server/auth/oauth/clients.ts";
import { DeviceCodes } from "../../src/server/auth/oauth/device-codes.ts";
import { TokenPairs } from "../../src/server/auth/oauth/token-pairs.ts";
import type { Outbound, OutboundAnswer } from "../../src/server/network/outbound.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const HOUR = 3_600_000;

let directory: string;
let database: AuthDatabase;
let clock: VirtualClock;
let outbound: Outbound;
let asked: string[];
let answers: ((answer: OutboundAnswer | Error) => void)[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mic-oauth-shares-"));
  database = new AuthDatabase({ file: join(directory, "accounts.db") });
  clock = new VirtualClock();
  asked = [];
  answers = [];
  outbound = {
    check: () => Promise.resolve(),
    fetch: (url) => {
      asked.push(url);
      return new Promise((resolve, reject) => {
        answers.push((answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
      });
    },
  };
});
afterEach(() => {
  database[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

const pass = (ms: number) => clock.run(clock.sleep(ms));
const count = (table: string, where = "true"): unknown =>
  database.sql.prepare(`SELECT count(*) FROM ${table} WHERE ${where}`).pluck().get();
const numbers = (many: number): string =>
  `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${many})`;

describe("registrations", () => {
  let clients: Clients;
  beforeEach(() => {
    const documents = new ClientDocuments(outbound, clock);
    clients = new Clients({ database, documents, clock, random: systemRandom });
  });

  /** `address`: SQL with `i`. */
  function registered(many: number, address: string): void {
    database.write((sql) =>
      sql.exec(`${numbers(many)} INSERT INTO oauth_clients
        SELECT hex(randomblob(8)), '', '[]', '[]', ${address}, ${clock.nowMs()} + i FROM n`),
    );
  }
  const register = (address: string) =>
    clients.register({ name: "agent", redirectUris: [], grantTypes: ["refresh_token"] }, address);

  test("that nobody used for an hour make room, the oldest first", async () => {
    registered(10_000, "'192.0.2.' || i % 250");
    const oldest = database.sql.prepare("SELECT id FROM oauth_clients ORDER BY created_at").pluck().get();
    await pass(2 * HOUR);
    const { id } = register("198.51.100.1");
    expect(clients.findKnown(id)).toBeDefined();
    expect(clients.findKnown(String(oldest))).toBeUndefined();
    expect(count("oauth_clients")).toBe(9_901);
  });

  test("of the address that has the most make room before they are an hour old", () => {
    registered(200, "'2001:db8:0:1::' || i");
    registered(9_800, "'192.0.2.1'");
    const others = Array.from({ length: 300 }, () => register("198.51.100.1").id);
    expect(others.every((id) => clients.findKnown(id) !== undefined)).toBe(true);
    expect(count("oauth_clients", "address LIKE '2001:%'")).toBe(200);
    expect(count("oauth_clients")).toBeLessThanOrEqual(10_000);
  });

  test("of each block of one network, as many as there may be, shut nobody else out", () => {
    registered(10_000, "printf('2001:db8:7:%x::1', i)");
    const { id } = register("198.51.100.1");
    expect(clients.findKnown(id)).toBeDefined();
  });

  test("that are in use stay; where all are, there is no room", () => {
    registered(10_000, "'192.0.2.1'");
    database.write((sql) => {
      sql.exec(`INSERT INTO users (id, name, created_at) VALUES ('u', 'ada', 0);
        INSERT INTO tokens (id, user_id, kind, token_hash, name, scope, client_id, created_at)
        SELECT id, 'u', 'access', CAST(id AS BLOB), 'n', 'read', id, 0 FROM oauth_clients`);
    });
    expect(() => register("198.51.100.1")).toThrow(
      expect.objectContaining({ oauth: "temporarily_unavailable" }),
    );
    database.write((sql) => sql.exec("DELETE FROM tokens WHERE id = (SELECT min(id) FROM oauth_clients)"));
    // One of an address that has no more than its share, and not an hour old.
    expect(() => register("198.51.100.1")).toThrow(
      expect.objectContaining({ oauth: "temporarily_unavailable" }),
    );
    expect(count("oauth_clients")).toBe(10_000);
  });
});

describe("device codes", () => {
  let devices: DeviceCodes;
  beforeEach(() => {
    const pairs = new TokenPairs({ database, clock, random: systemRandom });
    devices = new DeviceCodes({ database, pairs, clock, random: systemRandom });
  });
  const create = (address: string) =>
    devices.create({ client: "mic-cli", clientName: "mic", scope: "read", address });
  const unavailable = expect.objectContaining({ oauth: "temporarily_unavailable" });

  test("of one address are a hundred at a time; others get theirs", async () => {
    for (let i = 0; i < 100; i++) create(`2001:db8:0:1::${i}`);
    expect(() => create("2001:db8:0:1:ffff::1")).toThrow(unavailable);
    create("2001:db8:0:2::1");
    await pass(600_000);
    create("2001:db8:0:1:ffff::1");
  });

  test("one of each block of one network, as many as there may be, shut nobody else out", async () => {
    const fill = (): unknown =>
      database.write((sql) =>
        sql.exec(`${numbers(10_000)} INSERT INTO device_codes
          SELECT randomblob(8), 'U' || i, 'c', 'c', 'read', printf('2001:db8:7:%x::1', i), ${clock.nowMs()} + i,
            ${clock.nowMs()} + 600000, 'pending', NULL FROM n`),
      );
    fill();
    const made = ["198.51.100.1", "2001:db8:8::1", "198.51.100.2"].map(create);
    expect(made.every(({ userCode }) => devices.find(userCode) !== undefined)).toBe(true);
    expect(count("device_codes")).toBe(10_000);
    // And many who are refused do not take as long as it takes to look through all.
    database.write((sql) => sql.exec("DELETE FROM device_codes"));
    fill();
    database.write((sql) => sql.exec("UPDATE device_codes SET address = printf('2001:db8:%x::1', rowid)"));
    await pass(1_000);
    const statements: string[] = [];
    const prepare = database.sql.prepare.bind(database.sql);
    database.sql.prepare = ((text: string) => {
      statements.push(text);
      return prepare(text);
    }) as typeof database.sql.prepare;
    for (let i = 0; i < 20; i++) expect(() => create(`198.51.101.${i}`)).toThrow(unavailable);
    expect(statements.filter((text) => text.includes("ORDER BY created_at"))).toHaveLength(1);
  });

  test("when there is no more room, the oldest of the network with the most makes it", async () => {
    create("192.0.2.1");
    database.write((sql) =>
      sql.exec(`${numbers(9_999)} INSERT INTO device_codes
        SELECT randomblob(8), 'U' || i, 'c', 'c', 'read', '192.0.2.' || (i % 200), ${clock.nowMs()} + i,
          ${clock.nowMs()} + 600000, iif(i = 1, 'approved', 'pending'), NULL FROM n`),
    );
    const { userCode } = create("198.51.100.1");
    expect(devices.find(userCode)).toBeDefined();
    expect(count("device_codes")).toBe(10_000);
    expect(count("device_codes", "address = '192.0.2.1'")).toBe(50);
    expect(count("device_codes", "state = 'approved'")).toBe(1);
    // Nobody has more than another: there is room for nobody.
    await pass(1_000);
    database.write((sql) =>
      sql.exec("UPDATE device_codes SET address = '10.0.' || (rowid / 250) || '.' || rowid"),
    );
    expect(() => create("198.51.100.2")).toThrow(unavailable);
  });
});

describe("documents of clients", () => {
  const idOf = (number: number): string => `https://agent-${number}.example/client.json`;
  let documents: ClientDocuments;
  beforeEach(() => {
    documents = new ClientDocuments(outbound, clock);
  });
  const answerAll = (): void => {
    for (const answer of answers.splice(0)) answer(new Error("slow, and then nothing"));
  };

  test("are looked up four at a time for one address, however slow they are, and for others meanwhile", async () => {
    const all: Promise<unknown>[] = [];
    const find = (number: number, address: string): void => {
      all.push(documents.find(idOf(number), address).catch((error: unknown) => error));
    };
    for (let i = 0; i < 6; i++) find(i, `2001:db8:0:1::${i}`);
    find(6, "198.51.100.1");
    expect(asked).toEqual([0, 1, 2, 3, 6].map(idOf));
    // Whoever waits for the same one takes no place.
    find(0, "2001:db8:0:1::9");
    answerAll();
    expect(await Promise.all(all)).toMatchObject([
      ...Array(4).fill({ oauth: "invalid_client" }),
      ...Array(2).fill({ oauth: "temporarily_unavailable" }),
      ...Array(2).fill({ oauth: "invalid_client" }),
    ]);
    find(7, "2001:db8:0:1::1");
    expect(asked.at(-1)).toBe(idOf(7));
    answerAll();
    await all.at(-1);
  });

  test("that were refused are asked for again half a minute later", async () => {
    const find = async (): Promise<unknown> => {
      const found = documents.find(idOf(1), "198.51.100.1").catch((error: unknown) => error);
      answerAll();
      return await found;
    };
    expect(await find()).toMatchObject({ oauth: "invalid_client" });
    await pass(29_999);
    expect(await find()).toMatchObject({ oauth: "invalid_client" });
    expect(asked).toHaveLength(1);
    await pass(1);
    await find();
    expect(asked).toHaveLength(2);
  });
});
