import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { mintSessionId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { isForgeDirectory, openDirectoryForge } from "../../src/core/forge/forge-directory.ts";
import { describeForge } from "../conformance/forge.ts";
import { TestProject } from "../support/forge-project.ts";

const ports = { clock: systemClock, random: systemRandom };

describeForge("openDirectoryForge()", async () => {
  const directory = await mkdtemp(join(tmpdir(), "mic-forge-"));
  const forge = await openDirectoryForge(directory, { ...ports, create: true });
  return {
    forge,
    async [Symbol.asyncDispose]() {
      await forge[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
});

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "mic-forge-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

test("a forge directory is recognised by its store", async () => {
  const path = join(directory, "forge");
  expect(isForgeDirectory(path)).toBe(false);
  await expect(openDirectoryForge(path, { ...ports, create: false })).rejects.toMatchObject({
    code: "not-found",
  });
  expect(isForgeDirectory(path)).toBe(false);
  await (await openDirectoryForge(path, { ...ports, create: true }))[Symbol.asyncDispose]();
  expect(isForgeDirectory(path)).toBe(true);
  await writeFile(join(directory, "file"), "");
  expect(isForgeDirectory(join(directory, "file"))).toBe(false);
});

test("what landed is there after the forge was closed", async () => {
  const first = await openDirectoryForge(directory, { ...ports, create: true });
  const project = await TestProject.create(first, "acme/app");
  await project.land({ put: { a: "kept" } });
  await first[Symbol.asyncDispose]();
  const second = await openDirectoryForge(directory, { ...ports, create: false });
  expect(await new TestProject(second, project.id).read(1, "a")).toBe("kept");
  await second[Symbol.asyncDispose]();
});

test("two forges over one directory see each other's landings, sessions and names", async () => {
  const open = () => openDirectoryForge(directory, { ...ports, create: true });
  const [a, b] = [await open(), await open()];
  const ours = await TestProject.create(a, "acme/app");
  const theirs = new TestProject(b, ours.id);
  await ours.land({ put: { a: "1" } });
  theirs.base = ours.base;
  await theirs.land({ put: { b: "2" } });
  expect(await ours.read(2, "b")).toBe("2");
  expect(await ours.tryLand({ put: { b: "3" } })).toEqual({ kind: "conflict", paths: ["b"] });
  const session = { id: mintSessionId(systemRandom), goal: "g", owner: "Ada" };
  await a.startSession(ours.id, session);
  const texts = Array.from({ length: 10 }, (_, i) => `decision ${i}`);
  await Promise.all(texts.map((text, i) => (i % 2 ? a : b).recordDecision(ours.id, session.id, text)));
  const { decisions } = await a.getSession(ours.id, session.id);
  expect([...decisions].sort()).toEqual(texts);
  await b.updateProject(ours.id, { name: "acme/moved" });
  expect(await a.getProject("acme/app")).toMatchObject({ id: ours.id, name: "acme/moved" });
  expect((await a.fsck(ours.id)).findings).toEqual([]);
  for (const forge of [a, b]) await forge[Symbol.asyncDispose]();
});
