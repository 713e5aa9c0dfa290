import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ObjectId } from "../../src/core/base/ids.ts";
import { comparePaths, type TreePath } from "../../src/core/base/path.ts";
import type { Operation } from "../../src/core/forge/forge.ts";
import { doClash, findClashes } from "../../src/core/forge/landing/conflicts.ts";
import {
  type Changes,
  filesOf,
  idsOf,
  landNow,
  landRequest,
  makeFixture,
  newest,
  openFixture,
} from "../support/project-fixture.ts";

const PATHS = ["a", "a-", "a/b", "a/b/c", "a/b0", "a0", "b", "b/c", "b/c/d", "c"];

const operation = fc.record({ path: fc.constantFrom(...PATHS), id: fc.constantFrom("", "1", "2") });
const operations = fc.uniqueArray(operation, { selector: ({ path }) => path, maxLength: 10 }).map((list) =>
  list
    .map(({ path, id }): Operation => {
      if (id === "") return { kind: "delete", path: path as TreePath };
      const entry = { kind: "file", size: 1, id: id.repeat(64) as ObjectId } as const;
      return { kind: "put", path: path as TreePath, entry, hint: 0 };
    })
    .sort((a, b) => comparePaths(a.path, b.path)),
);

/** The rule as plainly as possible. */
function clash(a: Operation, b: Operation): boolean {
  if (a.path === b.path)
    return a.kind !== b.kind || (a.kind === "put" && b.kind === "put" && a.entry.id !== b.entry.id);
  if (a.kind === "delete" || b.kind === "delete") return false;
  return a.path.startsWith(`${b.path}/`) || b.path.startsWith(`${a.path}/`);
}

describe("findClashes()", () => {
  test("finds what comparing every pair finds, whichever side is longer", () => {
    fc.assert(
      fc.property(operations, operations, (ours, theirs) => {
        const found = new Set<string>();
        findClashes(ours, theirs, (path) => found.add(path));
        const expected = ours.filter((own) => theirs.some((their) => clash(own, their)));
        expect([...found].sort()).toEqual(expected.map(({ path }) => path).sort());
        expect(doClash(ours, theirs)).toBe(expected.length > 0);
        expect(doClash(theirs, ours)).toBe(expected.length > 0);
      }),
      { numRuns: 5000 },
    );
  });
});

describe("landing", () => {
  const step = fc.dictionary(
    fc.constantFrom(...PATHS),
    fc.option(fc.constantFrom("1", "2", "3"), { nil: undefined }),
    {
      maxKeys: 6,
    },
  );

  /** Drops puts that need a path as file and directory at once, and deletes what makes room. */
  function valid(files: Readonly<Record<string, string>>, changes: Changes): Changes {
    const next: Record<string, string | undefined> = {};
    for (const [path, text] of Object.entries(changes)) {
      const isBlocked = Object.entries(next).some(
        ([other, set]) => set !== undefined && related(path, other),
      );
      if (text !== undefined && isBlocked) continue;
      if (text === undefined && next[path] !== undefined) continue;
      next[path] = text;
      if (text === undefined) continue;
      for (const other of Object.keys(files)) if (related(path, other)) next[other] = undefined;
    }
    return next;
  }

  function related(a: string, b: string): boolean {
    return a.startsWith(`${b}/`) || b.startsWith(`${a}/`);
  }

  function applied(files: Readonly<Record<string, string>>, changes: Changes): Record<string, string> {
    const next = { ...files };
    for (const [path, text] of Object.entries(changes)) {
      if (text === undefined) delete next[path];
      else next[path] = text;
    }
    return next;
  }

  test("every position is the sequential application of its landings, one by one or in batches", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 8 }),
        fc.boolean(),
        async (steps, together) => {
          const { project, store, clock } = await makeFixture();
          const history: Record<string, string>[] = [{}];
          if (together) {
            const base = await newest(project);
            const requests = steps.map((changes) => landRequest(base, valid({}, changes)));
            const results = await Promise.all(requests.map((request) => project.land(request)));
            const landed = results.flatMap((result, i) => (result.kind === "landed" ? [{ result, i }] : []));
            landed.sort((a, b) => a.result.position - b.result.position);
            for (const { i } of landed) history.push(applied(history.at(-1)!, valid({}, steps[i]!)));
          } else {
            for (const changes of steps) {
              const change = valid(history.at(-1)!, changes);
              await landNow(project, change);
              history.push(applied(history.at(-1)!, change));
            }
          }
          const reader = openFixture(store, clock);
          expect((await newest(reader)).position).toBe(history.length - 1);
          for (let position = 0; position < history.length; position++) {
            expect(await filesOf(reader, position)).toEqual(idsOf(history[position]!));
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});
