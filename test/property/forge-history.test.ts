import fc from "fast-check";
import { expect, test } from "vitest";
import type { Position } from "../../src/core/base/ids.ts";
import { ancestorsOf, comparePaths, isWithin, type TreePath } from "../../src/core/base/path.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Operation } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { collect, path, TestProject } from "../support/forge-project.ts";

/** Few names and few contents, so that files become directories, content returns and paths are moved. */
const names = ["a", "b", "a/x", "a/y", "b/x/1", "b/x/2", "b/y", "c", "a.txt", "a-b"];
const chunked = Buffer.alloc(1_100_000, "chunked content ");
const contents: readonly (string | Uint8Array)[] = ["", "one", "two\n", "three\nlines\n", chunked];

const change = fc.record({
  path: fc.constantFrom(...names),
  /** -1 deletes. */
  content: fc.integer({ min: -1, max: contents.length - 1 }),
});
const landing = fc.record({
  changes: fc.uniqueArray(change, { minLength: 1, maxLength: 4, selector: (each) => each.path }),
  /** Where the caller believes its content to be; advice that may be wrong. */
  hint: fc.nat(12),
  /** A landing of more than 64 operations keeps them in objects of their own. */
  isLarge: fc.boolean(),
});

type Model = ReadonlyMap<string, number>;

/** What a workspace would land to get from `model` to one with the changes applied. */
function apply(model: Model, changes: readonly { path: string; content: number }[]): Map<string, number> {
  const next = new Map(model);
  for (const { path: name, content } of changes) {
    if (content === -1) {
      next.delete(name);
      continue;
    }
    for (const each of next.keys()) if (isWithin(each, name)) next.delete(each);
    for (const ancestor of ancestorsOf(name as TreePath)) next.delete(ancestor);
    next.set(name, content);
  }
  return next;
}

function touchedBetween(before: Model, after: Model): string[] {
  const all = new Set([...before.keys(), ...after.keys()]);
  return [...all].filter((name) => before.get(name) !== after.get(name)).sort(comparePaths);
}

test("any history reads back as the sequence of its landings, and checks clean", async () => {
  const history = fc.array(landing, { minLength: 1, maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(history, async (landings) => {
      const ports = { clock: systemClock, random: systemRandom };
      const store = new MemoryStore(systemClock);
      const forge = new ForgeService({ store, address: "memory", ...ports, trustWriters: true });
      const project = await TestProject.create(forge, "acme/app");
      const models: Model[] = [new Map()];
      for (const { changes, hint, isLarge } of landings) {
        const before = models.at(-1)!;
        const after = apply(before, changes);
        if (isLarge) for (let i = 0; i < 70; i++) after.set(`many/${i}`, (models.length + i) % 4);
        const touched = touchedBetween(before, after);
        if (touched.length === 0) continue;
        const put = touched.filter((name) => after.has(name));
        const request = project.request({
          put: Object.fromEntries(put.map((name) => [name, contents[after.get(name)!]!])),
          delete: touched.filter((name) => !after.has(name)),
        });
        const operations = request.operations.map(
          (each): Operation => (each.kind === "put" ? { ...each, hint } : each),
        );
        const result = await forge.land(project.id, { ...request, operations });
        if (result.kind !== "landed") throw new Error(`conflict: ${result.paths.join(", ")}`);
        project.base = result;
        models.push(after);
      }
      await compare(forge, project, models);
      expect((await forge.fsck(project.id)).findings).toEqual([]);
    }),
    { numRuns: 40 },
  );
});

async function compare(forge: ForgeService, project: TestProject, models: readonly Model[]): Promise<void> {
  const last = models.length - 1;
  const sizes = contents.map((content) => content.length);
  for (const [position, model] of models.entries()) {
    const listed = await collect(forge.listEntries(project.id, position as Position, undefined));
    const expected = [...model].sort(([a], [b]) => comparePaths(a, b));
    expect(listed.map(({ path: name, entry }) => [name, entry.size])).toEqual(
      expected.map(([name, content]) => [name, sizes[content]]),
    );
    for (const [from, to] of [
      [position, last],
      [last, position],
    ] as const) {
      const diff = await collect(forge.diff(project.id, { from: from as Position, to: to as Position }));
      expect(diff.map((each) => each.path)).toEqual(touchedBetween(models[from]!, models[to]!));
    }
  }
  for (const name of ["a", "b/x", "many", "many/7", "a.txt"]) {
    const found = await collect(forge.listLandings(project.id, { paths: [path(name)] }));
    const expected = models.flatMap((model, position) => {
      if (position === 0) return [];
      const touched = touchedBetween(models[position - 1]!, model);
      return touched.some((each) => isWithin(each, name)) ? [position] : [];
    });
    expect(found.map((each) => each.position)).toEqual(expected.reverse());
  }
}
