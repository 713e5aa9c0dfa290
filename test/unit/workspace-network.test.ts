import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import type { ObjectRef } from "../../src/core/objects/frame.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { workspaceStatus } from "../../src/core/workspace/commands/status.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

/** What a workspace asks of a forge behind a network. */

const ADDRESS = "https://forge.test";

let spaces: TestWorkspaces;
let calls: string[];
let wants: ObjectRef[];
let failLand: MicError | undefined;
beforeEach(() => {
  spaces = new TestWorkspaces();
  calls = [];
  wants = [];
  failLand = undefined;
});
afterEach(async () => {
  await spaces[Symbol.asyncDispose]();
});

function counting(forge: Forge): Forge {
  return new Proxy(forge, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        calls.push(String(key));
        if (key === "readObjects") wants.push(...(args[1] as ObjectRef[]));
        if (key === "land" && failLand !== undefined) return Promise.reject(failLand);
        return value.apply(target, args);
      };
    },
  });
}

async function two(): Promise<[TestWorkspace, TestWorkspace]> {
  const forge = spaces.addRemoteForge(ADDRESS, counting);
  await forge.createProject({ id: mintProjectId(systemRandom), name: "acme/app" });
  return [await clone(), await clone()];
}

async function clone(): Promise<TestWorkspace> {
  const dir = spaces.newDir();
  await cloneWorkspace({ address: ADDRESS, projectName: "acme/app", dir }, spaces.context());
  return spaces.open(dir);
}

const lines = (first: string, last: string): string => `${first}\n2\n3\n4\n5\n6\n7\n8\n${last}\n`;
const files = (make: (i: number) => string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`dir/f${i}`, make(i)]));

test("a merge of many files asks for their versions in one call", async () => {
  const [a, b] = await two();
  a.write(files((i) => lines(`a${i}`, "z")));
  await a.land("first");
  await syncWorkspace(b.ws);
  a.write(files((i) => lines(`a${i}`, `theirs ${i}`)));
  await a.land("second");
  b.write(files((i) => lines(`ours ${i}`, "z")));
  calls.length = 0;
  const result = await syncWorkspace(b.ws);
  expect(result).toMatchObject({ position: 2, conflicts: [] });
  expect(result.merged).toHaveLength(30);
  expect(b.files()).toEqual(files((i) => lines(`ours ${i}`, `theirs ${i}`)));
  expect(calls.filter((call) => call === "readFile")).toEqual([]);
  expect(calls.filter((call) => call === "readObjects").length).toBeLessThanOrEqual(1);
});

test("files stored in chunks are merged after two calls", async () => {
  const [a, b] = await two();
  const text = (first: string, last: string): string =>
    [first, ...Array.from({ length: 200_000 }, (_, i) => `line ${i}`), last, ""].join("\n");
  a.write({ large: text("a", "z") });
  await a.land("first");
  await syncWorkspace(b.ws);
  a.write({ large: text("a", "theirs") });
  await a.land("second");
  b.write({ large: text("ours", "z") });
  calls.length = 0;
  expect(await syncWorkspace(b.ws)).toMatchObject({ merged: ["large"] });
  expect(b.read("large")).toBe(text("ours", "theirs"));
  expect(calls).not.toContain("readFile");
  expect(calls.filter((call) => call === "readObjects").length).toBeLessThanOrEqual(2);
});

test("of a large file that changed in the middle only the changed chunks are asked for", async () => {
  const [a, b] = await two();
  const large = Buffer.from(new SeededRandom(7).bytes(20 << 20));
  a.write({ large });
  await a.land("first");
  await syncWorkspace(b.ws);
  large.write("changed", 10 << 20);
  a.write({ large });
  await a.land("second");
  calls.length = 0;
  wants.length = 0;
  expect(await syncWorkspace(b.ws)).toMatchObject({ updated: ["large"] });
  expect(readFileSync(join(b.dir, "large")).equals(large)).toBe(true);
  expect(calls).not.toContain("readFile");
  // Two chunk lists and a chunk or two, of more than ten.
  expect(wants.length).toBeLessThan(6);
});

test("a chunk that is no longer on the disk is asked for like any other", async () => {
  const [a, b] = await two();
  const large = Buffer.from(new SeededRandom(8).bytes(8 << 20));
  a.write({ large });
  await a.land("first");
  await syncWorkspace(b.ws);
  large.write("changed", 4 << 20);
  a.write({ large });
  await a.land("second");
  // Cut off under mic's hands, between its look at the file and its reading of it.
  const path = join(b.dir, "large");
  const forge = await b.ws.forge();
  const readObjects = forge.readObjects.bind(forge);
  let isCut = false;
  const cutting = new Proxy(forge, {
    get(target, key) {
      if (key !== "readObjects") return Reflect.get(target, key);
      return (...args: Parameters<Forge["readObjects"]>) => {
        if (!isCut) writeFileSync(path, "cut");
        isCut = true;
        return readObjects(...args);
      };
    },
  });
  const fresh = spaces.open(b.dir, { openForge: async () => cutting });
  const result = await syncWorkspace(fresh.ws);
  expect(isCut).toBe(true);
  expect(result.conflicts).toEqual(["large"]);
  expect(b.read("large")).toBe("cut");
});

test("a pending landing that is refused for good is given up, and its files stay", async () => {
  const [a] = await two();
  a.write({ f: "1\n" });
  failLand = new MicError("unreachable", "the connection was lost");
  await expect(a.land("first")).rejects.toMatchObject({ code: "unreachable" });
  failLand = new MicError("forbidden", "not yours");
  await expect(syncWorkspace(spaces.open(a.dir).ws)).rejects.toMatchObject({ code: "forbidden" });
  expect((await workspaceStatus(spaces.open(a.dir).ws)).pending).not.toBeNull();
  failLand = new MicError("too-large", "no longer");
  await syncWorkspace(spaces.open(a.dir).ws);
  expect((await workspaceStatus(spaces.open(a.dir).ws)).pending).toBeNull();
  expect(spaces.warnings.at(-1)).toContain("was given up: no longer");
  expect(await a.changes()).toEqual(["add f"]);
});
