/** What the watcher rests on: the order and completeness of the runtime's events (docs/adr/0080-watcher.md). */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/base/system.ts";
import { ChokidarSource } from "../../src/core/workspace/watch/chokidar-source.ts";

let root: string;
let source: ChokidarSource;
let events: string[];
let losses: string[];
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "mic-source-")));
  events = [];
  losses = [];
});
afterEach(async () => {
  await source[Symbol.asyncDispose]();
  rmSync(root, { recursive: true });
});

async function start(): Promise<void> {
  source = new ChokidarSource(root);
  await source.start({
    changed: (path) => events.push(path),
    lost: (reason) => losses.push(reason),
    failed: (error) => losses.push(String(error)),
  });
}

async function untilSeen(path: string): Promise<void> {
  for (let i = 0; !events.includes(path); i++) {
    if (i === 1000) throw new Error(`no event for ${path}`);
    await systemClock.sleep(5);
  }
}

describe.runIf(process.platform === "linux")("ChokidarSource", () => {
  test("reports changes of many directories in the order in which they were made", async () => {
    for (let i = 0; i < 50; i++) mkdirSync(join(root, `d${i}/e`), { recursive: true });
    await start();
    const made: string[] = [];
    for (let i = 0; i < 2000; i++) {
      const path = `d${(i * 7) % 50}/${i % 3 === 0 ? "e/" : ""}f${i}`;
      writeFileSync(join(root, path), "");
      made.push(path);
    }
    await untilSeen(made.at(-1)!);
    expect([...new Set(events)].filter((path) => path.includes("/"))).toEqual(made);
  });

  test("drops none of the changes that follow each other at once", async () => {
    mkdirSync(join(root, "d"));
    await start();
    for (let i = 0; i < 3000; i++) writeFileSync(join(root, `d/f${i}`), "x");
    await untilSeen("d/f2999");
    expect(new Set(events).size).toBe(3000);
    expect(losses).toEqual([]);
  });

  test("watches a directory from before its making is reported", async () => {
    await start();
    for (let i = 0; i < 300; i++) mkdirSync(join(root, `new${i}/a/b`), { recursive: true });
    await untilSeen("new299");
    events.length = 0;
    for (let i = 0; i < 300; i++) writeFileSync(join(root, `new${i}/a/b/f`), "");
    await untilSeen("new299/a/b/f");
    const seen = new Set(events);
    for (let i = 0; i < 300; i++) expect(seen.has(`new${i}/a/b/f`)).toBe(true);
  });

  test("says that events were lost when the system's queue overflows", async () => {
    // In a process of its own, which is stopped while more happens than its queue holds.
    const script = `
      import { mkdirSync } from "node:fs";
      import { spawnSync } from "node:child_process";
      import { ChokidarSource } from ${JSON.stringify(join(import.meta.dirname, "../../src/core/workspace/watch/chokidar-source.ts"))};
      const root = process.argv[2];
      const source = new ChokidarSource(root);
      let lost = 0;
      await source.start({ changed() {}, lost() { lost++; }, failed(error) { throw error; } });
      const child = spawnSync("sh", ["-c", 'kill -STOP $PPID; (cd "$0" && seq 1 20000 | xargs touch); kill -CONT $PPID', root], { stdio: "ignore" });
      for (let i = 0; lost === 0 && i < 500; i++) await new Promise((done) => setTimeout(done, 10));
      console.log(lost > 0 ? "lost" : "silent");
      process.exit(0);
    `;
    const dir = realpathSync(mkdtempSync(join(tmpdir(), "mic-source-")));
    try {
      writeFileSync(join(dir, "overflow.ts"), script);
      mkdirSync(join(dir, "watched"));
      const result = spawnSync(process.execPath, [join(dir, "overflow.ts"), join(dir, "watched")], {
        encoding: "utf8",
      });
      expect(result.stdout + result.stderr).toBe("lost\n");
    } finally {
      rmSync(dir, { recursive: true });
    }
    await start();
  });
});
