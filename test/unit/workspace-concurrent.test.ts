import { afterEach, beforeEach, expect, test } from "vitest";
import { isMicError } from "../../src/core/base/errors.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { workspaceDiff } from "../../src/core/workspace/commands/diff.ts";
import { landWorkspace } from "../../src/core/workspace/commands/land.ts";
import {
  abandonSession,
  landSession,
  recordDecision,
  recordNote,
  startSession,
} from "../../src/core/workspace/commands/session.ts";
import { workspaceStatus } from "../../src/core/workspace/commands/status.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { acquireWorkspaceLock } from "../../src/core/workspace/disk/lock.ts";
import { at, paths, TestWorkspaces } from "../support/workspaces.ts";

let spaces: TestWorkspaces;
beforeEach(() => {
  spaces = new TestWorkspaces();
});
afterEach(async () => {
  await spaces[Symbol.asyncDispose]();
});

test("thirteen commands at once in one workspace wait for each other or fail cleanly", async () => {
  const a = await spaces.init({ f: "0\n" });
  await a.land("first");
  const b = await spaces.clone(a);
  const outcomes = await Promise.all(
    Array.from({ length: 13 }, async (_, i) => {
      const { ws } = spaces.open(b.dir);
      b.write({ [`f${i}`]: `${i}\n` });
      try {
        if (i % 3 === 0) await landWorkspace(ws, { goal: `landing ${i}`, syncAttempts: 3 });
        else if (i % 3 === 1) await workspaceStatus(ws);
        else await syncWorkspace(ws);
        return "done";
      } catch (error) {
        if (!isMicError(error)) throw error;
        return error.code;
      }
    }),
  );
  expect(outcomes.filter((outcome) => !["done", "nothing-to-land", "pending"].includes(outcome))).toEqual([]);
  expect(outcomes).toContain("done");
  await landWorkspace(spaces.open(b.dir).ws, { goal: "rest" }).catch(() => undefined);
  await syncWorkspace(a.ws);
  expect(a.files()).toEqual(b.files());
  expect(Object.keys(b.files())).toHaveLength(14);
});

test("status answers while another command holds the lock; a changing one says who is in the way", async () => {
  const a = await spaces.init({ f: "1\n" });
  await using _lock = await acquireWorkspaceLock(a.dir, { timeoutMs: 0, clock: systemClock });
  expect((await workspaceStatus(a.ws)).changes).toMatchObject([{ op: "add", path: "f" }]);
  const impatient = spaces.open(a.dir, { lockTimeoutMs: 20 });
  await expect(impatient.land("x")).rejects.toMatchObject({ code: "pending" });
});

test("a session gathers decisions and is landed under its goal", async () => {
  const a = await spaces.init({ f: "1\n" });
  const session = await startSession(a.ws, "make it work");
  await expect(startSession(a.ws, "another")).rejects.toMatchObject({ code: "already-exists" });
  await recordDecision(a.ws, "use a file");
  await recordNote(a.ws, "it was late");
  expect((await workspaceStatus(a.ws)).session).toBe(session.id);
  expect(await landSession(a.ws, {})).toMatchObject({ position: 1, session: session.id });
  expect((await workspaceStatus(a.ws)).session).toBeNull();
  const forge = await a.ws.forge();
  const landing = await forge.getLanding(a.ws.settings.project, at(1));
  expect(landing).toMatchObject({ goal: "make it work", decisions: ["use a file"] });
  await expect(landSession(a.ws, {})).rejects.toMatchObject({ code: "not-found" });
  const second = await startSession(a.ws, "given up");
  expect(await abandonSession(a.ws)).toMatchObject({ id: second.id, state: "abandoned" });
  expect((await workspaceStatus(a.ws)).session).toBeNull();
});

test("diff shows edits, renames and positions", async () => {
  const text = "a long enough\nfile of several\nlines to be\nrecognised\n";
  const a = await spaces.init({ f: "1\n", old: text, tool: "x\n" });
  await a.land("first");
  a.write({ f: "2\n", new: `${text}and one more\n`, tool: { run: "x\n" } });
  a.remove("old");
  const { chmodSync } = await import("node:fs");
  chmodSync(`${a.dir}/tool`, 0o755);
  const list = async (options: Parameters<typeof workspaceDiff>[1]) => {
    const found: string[] = [];
    for await (const file of workspaceDiff(a.ws, options)) {
      found.push(`${file.op} ${file.from === undefined ? "" : `${file.from} `}${file.path}`);
    }
    return found;
  };
  const edits = ["modify f", "rename old new", "mode tool"];
  expect(await list({})).toEqual(edits);
  expect(await list({ paths: paths("f") })).toEqual(["modify f"]);
  expect(await list({ from: at(0) })).toEqual(["add f", "add new", "add tool"]);
  await a.land("second");
  expect(await list({})).toEqual([]);
  expect(await list({ from: at(1) })).toEqual(edits);
  expect(await list({ from: at(1), to: at(2) })).toEqual(edits);
  a.write({ f: "1\n" });
  expect(await list({ from: at(1) })).toEqual(["rename old new", "mode tool"]);
});
