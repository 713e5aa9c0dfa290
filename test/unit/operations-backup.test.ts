import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { systemClock as clock, systemRandom as random } from "../../src/core/base/system.ts";
import { openLocalStore } from "../../src/core/store/local-store.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { accountsFile } from "../../src/server/auth/owner-token.ts";
import { NOBODY } from "../../src/server/auth/principal.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { landingLogFile, SqliteLandingLog } from "../../src/server/auth/sqlite-landing-log.ts";
import { backup } from "../../src/server/operations/backup.ts";
import { diagnose, type Finding } from "../../src/server/operations/doctor.ts";
import { restoreBackup } from "../../src/server/operations/restore.ts";
import { openWorkDirectory } from "../../src/server/operations/work-directory.ts";

const WORK_CHILD = path.join(import.meta.dirname, "../support/work-directory-child.ts");

let directory: string;
let data: string;
let tar: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "mic-operations-"));
  data = path.join(directory, "data");
  tar = path.join(directory, "backup.tar");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const makeBackup = (file = tar) => backup({ dataDirectory: data, file, clock, version: "0.0.0" });
const restoreTo = (name: string, file = tar) =>
  restoreBackup({ file, dataDirectory: path.join(directory, name), clock, random });

/** Users, and objects small and large. Open until the test ends: a backup is made of what is being used. */
async function openData() {
  const database = new AuthDatabase({ file: accountsFile(data) });
  const accounts = new SqliteAccounts({ database, clock, random });
  const user = await accounts.createUser({ name: "ada" });
  const { secret } = accounts.createToken({ user: user.id, kind: "personal", name: "x", scope: "write" });
  const store = await openLocalStore(data, { clock, create: true });
  await store.put("small", new Uint8Array([1, 2, 3]));
  await store.put("large", new Uint8Array(1_500_000).fill(7));
  return {
    store,
    secret,
    accounts,
    database,
    [Symbol.asyncDispose]: async () => {
      accounts[Symbol.dispose]();
      database[Symbol.dispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

describe("backup()", () => {
  test("makes one private file that restores to the same accounts and objects", async () => {
    await using open = await openData();
    open.database.writeRecords((sql) =>
      sql.exec(
        "INSERT INTO audit (at, account, address, action, target, detail) VALUES (1, 'ada', '', 'a.b', '', '')",
      ),
    );
    const report = await makeBackup();
    expect(report).toMatchObject({
      accounts: { users: 1, tokens: 1 },
      forge: { projects: 0, objects: 2, bytes: 1_500_003 },
    });
    expect(statSync(tar).mode & 0o777).toBe(0o600);
    expect(statSync(tar).size).toBe(report.bytes);
    // Nothing of its work is left.
    expect(readdirSync(directory).sort()).toEqual(["backup.tar", "data"]);
    expect(readdirSync(data).filter((name) => name.startsWith("."))).toEqual([]);

    expect(await restoreTo("restored")).toMatchObject({ accounts: { users: 1 }, forge: { objects: 2 } });
    const restored = path.join(directory, "restored");
    using database = new AuthDatabase({ file: accountsFile(restored) });
    using accounts = new SqliteAccounts({ database, clock, random });
    expect(accounts.authenticate(open.secret).account).toBe("ada");
    expect(database.prepare("SELECT account FROM audit").pluck().get()).toBe("ada");
    await using store = await openLocalStore(restored, { clock, create: false });
    expect((await store.get("large"))?.bytes).toEqual(new Uint8Array(1_500_000).fill(7));
    expect((await store.get("small"))?.bytes).toEqual(new Uint8Array([1, 2, 3]));
  });

  test("is whole while others write, large objects come and go, and the log is not checkpointed", async () => {
    await using open = await openData();
    let isOver = false;
    const writing = (async () => {
      for (let i = 0; !isOver; i++) {
        await open.store.put(`large-${i}`, new Uint8Array(1_100_000).fill(i));
        if (i > 0) await open.store.delete([`large-${i - 1}`]);
        await open.accounts.createUser({ name: `user-${i}` });
      }
    })();
    for (let i = 0; i < 3; i++) {
      const file = path.join(directory, `${i}.tar`);
      await makeBackup(file);
      await restoreTo(`restored-${i}`, file);
    }
    isOver = true;
    await writing;
  });

  test("of a server whose forge is in a bucket has the accounts, and says that there is no more", async () => {
    const open = await openData();
    await open[Symbol.asyncDispose]();
    for (const name of ["store.sqlite", "large"]) rmSync(path.join(data, name), { recursive: true });
    expect((await makeBackup()).forge).toBeUndefined();
  });

  test("has the log of landings too, while it is written", async () => {
    await using _open = await openData();
    const file = landingLogFile(accountsFile(data));
    using landings = new SqliteLandingLog({ file, clock });
    const principal = { ...NOBODY, account: "ada" };
    const project = "0".repeat(32) as ProjectId;
    const entry = { principal, address: "", action: "import.done", project, detail: {} } as const;
    await landings.record(entry);
    await makeBackup();
    await restoreTo("restored");
    const restored = landingLogFile(accountsFile(path.join(directory, "restored")));
    using there = new SqliteLandingLog({ file: restored, clock });
    expect(there.list({ limit: 10 })).toMatchObject([{ account: "ada" }]);
  });

  test("is an archive that any tar reads", async () => {
    await using _open = await openData();
    await makeBackup();
    const listed = spawnSync("tar", ["-tf", tar], { encoding: "utf8" });
    expect(listed.stdout.split("\n").filter((name) => !name.startsWith("large/"))).toEqual([
      "auth/accounts.db",
      "auth/accounts-records.db",
      "store.sqlite",
      "mic-backup.json",
      "",
    ]);
  });

  test("overwrites nothing, and finds nothing where there is nothing", async () => {
    await using _open = await openData();
    writeFileSync(tar, "precious");
    await expect(makeBackup()).rejects.toMatchObject({ code: "already-exists" });
    expect(readFileSync(tar, "utf8")).toBe("precious");
    mkdirSync(path.join(directory, "empty"));
    const nothing = { dataDirectory: path.join(directory, "empty"), file: `${tar}.2`, clock, version: "0" };
    await expect(backup(nothing)).rejects.toMatchObject({ code: "not-found" });
    expect(existsSync(`${tar}.2`)).toBe(false);
  });

  test("takes the place of what one that was killed left", async () => {
    await using _open = await openData();
    const left = [path.join(data, ".backup"), `${tar}.partial`];
    for (const directory of left) {
      mkdirSync(path.join(directory, "auth"), { recursive: true });
      for (const name of ["lock", "backup.tar", "auth/accounts.db"]) {
        writeFileSync(path.join(directory, name), "");
      }
    }
    await makeBackup();
    expect(readdirSync(directory).sort()).toEqual(["backup.tar", "data"]);
    expect(readdirSync(data).filter((name) => name.startsWith("."))).toEqual([]);
    await restoreTo("restored");
  });

  test("that is killed leaves what the next one removes, and the doctor names", async () => {
    await using _open = await openData();
    const child = spawn(process.execPath, [WORK_CHILD, path.join(data, ".backup")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    const findings = (): Promise<readonly Finding[]> => look(data);
    expect(await findings()).not.toContainEqual(expect.objectContaining({ name: "leftover" }));
    await expect(makeBackup()).rejects.toMatchObject({ code: "unreachable" });
    expect(readdirSync(directory)).toEqual(["data"]);
    child.kill("SIGKILL");
    await once(child, "close");
    expect(await findings()).toContainEqual(
      expect.objectContaining({
        name: "leftover",
        detail: expect.stringContaining(path.join(data, ".backup")),
      }),
    );
    await makeBackup();
    expect(await findings()).not.toContainEqual(expect.objectContaining({ name: "leftover" }));
  });

  test("leaves alone what is not its own under the names that it works with", async () => {
    await using _open = await openData();
    mkdirSync(path.join(data, ".backup"));
    writeFileSync(path.join(data, ".backup", "mine"), "precious");
    await expect(makeBackup()).rejects.toMatchObject({ code: "already-exists" });
    expect(readFileSync(path.join(data, ".backup", "mine"), "utf8")).toBe("precious");
    rmSync(path.join(data, ".backup"), { recursive: true });
    writeFileSync(`${tar}.partial`, "precious");
    await expect(makeBackup()).rejects.toMatchObject({ code: "already-exists" });
    expect(readFileSync(`${tar}.partial`, "utf8")).toBe("precious");
  });

  test("neither follows a link that somebody put there, nor works where others may come in", async () => {
    await using _open = await openData();
    const elsewhere = path.join(directory, "elsewhere");
    mkdirSync(elsewhere);
    writeFileSync(path.join(elsewhere, "lock"), "");
    writeFileSync(path.join(elsewhere, "mine"), "precious");
    symlinkSync(elsewhere, `${tar}.partial`);
    await expect(makeBackup()).rejects.toMatchObject({ code: "already-exists" });
    expect(readFileSync(path.join(elsewhere, "mine"), "utf8")).toBe("precious");
    rmSync(`${tar}.partial`);
    mkdirSync(`${tar}.partial`);
    if (process.getuid?.() === 0) {
      chownSync(`${tar}.partial`, 12_345, 12_345);
      await expect(makeBackup()).rejects.toMatchObject({ code: "already-exists" });
      chownSync(`${tar}.partial`, 0, 0);
    }
    chmodSync(`${tar}.partial`, 0o777);
    await using work = await openWorkDirectory(`${tar}.partial`, "a test");
    expect(statSync(work.path).mode & 0o077).toBe(0);
  });

  test("of a damaged database fails and leaves no file", async () => {
    const open = await openData();
    await open[Symbol.asyncDispose]();
    const file = accountsFile(data);
    const bytes = readFileSync(file);
    bytes.fill(0xff, 8192, 16_384);
    writeFileSync(file, bytes);
    await expect(makeBackup()).rejects.toMatchObject({ code: "corrupt" });
    expect(readdirSync(directory)).toEqual(["data"]);
  });
});

describe("restoreBackup()", () => {
  test("refuses a directory that holds anything, and leaves it as it is", async () => {
    await using _open = await openData();
    await makeBackup();
    mkdirSync(path.join(directory, "empty"));
    await restoreTo("empty");
    await expect(restoreTo("empty")).rejects.toMatchObject({ code: "already-exists" });
    await expect(restoreTo("data")).rejects.toMatchObject({ code: "already-exists" });
  });

  test("refuses a backup of which any byte is another, or the end is missing, and leaves nothing", async () => {
    const open = await openData();
    await open[Symbol.asyncDispose]();
    await makeBackup();
    const bytes = readFileSync(tar);
    const damaged = path.join(directory, "damaged.tar");
    let refused = 0;
    const mustFail = async (content: Uint8Array, what: string): Promise<void> => {
      writeFileSync(damaged, content);
      const error = await restoreTo("target", damaged).then(
        () => undefined,
        (cause: unknown) => cause,
      );
      expect(error, what).toMatchObject({ code: "corrupt" });
      refused++;
      expect(existsSync(path.join(directory, "target")), what).toBe(false);
    };
    // Every part of the first header, and samples of all else.
    const offsets = [0, 50, 100, 124, 130, 148, 156, 257, 512, 9_000, bytes.length - 1_600];
    for (let at = 60_000; at < bytes.length - 2_048; at += 190_001) offsets.push(at);
    for (const at of offsets) {
      const copy = Buffer.from(bytes);
      copy[at]! ^= 0x10;
      // What fills the space behind a name or a content is not part of it.
      if (at === 50) continue;
      await mustFail(copy, `byte ${at}`);
    }
    for (const length of [0, 511, 512, 5_000, bytes.length - 1_024, bytes.length - 1_536]) {
      await mustFail(bytes.subarray(0, length), `${length} bytes`);
    }
    expect(refused).toBeGreaterThan(15);
    expect(readdirSync(directory).sort()).toEqual(["backup.tar", "damaged.tar", "data"]);
  });

  test("refuses names that lead out of the directory", async () => {
    const made = spawnSync(
      "tar",
      ["--transform", "s,^,../,", "-cf", tar, "-C", tmpdir(), "--no-recursion", "."],
      {
        encoding: "utf8",
      },
    );
    expect(made.status).toBe(0);
    await expect(restoreTo("target")).rejects.toMatchObject({ code: "corrupt" });
  });
});

function look(dataDirectory: string, flags: object = {}): Promise<readonly Finding[]> {
  return diagnose({
    flags: { data: dataDirectory, ...flags },
    world: { env: { PATH: "/nowhere" }, platform: process.platform, isRoot: false, cwd: directory },
    clock,
    random,
    version: "0.0.0",
  });
}

describe("diagnose()", () => {
  const stateOf = (findings: readonly Finding[], name: string): string | undefined =>
    findings.find((finding) => finding.name === name)?.state;

  test("finds a data directory whole, and says that its accounts are on one disk", async () => {
    await using _open = await openData();
    const findings = await look(data);
    for (const name of ["version", "options", "accounts", "store", "tls"]) {
      expect(stateOf(findings, name), name).toMatch(/ok|warn/);
    }
    expect(stateOf(findings, "accounts")).toBe("warn");
    expect(findings.find(({ name }) => name === "accounts")?.hint).toContain("promote");
    expect(stateOf(findings, "replica")).toBe("warn");
  });

  test("finds a damaged database, and goes on", async () => {
    const open = await openData();
    await open[Symbol.asyncDispose]();
    const bytes = readFileSync(accountsFile(data));
    bytes.fill(0xff, 8192, 16_384);
    writeFileSync(accountsFile(data), bytes);
    const findings = await look(data);
    expect(stateOf(findings, "accounts")).toBe("fail");
    expect(stateOf(findings, "files") ?? "ok").toBeDefined();
    expect(stateOf(findings, "store")).toBe("ok");
  });

  test("names an option that is wrong, a certificate that is missing, a bucket that cannot be reached, accounts that are large", async () => {
    expect(stateOf(await look(data, { listen: "nonsense" }), "options")).toBe("fail");
    const tls = { tlsCert: "no.pem", tlsKey: "no.pem" };
    expect(stateOf(await look(data, tls), "tls")).toBe("fail");
    new AuthDatabase({ file: accountsFile(data) })[Symbol.dispose]();
    // A hole takes no room.
    truncateSync(accountsFile(data), 48_000_000);
    const findings = await diagnose({
      flags: { data, s3Bucket: "forge", s3Endpoint: "http://127.0.0.1:9", authReplica: "s3://forge/auth" },
      world: {
        env: { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", PATH: "/nowhere" },
        platform: process.platform,
        isRoot: false,
        cwd: directory,
      },
      clock,
      random,
      version: "0.0.0",
    });
    expect(stateOf(findings, "bucket")).toBe("fail");
    expect(stateOf(findings, "replica")).toBe("fail");
    const { detail } = findings.find(({ name }) => name === "accounts")!;
    expect(detail).toContain("48 MB: followers need more than 2 s");
  });
});
