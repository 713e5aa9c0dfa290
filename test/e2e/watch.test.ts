import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { World } from "./support.ts";

let world: World;
beforeAll(async () => {
  world = await World.create();
});

let count = 0;
let dir: string;
/** Process ids of daemons. */
const started: number[] = [];
beforeEach(() => {
  dir = `w${count++}`;
  world.ok(["init", dir]);
  world.write(`${dir}/a.txt`, "one\n");
  world.write(`${dir}/sub/b.txt`, "two\n");
  world.ok(["land", "start"], { in: dir });
});
afterEach(() => {
  for (const pid of started.splice(0)) if (isAlive(pid)) process.kill(pid, "SIGKILL");
});

function startDaemon(): number {
  const { code, document } = world.json(["watch", "--daemon"], { in: dir });
  expect({ code, document }).toMatchObject({ code: 0, document: { event: "watching" } });
  started.push(document.pid);
  return document.pid;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A child that nobody waits for is not alive any more.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

async function untilDead(pid: number): Promise<void> {
  for (let i = 0; isAlive(pid); i++) {
    if (i === 500) throw new Error(`process ${pid} lives on`);
    await delay(20);
  }
}

/** `by`: what must have answered. The same answer as without a watcher, in both forms. */
function expectStatus(by: "watcher" | "scan", changes: readonly string[], where = dir): void {
  let answeredBy = "";
  // On a busy machine a watcher may be given up on; the answer is right all the same.
  for (let i = 0; i < 5 && answeredBy !== by; i++) {
    const { code, stdout, stderr } = world.run(["--json", "status", "--verbose"], { in: where });
    expect(code).toBe(0);
    const found = JSON.parse(stdout).changes.map(({ op, path }: Record<string, string>) => `${op} ${path}`);
    expect(found).toEqual(changes);
    answeredBy = stderr.includes("answered by the watcher") ? "watcher" : "scan";
  }
  expect(answeredBy).toBe(by);
}

describe.skipIf(process.platform === "win32")("mic watch", () => {
  it("--daemon outlives its command, and status asks it", async () => {
    const pid = startDaemon();
    expectStatus("watcher", []);
    world.write(`${dir}/a.txt`, "changed\n");
    world.write(`${dir}/new/deep/c.txt`, "new\n");
    rmSync(world.path(dir, "sub"), { recursive: true });
    expectStatus("watcher", ["modify a.txt", "add new/deep/c.txt", "delete sub/b.txt"]);
    const asked = world.run(["status"], { in: `${dir}/new/deep` }).stdout;
    world.ok(["watch", "--stop"], { in: dir });
    await untilDead(pid);
    expectStatus("scan", ["modify a.txt", "add new/deep/c.txt", "delete sub/b.txt"]);
    expect(world.run(["status"], { in: `${dir}/new/deep` }).stdout).toBe(asked);
  });

  it("is asked by land, and follows what commands do", () => {
    startDaemon();
    world.write(`${dir}/a.txt`, "changed\n");
    world.write(`${dir}/c.txt`, "new\n");
    const landed = world.run(["--json", "land", "more", "--verbose"], { in: dir });
    expect(landed.stderr).toContain("answered by the watcher");
    expect(JSON.parse(landed.stdout)).toMatchObject({ position: 2, changes: 2 });
    expectStatus("watcher", []);
    world.ok(["goto", "1"], { in: dir });
    expectStatus("watcher", []);
    expect(world.json(["status"], { in: dir }).document).toMatchObject({ position: 1, latestKnown: 2 });
    world.ok(["undo"], { in: dir });
    expectStatus("watcher", []);
    expect(world.ok(["fsck"], { in: dir })).not.toContain("corrupt");
  });

  it("runs once per workspace, and --stop ends it once", () => {
    const pid = startDaemon();
    const second = world.json(["watch", "--daemon"], { in: dir });
    expect(second).toMatchObject({ code: 1, document: { error: { code: "already-exists", pid } } });
    const third = world.json(["watch"], { in: `${dir}/sub` });
    expect(third).toMatchObject({ code: 1, document: { error: { code: "already-exists" } } });
    expect(world.json(["watch", "--stop"], { in: dir }).document).toEqual({
      event: "stopped",
      running: true,
      pid,
    });
    expect(world.json(["watch", "--stop"], { in: dir }).document).toEqual({
      event: "stopped",
      running: false,
    });
    startDaemon();
    expectStatus("watcher", []);
  });

  it("that was killed is no obstacle: status looks for itself, and another can start", async () => {
    const pid = startDaemon();
    process.kill(pid, "SIGKILL");
    await untilDead(pid);
    expect(existsSync(world.path(dir, ".mic/watch.sock"))).toBe(true);
    world.write(`${dir}/a.txt`, "changed\n");
    expectStatus("scan", ["modify a.txt"]);
    startDaemon();
    expectStatus("watcher", ["modify a.txt"]);
  });

  it("that does not answer is waited for, but not for long", async () => {
    const pid = startDaemon();
    process.kill(pid, "SIGSTOP");
    try {
      world.write(`${dir}/a.txt`, "changed\n");
      const start = performance.now();
      expectStatus("scan", ["modify a.txt"]);
      expect(performance.now() - start).toBeLessThan(10_000);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    expectStatus("watcher", ["modify a.txt"]);
  });

  it("ends when the workspace is moved away, and never answers for the place it was in", async () => {
    const pid = startDaemon();
    renameSync(world.path(dir), world.path(`${dir}-moved`));
    expectStatus("scan", [], `${dir}-moved`);
    // Another workspace in its place.
    world.ok(["init", dir]);
    world.write(`${dir}/other.txt`, "1\n");
    expectStatus("scan", ["add other.txt"]);
    await untilDead(pid);
    startDaemon();
    expectStatus("watcher", ["add other.txt"]);
  });

  it("ends when the workspace is deleted", async () => {
    const pid = startDaemon();
    rmSync(world.path(dir), { recursive: true });
    await untilDead(pid);
  });

  it("is right after a storm of 5,000 renames and an overflow of the system's queue", async () => {
    const pid = startDaemon();
    mkdirSync(world.path(dir, "many"));
    for (let i = 0; i < 5000; i++) writeFileSync(world.path(dir, `many/f${i}`), "");
    for (let i = 0; i < 5000; i++) renameSync(world.path(dir, `many/f${i}`), world.path(dir, `many/g${i}`));
    const storm = world.json(["status"], { in: dir }).document;
    expect(storm.changes).toHaveLength(5000);
    // Stopped, it cannot empty the queue, which holds 16,384 events.
    process.kill(pid, "SIGSTOP");
    for (let i = 0; i < 5000; i++) {
      writeFileSync(world.path(dir, `many/g${i}`), "1");
      renameSync(world.path(dir, `many/g${i}`), world.path(dir, `many/h${i}`));
      renameSync(world.path(dir, `many/h${i}`), world.path(dir, `many/i${i}`));
    }
    mkdirSync(world.path(dir, "unheard"));
    world.write(`${dir}/unheard/f`, "1");
    process.kill(pid, "SIGCONT");
    const after = world.json(["status"], { in: dir }).document;
    expect(after.changes).toHaveLength(5001);
    world.write(`${dir}/unheard/g`, "1");
    expect(world.json(["status"], { in: dir }).document.changes).toHaveLength(5002);
    for (let i = 0; i < 250; i++) {
      const { stderr } = world.run(["status", "--verbose"], { in: dir });
      if (stderr.includes("answered by the watcher")) break;
      await delay(20);
    }
    rmSync(world.path(dir, "many"), { recursive: true });
    expectStatus("watcher", ["add unheard/f", "add unheard/g"]);
    expect(readFileSync(world.path(dir, ".mic/watch.log"), "utf8")).toContain('"event":"rescan"');
  });

  it("in the foreground says what it sees, and ends when it is interrupted", async () => {
    const child: ChildProcess = spawn(world.binary, ["--json", "watch"], {
      cwd: world.path(dir),
      env: world.env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout!.on("data", (part: Buffer) => {
      text += part.toString();
    });
    const events = (): Record<string, unknown>[] =>
      text
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line));
    const until = async (name: string): Promise<void> => {
      for (let i = 0; !events().some(({ event }) => event === name); i++) {
        if (i === 500) throw new Error(`no ${name} in ${text}`);
        await delay(20);
      }
    };
    try {
      await until("watching");
      world.write(`${dir}/a.txt`, "changed\n");
      await until("changes");
      expectStatus("watcher", ["modify a.txt"]);
      await until("answered");
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGINT");
      expect(await ended).toBe(0);
      expect(events().at(-1)).toMatchObject({ event: "ended" });
      expect(existsSync(world.path(dir, ".mic/watch"))).toBe(false);
    } finally {
      child.kill("SIGKILL");
    }
  });

  it("answers a hundred statuses right after a hundred edits", () => {
    startDaemon();
    for (let i = 0; i < 100; i++) {
      world.write(`${dir}/sub/f${i}`, `${i}`);
      const { document } = world.json(["status"], { in: dir });
      expect(document.changes).toHaveLength(i + 1);
    }
  });
});
