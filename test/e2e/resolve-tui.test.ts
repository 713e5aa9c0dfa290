import { chmodSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { World } from "./support.ts";
import { hasTmux, Terminal } from "./terminal.ts";

const SMALL = { columns: 80, rows: 24 };
const WIDE = { columns: 120, rows: 30 };

const poem = (second: string, ninth: string): string =>
  `one\n${second}\nthree\nfour\nfive\nsix\nseven\neight\n${ninth}\nten\n`;

let world: World;
let count = 0;

/** A workspace with two hunks in a.txt, a binary conflict and a deletion against a change. */
function conflicted(): string {
  count++;
  const [mine, other] = [`mine-${count}`, `other-${count}`];
  world.ok(["init", other]);
  world.write(`${other}/a.txt`, poem("two", "nine"));
  world.write(`${other}/logo.bin`, new Uint8Array([0, 1, 2]));
  world.write(`${other}/old.txt`, "old\n");
  world.ok(["land", "start"], { in: other });
  world.ok(["clone", `./${other}`, mine]);
  world.write(`${other}/a.txt`, poem("TWO theirs", "NINE theirs"));
  world.write(`${other}/logo.bin`, new Uint8Array([0, 9, 9]));
  world.write(`${other}/old.txt`, "old, changed\n");
  world.ok(["land", "theirs"], { in: other });
  world.write(`${mine}/a.txt`, poem("TWO ours", "NINE ours"));
  world.write(`${mine}/logo.bin`, new Uint8Array([0, 7, 7]));
  world.ok(["restore", "--from", "0", "old.txt"], { in: mine });
  expect(world.json(["sync"], { in: mine }).document.conflicts).toEqual(["a.txt", "logo.bin", "old.txt"]);
  return mine;
}

const resolve = (dir: string, size = SMALL): Terminal =>
  new Terminal(world, dir, `"${world.binary}" resolve`, size);

beforeAll(async () => {
  world = await World.create();
});

describe.skipIf(!hasTmux)("mic resolve on a terminal", () => {
  it("resolves hunk by hunk, saves, and leaves nothing to settle", async () => {
    const dir = conflicted();
    using terminal = resolve(dir);
    const first = await terminal.waitFor("hunk 1 of 2");
    expect(first).toContain("── ours (workspace) ──");
    expect(first).toContain("< TWO ours");
    expect(first).toContain("| two");
    expect(first).toContain("> TWO theirs");
    expect(first).toContain("file 1 of 3");
    expect(first).toContain("logo.bin  binary, 0 of 1 chosen");
    expect(Math.max(...first.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    terminal.press("o");
    expect(await terminal.waitFor("hunk 2 of 2")).toContain("> NINE theirs");
    terminal.press("u");
    expect(await terminal.waitFor("file 2 of 3")).toContain("one side is taken as a whole");
    terminal.press("u");
    await terminal.waitFor("only o (ours) or t (theirs)");
    terminal.press("t");
    expect(await terminal.waitFor("file 3 of 3")).toContain("deleted here, changed there");
    terminal.press("t");
    await terminal.waitFor("all hunks have a choice");
    terminal.press("s");
    const done = await terminal.waitFor("exit code 0");
    expect(done).toContain("3 conflicts resolved, 0 remaining");
    expect(world.read(`${dir}/a.txt`)).toBe(poem("TWO ours", "NINE ours\nNINE theirs"));
    expect(world.read(`${dir}/logo.bin`)).toBe("\u0000\t\t");
    expect(world.read(`${dir}/old.txt`)).toBe("old, changed\n");
    expect(world.json(["land", "settled"], { in: dir }).code).toBe(0);
  });

  it("stands side by side when there is room", async () => {
    using terminal = resolve(conflicted(), WIDE);
    expect(await terminal.waitFor("hunk 1 of 2")).toMatch(/^TWO ours +│ TWO theirs/m);
  });

  it("scrolls a hunk that is longer than the screen, to its end and no further", async () => {
    const lines = (from: number): string => Array.from({ length: 40 }, (_, i) => `${from + i}\n`).join("");
    world.ok(["init", "long-a"]);
    world.write("long-a/n.txt", lines(0));
    world.ok(["land", "one"], { in: "long-a" });
    world.ok(["clone", "./long-a", "long-b"]);
    world.write("long-a/n.txt", lines(100));
    world.ok(["land", "two"], { in: "long-a" });
    world.write("long-b/n.txt", lines(200));
    world.run(["sync"], { in: "long-b" });
    using terminal = resolve("long-b");
    await terminal.waitFor(/< 200\n.*more lines \(Space/s);
    terminal.press(...Array.from({ length: 30 }, () => "Space"));
    expect(await terminal.waitFor("> 139")).not.toContain("more line");
    terminal.press("k");
    await terminal.waitFor("… 2 more lines");
    terminal.press("q");
    await terminal.waitFor("exit code 3");
  });

  it("undoes a choice, asks before losing choices, and keeps unsaved conflicts", async () => {
    const dir = conflicted();
    const before = world.read(`${dir}/a.txt`);
    using terminal = resolve(dir);
    await terminal.waitFor("hunk 1 of 2");
    terminal.press("t");
    await terminal.waitFor("hunk 2 of 2");
    terminal.press("z");
    expect(await terminal.waitFor("choice undone")).toContain("no choice yet");
    terminal.press("b");
    await terminal.waitFor("hunk 2 of 2");
    terminal.press("q");
    await terminal.waitFor("1 choice not saved");
    terminal.press("x");
    await terminal.waitFor("o ours");
    terminal.press("?");
    await terminal.waitFor("take both (union)");
    terminal.press("?");
    await terminal.waitFor("NINE theirs");
    terminal.press("q");
    await terminal.waitFor("1 choice not saved");
    terminal.press("y");
    expect(await terminal.waitFor("exit code 3")).toContain("0 conflicts resolved, 3 remaining");
    expect(world.read(`${dir}/a.txt`)).toBe(before);
  });

  it("edits a hunk in the editor", async () => {
    const dir = conflicted();
    world.write("editor.sh", '#!/bin/sh\nprintf "edited by hand\\n" > "$1"\n');
    chmodSync(world.path("editor.sh"), 0o755);
    world.ok(["config", "set", "ui.editor", world.path("editor.sh")]);
    using terminal = resolve(`${dir}`);
    await terminal.waitFor("hunk 1 of 2");
    terminal.press("e");
    await terminal.waitFor("hunk 2 of 2");
    terminal.press("p");
    await terminal.waitFor("chosen: as edited");
    terminal.press("n");
    terminal.press("t");
    await terminal.waitFor("file 2 of 3");
    terminal.press("s");
    await terminal.waitFor("saved 1");
    expect(world.read(`${dir}/a.txt`)).toBe(poem("edited by hand", "NINE theirs"));
    expect(world.json(["status"], { in: dir }).document.conflicts).toEqual(["logo.bin", "old.txt"]);
    terminal.press("C-c");
    await terminal.waitFor("exit code 130");
  });

  it("log goes through no pager when PAGER is cat", async () => {
    const dir = conflicted();
    using terminal = new Terminal(world, dir, `PAGER=cat "${world.binary}" log`, SMALL);
    const screen = await terminal.waitFor("exit code 0");
    expect(screen).toContain("@2  theirs");
  });
});
