import { beforeEach, describe, expect, test } from "vitest";
import type { Position } from "../../src/core/base/ids.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { collect, path, TestProject } from "../support/forge-project.ts";
import { landHostile } from "../support/hostile-landing.ts";

describe("a tree that holds what no forge would land", () => {
  let store: MemoryStore;
  let forge: ForgeService;
  let project: TestProject;
  const range = { from: 0 as Position, to: 2 as Position };
  const refused = expect.objectContaining({ code: "unsafe-path" });

  beforeEach(async () => {
    store = new MemoryStore(systemClock);
    const ports = { clock: systemClock, random: systemRandom };
    forge = new ForgeService({ store, address: "memory", ...ports, trustWriters: true });
    project = await TestProject.create(forge, "acme/app");
    await project.land({ put: { good: "1" } });
  });

  test.each([
    "../escape",
    "a/../../b",
    "/etc/passwd",
    "a//b",
    "./a",
    ".git/config",
    "sub/.MIC/x",
    ".g\u200cit/config",
    "GIT~1/x",
    ".git::$INDEX_ALLOCATION/x",
    "a\\b",
    "C:/x",
  ])("the path %j is refused by every way to read it, and found by fsck()", async (bad) => {
    await landHostile(store, project.id, [{ path: bad, content: "evil" }]);
    const { id } = project;
    await expect(collect(forge.listEntries(id, range.to, undefined))).rejects.toEqual(refused);
    await expect(collect(forge.diff(id, range))).rejects.toEqual(refused);
    await expect(collect(forge.diff(id, { from: range.to, to: range.from }))).rejects.toEqual(refused);
    const items: string[] = [];
    await expect(async () => {
      for await (const item of forge.fetch(id, range)) items.push(item.kind);
    }).rejects.toEqual(refused);
    expect(items).not.toContain("frame");
    const { findings } = await forge.fsck(id);
    expect(findings.length).toBeGreaterThan(0);
    for (const finding of findings) {
      expect(finding).toMatchObject({ severity: "error", code: "unsafe-path", position: 2 });
    }
  });

  test("listDirectory() refuses a forbidden name", async () => {
    await landHostile(store, project.id, [{ path: "d/.git/x", content: "evil" }]);
    await expect(forge.listDirectory(project.id, { at: range.to, dir: path("d") })).rejects.toEqual(refused);
  });

  test("a sound landing written the same way is clean", async () => {
    await landHostile(store, project.id, [{ path: "d/fine", content: "good" }]);
    expect(await project.read(2, "d/fine")).toBe("good");
    expect((await forge.fsck(project.id)).findings).toEqual([]);
  });

  test("missing content is not found, and fsck() says what misses it", async () => {
    await landHostile(store, project.id, [{ path: "gone", content: "never stored", withoutContent: true }]);
    const drain = async (): Promise<void> => {
      for await (const item of forge.fetch(project.id, range)) expect(item).toBeDefined();
    };
    await expect(drain()).rejects.toMatchObject({ code: "not-found" });
    await expect(project.read(2, "gone")).rejects.toMatchObject({ code: "not-found" });
    const { findings } = await forge.fsck(project.id);
    expect(findings).toMatchObject([{ severity: "error", code: "not-found", position: 2 }]);
  });

  test("a path that is both a file and a directory is found by fsck()", async () => {
    await landHostile(store, project.id, [
      { path: "both", content: "a file" },
      { path: "both/below", content: "and a directory" },
    ]);
    const { findings } = await forge.fsck(project.id);
    expect(findings).toMatchObject([
      { severity: "error", code: "corrupt", message: expect.stringContaining('"both/below"'), position: 2 },
    ]);
  });
});
