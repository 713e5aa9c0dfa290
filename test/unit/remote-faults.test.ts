import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { EMPTY_ROOT, type Position, type ProjectId } from "../../src/core/base/ids.ts";
import { mintLandingId, mintProjectId, mintSessionId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { collect, TestProject } from "../support/forge-project.ts";
import { KillableServer } from "../support/killable-server.ts";
import { type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

let server: KillableServer;
let forge: Forge;
let spaces: TestWorkspaces;

beforeEach(async () => {
  server = await KillableServer.start();
  forge = await server.client();
  spaces = new TestWorkspaces();
});
afterEach(async () => {
  await forge[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await spaces[Symbol.asyncDispose]();
});

async function newProject(): Promise<ProjectId> {
  return (await forge.createProject({ id: mintProjectId(systemRandom), name: "acme/app" })).id;
}

function emptyLanding(goal: string) {
  const base = { position: 0 as Position, root: EMPTY_ROOT };
  const texts = { goal, author: "Ada", agent: "", decisions: [], conversation: [] };
  return { landingId: mintLandingId(systemRandom), base, ...texts, operations: [], packs: [], frames: [] };
}

/** A workspace that reaches its forge over the server. */
async function workspace(): Promise<TestWorkspace> {
  const context = { openForge: () => server.client({ timeoutMs: 400 }) };
  const dir = spaces.newDir();
  const options = { address: server.origin, projectName: "acme/app", dir };
  await cloneWorkspace(options, spaces.context(context));
  return spaces.open(dir, context);
}

describe("a landing through a server that dies", () => {
  for (const fault of ["before", "after"] as const) {
    test(`${fault} it commits lands once when the server comes back`, async () => {
      const project = await newProject();
      server.faults.set("land", [fault]);
      const landed = await forge.land(project, emptyLanding("once"));
      expect(landed).toMatchObject({ kind: "landed", position: 1 });
      expect(server.calls.filter((call) => call === "land")).toHaveLength(2);
      expect((await server.forge.getHead(project)).position).toBe(1);
    });

    test(`${fault} it commits, and stays dead, is settled by the next command`, async () => {
      await newProject();
      const space = await workspace();
      space.write({ f: "content\n", g: "more\n" });
      server.faults.set("land", [fault]);
      server.restartAfterMs = undefined;
      await expect(space.land("first")).rejects.toMatchObject({ code: "outcome-unknown" });
      await expect(syncWorkspace(space.ws)).rejects.toMatchObject({ code: "unreachable" });
      server.restartAfterMs = 100;
      await server.restart();
      space.write({ f: "edited since\n" });
      await syncWorkspace(space.ws);
      expect(space.position).toBe(1);
      expect(await space.changes()).toEqual(["modify f"]);
      const other = await workspace();
      expect(other.files()).toEqual({ f: "content\n", g: "more\n" });
    });
  }

  test("a refusal after an attempt that may have arrived does not deny that attempt", async () => {
    const project = await newProject();
    server.faults.set("land", ["after", "refuse", "refuse"]);
    await expect(forge.land(project, emptyLanding("1"))).rejects.toMatchObject({ code: "outcome-unknown" });
    await expect(forge.land(project, emptyLanding("2"))).rejects.toMatchObject({ code: "forbidden" });
  });

  test("a conflict is an answer, with its paths", async () => {
    const project = await TestProject.create(forge, "acme/app");
    const stale = project.base;
    await project.land({ put: { a: "1" } });
    const result = await project.tryLand({ put: { a: "2" }, request: { base: stale } });
    expect(result).toEqual({ kind: "conflict", paths: ["a"] });
  });
});

describe("a clone through a server that dies", () => {
  const files: Record<string, string> = {};
  for (let i = 0; i < 40; i++) files[`d${i % 7}/f${i}`] = `${i} `.repeat(20_000);
  files["again"] = files["d0/f0"]!;
  files["empty"] = "";

  async function landed(): Promise<void> {
    await newProject();
    const first = await workspace();
    first.write(files);
    await first.land("first");
    server.calls.length = 0;
  }

  for (const items of [1, 2, 3, 5]) {
    test(`after ${items} items of its answer goes on when the server comes back`, async () => {
      await landed();
      server.fetchItems = items;
      server.faults.set("fetch", ["after"]);
      const result = await workspace().catch((error: unknown) => error);
      // Before everything is known of the changes there is nothing to go on from.
      if (items === 1) expect(result).toMatchObject({ code: "unreachable" });
      else expect((result as TestWorkspace).files()).toEqual(files);
      const asked = server.calls.filter((call) => call === "fetch" || call === "readObjects");
      expect(asked).toEqual(items === 1 ? ["fetch"] : ["fetch", "readObjects"]);
    });
  }

  test("for good is finished by the same command later", async () => {
    await landed();
    const dir = spaces.newDir();
    const context = spaces.context({ openForge: () => server.client({ timeoutMs: 400 }) });
    const clone = () => cloneWorkspace({ address: server.origin, projectName: "acme/app", dir }, context);
    server.fetchItems = 4;
    server.faults.set("fetch", ["after"]);
    server.restartAfterMs = undefined;
    await expect(clone()).rejects.toMatchObject({ code: "unreachable" });
    server.restartAfterMs = 100;
    await server.restart();
    await clone();
    expect(spaces.open(dir).files()).toEqual(files);
    expect(await spaces.open(dir).changes()).toEqual([]);
  });
});

describe("other calls through a server that dies", () => {
  test("reads, and what a client minted the id of, are repeated", async () => {
    for (const method of ["createProject", "getHead", "startSession", "putPack"]) {
      server.faults.set(method, ["after"]);
    }
    const project = await newProject();
    expect((await forge.getHead(project)).position).toBe(0);
    const id = mintSessionId(systemRandom);
    expect(await forge.startSession(project, { id, goal: "g", owner: "ada" })).toMatchObject({ id });
    expect(server.calls.filter((call) => call === "startSession")).toHaveLength(2);
  });

  test("what is recorded is never sent twice", async () => {
    const project = await newProject();
    const id = mintSessionId(systemRandom);
    await forge.startSession(project, { id, goal: "g", owner: "ada" });
    server.faults.set("recordDecision", ["after"]);
    await expect(forge.recordDecision(project, id, "once")).rejects.toMatchObject({ code: "unreachable" });
    expect((await forge.getSession(project, id)).decisions).toEqual(["once"]);
    expect(server.calls.filter((call) => call === "recordDecision")).toHaveLength(1);
  });

  test("what is recorded is sent again when nobody listened", async () => {
    const project = await newProject();
    const id = mintSessionId(systemRandom);
    await forge.startSession(project, { id, goal: "g", owner: "ada" });
    server.kill();
    expect((await forge.recordDecision(project, id, "once")).decisions).toEqual(["once"]);
  });

  test("objects are asked for from where their stream broke off", async () => {
    const project = await TestProject.create(forge, "acme/app");
    const put = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`f${i}`, `${i}`.repeat(100_000)]));
    await project.land({ put });
    const entries = (await collect(forge.listEntries(project.id, 1 as Position, undefined))).flat();
    const wants = entries.map(({ entry, hint }) => ({ id: entry.id, hint }));
    server.faults.set("readObjects", ["after"]);
    const found: string[] = [];
    for await (const frame of forge.readObjects(project.id, wants)) {
      for (const { id } of frame.objects) found.push(id);
    }
    expect(found.toSorted()).toEqual(wants.map(({ id }): string => id).toSorted());
    expect(server.calls.filter((call) => call === "readObjects")).toHaveLength(2);
  });
});

test("nobody at the address is said within a second or two, with a hint", async () => {
  const nobody = await openRemoteForge("http://127.0.0.1:1", {
    clock: systemClock,
    random: systemRandom,
  });
  await expect(nobody.getProject("acme/app")).rejects.toMatchObject({
    code: "unreachable",
    message: expect.stringContaining("nothing listens at 127.0.0.1:1"),
    hint: expect.stringContaining("check the address"),
  });
});
