/** `--auth-replica` on machines without Litestream: the lease is kept all the same. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { AuthReplica } from "../../src/server/auth/replica/auth-replica.ts";
import { LEASE_KEY, Lease } from "../../src/server/auth/replica/lease.ts";
import { decodeLease } from "../../src/server/auth/replica/lease-record.ts";
import { metaDirectoryOf } from "../../src/server/auth/replica/litestream-config.ts";
import { readReplicaState, writeReplicaState } from "../../src/server/auth/replica/replica-state.ts";
import type { AuthRole } from "../../src/server/auth/replica/replica-target.ts";
import { readReplicaOptions } from "../../src/server/auth/replica/replica-target.ts";
import type { ServerLog } from "../../src/server/context.ts";
import { replicaMetrics } from "../../src/server/telemetry/account-metrics.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const { settings } = readReplicaOptions(
  { authReplica: "s3://accounts/auth" },
  { S3_ENDPOINT: "http://localhost:9000", S3_ACCESS_KEY_ID: "key", S3_SECRET_ACCESS_KEY: "secret" },
)!;

let directory: string;
let clock: VirtualClock;
let store: MemoryStore;
/** Names of its records. */
let logged: string[];

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "mic-unreplicated-"));
  clock = new VirtualClock();
  store = new MemoryStore(clock);
  logged = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const note = (event: string): void => void logged.push(event);
const log: ServerLog = { info: note, warn: note, error: note };
const fileOf = (name: string): string => path.join(directory, name, "accounts.db");
const leaseNow = async () => decodeLease((await store.get(LEASE_KEY))!.bytes, "memory");

let processes = 0;

/** A server of that name, until `stop`. */
async function start(
  name: string,
  role: AuthRole = "auto",
  on: ObjectStore = store,
  advertiseUrl: string | undefined = `http://${name}`,
) {
  const file = fileOf(name);
  mkdirSync(path.dirname(file), { recursive: true });
  const replica = await AuthReplica.open({
    file,
    store: on,
    settings,
    role,
    advertiseUrl: advertiseUrl === "" ? undefined : advertiseUrl,
    program: undefined,
    clock,
    random: new SeededRandom(++processes),
    elapsedMs: () => clock.nowMs(),
    log,
  });
  const database = new AuthDatabase({ file });
  await replica.attach(database);
  const write = (): unknown => database.write((sql) => sql.exec("UPDATE generations SET roles = roles + 1"));
  return {
    replica,
    database,
    write,
    stop: async () => {
      await replica.close();
      database[Symbol.dispose]();
    },
  };
}

/** Accounts of `name` that a primary with Litestream left there, replicated up to transaction 9. */
async function replicatedBefore(name: string, isOnDisk: boolean): Promise<void> {
  const auth = path.join(directory, name);
  mkdirSync(auth);
  const state = readReplicaState(auth, new SeededRandom(++processes));
  const { holder } = state;
  const lease = new Lease({
    store,
    clock,
    random: new SeededRandom(++processes),
    elapsedMs: () => clock.nowMs(),
    holder,
  });
  await lease.look();
  await lease.take(`http://${name}`);
  const { generation } = lease.record!;
  await lease.update({ source: generation, position: 9 });
  await lease.release();
  if (!isOnDisk) return;
  new AuthDatabase({ file: fileOf(name) })[Symbol.dispose]();
  writeReplicaState(auth, { ...state, generation, origin: "own" });
  const ltx = path.join(metaDirectoryOf(auth, generation), "ltx", "0");
  mkdirSync(ltx, { recursive: true });
  writeFileSync(path.join(ltx, "0000000000000001-0000000000000009.ltx"), "");
}

describe("a server without Litestream", () => {
  test("is the only one that makes accounts in that bucket, for as long as it runs", async () => {
    await clock.run(
      (async () => {
        const first = await start("first");
        expect(first.replica.status()).toMatchObject({
          role: "primary",
          problem: expect.stringMatching(/Litestream is not installed/),
        });
        const problem = replicaMetrics(first.replica).find(({ name }) => name === "mic_replica_problem")!;
        expect([...problem.samples()]).toEqual([["", "", 1]]);
        expect(await leaseNow()).toMatchObject({ generation: 1, source: 0, url: "http://first" });
        first.write();
        await first.replica.flushed();
        for (let minute = 0; minute < 3; minute++) {
          await expect(start("second")).rejects.toMatchObject({ code: "unsupported" });
          await expect(start("second", "primary")).rejects.toMatchObject({ code: "already-exists" });
          await clock.sleep(60_000);
        }
        first.write();
        expect(logged.filter((event) => event === "litestream-missing")).toHaveLength(1);
        await first.stop();
        expect((await leaseNow()).expiresAtMs).toBe(0);
        const again = await start("first");
        again.write();
        await again.stop();
      })(),
    );
  });

  test("says in the lease where it listens as soon as it knows, whatever it is at", async () => {
    await clock.run(
      (async () => {
        let whileCommitting: (() => void) | undefined;
        const watched = new Proxy(store, {
          get: (target, name) => {
            const value = Reflect.get(target, name) as unknown;
            if (typeof value !== "function") return value;
            if (name === "commit") whileCommitting?.();
            return value.bind(target);
          },
        });
        const server = await start("first", "auto", watched, "");
        expect((await leaseNow()).url).toBe("");
        // A round is under way, which knows no address.
        whileCommitting = () => {
          whileCommitting = undefined;
          server.replica.announce("http://here");
        };
        await server.replica.flushed();
        await clock.sleep(100);
        expect((await leaseNow()).url).toBe("http://here");
        await server.stop();
      })(),
    );
  });

  test("of two that start at once, one makes accounts", async () => {
    await clock.run(
      (async () => {
        const started = await Promise.allSettled([start("first"), start("second")]);
        const running = started.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
        expect(running).toHaveLength(1);
        await running[0]!.stop();
      })(),
    );
  });

  test("changes nothing, and says so, once it cannot renew the lease", async () => {
    await clock.run(
      (async () => {
        let isCut = false;
        const cut = new Proxy(store, {
          get: (target, name) => {
            const value = Reflect.get(target, name) as unknown;
            if (typeof value !== "function") return value;
            if (!isCut || name === Symbol.asyncDispose) return value.bind(target);
            return () => Promise.reject(new Error("cut off"));
          },
        });
        const server = await start("first", "auto", cut);
        server.write();
        isCut = true;
        await clock.sleep(14_000);
        expect(server.write).toThrow();
        expect(server.database.isReadOnly).toBe(true);
        await expect(server.replica.flushed()).rejects.toMatchObject({ code: "unreachable" });
        expect(server.replica.isPrimary).toBe(false);
        isCut = false;
        await clock.sleep(2_000);
        // Nobody else took it: what is here is the newest.
        server.write();
        await server.replica.flushed();
        await server.stop();
      })(),
    );
  });

  test("keeps accounts that were replicated as they are, and keeps others from taking over", async () => {
    await clock.run(
      (async () => {
        await replicatedBefore("first", true);
        for (let round = 0; round < 2; round++) {
          const server = await start("first");
          expect(server.replica.isPrimary).toBe(true);
          expect(server.replica.status().problem).toMatch(/can be read and not changed: Litestream/);
          expect(server.database.isReadOnly).toBe(true);
          expect(server.write).toThrow(
            expect.objectContaining({
              code: "unreachable",
              hint: expect.stringContaining("install Litestream"),
            }),
          );
          await clock.sleep(60_000);
          await expect(start("second")).rejects.toMatchObject({ code: "unsupported" });
          expect(await leaseNow()).toMatchObject({ generation: 2 + round, source: 1, position: 9 });
          await server.stop();
        }
      })(),
    );
  });

  test.each([
    ["another server's", "second", true],
    ["those of a disk that is lost", "first", false],
  ])("does not begin in place of accounts that are replicated: %s", async (_what, owner, isOnDisk) => {
    await clock.run(
      (async () => {
        await replicatedBefore(owner, isOnDisk);
        const before = await leaseNow();
        for (const role of ["auto", "primary", "follower"] as const) {
          await expect(start("first", role)).rejects.toMatchObject({
            code: "unsupported",
            hint: expect.stringContaining("install Litestream"),
          });
        }
        expect(await leaseNow()).toEqual(before);
      })(),
    );
  });
});
