import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { isForgeDirectory, openDirectoryForge } from "../../src/core/forge/forge-directory.ts";
import { LOCAL_STORE_FILE } from "../../src/core/store/is-local-store.ts";
import { DATABASE_NAME } from "../../src/core/store/local-database.ts";
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
  expect(LOCAL_STORE_FILE).toBe(DATABASE_NAME);
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
