import fc from "fast-check";
import { expect, test } from "vitest";
import { EMPTY_ROOT, type Position, type ProjectId } from "../../src/core/base/ids.ts";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { Landing, PositionRef } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { collect, TestProject } from "../support/forge-project.ts";

const NAMES = ["a", "b", "d/x", "d/y", "d/e/z", "a.txt"];
const CHUNKED = Buffer.alloc(1_100_000, "chunked content ");
const CONTENTS: readonly (string | Uint8Array)[] = ["", "one", "two\n", "three\nlines\n", CHUNKED];

const landing = fc.record({
  /** 0 deletes what is there. */
  files: fc.uniqueArray(fc.tuple(fc.constantFrom(...NAMES), fc.nat(CONTENTS.length)), {
    minLength: 1,
    maxLength: 3,
    selector: ([name]) => name,
  }),
  /** More than 64 operations are kept in objects of their own. */
  many: fc.boolean(),
  /** Landed on the base before, beside the landing before it. */
  isBeside: fc.boolean(),
});

function newForge(trustWriters: boolean): ForgeService {
  const ports = { clock: systemClock, random: systemRandom };
  return new ForgeService({
    store: new MemoryStore(systemClock),
    address: "memory",
    ...ports,
    trustWriters,
  });
}

type Plan = typeof landing extends fc.Arbitrary<infer T> ? readonly T[] : never;

async function makeHistory(forge: ForgeService, plan: Plan): Promise<TestProject> {
  const project = await TestProject.create(forge, "acme/app");
  let before: PositionRef = project.base;
  const present = new Set<string>();
  for (const [index, { files, many, isBeside }] of plan.entries()) {
    const put: Record<string, string | Uint8Array> = {};
    const gone = files.filter(([name, content]) => content === 0 && present.has(name)).map(([name]) => name);
    for (const [name, content] of files) if (content !== 0) put[name] = CONTENTS[content - 1]!;
    if (many) for (let i = 0; i < 70; i++) put[`many/${i}`] = `${index} ${i % 5}`;
    const last = project.base;
    const base = isBeside ? before : last;
    const change = { goal: `goal ${index}`, put, delete: gone, base };
    const result = await project.tryLand(change);
    if (result.kind === "conflict") continue;
    before = last;
    for (const name of Object.keys(put)) present.add(name);
    for (const name of gone) present.delete(name);
  }
  return project;
}

async function readHistory(forge: ForgeService, project: ProjectId): Promise<Landing[]> {
  const { position } = await forge.getHead(project);
  const positions = Array.from({ length: position }, (_, i) => (i + 1) as Position);
  return await Promise.all(positions.map((each) => forge.getLanding(project, each)));
}

test("a history imported in any batches is the same history, and checks clean", async () => {
  const history = fc.array(landing, { minLength: 1, maxLength: 12 });
  const sizes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(history, sizes, fc.boolean(), async (plan, batchSizes, trustWriters) => {
      const source = newForge(true);
      const project = await makeHistory(source, plan);
      const landings = await readHistory(source, project.id);
      const { salt } = await source.getProject(project.id);
      const target = newForge(trustWriters);
      const id = mintProjectId(systemRandom);
      await target.createProject({ id, name: "acme/copy", salt });
      // The same content again and again: known content that is sent once more changes nothing.
      const everything = Object.fromEntries(CONTENTS.map((content, i) => [`${i}`, content]));
      for (let i = 0; i < plan.length * 5; i++) everything[`many ${i}`] = `${Math.floor(i / 5)} ${i % 5}`;
      const { frames } = project.request({ put: everything });
      let after: PositionRef = { position: 0 as Position, root: EMPTY_ROOT };
      for (let batch = 0; after.position < landings.length; batch++) {
        const size = batchSizes[batch % batchSizes.length]!;
        const some = landings.slice(after.position, after.position + size);
        const request = { after, landings: some, packs: [], frames };
        const head = await target.importLandings(id, request);
        expect(await target.importLandings(id, request)).toEqual(head);
        after = { position: head.position, root: head.root };
      }
      expect(await target.getHead(id)).toEqual(await source.getHead(project.id));
      expect(await readHistory(target, id)).toEqual(landings);
      for (let position = 0; position <= landings.length; position++) {
        const [ours, theirs] = await Promise.all([
          collect(target.listEntries(id, position as Position, undefined)),
          collect(source.listEntries(project.id, position as Position, undefined)),
        ]);
        expect(ours).toEqual(theirs);
      }
      expect((await target.fsck(id)).findings).toEqual([]);
    }),
    { numRuns: 30 },
  );
});
