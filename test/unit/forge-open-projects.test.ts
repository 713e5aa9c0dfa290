import { expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { TestProject } from "../support/forge-project.ts";

async function openForge(cacheBytesTotal: number) {
  const store = new CountingStore(new MemoryStore(systemClock));
  const ports = { clock: systemClock, random: systemRandom, trustWriters: false };
  const forge = new ForgeService({ store, address: "memory", cacheBytesTotal, ...ports });
  const projects: TestProject[] = [];
  for (const name of ["test/a", "test/b", "test/c"]) {
    const project = await TestProject.create(forge, name);
    await project.land({ put: { "file.txt": `the file of ${name}\n`.repeat(1000) } });
    projects.push(project);
  }
  /** Objects that the store was asked for while a project was read. */
  const getsToRead = async (project: TestProject): Promise<number> => {
    const before = store.counts.gets;
    expect(await project.read(1, "file.txt")).toContain("the file of test/");
    return store.counts.gets - before;
  };
  return { projects, getsToRead };
}

test("projects that were just used are kept while they fit", async () => {
  const { projects, getsToRead } = await openForge(1 << 20);
  for (const project of projects) expect(await getsToRead(project)).toBe(0);
});

test("the project used least recently is forgotten when others are opened, and read again when it is asked for", async () => {
  const { projects, getsToRead } = await openForge(1);
  const [a, , c] = projects;
  expect(await getsToRead(c!)).toBe(0);
  expect(await getsToRead(a!)).toBeGreaterThan(0);
  expect(await getsToRead(a!)).toBe(0);
  expect(await getsToRead(c!)).toBeGreaterThan(0);
});
