/** Trees that no forge would land, damaged state, and directories in which no workspace may be. */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import type { Clock } from "../../src/core/base/clock.ts";
import { hashBytes } from "../../src/core/base/hash.ts";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { openDirectoryForge } from "../../src/core/forge/forge-directory.ts";
import { openLocalStore } from "../../src/core/store/local-store.ts";
import { CloneWriter, type FrameJob, STAT_FIELDS } from "../../src/core/workspace/clone/writer.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { gotoPosition } from "../../src/core/workspace/commands/goto.ts";
import { initWorkspace } from "../../src/core/workspace/commands/init.ts";
import { linkWorkspace } from "../../src/core/workspace/commands/link.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { findWorkspaceRoot } from "../../src/core/workspace/layout.ts";
import { loadSettings } from "../../src/core/workspace/workspace.ts";
import { type HostileEntry, landHostile } from "../support/hostile-landing.ts";
import { at, type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

let spaces: TestWorkspaces;
beforeEach(() => {
  spaces = new TestWorkspaces();
});
afterEach(async () => {
  await spaces[Symbol.asyncDispose]();
});

/** Into the workspace's own forge, behind its back. */
async function landBehind(a: TestWorkspace, entries: readonly HostileEntry[]): Promise<void> {
  await using store = await openLocalStore(a.ws.forgeAddress, { clock: systemClock, create: false });
  await landHostile(store, a.ws.settings.project, entries);
}

function cloneOptions(a: TestWorkspace, dir: string) {
  return { address: a.ws.forgeAddress, projectName: a.ws.settings.projectName, dir };
}

describe("a forge with a tree that must not be written", () => {
  const link = (path: string, target: string): HostileEntry => ({ path, content: target, kind: "symlink" });
  const file = (path: string): HostileEntry => ({ path, content: "evil\n" });

  async function expectRefused(a: TestWorkspace, b: TestWorkspace): Promise<void> {
    const before = b.files();
    const refused = { code: expect.stringMatching(/^(unsafe-path|corrupt|too-large)$/) };
    const dir = spaces.newDir();
    await expect(cloneWorkspace(cloneOptions(a, dir), spaces.context())).rejects.toMatchObject(refused);
    expect(readdirSync(dir)).toEqual([".mic"]);
    const { latestKnown } = b.ws;
    for (const policy of [{}, { keep: true }, { discard: true }]) {
      const { ws } = spaces.open(b.dir);
      await expect(gotoPosition(ws, at(latestKnown + 1), policy)).rejects.toMatchObject(refused);
    }
    await expect(syncWorkspace(spaces.open(b.dir).ws)).rejects.toMatchObject(refused);
    expect(b.files()).toEqual(before);
    expect(b.position).toBe(1);
    expect(await b.changes()).toEqual([]);
    expect(readdirSync(join(b.dir, ".mic"))).not.toContain("transition");
  }

  const trees: readonly (readonly [string, readonly HostileEntry[]])[] = [
    ["a file under .git", [file("sound"), file(".git/hooks/post-checkout")]],
    ["a file under sub/.Mic", [file("sound"), file("sub/.Mic/settings")]],
    ["a way out", [file("sound"), file("../escape")]],
    ["a link to .mic with a file below it", [file("sound"), link("s", ".mic"), file("s/x")]],
    ["a link to / with a file below it", [file("sound"), link("s", "/"), file("s/tmp/mic-escaped")]],
    ["a file that is a directory", [file("sound"), file("both"), file("both/below")]],
  ];
  test.each(trees)("clone, goto and sync of %s write nothing", async (_, entries) => {
    const a = await spaces.init({ f: "1\n" });
    await a.land("first");
    const b = await spaces.clone(a);
    await landBehind(a, entries);
    await expectRefused(a, b);
  });

  test("a file below a link that is there already writes nothing, neither does a link over a directory", async () => {
    const a = await spaces.init({ s: { link: ".mic" }, "d/x": "1\n" });
    await a.land("first");
    const b = await spaces.clone(a);
    await landBehind(a, [file("s/settings"), file("sound")]);
    await expectRefused(a, b);
    const c = await spaces.init({ s: { link: ".mic" }, "d/x": "1\n" });
    await c.land("first");
    const d = await spaces.clone(c);
    await landBehind(c, [link("d", "/"), file("sound")]);
    await expectRefused(c, d);
  });

  test("a link or a directory in the place of the other is an ordinary change", async () => {
    const a = await spaces.init({ s: { link: "f" }, "d/x": "1\n", "d/e/y": "1\n", f: "1\n" });
    await a.land("first");
    const b = await spaces.clone(a);
    a.remove("s", "d");
    a.write({ "s/x": "2\n", "s/deep/y": "2\n", d: { link: "s" } });
    await a.land("second");
    await syncWorkspace(b.ws);
    expect(b.files()).toEqual(a.files());
    await gotoPosition(spaces.open(b.dir).ws, at(1));
    expect(b.files()).toEqual({ s: "-> f", "d/x": "1\n", "d/e/y": "1\n", f: "1\n" });
  });

  test.each([
    ["README and readme", ["README", "readme"]],
    ["two spellings of é", ["caf\u00e9", "cafe\u0301"]],
    ["A beside a/hook", ["A", "a/hook"]],
  ])("a clone of %s where names fold writes nothing", async (_, names) => {
    const a = await spaces.init(Object.fromEntries([...names, "sound"].map((name) => [name, "1\n"])));
    await a.land("first");
    const dir = spaces.newDir();
    // Stopped once it knows the file system, which then turns out to fold names.
    const stop = () => {
      throw new Error("stopped");
    };
    const stopping = spaces.context({ onProgress: stop });
    await expect(cloneWorkspace(cloneOptions(a, dir), stopping)).rejects.toThrow("stopped");
    const clone = spaces.open(dir).ws;
    rmSync(join(dir, ".mic/staging"), { recursive: true });
    clone.saveSettings({ ...clone.settings, folding: { case: true, normalization: true } });
    await expect(cloneWorkspace(cloneOptions(a, dir), spaces.context())).rejects.toMatchObject({
      code: "unsafe-path",
      data: { paths: expect.arrayContaining([expect.stringContaining(names[0]!.slice(0, 1))]) },
    });
    expect(readdirSync(dir)).toEqual([".mic"]);
    expect(readdirSync(join(dir, ".mic"))).not.toContain("staging");
  });
});

test("a forge that sends other chunks than a large file's is not believed", async () => {
  const big = Buffer.alloc(1_200_000, "0123456789abcdef");
  const a = await spaces.init({ f: "1\n" });
  await a.land("first");
  const b = await spaces.clone(a);
  a.write({ big });
  await a.land("second");
  const forge = await spaces.openForge(a.ws.forgeAddress, false);
  const lies = async function* () {
    yield new Uint8Array(big.length);
  };
  const lying = new Proxy(forge, {
    get(target, key) {
      if (key === "readFile") return lies;
      const value = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const evil = { openForge: async () => lying };
  const dir = spaces.newDir();
  const refused = { code: "corrupt" };
  await expect(cloneWorkspace(cloneOptions(a, dir), spaces.context(evil))).rejects.toMatchObject(refused);
  expect(readdirSync(dir)).toEqual([".mic"]);
  await expect(gotoPosition(spaces.open(b.dir, evil).ws, at(2))).rejects.toMatchObject(refused);
  expect(b.files()).toEqual({ f: "1\n" });
  await cloneWorkspace(cloneOptions(a, dir), spaces.context());
  await syncWorkspace(spaces.open(b.dir).ws);
  expect(spaces.open(dir).files()).toEqual(a.files());
  expect(b.files()).toEqual(a.files());
});

describe("CloneWriter", () => {
  const one = utf8("one\n");
  const job = (change: Partial<FrameJob>): FrameJob => ({
    stored: one,
    rawLength: one.length,
    compressed: false,
    rows: Uint32Array.of(0, one.length, 0, 0),
    ids: hashBytes(one),
    paths: "f",
    ...change,
  });
  /** Files 1 and 2. */
  const twice = Uint32Array.of(0, 4, 0, 1, 0, 4, 0, 2);
  let stage: string;
  beforeEach(() => {
    stage = spaces.newDir();
  });
  const writer = () => new CloneWriter(stage, new Float64Array(3 * STAT_FIELDS));

  test("writes content that is its id, twice if it has two paths", () => {
    const ids = Buffer.concat([hashBytes(one), hashBytes(one)]);
    const stats = new Float64Array(3 * STAT_FIELDS);
    new CloneWriter(stage, stats).write(job({ rows: twice, ids, paths: "f\0g" }));
    expect(readdirSync(stage).sort()).toEqual(["f", "g"]);
    const sizeAndInode = (path: string): number[] => [4, lstatSync(join(stage, path)).ino];
    expect([...stats.subarray(2, STAT_FIELDS)]).toEqual([0, 0]);
    expect([...stats.subarray(STAT_FIELDS + 2, 2 * STAT_FIELDS)]).toEqual(sizeAndInode("f"));
    expect([...stats.subarray(2 * STAT_FIELDS + 2)]).toEqual(sizeAndInode("g"));
  });

  test("refuses content that is not its id before the file exists", () => {
    const write = (change: Partial<FrameJob>) => writer().write(job(change));
    expect(() => write({ ids: hashBytes(utf8("two\n")) })).toThrow(
      expect.objectContaining({ code: "corrupt" }),
    );
    expect(() => write({ rows: Uint32Array.of(0, 9, 0, 0) })).toThrow(
      expect.objectContaining({ code: "corrupt" }),
    );
    expect(readdirSync(stage)).toEqual([]);
  });

  test("refuses a second id for the same place in a frame", () => {
    const ids = Buffer.concat([hashBytes(one), hashBytes(utf8("two\n"))]);
    expect(() => writer().write(job({ rows: twice, ids, paths: "f\0g" }))).toThrow(
      expect.objectContaining({ code: "corrupt" }),
    );
    expect(readdirSync(stage)).toEqual(["f"]);
  });
});

describe("state in .mic that somebody damaged", () => {
  let a: TestWorkspace;
  beforeEach(async () => {
    a = await spaces.init({ f: "1\n" });
    await a.land("first");
    a.write({ f: "2\n" });
    await a.land("second");
  });

  test("an index that is damaged is said to be so; without it, sync keeps every edit", async () => {
    a.write({ f: "edited\n", own: "own\n" });
    const file = join(a.dir, ".mic/index");
    truncateSync(file, 40);
    expect(() => spaces.open(a.dir).ws.index).toThrow(
      expect.objectContaining({ code: "corrupt", hint: expect.stringContaining("mic sync") }),
    );
    rmSync(file);
    expect(await syncWorkspace(spaces.open(a.dir).ws)).toMatchObject({ position: 2, conflicts: ["f"] });
    expect(a.read("f")).toContain("edited\n");
    expect(a.read("own")).toBe("own\n");
  });

  test("settings that are damaged are said to be so; without them, link takes the directory again", async () => {
    a.write({ f: "edited\n" });
    const file = join(a.dir, ".mic/settings");
    const options = { ...cloneOptions(a, a.dir), at: at(2) };
    const bytes = readFileSync(file);
    for (let i = 0; i < bytes.length; i++) {
      bytes[i]! ^= 1;
      writeFileSync(file, bytes);
      bytes[i]! ^= 1;
      expect(() => loadSettings(a.dir), `byte ${i}`).toThrow(
        expect.objectContaining({ code: "corrupt", hint: expect.stringContaining("mic link") }),
      );
    }
    rmSync(file);
    await linkWorkspace(options, spaces.context());
    expect(await spaces.open(a.dir).changes()).toEqual(["modify f"]);
  });

  test("a lock file that is something else is said to be so", async () => {
    writeFileSync(join(a.dir, ".mic/lock"), "not a lock\n".repeat(100));
    await expect(syncWorkspace(spaces.open(a.dir).ws)).rejects.toMatchObject({
      code: "corrupt",
      hint: expect.stringContaining("delete it"),
    });
    rmSync(join(a.dir, ".mic/lock"));
    await syncWorkspace(spaces.open(a.dir).ws);
  });

  test.each([
    ["no position", "ffffffffffffffff", 2],
    ["too high", "0900000000000000", 9],
    ["cut", "00", 2],
    ["empty", "", 2],
  ])("a newest known position that is %s does no harm and is put right", async (_, hex, shown) => {
    const file = join(a.dir, ".mic/latest-known");
    writeFileSync(file, Buffer.from(hex, "hex"));
    expect(spaces.open(a.dir).ws.latestKnown).toBe(shown);
    await syncWorkspace(spaces.open(a.dir).ws);
    expect(spaces.open(a.dir).ws.latestKnown).toBe(2);
  });
});

test("a clock that is set back a year loses, repeats and hides nothing", async () => {
  const YEAR_MS = 365 * 86_400_000;
  const ahead: Clock = { nowMs: () => systemClock.nowMs() + YEAR_MS, sleep: systemClock.sleep };
  const forgeDir = spaces.newDir();
  const openAt = async (clock: Clock) =>
    openDirectoryForge(forgeDir, { clock, random: systemRandom, create: true });
  let forge = await openAt(ahead);
  const { id } = await forge.createProject({ id: mintProjectId(systemRandom), name: "ada/x" });
  const dir = spaces.newDir();
  const options = { address: forgeDir, projectName: "ada/x", dir };
  const context = (clock: Clock) => spaces.context({ clock, openForge: async () => forge });
  await linkWorkspace(options, context(ahead));
  const w = spaces.open(dir, context(ahead));
  w.write({ f: "1\n", g: "1\n" });
  for (const name of ["f", "g"]) utimesSync(join(dir, name), YEAR_MS / 1000 + 1e9, Date.now() / 1000 + 3e7);
  await w.land("before");
  await forge[Symbol.asyncDispose]();
  forge = await openAt(systemClock);
  const now = spaces.open(dir, context(systemClock));
  expect(await now.changes()).toEqual([]);
  now.write({ f: "2\n" });
  expect(await now.changes()).toEqual(["modify f"]);
  await now.land("after");
  const other = { ...options, dir: spaces.newDir() };
  await cloneWorkspace(other, context(systemClock));
  const clone = spaces.open(other.dir, context(systemClock));
  expect(clone.files()).toEqual({ f: "2\n", g: "1\n" });
  clone.write({ f: "3\n" });
  await clone.land("from the clone");
  await syncWorkspace(spaces.open(dir, context(systemClock)).ws);
  expect(now.files()).toEqual({ f: "3\n", g: "1\n" });
  await gotoPosition(spaces.open(dir, context(systemClock)).ws, at(1));
  expect(now.files()).toEqual({ f: "1\n", g: "1\n" });
  const landings = (await Array.fromAsync(forge.listLandings(id, {}))).flat();
  const times = landings.map((landing) => landing.timeMs);
  expect(landings.map((landing) => landing.position)).toEqual([3, 2, 1]);
  expect(times).toEqual(times.toSorted((x, y) => y - x));
  expect((await forge.fsck(id)).findings).toEqual([]);
  await forge[Symbol.asyncDispose]();
});

test.each([
  ["a file", (path: string) => writeFileSync(path, "x")],
  ["a link to itself", (path: string) => symlinkSync(".mic", path)],
  ["a link to nowhere", (path: string) => symlinkSync("nowhere", path)],
])("where .mic is %s there is no workspace, and init says why it makes none", async (_, make) => {
  const dir = spaces.newDir();
  make(join(dir, ".mic"));
  await expect(findWorkspaceRoot(dir)).rejects.toMatchObject({ code: "not-a-workspace" });
  await expect(initWorkspace(dir, {}, spaces.context())).rejects.toMatchObject({
    message: expect.stringMatching(/a part of the path is|a symbolic link is in the way/),
  });
});

test("no workspace begins inside a .mic directory", async () => {
  const a = await spaces.init({ f: "1\n" });
  await a.land("first");
  const refused = { code: "usage", message: expect.stringContaining(".mic") };
  for (const inside of [".mic", ".mic/forge", ".mic/new/deep"]) {
    const dir = join(a.dir, inside);
    await expect(initWorkspace(dir, {}, spaces.context())).rejects.toMatchObject(refused);
    await expect(cloneWorkspace(cloneOptions(a, dir), spaces.context())).rejects.toMatchObject(refused);
    await expect(linkWorkspace(cloneOptions(a, dir), spaces.context())).rejects.toMatchObject(refused);
  }
  mkdirSync(join(a.dir, "x.mic"));
  await initWorkspace(join(a.dir, "x.mic"), {}, spaces.context());
});
