import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { askWatcher } from "../../src/core/workspace/watch/client.ts";
import { decodeAddress, decodeAnswer, decodeRequest } from "../../src/core/workspace/watch/protocol.ts";
import {
  acquireWatchLock,
  listenForQuestions,
  type WatchServerOptions,
} from "../../src/core/workspace/watch/watch-server.ts";
import { requireWatchable } from "../../src/core/workspace/watch/watchable.ts";
import { type TemporaryWorkspace, temporaryWorkspace } from "../support/temporary-workspace.ts";

const userId = process.getuid?.();
let space: TemporaryWorkspace;
beforeEach(() => {
  space = temporaryWorkspace();
});
afterEach(() => {
  space[Symbol.dispose]();
});

const ask = (root = space.root, build = "1") =>
  askWatcher(root, "about", { build, userId, timeoutMs: 20_000 });

function listen(change: Partial<WatchServerOptions> = {}): Promise<AsyncDisposable> {
  return listenForQuestions({
    root: space.root,
    build: "1",
    pid: process.pid,
    userId,
    platform: process.platform,
    runtimeDirectory: join(space.root, "run"),
    random: systemRandom,
    answer: async () => ({ kind: "about", pid: process.pid, ready: true }),
    ...change,
  });
}

describe.skipIf(process.platform === "win32")("the socket", () => {
  test("answers while it lives, and leaves nothing behind", async () => {
    expect(await ask()).toEqual({ kind: "none" });
    const server = await listen();
    expect(await ask()).toEqual({ kind: "about", pid: process.pid, ready: true });
    expect(statSync(space.path(".mic/watch.sock")).mode & 0o077).toBe(0);
    await server[Symbol.asyncDispose]();
    expect(await ask()).toEqual({ kind: "none" });
    expect(existsSync(space.path(".mic/watch.sock"))).toBe(false);
  });

  test("of a watcher that was killed is unreachable, and in nobody's way", async () => {
    const server = createServer().listen(space.path(".mic/watch.sock"));
    await new Promise((resolve) => server.once("listening", resolve));
    writeFileSync(space.path(".mic/watch"), '{"socket":"watch.sock","pid":1,"build":"1"}\n');
    // Closing removes the socket; a killed process leaves its file.
    await new Promise((resolve) => server.close(resolve));
    writeFileSync(space.path(".mic/watch.sock"), "");
    expect(await ask()).toMatchObject({ kind: "unreachable" });
    await using _server = await listen();
    expect(await ask()).toMatchObject({ kind: "about" });
  });

  test("moves to a private directory where .mic is too far down", async () => {
    const root = join(space.root, "x".repeat(60), "y".repeat(60));
    mkdirSync(join(root, ".mic"), { recursive: true });
    await using _server = await listen({ root });
    expect(await ask(root)).toMatchObject({ kind: "about" });
    expect(statSync(join(space.root, "run", `mic-${userId}`)).mode & 0o777).toBe(0o700);
  });

  test("is not put into a directory that others may enter", async () => {
    const root = join(space.root, "x".repeat(60), "y".repeat(60));
    mkdirSync(join(root, ".mic"), { recursive: true });
    mkdirSync(join(space.root, "run", `mic-${userId}`), { recursive: true });
    chmodSync(join(space.root, "run", `mic-${userId}`), 0o755);
    await expect(listen({ root })).rejects.toMatchObject({ code: "forbidden" });
  });

  test("of another user is not spoken to", async () => {
    await using _server = await listen();
    const asked = await askWatcher(space.root, "about", { build: "1", userId: 12_345 });
    expect(asked).toEqual({ kind: "unreachable", reason: "its socket belongs to another user" });
  });

  test("of another version is told so, and not believed", async () => {
    let builds = "";
    await using _server = await listen({
      answer: async ({ build }) => {
        builds += build;
        return { kind: "about", pid: 1, ready: true };
      },
    });
    expect(await ask(space.root, "2")).toEqual({ kind: "unreachable", reason: "it is of another version" });
    for (let i = 0; builds === "" && i < 2000; i++) await systemClock.sleep(5);
    expect(builds).toBe("2");
  });

  test("that does not answer is given up on", async () => {
    await using _server = await listen({
      answer: () => new Promise(() => undefined),
    });
    const asked = await askWatcher(space.root, "about", { build: "1", userId, timeoutMs: 50 });
    expect(asked).toEqual({ kind: "unreachable", reason: "no answer in time" });
  });

  test("closes on what is no question, and goes on", async () => {
    await using _server = await listen();
    for (const text of ["x".repeat(100_000), "{}\n", "null\n", "\n", '{"protocol":1}\n']) {
      const answer = await new Promise<string>((resolve) => {
        const socket = connect(space.path(".mic/watch.sock"));
        let heard = "";
        socket.on("data", (part) => {
          heard += part.toString();
        });
        socket.on("error", () => resolve(heard));
        socket.on("close", () => resolve(heard));
        socket.write(text);
      });
      if (answer !== "") expect(decodeAnswer(answer)).toMatchObject({ kind: "blind" });
    }
    expect(await ask()).toMatchObject({ kind: "about" });
  });
});

test("one watcher at a time holds the lock", async () => {
  {
    await using _first = await acquireWatchLock(space.root, systemClock);
    await expect(acquireWatchLock(space.root, systemClock)).rejects.toMatchObject({ code: "already-exists" });
  }
  await using _second = await acquireWatchLock(space.root, systemClock);
});

test("decodeRequest() and decodeAnswer() refuse what is neither", () => {
  for (const text of ["", "1", "[]", "{", '{"protocol":"1"}', '{"kind":1}']) {
    expect(() => decodeRequest(text)).toThrow(expect.objectContaining({ code: "corrupt" }));
    expect(() => decodeAnswer(text)).toThrow(expect.objectContaining({ code: "corrupt" }));
  }
});

test("decodeAddress() makes nothing of a file that another version left", () => {
  for (const text of ["", "7", "{}", '{"socket":1,"pid":1,"build":""}']) {
    expect(decodeAddress(text)).toBeUndefined();
  }
});

test.runIf(process.platform === "linux")("requireWatchable() lets local file systems pass", () => {
  expect(() => requireWatchable(space.root, "linux")).not.toThrow();
});
