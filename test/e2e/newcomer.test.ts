import { spawnSync } from "node:child_process";
import { cpSync, existsSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { World } from "./support.ts";

let world: World;
beforeAll(async () => {
  world = await World.create();
});

describe("a newcomer's five minutes", () => {
  const notes = { in: "notes" };

  it("starts a workspace with nothing but the binary", () => {
    expect(world.json(["init"], notes).document).toEqual({
      project: "local/notes",
      forge: world.path("notes/.mic/forge"),
      position: 0,
    });
    world.write("notes/poem.txt", "one\ntwo\nthree\n");
    world.write("notes/docs/readme.md", "# Notes\n");
    expect(world.json(["status"], notes).document).toMatchObject({
      project: "local/notes",
      position: 0,
      changes: [
        { op: "add", path: "docs/readme.md" },
        { op: "add", path: "poem.txt" },
      ],
      conflicts: [],
      session: null,
      pending: null,
    });
  });

  it("lands, edits, looks at the diff and lands again", () => {
    const { code, document } = world.json(["land", "first"], notes);
    expect(code).toBe(0);
    expect(document).toEqual({
      position: 1,
      session: expect.stringMatching(/^[0-9a-f]{32}$/),
      tree: expect.stringMatching(/^[0-9a-f]{64}$/),
      changes: 2,
      conflicts: [],
    });
    world.write("notes/poem.txt", "one\nTWO\nthree\n");
    expect(world.ok(["diff"], notes)).toContain("-two\n+TWO\n");
    expect(world.json(["diff"], notes).document).toEqual({
      changes: [{ op: "modify", path: "poem.txt", added: 1, removed: 1 }],
    });
    expect(world.ok(["land", "second"], notes)).toContain("landed @2");
  });

  it("lists landings newest first, one JSON document per line", () => {
    const log = world.ok(["log"], notes);
    expect(log.indexOf("@2  second")).toBeGreaterThanOrEqual(0);
    expect(log.indexOf("@1  first")).toBeGreaterThan(log.indexOf("@2  second"));
    const lines = world
      .ok(["log", "--json"], notes)
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toEqual([
      expect.objectContaining({
        position: 2,
        goal: "second",
        author: "Ada Lovelace <ada@example.org>",
        changes: 1,
      }),
      expect.objectContaining({ position: 1, goal: "first", agent: "", changes: 2 }),
    ]);
    expect(Object.keys(lines[0])).toEqual([
      "position",
      "session",
      "goal",
      "author",
      "agent",
      "time",
      "changes",
    ]);
    expect(lines[0].time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(world.ok(["log", "--path", "docs"], notes)).not.toContain("second");
    expect(world.ok(["log", "0..1"], notes)).not.toContain("second");
    expect(world.ok(["log", "-n", "1"], notes)).not.toContain("first");
    expect(world.ok(["log", "--graph"], notes)).toMatch(/^o {2}@2 {2}second\n\| /);
  });

  it("shows a landing, blame, and content at a position", () => {
    expect(world.ok(["show", "1"], notes)).toContain("+# Notes");
    expect(world.json(["show", "@2"], notes).document).toMatchObject({
      position: 2,
      goal: "second",
      diff: [{ op: "modify", path: "poem.txt", added: 1, removed: 1 }],
    });
    const blame = world.json(["blame", "poem.txt"], notes).document;
    expect(blame.lines.map((line: { position: number }) => line.position)).toEqual([1, 2, 1]);
    expect(world.ok(["cat", "@1", "poem.txt"], notes)).toBe("one\ntwo\nthree\n");
    expect(world.json(["ls", "1"], notes).document.entries).toMatchObject([
      { path: "docs", kind: "directory", size: 1 },
      { path: "poem.txt", kind: "file", size: 14 },
    ]);
  });

  it("goes back, forward, reverts and undoes", () => {
    expect(world.json(["goto", "1"], notes).document).toEqual({ position: 1, files: 1, conflicts: [] });
    expect(world.read("notes/poem.txt")).toBe("one\ntwo\nthree\n");
    world.ok(["goto", "latest"], notes);
    expect(world.read("notes/poem.txt")).toBe("one\nTWO\nthree\n");
    expect(world.json(["revert", "2"], notes).document).toMatchObject({ position: 3, changes: 1 });
    expect(world.read("notes/poem.txt")).toBe("one\ntwo\nthree\n");
    const refused = world.json(["undo"], notes);
    expect(refused.code).toBe(1);
    expect(refused.document.error).toMatchObject({ code: "landed", hint: "mic revert 3" });
    world.write("notes/poem.txt", "spoiled\n");
    expect(world.json(["restore", "poem.txt"], notes).document).toEqual({ restored: ["poem.txt"] });
    world.ok(["undo"], notes);
    expect(world.read("notes/poem.txt")).toBe("spoiled\n");
    world.ok(["redo"], notes);
    expect(world.json(["ops"], notes).document.operations[0]).toMatchObject({ undone: false });
    expect(world.json(["fsck"], notes).document).toMatchObject({ positions: 3, findings: [] });
  });

  it("keeps decisions and conversation with the landing of a session", () => {
    world.ok(["session", "start", "make it rhyme"], notes);
    world.ok(["session", "decision", "no free verse"], notes);
    world.ok(["session", "say", "user", "please rhyme"], notes);
    world.ok(["session", "note", "four lines"], notes);
    expect(world.json(["session", "status"], notes).document).toMatchObject({
      goal: "make it rhyme",
      state: "open",
    });
    world.write("notes/poem.txt", "light\nnight\n");
    const landed = world.json(["session", "land", "--agent", "poet"], notes).document;
    expect(landed).toMatchObject({ position: 4, changes: 1 });
    expect(world.json(["show", "4"], notes).document).toMatchObject({
      goal: "make it rhyme",
      agent: "poet",
      decisions: ["no free verse"],
      conversation: [
        { role: "user", text: "please rhyme" },
        { role: "note", text: "four lines" },
      ],
    });
    expect(world.json(["session", "list"], notes).document.sessions[0]).toMatchObject({
      state: "landed",
      position: 4,
    });
  });
});

describe("the executable", () => {
  it("runs when copied alone to another directory", () => {
    const alone = world.path("alone", "mic");
    cpSync(world.binary, alone);
    const run = (...args: string[]) =>
      spawnSync(alone, args, {
        cwd: world.path("alone"),
        env: { ...world.env, PATH: "/nonexistent" },
        encoding: "utf8",
      });
    expect(run("version").stdout).toMatch(/^mic \d+\.\d+\.\d+ /);
    expect(run("init", "w").status).toBe(0);
    world.write("alone/w/file", "content\n");
    const landed = run("-C", "w", "land", "one");
    expect(landed.stderr).toBe("");
    expect(landed.status).toBe(0);
    expect(run("clone", "./w", "copy").status).toBe(0);
    expect(existsSync(world.path("alone/copy/file"))).toBe(true);
    expect(run("-C", "w", "fsck").stdout).toContain("no problems found");
  });

  it("prints a diff that git apply accepts", () => {
    world.ok(["init"], { in: "patch" });
    world.write("patch/a.txt", "1\n2\n3\n");
    world.write("patch/space in name.txt", "x");
    world.ok(["land", "one"], { in: "patch" });
    world.write("patch/a.txt", "1\n2\nthree\n");
    world.write("patch/space in name.txt", "y");
    world.write("patch/new/ünï.txt", "neu\n");
    const patch = world.ok(["diff"], { in: "patch" });
    world.ok(["goto", "1", "--path", "."], { in: "patch" });
    world.ok(["clone", "./patch", "patched"]);
    const applied = spawnSync("git", ["apply", "-"], {
      cwd: world.path("patched"),
      input: patch,
      encoding: "utf8",
    });
    expect(applied.stderr).toBe("");
    expect(world.read("patched/a.txt")).toBe("1\n2\nthree\n");
    expect(world.read("patched/space in name.txt")).toBe("y");
    expect(world.read("patched/new/ünï.txt")).toBe("neu\n");
  });
});
