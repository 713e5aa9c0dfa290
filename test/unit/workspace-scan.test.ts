import { execFile, spawnSync } from "node:child_process";
import { chmodSync, renameSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import type { TreePath } from "../../src/core/base/path.ts";
import { WorkspaceIndex } from "../../src/core/workspace/index/workspace-index.ts";
import { type ScanOptions, type ScanResult, scanWorkspace } from "../../src/core/workspace/scan/scan.ts";
import { landInIndex, nextTick, settle } from "../support/land-in-index.ts";
import { type TemporaryWorkspace, temporaryWorkspace } from "../support/temporary-workspace.ts";

function scan(ws: TemporaryWorkspace, options: Partial<ScanOptions> = {}): Promise<ScanResult> {
  return scanWorkspace({ root: ws.root, index: WorkspaceIndex.load(ws.root), ...options });
}

function shown(result: ScanResult): string[] {
  return result.changes.map(({ op, path }) => `${op} ${path}`);
}

/** The same from another process whose current directory is the workspace. */
async function scanInside(ws: TemporaryWorkspace): Promise<string[]> {
  const source = (name: string) =>
    JSON.stringify(new URL(`../../src/core/workspace/${name}.ts`, import.meta.url).href);
  const program = `
    const { WorkspaceIndex } = await import(${source("index/workspace-index")});
    const { scanWorkspace } = await import(${source("scan/scan")});
    const root = ${JSON.stringify(ws.root)};
    const { changes } = await scanWorkspace({ root, index: WorkspaceIndex.load(root) });
    console.log(JSON.stringify(changes.map(({ op, path }) => op + " " + path)));
  `;
  const child = await promisify(execFile)(process.execPath, ["-e", program], {
    cwd: ws.root,
    maxBuffer: 64 << 20,
  });
  return JSON.parse(child.stdout) as string[];
}

/** Directories that the next scan will not read while they stay as they are. */
function trustedDirectories(ws: TemporaryWorkspace): string[] {
  const index = WorkspaceIndex.load(ws.root);
  return Array.from({ length: index.directoryCount }, (_, dir) => dir)
    .filter((dir) => !Number.isNaN(index.columns.dirMtime[dir]))
    .map((dir) => index.directoryPath(dir));
}

describe("scanWorkspace()", () => {
  test("finds every kind of change, in path order", async () => {
    using ws = temporaryWorkspace();
    for (const name of ["a.txt", "a/b", "a/c", "gone/x", "link", "mode", "text", "was-file", "was-dir/x"])
      ws.write(name, name);
    await settle(ws.root);
    ws.write("a/b", "new content");
    ws.write("a/new", "");
    ws.remove("gone");
    ws.remove("link");
    ws.link("link", "a");
    chmodSync(ws.path("mode"), 0o4755);
    ws.write("text", "TEXT");
    ws.remove("was-file");
    ws.write("was-file/inside", "1");
    ws.remove("was-dir");
    ws.write("was-dir", "now a file");
    const result = await scan(ws);
    expect(shown(result)).toEqual([
      "modify a/b",
      "add a/new",
      "delete gone/x",
      "type link",
      "mode mode",
      "modify text",
      "add was-dir",
      "delete was-dir/x",
      "delete was-file",
      "add was-file/inside",
    ]);
    const mode = [...result.changes].find(({ op }) => op === "mode")!;
    expect(mode.after).toMatchObject({ kind: "executable", size: 4, id: mode.before!.entry.id });
    expect([...result.changes].find(({ op }) => op === "type")!.after).toMatchObject({
      kind: "symlink",
      size: 1,
    });
  });

  test("reports nothing for a clean tree, reads none of its directories, and keeps it so", async () => {
    using ws = temporaryWorkspace();
    for (const name of ["a", "d/b", "d/e/c", "é/日本"]) ws.write(name, name);
    await settle(ws.root);
    expect(trustedDirectories(ws)).toEqual(["", "d", "d/e", "é"]);
    const result = await scan(ws);
    expect(result.changes).toEqual([]);
    expect(result.findings.directories).toEqual([]);
    expect(result.scanned).toEqual({ files: 4, directories: 4 });
    expect(result.worthSaving).toBe(false);
  });

  test("sees a change that keeps size and mtime", async () => {
    using ws = temporaryWorkspace();
    ws.write("in-place", "old");
    ws.write("renamed", "old");
    await settle(ws.root);
    for (const name of ["in-place", "renamed"]) {
      const { atime, mtime } = statSync(ws.path(name));
      writeFileSync(ws.path(`${name}.tmp`), "new");
      if (name === "renamed") renameSync(ws.path(`${name}.tmp`), ws.path(name));
      else {
        ws.remove(`${name}.tmp`);
        ws.write(name, "new");
      }
      utimesSync(ws.path(name), atime, mtime);
    }
    expect(shown(await scan(ws))).toEqual(["modify in-place", "modify renamed"]);
  });

  test("sees a change made within the tick in which the index was written", async () => {
    using ws = temporaryWorkspace();
    for (let round = 0; round < 30; round++) {
      ws.write("f", `a${round}`.padEnd(6));
      await landInIndex(ws.root, await scan(ws));
      ws.write("f", `b${round}`.padEnd(6));
      expect(shown(await scan(ws))).toEqual(["modify f"]);
    }
  });

  test("sees changes and new files under any times, past or future", async () => {
    using ws = temporaryWorkspace();
    for (const name of ["past", "future", "same"]) ws.write(name, "1");
    const year = 365 * 24 * 3600;
    const now = Date.now() / 1000;
    for (const name of ["past", "future", "same"]) utimesSync(ws.path(name), now + year, now + year);
    await settle(ws.root);
    expect(shown(await scan(ws))).toEqual([]);
    ws.write("past", "2");
    utimesSync(ws.path("past"), now - year, now - year);
    ws.write("future", "2");
    utimesSync(ws.path("future"), now + year, now + year);
    expect(shown(await scan(ws))).toEqual(["modify future", "modify past"]);
  });

  test("refreshes what was touched but not changed", async () => {
    using ws = temporaryWorkspace();
    ws.write("f", "same");
    await settle(ws.root);
    ws.write("f", "same");
    await nextTick();
    const result = await scan(ws);
    expect(result.changes).toEqual([]);
    expect(result.refreshed.map(({ path }) => path)).toEqual(["f"]);
    const index = WorkspaceIndex.load(ws.root).update({ scan: result.findings });
    expect(index.find("f")?.stat).toEqual(result.refreshed[0]!.stat);
    index.save(ws.root);
    expect((await scan(ws)).refreshed).toEqual([]);
  });

  test("follows no symlink, also where a tracked directory was", async () => {
    using ws = temporaryWorkspace();
    ws.write("d/sub/f", "1");
    ws.write("elsewhere/sub/f", "1");
    await settle(ws.root);
    renameSync(ws.path("d"), ws.path(".mic/d"));
    symlinkSync("elsewhere", ws.path("d"));
    expect(shown(await scan(ws))).toEqual(["add d", "delete d/sub/f"]);
  });

  test("takes a tracked directory that became a circle of symlinks as gone", async () => {
    using ws = temporaryWorkspace();
    ws.write("d/.gitignore", "*.o\n");
    ws.write("d/sub/f", "1");
    await settle(ws.root);
    ws.remove("d");
    ws.link("d", "d");
    expect(shown(await scan(ws))).toEqual(["add d", "delete d/.gitignore", "delete d/sub/f"]);
  });

  test("never looks into directories of version control systems, whatever their case", async () => {
    using ws = temporaryWorkspace();
    for (const name of [
      ".git/config",
      "d/.git/x",
      ".HG/x",
      "d/.jj/y",
      "d/.mic/config",
      ".Git2/ok",
      ".gitignore",
    ]) {
      ws.write(name, "");
    }
    expect(shown(await scan(ws))).toEqual(["add .Git2/ok", "add .gitignore"]);
  });

  test("passes over pipes and sockets and says so", async () => {
    using ws = temporaryWorkspace();
    ws.write("f", "");
    ws.write("tracked", "");
    await settle(ws.root);
    expect(spawnSync("mkfifo", [ws.path("pipe")]).status).toBe(0);
    ws.remove("tracked");
    expect(spawnSync("mkfifo", [ws.path("tracked")]).status).toBe(0);
    const server = createServer().listen(ws.path("socket"));
    await new Promise((resolve) => server.once("listening", resolve));
    try {
      for (let round = 0; round < 2; round++) {
        const result = await scan(ws);
        expect(shown(result)).toEqual(["delete tracked"]);
        expect(result.skipped).toEqual([
          { path: "pipe", reason: "fifo" },
          { path: "socket", reason: "socket" },
          { path: "tracked", reason: "fifo" },
        ]);
        await landInIndex(ws.root, result, []);
      }
    } finally {
      server.close();
    }
  });

  test("refuses by name what no tree can hold, unless it is ignored", async () => {
    using ws = temporaryWorkspace();
    ws.write("back\\slash", "");
    ws.write("git~1", "");
    ws.write("C:x", "");
    ws.write(".g\u200cit/config", "");
    writeFileSync(Buffer.concat([Buffer.from(`${ws.root}/not-`), Buffer.of(0xff), Buffer.from("-utf8")]), "");
    ws.write("honest-\ufffd", "");
    for (let round = 0; round < 2; round++) {
      const result = await scan(ws);
      expect(shown(result)).toEqual(round === 0 ? ["add honest-\ufffd"] : []);
      expect(result.refused).toEqual([
        { path: ".g\u200cit", reason: 'has the reserved component ".g\u200cit"' },
        { path: "C:x", reason: "starts with a drive letter" },
        { path: "back\\slash", reason: "contains a backslash" },
        { path: "git~1", reason: 'has the reserved component "git~1"' },
        { path: "not-\\xff-utf8", reason: "has a name that is not UTF-8" },
      ]);
      await nextTick();
      await landInIndex(ws.root, result);
    }
    ws.write(".micignore", "back*\ngit~1\n*:x\nnot-*\n.g*\n.micignore\n");
    expect((await scan(ws)).refused).toEqual([]);
  });

  test("refuses a path that is too long for a tree, and does not go deeper", async () => {
    using ws = temporaryWorkspace();
    // Beyond what the system takes in one call, so it is made of two halves.
    const half = (name: string) => Array.from({ length: 12 }, () => name.repeat(200)).join("/");
    ws.makeDirectory(half("x"));
    ws.write(`${half("y")}/f`, "");
    renameSync(ws.path("y".repeat(200)), ws.path(`${half("x")}/y`));
    const result = await scan(ws);
    expect(result.changes).toEqual([]);
    expect(result.refused).toHaveLength(1);
    expect(result.refused[0]!.reason).toMatch(/too long|longer than/);
    renameSync(ws.path(`${half("x")}/y`), ws.path("y"));
  });

  test("keeps kinds where the platform has no execute bit", async () => {
    using ws = temporaryWorkspace();
    ws.writeExecutable("tool", "x");
    await settle(ws.root);
    chmodSync(ws.path("tool"), 0o644);
    expect(shown(await scan(ws))).toEqual(["mode tool"]);
    expect(shown(await scan(ws, { platform: "win32" }))).toEqual([]);
  });

  test("stops when it is told to", async () => {
    using ws = temporaryWorkspace();
    ws.write("a", "");
    await expect(scan(ws, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "aborted" });
  });
});

describe("scanWorkspace() of ignored files", () => {
  test("ignores untracked files only, and looks for tracked ones in ignored directories", async () => {
    using ws = temporaryWorkspace();
    ws.write("build/tracked", "1");
    await settle(ws.root);
    ws.write(".micignore", "build/\n.micignore\n");
    ws.write("build/untracked", "");
    ws.write("build/tracked", "2");
    expect(shown(await scan(ws))).toEqual(["modify build/tracked"]);
  });

  test("reads directories again when rules for them change in place", async () => {
    for (const ignoreFile of [".gitignore", ".micignore"]) {
      using ws = temporaryWorkspace();
      ws.write(ignoreFile, `*.o\n${ignoreFile}\n`);
      ws.write("d/e/kept", "");
      ws.write("d/e/x.o", "");
      await settle(ws.root);
      expect(trustedDirectories(ws)).toEqual(["", "d", "d/e"]);
      ws.write(ignoreFile, `*.a\n${ignoreFile}\n`);
      expect(shown(await scan(ws))).toEqual(["add d/e/x.o"]);
    }
  });

  test("reads directories again when rules above them appear or vanish", async () => {
    using ws = temporaryWorkspace();
    ws.write("d/.gitignore", "*.o\n");
    ws.write("d/e/kept", "");
    ws.write("d/e/x.o", "");
    await settle(ws.root);
    expect(trustedDirectories(ws)).toEqual(["", "d", "d/e"]);
    ws.write("d/.micignore", "!*\n");
    expect(shown(await scan(ws))).toEqual(["add d/.micignore", "add d/e/x.o"]);
    ws.remove("d/.micignore");
    expect(shown(await scan(ws))).toEqual([]);
    ws.remove("d/.gitignore");
    expect(shown(await scan(ws))).toEqual(["delete d/.gitignore", "add d/e/x.o"]);
  });
});

describe("a directory whose stat data are trusted", () => {
  test("is given up when an empty directory in it may get files", async () => {
    using ws = temporaryWorkspace();
    ws.write("d/f", "");
    ws.makeDirectory("d/empty/deeper");
    await settle(ws.root);
    ws.write("d/empty/deeper/new", "");
    expect(shown(await scan(ws))).toEqual(["add d/empty/deeper/new"]);
  });

  test("is given up when a path in it is not tracked any more but still there", async () => {
    using ws = temporaryWorkspace();
    ws.write("d/f", "");
    ws.write("d/g", "");
    const index = await settle(ws.root);
    index.update({ removes: ["d/g" as TreePath] }).save(ws.root);
    expect(shown(await scan(ws))).toEqual(["add d/g"]);
  });

  test("is given up when a directory in it has lost its last tracked file", async () => {
    using ws = temporaryWorkspace();
    ws.write(".gitignore", "*.o\n");
    ws.write("d/e/f", "");
    ws.write("d/e/x.o", "");
    ws.write("d/g", "");
    await settle(ws.root);
    ws.remove("d/e/f");
    await settle(ws.root);
    ws.write("d/e/new", "");
    expect(shown(await scan(ws))).toEqual(["add d/e/new"]);
  });

  test("is given up when what was added in it was not landed", async () => {
    using ws = temporaryWorkspace();
    ws.write("d/f", "");
    await settle(ws.root);
    ws.write("d/new", "");
    ws.write("d/e/f/new", "");
    await nextTick();
    await landInIndex(ws.root, await scan(ws), []);
    await nextTick();
    expect(shown(await scan(ws))).toEqual(["add d/e/f/new", "add d/new"]);
  });
});

describe("scanWorkspace() of a sparse workspace", () => {
  test("sees only what is within its paths", async () => {
    using ws = temporaryWorkspace();
    for (const name of ["a/in/f", "a/in/g", "a/out/f", "b", "a/file", "z/f"]) ws.write(name, "1");
    await settle(ws.root);
    for (const name of ["a/in/f", "a/out/f", "b", "a/file"]) ws.write(name, "2");
    ws.write("a/in/new", "");
    ws.write("a/out/new", "");
    ws.write("new", "");
    ws.remove("a/in/g");
    ws.remove("z");
    const sparse = ["a/in", "a/file"] as TreePath[];
    expect(shown(await scan(ws, { sparse }))).toEqual([
      "modify a/file",
      "modify a/in/f",
      "delete a/in/g",
      "add a/in/new",
    ]);
    expect(shown(await scan(ws, { sparse: [] }))).toHaveLength(9);
  });

  test("reports what is missing within its paths only, when a directory is gone", async () => {
    using ws = temporaryWorkspace();
    for (const name of ["a/in/f", "a/out/f"]) ws.write(name, "1");
    await settle(ws.root);
    ws.remove("a");
    expect(shown(await scan(ws, { sparse: ["a/in" as TreePath] }))).toEqual(["delete a/in/f"]);
  });
});

describe("scanWorkspace() of a large tree", () => {
  test("finds the same in one thread and in two", async () => {
    using ws = temporaryWorkspace();
    for (let i = 0; i < 7000; i++) ws.write(`d${i % 150}/e${i % 7}/f${i}`, `${i}`);
    await nextTick();
    const first = [await scan(ws, { workers: 0 }), await scan(ws, { workers: 1 })];
    expect(first[0]!.changes).toHaveLength(7000);
    expect(first[1]!.changes).toEqual(first[0]!.changes);
    await settle(ws.root);
    expect(WorkspaceIndex.load(ws.root).sharedBytes).toBeDefined();
    const clean = await scan(ws);
    expect(clean.changes).toEqual([]);
    expect(clean.scanned).toEqual({ files: 7000, directories: 1 + 150 + 1050 });

    for (let i = 0; i < 7000; i += 13) ws.write(`d${i % 150}/e${i % 7}/f${i}`, `${i + 1}`);
    for (let i = 5; i < 7000; i += 1001) ws.remove(`d${i % 150}/e${i % 7}/f${i}`);
    ws.write("d3/.gitignore", "*.o\n");
    ws.write("d3/e1/x.o", "");
    ws.write("d77/new/f", "");
    ws.remove("d140");
    ws.link("d140", "d3");
    await nextTick();
    const single = await scan(ws, { workers: 0 });
    const double = await scan(ws, { workers: 1 });
    expect(shown(double)).toEqual(shown(single));
    expect(double.changes).toEqual(single.changes);
    expect(single.changes.length).toBeGreaterThan(500);
    expect(double.findings.untracked).toEqual(single.findings.untracked);
    const sorted = (result: ScanResult) => result.findings.directories.map(({ path }) => path).sort();
    expect(sorted(double)).toEqual(sorted(single));
    // Where paths are taken relative to the current directory.
    expect(await scanInside(ws)).toEqual(shown(single));
  });
});
