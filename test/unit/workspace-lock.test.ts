import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/base/system.ts";
import { acquireWorkspaceLock } from "../../src/core/workspace/disk/lock.ts";
import { temporaryWorkspace } from "../support/temporary-workspace.ts";

const clock = systemClock;

/** A process that takes the lock, says so, and holds it until it is killed. */
async function lockInOtherProcess(root: string) {
  const program = `
    const { acquireWorkspaceLock } = await import(${JSON.stringify(new URL("../../src/core/workspace/disk/lock.ts", import.meta.url).href)});
    const { systemClock } = await import(${JSON.stringify(new URL("../../src/core/base/system.ts", import.meta.url).href)});
    const lock = await acquireWorkspaceLock(${JSON.stringify(root)}, { timeoutMs: 0, clock: systemClock });
    console.log("locked");
    setInterval(() => lock, 1000);
  `;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return child;
}

describe("acquireWorkspaceLock()", () => {
  test("is held by one at a time", async () => {
    using ws = temporaryWorkspace();
    let holders = 0;
    let most = 0;
    const command = async (): Promise<void> => {
      await using _lock = await acquireWorkspaceLock(ws.root, { timeoutMs: 20_000, clock });
      holders++;
      most = Math.max(most, holders);
      await delay(2);
      holders--;
    };
    await Promise.all(Array.from({ length: 13 }, command));
    expect(most).toBe(1);
  });

  test("gives up after the timeout and says what to do", async () => {
    using ws = temporaryWorkspace();
    await using _lock = await acquireWorkspaceLock(ws.root, { timeoutMs: 0, clock });
    const startedMs = performance.now();
    await expect(acquireWorkspaceLock(ws.root, { timeoutMs: 60, clock })).rejects.toMatchObject({
      code: "pending",
      kind: "retry",
      hint: expect.stringContaining("wait"),
    });
    expect(performance.now() - startedMs).toBeGreaterThan(50);
  });

  test("stops waiting when it is told to", async () => {
    using ws = temporaryWorkspace();
    await using _lock = await acquireWorkspaceLock(ws.root, { timeoutMs: 0, clock });
    const signal = AbortSignal.timeout(30);
    await expect(acquireWorkspaceLock(ws.root, { timeoutMs: 60_000, clock, signal })).rejects.toMatchObject({
      code: "aborted",
    });
  });

  test("is gone with the process that held it, however that ended", async () => {
    using ws = temporaryWorkspace();
    const child = await lockInOtherProcess(ws.root);
    await expect(acquireWorkspaceLock(ws.root, { timeoutMs: 0, clock })).rejects.toMatchObject({
      code: "pending",
    });
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    await using _lock = await acquireWorkspaceLock(ws.root, { timeoutMs: 0, clock });
  });
});
