import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { resolveConflicts } from "../../src/core/workspace/commands/resolve.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { SafePaths } from "../../src/core/workspace/disk/safe-paths.ts";
import { type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

const NINE = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const ADDRESS = "https://forge.test";

/** Files that somebody edits while a command is at work. */
describe("a file that is edited while a sync is at work", () => {
  let spaces: TestWorkspaces;
  let a: TestWorkspace;
  let b: TestWorkspace;
  let forge: Forge;

  beforeEach(async () => {
    spaces = new TestWorkspaces();
    forge = spaces.addRemoteForge(ADDRESS);
    await forge.createProject({ id: mintProjectId(systemRandom), name: "acme/app" });
    const clone = async (): Promise<TestWorkspace> => {
      const dir = spaces.newDir();
      await cloneWorkspace({ address: ADDRESS, projectName: "acme/app", dir }, spaces.context());
      return spaces.open(dir);
    };
    [a, b] = [await clone(), await clone()];
    b.write({ f: NINE, "d/x": NINE, g: "1\n" });
    await b.land("first");
    await syncWorkspace(a.ws);
  });
  afterEach(async () => {
    await spaces[Symbol.asyncDispose]();
  });

  /**
   * Syncs `a`; `edit` comes after everything was planned, and before a file is in its place. `isCut`: the power fails
   * when the files are there.
   */
  function syncWhile(edit: () => void, isCut = false): ReturnType<typeof syncWorkspace> {
    let isDone = false;
    const onProgress = ({ task }: { readonly task: string }): void => {
      if (task !== "writing" || isDone) return;
      isDone = true;
      edit();
    };
    const { ws } = spaces.open(a.dir, { onProgress });
    if (isCut) {
      ws.saveConflicts = () => {
        throw new Error("power cut");
      };
    }
    return syncWorkspace(ws);
  }

  /** Syncs `a`; `edit` comes with the first content that is asked for. */
  function syncPlanningWhile(edit: () => void): ReturnType<typeof syncWorkspace> {
    let isDone = false;
    const watched = new Proxy(forge, {
      get(target, key) {
        const value = Reflect.get(target, key);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          if (!isDone && (key === "readObjects" || key === "readFile")) {
            isDone = true;
            edit();
          }
          return value.apply(target, args);
        };
      },
    });
    return syncWorkspace(spaces.open(a.dir, { openForge: async () => watched }).ws);
  }

  test("and where it conflicts anyway: theirs stays the project's version", async () => {
    const theirs = NINE.replace("1", "B1");
    b.write({ f: theirs });
    await b.land("second");
    a.write({ f: NINE.replace("1", "A1") });
    const edited = NINE.replace("1", "A1").replace("9", "A9");
    expect(await syncWhile(() => a.write({ f: edited }))).toMatchObject({ conflicts: ["f"] });
    const fresh = spaces.open(a.dir);
    expect(fresh.ws.conflicts[0]?.theirs?.entry.id).toBe(hashObject(Buffer.from(theirs)));
    expect(fresh.read("f")).toBe(
      `<<<<<<< workspace\nA1\n=======\nB1\n>>>>>>> @2\n${edited.slice(edited.indexOf("2"))}`,
    );
    await resolveConflicts(fresh.ws, "all", "theirs");
    expect(fresh.read("f")).toBe(theirs.replace("9", "A9"));
  });

  test("and merged: an edit of before is not taken back by the next sync", async () => {
    b.write({ f: NINE.replace("1", "B1") });
    await b.land("second");
    a.write({ f: NINE.replace("5", "A5") });
    const edited = NINE.replace("5", "A5").replace("1", "A1");
    expect(await syncWhile(() => a.write({ f: edited }))).toMatchObject({ conflicts: ["f"] });
    b.write({ f: NINE.replace("1", "B1").replace("9", "B9") });
    await b.land("third");
    await syncWorkspace(spaces.open(a.dir).ws);
    expect(a.read("f")).toBe("<<<<<<< workspace\nA1\n=======\nB1\n>>>>>>> @3\n2\n3\n4\nA5\n6\n7\n8\nB9\n");
  });

  test("and the sync is cut off then: the next command does not merge the markers", async () => {
    b.write({ f: NINE.replace("1", "B1") });
    await b.land("second");
    a.write({ f: NINE.replace("1", "A1") });
    const edited = NINE.replace("1", "A1").replace("9", "A9");
    await expect(syncWhile(() => a.write({ f: edited }), true)).rejects.toThrow("power cut");
    const marked = `<<<<<<< workspace\nA1\n=======\nB1\n>>>>>>> @2\n${edited.slice(edited.indexOf("2"))}`;
    expect(a.read("f")).toBe(marked);
    const { ws } = spaces.open(a.dir);
    expect(await syncWorkspace(ws)).toMatchObject({ position: 2, conflicts: ["f"] });
    expect(a.read("f")).toBe(marked);
    expect(ws.conflicts[0]?.ours?.entry.id).toBe(hashObject(Buffer.from(edited)));
  });

  test("and deleted: the command says so, and the next one merges", async () => {
    b.write({ f: NINE.replace("1", "B1") });
    await b.land("second");
    a.write({ f: NINE.replace("5", "A5") });
    rmObjects(a);
    await expect(syncPlanningWhile(() => a.remove("f"))).rejects.toMatchObject({ code: "dirty" });
    expect(await syncWorkspace(spaces.open(a.dir).ws)).toMatchObject({ position: 2, conflicts: ["f"] });
  });

  test("and was in the way with its directory: what comes in is written", async () => {
    b.remove("d");
    b.write({ d: "a file\n", g: "2\n" });
    await b.land("second");
    // A merge, which asks for content, and a directory in the way.
    a.remove("d/x");
    a.write({ "d/y": "in the way\n", g: "mine\n" });
    rmObjects(a);
    const result = await syncPlanningWhile(() => a.remove("d"));
    expect(result).toMatchObject({ position: 2, conflicts: ["g"] });
    expect(a.read("d")).toBe("a file\n");
  });
});

test("a directory that goes away while files are written into it is made again", () => {
  for (const handles of [true, false]) {
    const root = mkdtempSync(join(tmpdir(), "mic-meanwhile-"));
    try {
      using safe = new SafePaths(root, handles);
      writeFileSync(safe.locate("d/e/one", true)!, "");
      rmSync(join(root, "d"), { recursive: true });
      writeFileSync(safe.locate("d/e/two", true)!, "");
      expect(readdirSync(join(root, "d/e"))).toEqual(["two"]);
    } finally {
      rmSync(root, { recursive: true });
    }
  }
});

/** So that merging has to ask for the base. */
function rmObjects({ ws }: TestWorkspace): void {
  rmSync(join(ws.root, ".mic/objects"), { recursive: true, force: true });
}
