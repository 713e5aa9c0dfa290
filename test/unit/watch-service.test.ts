import { appendFileSync, linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Clock } from "../../src/core/base/clock.ts";
import { systemClock } from "../../src/core/base/system.ts";
import type { ChangeHandlers, ChangeSource } from "../../src/core/workspace/watch/change-source.ts";
import { ChokidarSource } from "../../src/core/workspace/watch/chokidar-source.ts";
import { COOKIE_PREFIX, WATCH_PROTOCOL } from "../../src/core/workspace/watch/protocol.ts";
import { Workspace } from "../../src/core/workspace/workspace.ts";
import { COOKIE_TIMEOUT_MS, expectSameStatus, startWatching } from "../support/watching.ts";
import { type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

let spaces: TestWorkspaces;
let workspace: TestWorkspace;
beforeEach(async () => {
  spaces = new TestWorkspaces();
  workspace = await spaces.init({ a: "1\n", "d/b": "1\n", "d/e/c": "1\n" });
  await workspace.land("start");
});
afterEach(async () => {
  await spaces[Symbol.asyncDispose]();
});

const path = (...names: string[]): string => join(workspace.dir, ...names);

async function until(isTrue: () => boolean): Promise<void> {
  for (let i = 0; !isTrue(); i++) {
    if (i === 2000) throw new Error("it did not come true");
    await systemClock.sleep(10);
  }
}

/** The real source, and a hand on what it reports. */
class HandledSource implements ChangeSource {
  handlers: ChangeHandlers | undefined;
  readonly #inner: ChangeSource;
  /** What to drop. */
  drops: (path: string) => boolean = () => false;

  constructor(root: string) {
    this.#inner = new ChokidarSource(root);
  }

  start(handlers: ChangeHandlers): Promise<void> {
    this.handlers = handlers;
    return this.#inner.start({
      ...handlers,
      changed: (changed) => {
        if (!this.drops(changed)) handlers.changed(changed);
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inner[Symbol.asyncDispose]();
  }
}

/** Long waits end soon, but that for the source to catch up; the time shown can be moved. */
class ImpatientClock implements Clock {
  aheadMs = 0;
  nowMs(): number {
    return systemClock.nowMs() + this.aheadMs;
  }
  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(
      durationMs === COOKIE_TIMEOUT_MS ? durationMs : Math.min(durationMs, 50),
      signal,
    );
  }
}

async function watched(change: { readonly clock?: Clock; readonly cookieTimeoutMs?: number } = {}) {
  const sources: HandledSource[] = [];
  const { clock, ...options } = change;
  const watching = await startWatching(workspace, {
    ...options,
    context: { ...workspace.ws.context, ...(clock === undefined ? {} : { clock }) },
    makeSource: () => {
      const source = new HandledSource(workspace.dir);
      sources.push(source);
      return source;
    },
  });
  return { watching, sources };
}

describe("an answer", () => {
  test("holds a change that was made right before the question, a thousand times over", async () => {
    await using watching = await startWatching(workspace);
    for (let i = 0; i < 1000; i++) {
      const name = `d/new${i}`;
      writeFileSync(path(name), "");
      const answer = await watching.ask("status");
      if (answer.kind !== "status") throw new Error(JSON.stringify(answer));
      expect([...answer.status.changes].map((change) => change.path)).toContain(name);
      rmSync(path(name));
    }
  });

  test("holds a change of equal size within the tick of the last one", async () => {
    await using watching = await startWatching(workspace);
    for (let i = 0; i < 50; i++) {
      writeFileSync(path("d/b"), "2\n");
      await expectSameStatus(workspace, watching);
      writeFileSync(path("d/b"), "1\n");
      await expectSameStatus(workspace, watching);
    }
  });

  test("sees what is written into directories as they are made, and after they are renamed", async () => {
    await using watching = await startWatching(workspace);
    for (let i = 0; i < 30; i++) {
      mkdirSync(path(`new${i}/x/y`), { recursive: true });
      writeFileSync(path(`new${i}/x/y/f`), "1");
      await expectSameStatus(workspace, watching);
      renameSync(path(`new${i}`), path(`moved${i}`));
      await expectSameStatus(workspace, watching);
      appendFileSync(path(`moved${i}/x/y/f`), "2");
      rmSync(path("d"), { recursive: true });
      await expectSameStatus(workspace, watching);
      renameSync(path(`moved${i}/x`), path("d"));
      await expectSameStatus(workspace, watching);
    }
  });

  test("stays right through a storm of 5,000 renames", async () => {
    for (let i = 0; i < 5000; i++) writeFileSync(path(`d/f${i}`), `${i}`);
    await workspace.land("many");
    await using watching = await startWatching(workspace);
    for (let i = 0; i < 5000; i++) renameSync(path(`d/f${i}`), path(`d/e/g${i}`));
    await expectSameStatus(workspace, watching);
    for (let i = 0; i < 5000; i++) renameSync(path(`d/e/g${i}`), path(`d/f${i}`));
    await expectSameStatus(workspace, watching);
    const answer = await watching.ask("status");
    expect(answer).toMatchObject({ kind: "status", status: { changes: [] } });
  });

  test("sees a file change through a name outside the workspace", async () => {
    linkSync(path("d/b"), join(spaces.root, "outside"));
    await using watching = await startWatching(workspace);
    appendFileSync(join(spaces.root, "outside"), "more\n");
    await expectSameStatus(workspace, watching);
    expect(await watching.ask("status")).toMatchObject({ status: { changes: [{ path: "d/b" }] } });
  });

  test("follows sessions, conflicts, settings and landings of other commands", async () => {
    await using watching = await startWatching(workspace);
    const other = await spaces.clone(workspace);
    other.write({ a: "theirs\n" });
    await other.land("other");
    workspace.write({ a: "ours\n" });
    await expectSameStatus(workspace, watching);
    const { syncWorkspace } = await import("../../src/core/workspace/commands/sync.ts");
    await syncWorkspace(workspace.ws);
    await expectSameStatus(workspace, watching);
    expect(await watching.ask("status")).toMatchObject({ status: { position: 2, conflicts: ["a"] } });
    workspace.ws.saveSettings({ ...workspace.ws.settings, untracked: [] });
    await expectSameStatus(workspace, watching);
  });

  test("knows what an ignore file says of every directory below it", async () => {
    workspace.write({ "d/x.o": "1", "d/e/x.o": "1", "new/deep/x.o": "1" });
    await using watching = await startWatching(workspace);
    for (const [name, text] of [
      [".gitignore", "*.o\n"],
      ["d/.micignore", "!x.o\n"],
      [".gitignore", "new/\n"],
      ["d/.micignore", "x.o\n"],
      ["d/e/.gitignore", "!*.o\n"],
    ] as const) {
      workspace.write({ [name]: text });
      await expectSameStatus(workspace, watching);
    }
    rmSync(path("d/.micignore"));
    await expectSameStatus(workspace, watching);
    renameSync(path(".gitignore"), path("elsewhere"));
    await expectSameStatus(workspace, watching);
  });

  test("is blind, not old, when events do not come", async () => {
    const { watching, sources } = await watched({ cookieTimeoutMs: 500 });
    await using _ = watching;
    sources[0]!.drops = (changed) => changed.includes(COOKIE_PREFIX);
    expect(await watching.ask("status")).toEqual({ kind: "blind", reason: "its events are late" });
    sources[0]!.drops = () => false;
    await expectSameStatus(workspace, watching);
  });

  test("is blind while a command leaves the workspace in a state that cannot be told", async () => {
    await using watching = await startWatching(workspace);
    const { settings } = workspace.ws;
    rmSync(path(".mic/settings"));
    expect(await watching.ask("status")).toMatchObject({ kind: "blind" });
    workspace.ws.saveSettings(settings);
    await expectSameStatus(workspace, watching);
  });

  test("is blind to another version, which ends the watcher", async () => {
    await using watching = await startWatching(workspace);
    const request = { protocol: WATCH_PROTOCOL, build: "newer", root: workspace.dir, ask: "status" } as const;
    expect(await watching.service.answer(request)).toMatchObject({ kind: "blind" });
    expect(await watching.service.ended).toMatch(/version/);
  });

  test("is blind to a question about another place", async () => {
    await using watching = await startWatching(workspace);
    const request = { protocol: WATCH_PROTOCOL, build: "test", root: "/elsewhere", ask: "status" } as const;
    expect(await watching.service.answer(request)).toMatchObject({ kind: "blind" });
    await expectSameStatus(workspace, watching);
  });
});

describe("a watcher", () => {
  test("that lost events watches anew, looks at everything, and answers again", async () => {
    const { watching, sources } = await watched();
    await using _ = watching;
    sources[0]!.drops = () => true;
    mkdirSync(path("unheard/deep"), { recursive: true });
    writeFileSync(path("unheard/deep/f"), "1");
    sources[0]!.handlers!.lost("events were dropped");
    expect(await watching.ask("status")).toEqual({ kind: "blind", reason: "events were dropped" });
    await until(() => watching.events.some(({ event }) => event === "rescan"));
    await expectSameStatus(workspace, watching);
    appendFileSync(path("unheard/deep/f"), "2");
    await expectSameStatus(workspace, watching);
    expect(sources).toHaveLength(2);
  });

  test("whose source fails is blind until another one works", async () => {
    const { watching, sources } = await watched({ clock: new ImpatientClock() });
    await using _ = watching;
    sources[0]!.handlers!.failed(new Error("no space left on device"));
    expect(await watching.ask("status")).toEqual({ kind: "blind", reason: "no space left on device" });
    await until(() => watching.events.some(({ event }) => event === "rescan"));
    await expectSameStatus(workspace, watching);
  });

  test("does not start when it cannot watch everything", async () => {
    const failing: ChangeSource = {
      start: () => Promise.reject(new Error("no space left on device")),
      [Symbol.asyncDispose]: async () => undefined,
    };
    await expect(startWatching(workspace, { makeSource: () => failing })).rejects.toThrow("no space left");
  });

  test("ends when the workspace is moved away", async () => {
    await using watching = await startWatching(workspace);
    renameSync(workspace.dir, `${workspace.dir}-moved`);
    mkdirSync(path(".mic"), { recursive: true });
    expect(await watching.ask("status")).toMatchObject({ kind: "blind" });
    expect(await watching.service.ended).toMatch(/moved/);
  });

  test("notices by itself that the workspace is gone", async () => {
    const { watching } = await watched({ clock: new ImpatientClock() });
    await using _ = watching;
    rmSync(workspace.dir, { recursive: true });
    expect(await watching.service.ended).toMatch(/moved or deleted/);
  });

  test("finds after a while in which it is asked what no event told of", async () => {
    const clock = new ImpatientClock();
    const { watching, sources } = await watched({ clock });
    await using _ = watching;
    sources[0]!.drops = (changed) => !changed.includes(COOKIE_PREFIX);
    writeFileSync(path("d/b"), "unheard of\n");
    expect(await watching.ask("status")).toMatchObject({ status: { changes: [] } });
    clock.aheadMs = 61_000;
    await until(() => watching.events.some(({ event }) => event === "rescan"));
    await expectSameStatus(workspace, watching);
  });

  test("keeps its answer without looking again while nothing happens", async () => {
    await using watching = await startWatching(workspace);
    const first = await watching.ask("status");
    await systemClock.sleep(20);
    const second = await watching.ask("status");
    const third = await watching.ask("status");
    expect(second).toEqual(first);
    expect(third).toBe(second);
  });

  test("saves what it learned, so that a scan without it is cheap too", async () => {
    for (let i = 0; i < 40; i++) workspace.write({ [`many/f${i}`]: "1" });
    await workspace.land("many");
    for (let i = 0; i < 40; i++) workspace.write({ [`many/f${i}`]: "1" });
    await systemClock.sleep(30);
    const before = Workspace.openRoot(workspace.dir, workspace.ws.context).indexIdentity;
    await using watching = await startWatching(workspace);
    expect(Workspace.openRoot(workspace.dir, workspace.ws.context).indexIdentity).not.toBe(before);
    await expectSameStatus(workspace, watching);
  });
});
