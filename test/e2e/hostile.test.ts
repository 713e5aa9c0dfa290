/** Hostile input on the built executable: docs/hostile-inputs.md says which number is proved where. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { openLocalStore } from "../../src/core/store/local-store.ts";
import { type HostileEntry, type HostileTexts, landHostile } from "../support/hostile-landing.ts";
import { readTree, World } from "./support.ts";

let world: World;
beforeAll(async () => {
  world = await World.create();
});

/** Into the forge of workspace `name`, behind its back. */
async function landBehind(
  name: string,
  entries: readonly HostileEntry[],
  texts?: HostileTexts,
): Promise<void> {
  await using store = await openLocalStore(world.path(name, ".mic/forge"), {
    clock: systemClock,
    create: false,
  });
  const ports = { clock: systemClock, random: systemRandom };
  await using forge = new ForgeService({ store, address: "test", ...ports, trustWriters: true });
  const { id } = await forge.getProject(`local/${name}`);
  await landHostile(store, id, entries, texts);
}

describe("a forge with a tree that must not be written", () => {
  const file = (path: string): HostileEntry => ({ path, content: "evil\n" });
  const trees: readonly (readonly [name: string, entries: readonly HostileEntry[]])[] = [
    ["git-hook", [file(".git/hooks/post-checkout"), file("sound")]],
    ["case", [file("sub/.Mic/settings"), file("sound")]],
    ["way-out", [file("../escaped"), file("sound")]],
    ["link", [{ path: "s", content: "..", kind: "symlink" }, file("s/escaped"), file("sound")]],
  ];
  it.each(trees)("clone, goto and sync of %s write nothing", async (name, entries) => {
    world.ok(["init", name]);
    world.write(`${name}/f.txt`, "1\n");
    world.ok(["land", "first"], { in: name });
    world.ok(["clone", `./${name}`, `${name}-b`]);
    await landBehind(name, entries);
    const listing = readdirSync(world.dir).sort();
    const refused = { code: 1, document: { error: { code: "unsafe-path" } } };
    expect(world.json(["clone", `./${name}`, `${name}-c`])).toMatchObject(refused);
    expect(readdirSync(world.path(`${name}-c`))).toEqual([".mic"]);
    for (const args of [["goto", "2"], ["goto", "2", "--discard"], ["goto", "2", "--keep"], ["sync"]]) {
      expect(world.json(args, { in: `${name}-b` }), args.join(" ")).toMatchObject(refused);
    }
    expect(readTree(world.path(`${name}-b`))).toEqual({ "f.txt": "1\n" });
    expect(world.json(["status"], { in: `${name}-b` }).document).toMatchObject({ position: 1, changes: [] });
    expect(readdirSync(world.dir).sort()).toEqual([...listing, `${name}-c`].sort());
    expect(world.json(["fsck"], { in: name }).code).toBe(1);
  });
});

describe("escape sequences and bidirectional controls in everything stored", () => {
  const CONTROL = /[^\P{Cc}\n\t]|[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]/u;
  const nasty = (text: string) => `${text}\u001b]0;pwn\u0007\u001b[2J\u009b31m\r\u202etxt\u2069`;
  const fileName = nasty("file");
  const x = { in: "nasty" };

  it("no command prints one, to stdout or stderr, in text or JSON", async () => {
    const evil = { ...x, env: { MIC_AUTHOR: "Eve \u202e\u2066<eve@example.org>" } };
    const seen = new Set<string>();
    const look = (args: readonly string[], options = evil): void => {
      for (const json of seen.has(args[0]!) ? [[]] : [[], ["--json"]]) {
        const { stdout, stderr } = world.run([...json, ...args], options);
        seen.add(args[0]!);
        expect(stdout, `mic ${args.join(" ")}`).not.toMatch(CONTROL);
        expect(stderr, `mic ${args.join(" ")}`).not.toMatch(CONTROL);
      }
    };
    world.ok(["init", "nasty"]);
    world.write(`nasty/${fileName}`, "1\n2\n3\n");
    world.write(`nasty/${nasty("dir")}/inner.txt`, "x\n");
    symlinkSync("target", world.path("nasty", nasty("link")));
    look(["status"]);
    look(["land", "--dry-run", nasty("goal")]);
    const decisions = ["--decision", nasty("decided")];
    look(["land", "x"], { ...x, env: { MIC_AUTHOR: nasty("Eve") } });
    world.ok(["land", nasty("goal"), ...decisions], evil);
    world.ok(["clone", "./nasty", nasty("clone")]);
    look(["clone", "./nasty", nasty("clone")], { ...evil, in: "." });
    look(["init", nasty("clone")], { ...evil, in: "." });
    look(["link", "../nasty"], { ...evil, in: nasty("clone") });
    world.write(`nasty/${fileName}`, "1\ntwo\n3\n");
    for (const flags of [[], ["--stat"], ["--name-only"], ["--name-status"]]) look(["diff", ...flags]);
    look(["status"]);
    world.ok(["land", nasty("second")], evil);
    // No forge takes such an author; one that somebody tampered with may hold it.
    const texts = { goal: nasty("goal"), author: nasty("Eve <e@example.org>"), agent: nasty("agent") };
    await landBehind("nasty", [{ path: fileName, content: "0\n1\ntwo\n3\n" }], texts);
    look(["sync"]);
    for (const args of [
      ["log"],
      ["log", "--graph"],
      ["log", "--path", fileName],
      ["show", "1"],
      ["show", "2"],
      ["show", "1", "--stat"],
      ["ls"],
      ["ls", "-r"],
      ["ls", nasty("dir")],
      ["blame", fileName],
      ["cat", nasty("missing")],
      ["cat", nasty("dir")],
      ["fsck"],
      ["session", "start", nasty("work")],
      ["session", "note", nasty("noted")],
      ["session", "decision", nasty("decided")],
      ["session", "say", nasty("role"), nasty("said")],
      ["session", "status"],
      ["session", "list"],
      ["session", "abandon"],
      ["config", "set", "user.name", nasty("name")],
      ["config", "get", "user.name"],
      ["config", "list"],
      ["config", "get", nasty("key")],
      [nasty("command")],
      ["log", nasty("--option")],
      ["goto", nasty("position")],
      ["clone", nasty("./address")],
      ["land", "--file", nasty("goal-file")],
      ["-C", nasty("nowhere"), "status"],
      ["restore", nasty("missing")],
      ["untrack", nasty("missing")],
    ]) {
      look(args);
    }
    // A conflict, on every way it is shown.
    const other = { ...evil, in: nasty("clone") };
    world.write(`${nasty("clone")}/${fileName}`, "1\nzwei\n3\n");
    look(["goto", "2"], other);
    look(["land", nasty("third")], other);
    look(["sync"], other);
    look(["status"], other);
    look(["resolve", "--list"], other);
    look(["land", "unresolved"], other);
    look(["resolve", "--mark", fileName], other);
    look(["resolve", "--ours", fileName], other);
    look(["land", nasty("third")], other);
    look(["revert", "1", nasty("revert")], other);
    look(["ops"], other);
    look(["undo"], other);
    look(["redo"], other);
    look(["untrack", fileName]);
    look(["track", fileName]);
    look(["goto", "1", "--path", fileName]);
    look(["restore", fileName]);
    expect(seen.size).toBeGreaterThan(24);
  });

  const hasScript = process.platform === "linux" && spawnSync("script", ["-V"]).status === 0;
  it.skipIf(!hasScript)("on a terminal the content of files is escaped as well", () => {
    const content = { in: "content" };
    world.ok(["init", "content"]);
    world.write("content/f", "\u001b]0;pwn\u0007\u001b[2J\u202e\n");
    symlinkSync("\u001b[2J\u202epwn", world.path("content/link"));
    for (const command of ["diff", "land first", "cat f", "show 1", "blame f"]) {
      const { stdout } = spawnSync(
        "script",
        ["-qec", `"${world.binary}" --no-color ${command}`, "/dev/null"],
        {
          cwd: world.path(content.in),
          env: { ...world.env, PAGER: "cat" },
          encoding: "utf8",
        },
      );
      expect(stdout.replaceAll("\r\n", "\n").replaceAll(/\p{Cc}\[[0-9;?]*[mKhl]/gu, ""), command).not.toMatch(
        CONTROL,
      );
      if (command !== "land first") expect(stdout, command).toContain("pwn");
    }
  });
});

describe("names and paths of any size", () => {
  it("14: a path that is too long for a tree is a clean error that names it", () => {
    world.ok(["init", "deep"]);
    world.write("deep/ok.txt", "x\n");
    // Longer than any path that the system takes: made of two halves.
    const name = "n".repeat(200);
    const half = `${name}/`.repeat(15);
    mkdirSync(world.path("deep", half), { recursive: true });
    world.write(`half/${half}f`, "x\n");
    renameSync(world.path("half"), world.path("deep", half, "half"));
    const refused = world.json(["land", "deep"], { in: "deep" });
    expect(refused.code).toBe(1);
    expect(refused.document.error).toMatchObject({ code: expect.stringMatching(/unsafe-path|too-large/) });
    expect(refused.stderr).not.toContain("    at ");
    world.write("deep/.micignore", "/n*\n");
    world.ok(["land", "without it"], { in: "deep" });
    expect(world.json(["status"], { in: "deep" }).document.changes).toEqual([]);
    execFileSync("rm", ["-rf", world.path("deep", name)]);
    for (const path of ["p".repeat(70_000), "d/".repeat(10_000).concat("x")]) {
      for (const args of [
        ["cat", path],
        ["log", "--path", path],
        ["restore", path],
        ["clone", ".", "z", "--path", path],
      ]) {
        const { code, document } = world.json(args, { in: "deep" });
        expect(code, args[0]).toBe(1);
        expect(document.error.code).toBe("too-large");
        expect(JSON.stringify(document).length).toBeLessThan(2000);
      }
    }
    const outside = world.json(["cat", "/".repeat(70_000)], { in: "deep" });
    expect(outside.document.error.code).toBe("unsafe-path");
    expect(JSON.stringify(outside.document).length).toBeLessThan(2000);
  });

  it("names that look like options, positions, patterns or commands come back as they are", () => {
    const names = [
      "-rf",
      "--help",
      " lead",
      "trail ",
      "*",
      "$(id)",
      'a"b',
      "it's",
      "tab\tx",
      "@1",
      "latest",
      "7",
    ];
    names.push(
      "!x",
      "#y",
      "...",
      "%s",
      "~",
      "CON",
      "nul.txt",
      "@latest/7/latest",
      "line\nbreak",
      "\u00fcmlaut",
    );
    world.ok(["init", "odd"]);
    for (const name of names) world.write(`odd/${name}`, `${name}\n`);
    const odd = { in: "odd" };
    const tree = readTree(world.path("odd"));
    world.ok(["land", "odd names"], odd);
    world.ok(["clone", "./odd", "odd-b"]);
    expect(readTree(world.path("odd-b"))).toEqual(tree);
    world.ok(["goto", "0"], odd);
    expect(readTree(world.path("odd"))).toEqual({});
    world.ok(["goto", "latest"], odd);
    expect(readTree(world.path("odd"))).toEqual(tree);
    expect(world.ok(["cat", "--", "-rf"], odd)).toBe("-rf\n");
    expect(world.ok(["cat", "1", "./@1"], odd)).toBe("@1\n");
    expect(world.ok(["ls", "./@latest"], odd)).toContain("7/");
    const untracked = ["!x", "#y", "*", "trail "];
    world.ok(["untrack", ...untracked], odd);
    const { changes } = world.json(["status"], odd).document;
    const deleted = changes.filter(({ op }: { op: string }) => op === "delete");
    expect(deleted.map(({ path }: { path: string }) => path).sort()).toEqual(untracked.sort());
    world.ok(["land", "without them"], odd);
    expect(world.json(["status"], odd).document.changes).toEqual([]);
    expect(Object.keys(readTree(world.path("odd"))).length).toBe(names.length + 1);
  });

  it("a name that is not UTF-8 fails the land and is named", () => {
    if (process.platform !== "linux") return;
    world.ok(["init", "bytes"]);
    execFileSync("sh", ["-c", "printf x > \"$(printf 'bad\\377name')\""], { cwd: world.path("bytes") });
    const { code, document } = world.json(["land", "x"], { in: "bytes" });
    expect(code).toBe(1);
    expect(JSON.stringify(document)).toContain("xff");
  });
});

it("15: pipes, sockets and devices are passed over and said, set-user-id bits are not landed", async () => {
  world.ok(["init", "special"]);
  world.write("special/tool", "#!/bin/sh\n");
  chmodSync(world.path("special/tool"), 0o6755);
  execFileSync("mkfifo", [world.path("special/pipe")]);
  const server = createServer().listen(world.path("special/socket"));
  const isRoot = process.getuid?.() === 0;
  const hasDevice = isRoot && spawnSync("mknod", [world.path("special/device"), "c", "1", "3"]).status === 0;
  const names = ["pipe", "socket", ...(hasDevice ? ["device"] : [])];
  const status = world.json(["status"], { in: "special" }).document;
  expect(status.changes).toEqual([{ op: "add", path: "tool" }]);
  const landed = world.run(["land", "special"], { in: "special" });
  expect(landed.code).toBe(0);
  for (const name of names) expect(landed.stdout + landed.stderr).toContain(name);
  world.ok(["clone", "./special", "special-b"]);
  expect(readdirSync(world.path("special-b")).sort()).toEqual([".mic", "tool"]);
  expect(lstatSync(world.path("special-b/tool")).mode & 0o7111).toBe(0o111);
  // Tracked, and then replaced by a pipe: a deletion, never a read that hangs.
  execFileSync("sh", ["-c", "rm tool && mkfifo tool"], { cwd: world.path("special-b") });
  expect(world.json(["status"], { in: "special-b" }).document.changes).toEqual([
    { op: "delete", path: "tool" },
  ]);
  expect(world.run(["diff"], { in: "special-b" }).code).toBe(0);
  expect(world.json(["goto", "0"], { in: "special-b" }).document.error ?? {}).not.toMatchObject({
    code: "internal",
  });
  server.close();
});

it("16: an untracked file in the way of goto, sync and clone is refused, listed and kept", () => {
  world.ok(["init", "way"]);
  world.write("way/f", "1\n");
  world.ok(["land", "first"], { in: "way" });
  world.ok(["clone", "./way", "way-b"]);
  world.write("way/new/x", "theirs\n");
  world.write("way/other", "theirs\n");
  world.ok(["land", "second"], { in: "way" });
  world.write("way-b/new", "mine\n");
  world.write("way-b/other/deep", "mine\n");
  const refused = world.json(["goto", "2"], { in: "way-b" });
  expect(refused).toMatchObject({
    code: 1,
    document: { error: { code: "dirty", paths: ["new", "other/deep"] } },
  });
  expect(readTree(world.path("way-b"))).toEqual({ f: "1\n", new: "mine\n", "other/deep": "mine\n" });
  const synced = world.json(["sync"], { in: "way-b" });
  expect(synced).toMatchObject({ code: 3, document: { conflicts: ["new/x", "other"] } });
  expect(readTree(world.path("way-b"))).toEqual({ f: "1\n", new: "mine\n", "other/deep": "mine\n" });
  world.write("way-c/kept", "mine\n");
  expect(world.json(["clone", "./way", "way-c"]).document.error.code).toBe("already-exists");
  expect(readTree(world.path("way-c"))).toEqual({ kept: "mine\n" });
});

describe("28: a goal", () => {
  const g = { in: "goals" };
  beforeAll(() => {
    world.ok(["init", "goals"]);
    world.write("goals/f", "1\n");
  });

  it("of 2 MB, from a file or a stream that never ends, is refused and nothing is landed", () => {
    world.write("goal.txt", "g".repeat(2_000_000));
    const refused = { code: 1, document: { error: { code: "too-large", hint: expect.any(String) } } };
    expect(world.json(["land", "--file", "../goal.txt"], g)).toMatchObject(refused);
    expect(world.json(["land", "--file", "/dev/zero"], g)).toMatchObject(refused);
    const endless = spawnSync("sh", ["-c", `yes goal | "${world.binary}" --json land --file -`], {
      cwd: world.path("goals"),
      env: world.env,
      encoding: "utf8",
      timeout: 20_000,
    });
    expect(JSON.parse(endless.stdout).error.code).toBe("too-large");
    expect(world.json(["status"], g).document.position).toBe(0);
  });

  it("that is empty, blank or not UTF-8 is wrong usage", () => {
    world.write("goal.bin", Buffer.from([0x67, 0xff, 0xfe]));
    for (const args of [
      ["land", ""],
      ["land", " \n\t"],
      ["land", "-m", ""],
      ["land", "--file", "../goal.bin"],
    ]) {
      expect(world.json(args, g), args.join(" ")).toMatchObject({
        code: 2,
        document: { error: { code: "usage" } },
      });
    }
    expect(world.json(["status"], g).document.position).toBe(0);
  });
});

describe("33: clocks and file times", () => {
  it("files from the future and from 1970, and a clock set back, hide no change", () => {
    const t = { in: "times" };
    world.ok(["init", "times"]);
    for (const name of ["past", "now", "future"]) world.write(`times/${name}`, "1\n");
    const setTimes = (): void => {
      utimesSync(world.path("times/past"), 1, 1);
      utimesSync(world.path("times/future"), 4_000_000_000, 4_000_000_000);
    };
    setTimes();
    world.ok(["land", "first"], t);
    expect(world.json(["status"], t).document.changes).toEqual([]);
    for (const name of ["past", "now", "future"]) world.write(`times/${name}`, "2\n");
    setTimes();
    const changes = ["future", "now", "past"].map((path) => ({ op: "modify", path }));
    expect(world.json(["status"], t).document.changes).toEqual(changes);
    world.ok(["land", "second"], t);
    world.ok(["goto", "1"], t);
    expect(readTree(world.path("times"))).toEqual({ past: "1\n", now: "1\n", future: "1\n" });
    expect(world.json(["status"], t).document.changes).toEqual([]);
    world.ok(["clone", "./times", "times-b"]);
  });
});

/** File systems of their own need the right to mount: as root, or where user namespaces allow it. */
const canMount =
  process.platform === "linux" &&
  spawnSync("unshare", ["-rm", "sh", "-c", "mount -t tmpfs none /mnt"]).status === 0;

describe.skipIf(!canMount)("32: a disk that is full, read-only or failing", () => {
  /** Runs a script with `$MIC` on a small file system mounted at the current directory. */
  function onSmallDisk(name: string, script: string): { code: number | null; stdout: string } {
    mkdirSync(world.path(name));
    writeFileSync(
      world.path(`${name}.sh`),
      `mount -t tmpfs -o size=12m none "${world.path(name)}" && cd "${world.path(name)}"
       step() { name=$1; shift; "$@" > /dev/null 2> /tmp/err.$$; echo "$name $? $(head -1 /tmp/err.$$)"; rm -f /tmp/err.$$; }
       ${script}`,
    );
    const { status, stdout, stderr } = spawnSync("unshare", ["-rm", "sh", world.path(`${name}.sh`)], {
      cwd: world.dir,
      env: { ...world.env, MIC: world.binary },
      encoding: "utf8",
    });
    return { code: status, stdout: stdout + stderr };
  }

  it("full: land, clone, goto and sync fail cleanly and succeed when there is space again", () => {
    const { stdout } = onSmallDisk(
      "full",
      `mkdir w; cd w; "$MIC" init -q; head -c 2500000 /dev/urandom > a; step land "$MIC" land one
       head -c 2500000 /dev/urandom > a; step second "$MIC" land two
       head -c 100000000 /dev/zero > ../ballast 2>/dev/null
       head -c 100 /dev/zero > b 2>/dev/null; echo small > c 2>/dev/null
       step land-full "$MIC" land three
       step clone-full "$MIC" clone . ../copy
       step goto-full "$MIC" goto 1
       step status "$MIC" status
       rm ../ballast; rm -rf ../copy
       step goto "$MIC" goto 1
       step back "$MIC" goto latest
       step land-after "$MIC" land --allow-empty four
       step fsck "$MIC" fsck
       step clean test "$("$MIC" status --json | grep -c '"changes":\\[\\]')" = 1
       step clone "$MIC" clone . ../copy`,
    );
    const codes = Object.fromEntries(
      stdout
        .split("\n")
        .filter(Boolean)
        .map((line) => [line.split(" ")[0], line.split(" ").slice(1).join(" ")]),
    );
    for (const good of ["land", "second", "status", "goto", "back", "land-after", "fsck", "clean", "clone"]) {
      expect(codes[good], `${good}\n${stdout}`).toMatch(/^0/);
    }
    for (const bad of ["land-full", "clone-full", "goto-full"]) {
      expect(codes[bad], `${bad}\n${stdout}`).toMatch(/^[15] error: .*(space|full)/i);
    }
  });

  it("read-only: status works, changing says so", () => {
    const { stdout } = onSmallDisk(
      "frozen-disk",
      `mkdir w; cd w; "$MIC" init -q; echo 1 > a; step land "$MIC" land one; echo 2 > a; step second "$MIC" land two; echo 3 > a
       mount -o remount,ro "$PWD/.."
       step status "$MIC" status
       step land-ro "$MIC" land three
       step goto-ro "$MIC" goto 1 --discard
       step sync-ro "$MIC" sync
       step init-ro "$MIC" init ../other
       step clone-ro "$MIC" clone . ../copy`,
    );
    for (const good of ["land", "second", "status"]) {
      expect(stdout).toMatch(new RegExp(`^${good} 0`, "m"));
    }
    for (const bad of ["land-ro", "goto-ro", "sync-ro", "init-ro", "clone-ro"]) {
      expect(stdout).toMatch(
        new RegExp(`^${bad} [14] error: .*(read-only|cannot be opened for writing)`, "m"),
      );
    }
  });
});

it("two clones into one directory at once: one of them, whole", async () => {
  world.ok(["init", "source"]);
  for (let i = 0; i < 50; i++) world.write(`source/d${i % 5}/f${i}`, `${i}\n`);
  world.ok(["land", "first"], { in: "source" });
  const clone = `"${world.binary}" --json clone ./source target`;
  const { stdout } = spawnSync("sh", ["-c", `${clone} & ${clone} & ${clone} & wait`], {
    cwd: world.dir,
    env: world.env,
    encoding: "utf8",
  });
  const documents = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(documents).toHaveLength(3);
  for (const document of documents) {
    if (document.error !== undefined) expect(document.error.code).toMatch(/already-exists|pending/);
  }
  expect(documents.filter((document) => document.error === undefined).length).toBeGreaterThanOrEqual(1);
  expect(readTree(world.path("target"))).toEqual(readTree(world.path("source")));
  expect(world.json(["status"], { in: "target" }).document).toMatchObject({ position: 1, changes: [] });
  expect(existsSync(world.path("target/.mic/staging"))).toBe(false);
});
