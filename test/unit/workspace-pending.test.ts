import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import { parseTreePath } from "../../src/core/base/path.ts";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import type { Forge, LandRequest, LandResult } from "../../src/core/forge/forge.ts";
import { UNREADABLE } from "../../src/core/secrets/policy.ts";
import { refusedByPolicy } from "../../src/core/secrets/refusal.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { gotoPosition } from "../../src/core/workspace/commands/goto.ts";
import { workspaceStatus } from "../../src/core/workspace/commands/status.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import type { WorkspaceContext } from "../../src/core/workspace/context.ts";
import { at, type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

let spaces: TestWorkspaces;
beforeEach(() => {
  spaces = new TestWorkspaces();
});
afterEach(async () => {
  await spaces[Symbol.asyncDispose]();
});

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

type Fault = "none" | "before" | "after";

/** A forge behind a network that fails before or after `land` reaches it. */
function withFaults(faults: Fault[], sent: LandRequest[]): (forge: Forge) => Forge {
  return (forge) =>
    new Proxy(forge, {
      get(target, key) {
        const value = Reflect.get(target, key);
        if (typeof value !== "function") return value;
        if (key !== "land") return value.bind(target);
        return async (...args: Parameters<Forge["land"]>): Promise<LandResult> => {
          const fault = faults.shift() ?? "none";
          sent.push(args[1]);
          const lost = () => new MicError("unreachable", "the connection was lost");
          if (fault === "before") throw lost();
          const result = await target.land(...args);
          if (fault === "after") throw lost();
          return result;
        };
      },
    });
}

async function remote(faults: Fault[], sent: LandRequest[]): Promise<[TestWorkspace, TestWorkspace]> {
  const forge = spaces.addRemoteForge("https://forge.test", withFaults(faults, sent));
  await forge.createProject({ id: mintProjectId(systemRandom), name: "acme/app" });
  const clone = async () => {
    const dir = spaces.newDir();
    const options = { address: "https://forge.test", projectName: "acme/app", dir };
    await cloneWorkspace(options, spaces.context());
    return spaces.open(dir);
  };
  return [await clone(), await clone()];
}

test("what landed is not in the way of a file that has taken its directory's place since", async () => {
  const [a, b] = await remote(["none", "none", "after"], []);
  b.write({ f: "1\n" });
  await b.land("a file");
  await syncWorkspace(a.ws);
  b.remove("f");
  await b.land("no file");
  a.remove("f");
  a.write({ "f/g": "1\n" });
  await expect(a.land("a directory", { paths: [parseTreePath("f/g")] })).rejects.toMatchObject({
    code: "unreachable",
  });
  rmSync(join(a.dir, "f"), { recursive: true });
  a.write({ f: "2\n" });
  const result = await syncWorkspace(spaces.open(a.dir).ws);
  expect(result.position).toBe(3);
  expect(a.read("f")).toBe("2\n");
});

test("a landing whose answer was lost is found by the next command, once", async () => {
  const sent: LandRequest[] = [];
  const [a, b] = await remote(["none", "after"], sent);
  a.write({ f: "1\n" });
  await a.land("first");
  a.write({ f: "2\n" });
  await expect(a.land("second")).rejects.toMatchObject({ code: "unreachable" });
  expect((await workspaceStatus(a.ws)).pending).toBe(sent[1]!.landingId);
  expect(a.position).toBe(1);
  await expect(a.land("third")).rejects.toMatchObject({ code: "nothing-to-land" });
  expect(a.position).toBe(2);
  expect((await workspaceStatus(spaces.open(a.dir).ws)).pending).toBeNull();
  expect(sent).toHaveLength(2);
  await syncWorkspace(b.ws);
  expect(b.files()).toEqual({ f: "2\n" });
  expect(b.position).toBe(2);
});

test("a landing that never arrived is sent again with the same id and content", async () => {
  const sent: LandRequest[] = [];
  const [a, b] = await remote(["before"], sent);
  a.write({ f: "1\n", g: "2\n" });
  await expect(a.land("first")).rejects.toMatchObject({ code: "unreachable" });
  a.write({ f: "edited since\n" });
  await syncWorkspace(spaces.open(a.dir).ws);
  expect(sent.map((request) => request.landingId)).toEqual([sent[0]!.landingId, sent[0]!.landingId]);
  expect(a.position).toBe(1);
  expect(await a.changes()).toEqual(["modify f"]);
  await syncWorkspace(b.ws);
  expect(b.files()).toEqual({ f: "1\n", g: "2\n" });
});

test("a landing sent again that conflicts by now is dropped and the edits stay", async () => {
  const sent: LandRequest[] = [];
  const [a, b] = await remote(["before"], sent);
  a.write({ f: "a\n" });
  await expect(a.land("a")).rejects.toMatchObject({ code: "unreachable" });
  b.write({ f: "b\n" });
  await b.land("b");
  expect(await syncWorkspace(spaces.open(a.dir).ws)).toMatchObject({ position: 1, conflicts: ["f"] });
  expect(a.read("f")).toContain("a\n=======\nb\n");
});

describe("a landing that is on its way and refused when it is sent again", () => {
  const wrongClock = new MicError("out-of-range", "this machine's clock is 400 s ahead of the store's");
  const unreadable = refusedByPolicy([], UNREADABLE);

  /** Lands once, with a request that arrives when `arrive` is called; every other is refused. */
  async function landLate(
    refusal = wrongClock,
    change: Partial<WorkspaceContext> = {},
  ): Promise<{ a: TestWorkspace; arrive: () => Promise<unknown> }> {
    let arrive: (() => Promise<unknown>) | undefined;
    const wrap = (forge: Forge): Forge =>
      new Proxy(forge, {
        get(target, key) {
          const value = Reflect.get(target, key);
          if (typeof value !== "function" || key !== "land") return value?.bind?.(target) ?? value;
          return async (...args: Parameters<Forge["land"]>): Promise<LandResult> => {
            if (arrive !== undefined) throw refusal;
            arrive = () => target.land(...args);
            throw new MicError("outcome-unknown", "no answer");
          };
        },
      });
    const forge = spaces.addRemoteForge("https://forge.test", wrap);
    await forge.createProject({ id: mintProjectId(systemRandom), name: "acme/app" });
    const dir = spaces.newDir();
    const options = { address: "https://forge.test", projectName: "acme/app", dir };
    await cloneWorkspace(options, spaces.context());
    const a = spaces.open(dir, change);
    a.write({ f: "1\n" });
    await expect(a.land("first")).rejects.toMatchObject({ code: "outcome-unknown" });
    return { a, arrive: () => arrive!() };
  }

  test.each([wrongClock, unreadable])(
    "is not given up: it is found when it has landed (%#)",
    async (refusal) => {
      const { a, arrive } = await landLate(refusal);
      const refused = syncWorkspace(spaces.open(a.dir).ws);
      await expect(refused).rejects.toMatchObject({ code: "outcome-unknown", cause: refusal });
      await arrive();
      await syncWorkspace(spaces.open(a.dir).ws);
      expect(a.position).toBe(1);
      expect(await a.changes()).toEqual([]);
    },
  );

  test("is given up when nothing can be on its way any more", async () => {
    const { a } = await landLate();
    const pending = join(a.dir, ".mic/pending");
    const hourAgo = Date.now() / 1000 - 3600;
    utimesSync(pending, hourAgo + 60, hourAgo + 60);
    for (let i = 0; i < 2; i++) {
      await expect(syncWorkspace(spaces.open(a.dir).ws)).rejects.toMatchObject({ code: "outcome-unknown" });
    }
    utimesSync(pending, hourAgo - 60, hourAgo - 60);
    await syncWorkspace(spaces.open(a.dir).ws);
    expect(spaces.warnings.at(-1)).toMatch(/^the landing .* was given up: this machine's clock/);
    expect(await a.changes()).toEqual(["add f"]);
  });

  test("is not given up within an hour after the time for which it may be sent", async () => {
    const hoursMs = (hours: number): number => hours * 3_600_000;
    const { a, arrive } = await landLate(wrongClock, { landTimeoutMs: hoursMs(24) });
    const pending = join(a.dir, ".mic/pending");
    function pass(ms: number): void {
      const seconds = (statSync(pending).mtimeMs - ms) / 1000;
      utimesSync(pending, seconds, seconds);
    }
    const lost = withFaults(["before"], [])(await spaces.openForge("https://forge.test", false));
    const unanswered = syncWorkspace(spaces.open(a.dir, { openForge: async () => lost }).ws);
    await expect(unanswered).rejects.toMatchObject({ code: "unreachable" });
    // A day of attempts, and the last one may take as long: whoever sent it again meanwhile had less time for it.
    for (const hours of [25, 23]) {
      pass(hoursMs(hours));
      await expect(syncWorkspace(spaces.open(a.dir).ws)).rejects.toMatchObject({ code: "outcome-unknown" });
    }
    await arrive();
    await syncWorkspace(spaces.open(a.dir).ws);
    expect(a.position).toBe(1);
    expect(await a.changes()).toEqual([]);
  });

  test("is given up an hour after the time for which it may be sent", async () => {
    const { a } = await landLate(wrongClock, { landTimeoutMs: 1_000 });
    const pending = join(a.dir, ".mic/pending");
    const seconds = statSync(pending).mtimeMs / 1000 - 3_602;
    utimesSync(pending, seconds, seconds);
    await syncWorkspace(spaces.open(a.dir).ws);
    expect(await a.changes()).toEqual(["add f"]);
  });

  test("counts from the last time that it was sent without an answer", async () => {
    const { a } = await landLate();
    const pending = join(a.dir, ".mic/pending");
    const hoursAgo = Date.now() / 1000 - 7200;
    utimesSync(pending, hoursAgo, hoursAgo);
    const lost = withFaults(["before"], [])(await spaces.openForge("https://forge.test", false));
    const unanswered = syncWorkspace(spaces.open(a.dir, { openForge: async () => lost }).ws);
    await expect(unanswered).rejects.toMatchObject({ code: "unreachable" });
    await expect(syncWorkspace(spaces.open(a.dir).ws)).rejects.toMatchObject({ code: "outcome-unknown" });
  });
});

test("others' landings before and after a lost one come in, and nobody's change is reverted", async () => {
  const sent: LandRequest[] = [];
  const [a, b] = await remote(["none", "none", "after"], sent);
  b.write({ f: "1\n", g: "1\n" });
  await b.land("base");
  await syncWorkspace(a.ws);
  b.write({ g: "2\n" });
  await b.land("b");
  a.write({ f: "2\n" });
  await expect(a.land("a")).rejects.toMatchObject({ code: "unreachable" });
  const again = spaces.open(a.dir);
  again.write({ h: "h\n" });
  expect(await again.land("next")).toMatchObject({ position: 4, changes: 1 });
  expect(again.files()).toEqual({ f: "2\n", g: "2\n", h: "h\n" });
  await syncWorkspace(b.ws);
  expect(b.files()).toEqual(again.files());
});

test.each(["before the landing", "after the landing"] as const)(
  "killed %s in an embedded forge: one position, settled by the next command",
  async (when) => {
    const a = await spaces.init({ f: "1\n" });
    await a.land("first");
    a.write({ f: "2\n" });
    // What a kill leaves: the pending record, the index of before, and a landing or none.
    const index = readFileSync(join(a.dir, ".mic/index"));
    const operations = readFileSync(join(a.dir, ".mic/operations"));
    let pending: Buffer | undefined;
    const forge = await spaces.openForge(a.ws.forgeAddress, false);
    const killed = new Proxy(forge, {
      get(target, key) {
        const value = Reflect.get(target, key);
        if (typeof value !== "function") return value;
        if (key !== "land") return value.bind(target);
        return async (...args: Parameters<Forge["land"]>) => {
          pending = readFileSync(join(a.dir, ".mic/pending"));
          if (when === "before the landing") throw new MicError("unreachable", "killed");
          return target.land(...args);
        };
      },
    });
    const landing = spaces.open(a.dir, { openForge: async () => killed }).land("second");
    if (when === "before the landing") await expect(landing).rejects.toThrow();
    else await landing;
    writeFileSync(join(a.dir, ".mic/index"), index);
    writeFileSync(join(a.dir, ".mic/operations"), operations);
    writeFileSync(join(a.dir, ".mic/pending"), pending!);
    const next = spaces.open(a.dir);
    next.write({ g: "new\n" });
    const last = when === "before the landing" ? 2 : 3;
    expect(await next.land("third")).toMatchObject({ position: last });
    expect(await a.changes()).toEqual([]);
    const clone = await spaces.clone(a);
    expect(clone.files()).toEqual({ f: "2\n", g: "new\n" });
  },
);

test("a goto that stops half way is finished by the next command", async () => {
  const a = await spaces.init();
  const files = (version: string) =>
    Object.fromEntries(Array.from({ length: 700 }, (_, i) => [`d${i % 7}/f${i}`, `${version} ${i}\n`]));
  a.write(files("old"));
  await a.land("old");
  a.write(files("new"));
  await a.land("new");
  let frames = 0;
  const stopped = spaces.open(a.dir, {
    onProgress: ({ task, done }) => {
      if (task === "writing" && done > 0 && frames++ === 0) throw new Error("power cut");
    },
  });
  await expect(gotoPosition(stopped.ws, at(1))).rejects.toThrow("power cut");
  expect((await workspaceStatus(spaces.open(a.dir).ws)).unfinished).toBe("goto @1");
  expect(a.position).toBe(2);
  await syncWorkspace(spaces.open(a.dir).ws, { to: at(1) });
  expect(a.position).toBe(1);
  expect(a.files()).toEqual(
    Object.fromEntries(Object.entries(files("old")).sort(([x], [y]) => (x < y ? -1 : 1))),
  );
  expect(await a.changes()).toEqual([]);
});

test("an edit made after an interruption is merged, not lost", async () => {
  const nine = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
  const a = await spaces.init({ f: nine, g: "1\n" });
  await a.land("first");
  a.write({ f: nine.replace("1", "one"), g: "2\n" });
  await a.land("second");
  let context: Partial<WorkspaceContext> = {};
  context = {
    onProgress: ({ task }) => {
      if (task === "writing") throw new Error("power cut");
    },
  };
  await expect(gotoPosition(spaces.open(a.dir, context).ws, at(1))).rejects.toThrow("power cut");
  a.write({ f: nine.replace("1", "one").replace("9", "nine") });
  await syncWorkspace(spaces.open(a.dir).ws, { to: at(1) });
  expect(a.position).toBe(1);
  expect(a.files()).toEqual({ f: nine.replace("9", "nine"), g: "1\n" });
  expect(await a.changes()).toEqual(["modify f"]);
});

test("a clone that is killed continues by path with the same command", async () => {
  const a = await spaces.init();
  for (let i = 0; i < 900; i++) a.write({ [`d${i % 9}/f${i}`]: `${i} ${"x".repeat(1200)}${i * 7919}\n` });
  a.write({ top: "top\n", empty: "" });
  await a.land("first");
  const dir = spaces.newDir();
  const options = { address: a.ws.forgeAddress, projectName: a.ws.settings.projectName, dir };
  let calls = 0;
  const stop = {
    onProgress: () => {
      if (++calls === 3) throw new Error("killed");
    },
  };
  await expect(cloneWorkspace(options, spaces.context(stop))).rejects.toThrow("killed");
  await expect(workspaceStatus(spaces.open(dir).ws)).rejects.toMatchObject({ code: "pending" });
  await expect(syncWorkspace(spaces.open(dir).ws)).rejects.toMatchObject({ code: "pending" });
  // A file that was cut short, and one that already reached its place.
  writeFileSync(join(dir, ".mic/staging/d1/f1"), "half");
  rmSync(join(dir, ".mic/staging/d2"), { recursive: true });
  let asked = 0;
  const forge = await spaces.openForge(a.ws.forgeAddress, false);
  const counting = new Proxy(forge, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      if (key !== "readObjects") return value.bind(target);
      return (...args: Parameters<Forge["readObjects"]>) => {
        asked += args[1].length;
        return target.readObjects(...args);
      };
    },
  });
  expect(await cloneWorkspace(options, spaces.context({ openForge: async () => counting }))).toMatchObject({
    files: 902,
  });
  expect(asked).toBeGreaterThan(0);
  expect(asked).toBeLessThan(900);
  expect(spaces.open(dir).files()).toEqual(a.files());
  expect(await spaces.open(dir).changes()).toEqual([]);
  await expect(cloneWorkspace(options, spaces.context())).rejects.toMatchObject({ code: "already-exists" });
});

test("a remote workspace reads its base without the forge", async () => {
  const [a] = await remote([], []);
  a.write({ f: "1\n", g: "1\n" });
  await a.land("first");
  a.write({ f: "2\n" });
  const offline = spaces.open(a.dir, { openForge: () => Promise.reject(new Error("asked")) });
  const { workspaceDiff } = await import("../../src/core/workspace/commands/diff.ts");
  const texts: string[] = [];
  for await (const file of workspaceDiff(offline.ws)) {
    texts.push(`${file.path} ${text(await file.readBefore())}${text(await file.readAfter())}`);
  }
  expect(texts).toEqual(["f 1\n2\n"]);
});
