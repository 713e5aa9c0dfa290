import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { networkFileSystem, translateStoreError } from "../../src/core/store/local-database.ts";
import { openLocalStore } from "../../src/core/store/local-store.ts";
import {
  describeObjectStore,
  describeVersionEtags,
  etagOf,
  type StoreFixture,
} from "../conformance/object-store.ts";

async function makeFixture(): Promise<StoreFixture> {
  const directory = await mkdtemp(join(tmpdir(), "mic-store-"));
  const store = await openLocalStore(directory, { clock: systemClock, create: true });
  return {
    store,
    another: () => openLocalStore(directory, { clock: systemClock, create: false }),
    isAtomic: true,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      expect(filesUnder(join(directory, "large", "writing"))).toEqual([]);
      await rm(directory, { recursive: true });
    },
  };
}

describeObjectStore("a local store", makeFixture);
describeVersionEtags("a local store", makeFixture);

describe("openLocalStore()", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "mic-store-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const open = (options: { create?: boolean; busyTimeoutMs?: number } = {}, at = directory) =>
    openLocalStore(at, { clock: systemClock, create: false, ...options });

  test("finds nothing in a missing or empty directory and leaves it as it is", async () => {
    await expect(open()).rejects.toMatchObject({ code: "not-found" });
    await expect(open({}, join(directory, "missing"))).rejects.toMatchObject({ code: "not-found" });
    expect(readdirSync(directory)).toEqual([]);
  });

  test("creates missing directories, in a name with spaces and quotes too", async () => {
    const deep = join(directory, "a b", "it's", " c ");
    await using store = await open({ create: true }, deep);
    await store.put("k", utf8("x"));
    await using again = await open({}, deep);
    expect((await again.get("k"))?.bytes).toEqual(utf8("x"));
  });

  test("keeps what was stored after the last handle was closed", async () => {
    const large = new Uint8Array(1_500_000).fill(7);
    {
      await using store = await open({ create: true });
      etagOf(
        await store.commit([{ key: "big", bytes: large }], { key: "head", expected: null, bytes: utf8("1") }),
      );
    }
    await using store = await open();
    expect((await store.get("head"))?.bytes).toEqual(utf8("1"));
    expect(Buffer.compare((await store.get("big"))!.bytes, large)).toBe(0);
  });

  test("may be called by many at once on a directory that does not exist", async () => {
    const stores = await Promise.all(
      Array.from({ length: 8 }, () => open({ create: true }, join(directory, "new"))),
    );
    await Promise.all(stores.map((store, i) => store.put(`k/${i}`, utf8("x"))));
    expect((await stores[0]!.list("k/")).objects).toHaveLength(8);
    for (const store of stores) await store[Symbol.asyncDispose]();
  });

  test("completes a database whose creation was cut short", async () => {
    writeFileSync(join(directory, "store.sqlite"), "");
    await expect(open()).rejects.toMatchObject({ code: "not-found" });
    await using store = await open({ create: true });
    await store.put("k", utf8("x"));
    expect(await store.get("k")).toBeDefined();
  });

  test("refuses the database of another application", async () => {
    const other = new Database(join(directory, "store.sqlite"));
    other.exec("CREATE TABLE objects (key TEXT)");
    other.close();
    await expect(open({ create: true })).rejects.toMatchObject({ code: "corrupt" });
  });

  test("refuses a newer format and says so", async () => {
    await (await open({ create: true }))[Symbol.asyncDispose]();
    const database = new Database(join(directory, "store.sqlite"));
    database.pragma("user_version = 2");
    database.close();
    await expect(open()).rejects.toMatchObject({ code: "unsupported" });
  });

  test("refuses a file that is not a database, and one that was overwritten", async () => {
    const path = join(directory, "store.sqlite");
    writeFileSync(path, "not a database ".repeat(1000));
    await expect(open({ create: true })).rejects.toMatchObject({ code: "corrupt" });
    rmSync(path);
    {
      await using store = await open({ create: true });
      await store.put("k", new Uint8Array(100_000));
    }
    const bytes = readFileSync(path);
    bytes.fill(0x5a, 100);
    writeFileSync(path, bytes);
    const readAll = async (): Promise<unknown> => {
      await using store = await open();
      return store.get("k");
    };
    await expect(readAll()).rejects.toMatchObject({ code: "corrupt" });
  });

  test("waits for another process and then gives up with the kind that says retry", async () => {
    await using hasty = await open({ create: true, busyTimeoutMs: 60 });
    await using store = await open({ busyTimeoutMs: 20_000 });
    const other = new Database(join(directory, "store.sqlite"));
    other.exec("BEGIN IMMEDIATE");
    await expect(hasty.put("k", utf8("x"))).rejects.toMatchObject({ code: "unreachable", kind: "retry" });
    const write = store.put("k", utf8("x"));
    await new Promise((resolve) => setTimeout(resolve, 20));
    other.exec("COMMIT");
    other.close();
    await write;
    expect(await store.get("k")).toBeDefined();
  });

  test("reads while another process holds the write lock", async () => {
    await using store = await open({ create: true, busyTimeoutMs: 0 });
    await store.put("k", utf8("x"));
    const other = new Database(join(directory, "store.sqlite"));
    other.exec("BEGIN IMMEDIATE");
    expect(await store.get("k")).toBeDefined();
    await using again = await open({ busyTimeoutMs: 0 });
    expect(await again.get("k")).toBeDefined();
    other.exec("ROLLBACK");
    other.close();
  });

  test("notices a large file that was cut, removed or grew", async () => {
    await using store = await open({ create: true });
    for (const [i, damage] of [
      (path: string) => truncateSync(path, 1_000_000),
      (path: string) => writeFileSync(path, new Uint8Array(2_000_000)),
      (path: string) => rmSync(path),
    ].entries()) {
      await store.put(`k${i}`, new Uint8Array(1_500_000));
      damage(filesUnder(join(directory, "large"))[0]!);
      await expect(store.get(`k${i}`)).rejects.toMatchObject({ code: "corrupt" });
      // Storing the content again repairs it.
      await store.put(`k${i}`, new Uint8Array(1_500_000));
      expect((await store.get(`k${i}`))?.bytes.length).toBe(1_500_000);
      await store.delete([`k${i}`]);
      expect(filesUnder(join(directory, "large"))).toEqual([]);
    }
  });

  test("sweeps what a dead process left, and only that", async () => {
    const dead = spawnSync("true").pid;
    const names = ["a", "b", "c", "d"].map((digit) => digit.repeat(32)) as [string, string, string, string];
    const [orphan, published, alive, old] = names;
    {
      await using store = await open({ create: true });
      await store.put("k", new Uint8Array(1_500_000));
    }
    for (const name of names) {
      mkdirSync(join(directory, "large", name.slice(0, 2)), { recursive: true });
      writeFileSync(join(directory, "large", name.slice(0, 2), name), "half");
    }
    const database = new Database(join(directory, "store.sqlite"));
    database.prepare("UPDATE objects SET file = ?, size = 4").run(published);
    database.close();
    const marker = (pid: number | undefined, name: string) =>
      join(directory, "large", "writing", `${pid}-${name}`);
    for (const path of [
      marker(dead, orphan),
      marker(dead, published),
      marker(process.pid, alive),
      marker(process.pid, old),
    ]) {
      writeFileSync(path, "");
    }
    utimesSync(marker(process.pid, old), new Date(0), new Date(0));
    await using store = await open();
    const left = filesUnder(join(directory, "large", "writing"));
    expect(left).toEqual([marker(process.pid, alive)]);
    const exists = (name: string): boolean => existsSync(join(directory, "large", name.slice(0, 2), name));
    expect(names.map(exists)).toEqual([false, true, true, false]);
    expect((await store.get("k"))?.bytes).toEqual(utf8("half"));
  });

  test("a writer whose file was swept from under it writes it again", async () => {
    await using store = await open({ create: true });
    const blocker = new Database(join(directory, "store.sqlite"));
    blocker.exec("BEGIN IMMEDIATE");
    const write = store.put("k", new Uint8Array(1_500_000).fill(1));
    const writing = join(directory, "large", "writing");
    while (readdirSync(writing).length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await new Promise((resolve) => setTimeout(resolve, 30));
    for (const path of filesUnder(join(directory, "large"))) rmSync(path);
    blocker.exec("COMMIT");
    blocker.close();
    await write;
    expect((await store.get("k"))?.bytes.length).toBe(1_500_000);
    expect(filesUnder(writing)).toEqual([]);
  });
});

describe("errors of the disk", () => {
  test.each([
    ["EROFS", "forbidden"],
    ["EACCES", "forbidden"],
    ["SQLITE_READONLY_DIRECTORY", "forbidden"],
    ["SQLITE_CANTOPEN", "forbidden"],
    ["SQLITE_CORRUPT_VTAB", "corrupt"],
    ["SQLITE_NOTADB", "corrupt"],
    ["SQLITE_IOERR_FSYNC", "unreachable"],
    ["EIO", "unreachable"],
    ["SQLITE_FULL", "unreachable"],
    ["ENOSPC", "unreachable"],
    ["SQLITE_BUSY_RECOVERY", "unreachable"],
  ])("%s is %s", (code, expected) => {
    const cause = Object.assign(new Error("text"), { code });
    const error = translateStoreError(cause, "/forge");
    expect(error).toMatchObject({ code: expected, cause });
    expect(error.message).toContain("/forge");
  });
});

/** File systems of their own need the right to mount: as root, or where user namespaces allow it. */
function canMount(): boolean {
  return (
    process.platform === "linux" &&
    spawnSync("unshare", ["-rm", "sh", "-c", "mount -t tmpfs none /mnt"]).status === 0
  );
}

describe.skipIf(!canMount())("a local store on a file system of its own", () => {
  const child = join(import.meta.dirname, "..", "support", "store-child.ts");
  const run = (mount: string, mode: string): Record<string, unknown> => {
    const script = `set -e; mount -t tmpfs ${mount} none /mnt; exec "$0" "$@"`;
    const output = execFileSync(
      "unshare",
      ["-rm", "sh", "-c", script, process.execPath, child, mode, "/mnt/forge"],
      {
        encoding: "utf8",
      },
    );
    return JSON.parse(output.trim().split("\n").at(-1)!);
  };

  test("a full disk is a clean error, leaves nothing half-written, and passes", () => {
    expect(run("-o size=6m", "fill")).toEqual({
      smallError: "unreachable",
      largeError: "unreachable",
      readable: true,
      leftovers: 0,
      afterFreeing: "committed",
    });
  });

  test("a read-only file system is a clean error", () => {
    expect(run("-o size=6m", "read-only")).toEqual({ open: "forbidden", create: "forbidden" });
  });
});

describe("networkFileSystem()", () => {
  const mounts = [
    "21 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
    "30 21 0:30 / /home/ada rw - fuse.sshfs ada@host: rw",
    "31 21 0:31 / /home/ada\\040b rw shared:1 - fuse.ntfs-3g /dev/sdb rw",
    "32 30 0:32 / /home/ada/local rw - fuse.mergerfs disks rw",
    "33 21 0:33 / /home/bob rw - fuse.mergerfs disks rw",
    "34 21 0:34 / /home/bob rw - fuse.rclone remote rw",
  ].join("\n");
  const FUSE = 0x65735546;

  test("knows network file systems by their type, signed or not, and passes local ones", () => {
    expect(networkFileSystem(0x6969, "/x", "")).toBe("NFS");
    expect(networkFileSystem(0xff534d42, "/x", "")).toBe("CIFS");
    expect(networkFileSystem(0xff534d42 | 0, "/x", "")).toBe("CIFS");
    expect(networkFileSystem(0x01021997, "/x", "")).toBe("9p");
    for (const local of [0xef53, 0x01021994, 0x9123683e, 0x58465342, 0x794c7630, 0x2fc12fc1, 0]) {
      expect(networkFileSystem(local, "/x", mounts)).toBeUndefined();
    }
  });

  test("looks a FUSE mount up: the innermost and latest one that holds the directory", () => {
    expect(networkFileSystem(FUSE, "/home/ada/x", mounts)).toBe("fuse.sshfs");
    expect(networkFileSystem(FUSE, "/home/ada", mounts)).toBe("fuse.sshfs");
    expect(networkFileSystem(FUSE, "/home/bob/x", mounts)).toBe("fuse.rclone");
    expect(networkFileSystem(FUSE, "/home/adam", mounts)).toBeUndefined();
    expect(networkFileSystem(FUSE, "/home/ada b/x", mounts)).toBeUndefined();
    expect(networkFileSystem(FUSE, "/home/ada/local/x", mounts)).toBeUndefined();
    expect(networkFileSystem(FUSE, "/x", "garbage\n\n")).toBeUndefined();
  });
});

/** strace can make a system call fail. */
function canInject(): boolean {
  return spawnSync("strace", ["-qq", "-e", "inject=fsync:error=EIO", "true"]).status === 0;
}

describe.skipIf(!canInject())("a local store on a disk that fails", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "mic-store-"));
    await using store = await openLocalStore(directory, { clock: systemClock, create: true });
    await store.put("kept", utf8("x"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const commitWhenSyncFails = (file: string): { outcome: string } => {
    const child = join(import.meta.dirname, "..", "support", "store-child.ts");
    const inject = "inject=fsync,fdatasync:error=EIO";
    const path = join(directory, file);
    const traced = ["-f", "-qq", "-o", "/dev/null", "-P", path, "-e", inject, process.execPath, child];
    const output = execFileSync("strace", [...traced, "commit", directory], { encoding: "utf8" });
    return JSON.parse(output.trim().split("\n").at(-1)!);
  };
  const reopened = async (): Promise<[string[], boolean]> => {
    await using store = await openLocalStore(directory, { clock: systemClock, create: false });
    const { objects } = await store.list("");
    for (const { key, size } of objects) expect((await store.get(key))?.bytes.length).toBe(size);
    await store.put("afterwards", utf8("x"));
    const files = filesUnder(join(directory, "large"));
    return [
      objects.map(({ key }) => key),
      files.length === objects.filter(({ size }) => size > 1_000_000).length,
    ];
  };

  test("a sync that fails in COMMIT is an unknown outcome: all of the commit or nothing is there", async () => {
    expect(commitWhenSyncFails("store.sqlite-wal")).toEqual({ outcome: "unknown" });
    const [keys, isTidy] = await reopened();
    expect([["head", "kept", "large", "small"], ["kept"]]).toContainEqual(keys);
    expect(isTidy).toBe(true);
  });

  test("a sync that fails before the transaction is an error, and nothing is left", async () => {
    expect(commitWhenSyncFails("large")).toEqual({ outcome: "unreachable" });
    expect(await reopened()).toEqual([["kept"], true]);
  });
});

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
