import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { LandingId, ObjectId, Position, SessionId } from "../../src/core/base/ids.ts";
import { comparePaths, isWithin, type TreePath } from "../../src/core/base/path.ts";
import { filterProbe, mayMatch } from "../../src/core/codec/path-filter.ts";
import { decodeIndexPage } from "../../src/core/codec/rollup-index.ts";
import { decodeTouchedBlock } from "../../src/core/codec/rollup-touched.ts";
import type { Operation } from "../../src/core/forge/forge.ts";
import { recordsMatching } from "../../src/core/forge/history/history.ts";
import { findClashes, findConflicts } from "../../src/core/forge/landing/conflicts.ts";
import type { Snapshot } from "../../src/core/forge/log/snapshot.ts";
import type { ProjectStore } from "../../src/core/forge/project-store.ts";
import type { BuiltRollup } from "../../src/core/forge/rollup/build.ts";
import { rollupPartKey } from "../../src/core/objects/keys.ts";
import {
  type Fixture,
  landRequest,
  makeFixture,
  newest,
  openFixture,
  PROJECT,
} from "../support/project-fixture.ts";
import { pickRollups, rollUp, setRollups } from "../support/rollups.ts";
import { SeededRandom } from "../support/seeded-random.ts";

/** `MIC_TEST_RUNS` runs more of them. */
const RUNS = Number(process.env["MIC_TEST_RUNS"] ?? 40);

const LANDINGS = 1_260;
const PATHS = [
  "a",
  "a-",
  "a/b",
  "a/b/c",
  "a/b/d",
  "a/b0",
  "a/é",
  "a0",
  "b",
  "b/c",
  "b/c/d",
  "b/c/d/e",
  "c",
  "d/x",
];
const SESSIONS = Array.from({ length: 90 }, (_, i) => `${i}`.padStart(32, "5") as SessionId);

interface Landed {
  readonly landingId: LandingId;
  readonly session: SessionId;
  readonly position: Position;
  readonly operations: readonly Operation[];
}

let fixture: Fixture;
let log: Landed[];
let built: BuiltRollup[];

/** Changes that leave no path as a file and a directory. */
function nextChanges(random: () => number, files: Map<string, string>): Record<string, string | undefined> {
  const changes: Record<string, string | undefined> = {};
  for (let i = 0; i <= random() * 2; i++) {
    const path = PATHS[Math.floor(random() * PATHS.length)]!;
    if (path in changes) continue;
    if (random() < 0.3) {
      changes[path] = undefined;
      files.delete(path);
      continue;
    }
    const related = [...files.keys()].filter(
      (other) => other.startsWith(`${path}/`) || path.startsWith(`${other}/`),
    );
    const isBlocked = related.some((other) => changes[other] !== undefined);
    if (isBlocked) continue;
    for (const other of related) {
      changes[other] = undefined;
      files.delete(other);
    }
    changes[path] = `content ${Math.floor(random() * 4)}`;
    files.set(path, changes[path]!);
  }
  return changes;
}

beforeAll(async () => {
  fixture = await makeFixture();
  const source = new SeededRandom(7);
  const random = () => (source.bytes(2)[0]! * 256 + source.bytes(1)[0]!) / 65_536;
  const files = new Map<string, string>();
  log = [];
  while (log.length < LANDINGS) {
    const changes = nextChanges(random, files);
    if (Object.keys(changes).length === 0) continue;
    const session = SESSIONS[Math.floor(random() * SESSIONS.length)]!;
    const request = landRequest(await newest(fixture.project), changes, { session });
    const result = await fixture.project.land(request);
    if (result.kind !== "landed") throw new Error("a conflict");
    const { landingId, operations } = request;
    log.push({ landingId, session, position: result.position, operations: [...operations] });
  }
  built = await rollUp(fixture.store, fixture.project);
});

/** A fresh process that sees the log with some of the rollups. */
async function withRollups(
  kept: readonly boolean[],
  largestLevel: number,
): Promise<{ project: ProjectStore; snapshot: Snapshot }> {
  let i = 0;
  const refs = pickRollups(built, (level) => level <= largestLevel && kept[i++ % kept.length]!);
  const { store, clock } = fixture;
  await setRollups(store, fixture.project, refs);
  const project = openFixture(store, clock);
  return { project, snapshot: await project.snapshot() };
}

const someRollups = fc.record({
  kept: fc.array(fc.boolean(), { minLength: 13, maxLength: 13 }),
  largestLevel: fc.constantFrom(1, 2),
  base: fc.integer({ min: 0, max: LANDINGS }),
});

const operation = fc.record({
  path: fc.constantFrom(...PATHS, "z", "a/b/c/d/e"),
  id: fc.integer({ min: -1, max: 4 }),
});
const someOperations = fc.uniqueArray(operation, {
  selector: ({ path }) => path,
  minLength: 1,
  maxLength: 6,
});

function toOperations(list: readonly { path: string; id: number }[]): Operation[] {
  const known = new Map(
    log
      .flatMap(({ operations }) => operations)
      .flatMap((op) => (op.kind === "put" ? [[op.entry.id, op.entry]] : [])),
  );
  const entries = [...known.values()];
  return list
    .map(({ path, id }): Operation => {
      if (id < 0) return { kind: "delete", path: path as TreePath };
      const entry = entries[id] ?? { kind: "file", size: 1, id: "9".repeat(64) as ObjectId };
      return {
        kind: "put",
        path: path as TreePath,
        entry: entry as Extract<Operation, { kind: "put" }>["entry"],
        hint: 0,
      };
    })
    .sort((a, b) => comparePaths(a.path, b.path));
}

describe("with rollups in any part of a log", () => {
  test("conflicts are those of comparing with every landing since", async () => {
    await fc.assert(
      fc.asyncProperty(someRollups, someOperations, async ({ kept, largestLevel, base }, list) => {
        const ours = toOperations(list);
        const { snapshot } = await withRollups(kept, largestLevel);
        const expected = new Set<string>();
        for (const { operations, position } of log) {
          if (position > base) findClashes(ours, operations, (path) => expected.add(path));
        }
        const found = await findConflicts(snapshot, ours, base as Position);
        expect(found).toEqual([...expected].sort(comparePaths));
        expect(snapshot.rollups.damaged).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  test("landings of a path are those that touched it or something below it", async () => {
    await fc.assert(
      fc.asyncProperty(
        someRollups,
        fc.uniqueArray(fc.constantFrom(...PATHS, "z"), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 0, max: LANDINGS }),
        async ({ kept, largestLevel, base }, paths, end) => {
          const { snapshot } = await withRollups(kept, largestLevel);
          const [after, upTo] = [Math.min(base, end), Math.max(base, end)] as [Position, Position];
          const expected = log.filter(
            ({ position, operations }) =>
              position > after &&
              position <= upTo &&
              operations.some(({ path }) => paths.some((within) => isWithin(path, within))),
          );
          const found: number[] = [];
          for await (const page of recordsMatching(snapshot, { after, upTo, paths: paths as TreePath[] }))
            found.push(...page.map(({ position }) => position));
          expect(found).toEqual(expected.map(({ position }) => position).reverse());
        },
      ),
      { numRuns: 30 },
    );
  });

  test("a landing id and a session are found where the log has them, and nowhere else", async () => {
    await fc.assert(
      fc.asyncProperty(
        someRollups,
        fc.integer({ min: 0, max: LANDINGS - 1 }),
        async ({ kept, largestLevel, base }, i) => {
          const { snapshot } = await withRollups(kept, largestLevel);
          const { landingId, session, position } = log[i]!;
          const record = await snapshot.findLanding(landingId, base as Position);
          const isInRing = position > LANDINGS - snapshot.head.ring.length;
          // What landed at or before the base may be known too.
          if (position > base || isInRing || record !== undefined) expect(record?.position).toBe(position);
          expect(await snapshot.findLanding("f".repeat(32) as LandingId, base as Position)).toBeUndefined();
          const newestOfSession = log.findLast((landed) => landed.session === session)!.position;
          const landedAt = await snapshot.landingOfSession(session, base as Position);
          expect(landedAt).toBe(newestOfSession > base ? newestOfSession : undefined);
          expect(
            await snapshot.landingOfSession("e".repeat(32) as SessionId, base as Position),
          ).toBeUndefined();
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe("a rollup", () => {
  test("has exactly the operations, landing ids and sessions of its range, on every level", async () => {
    for (const { ref, front } of built) {
      const landed = log.slice(ref.first - 1, ref.last);
      expect(front.tables.landings.entries).toBe(landed.length);
      expect(front.tables.sessions.entries).toBe(new Set(landed.map(({ session }) => session)).size);
      expect(front.tables.touched.entries).toBe(
        landed.reduce((sum, { operations }) => sum + operations.length, 0),
      );
    }
    expect(built.map(({ ref }) => ref.level)).toEqual([...Array(10).fill(1), 2, 1, 1]);
  });

  test("has filters that say maybe to every path in a block, and to every directory above one", async () => {
    let blocks = 0;
    for (const { ref, front } of built) {
      const stream = async (offset: number, length: number): Promise<Uint8Array> => {
        let start = 0;
        for (const part of front.parts) {
          if (offset < start + part.length) {
            const key = rollupPartKey(PROJECT, ref.epoch, part.hash);
            return (await fixture.store.get(key, { range: { offset: offset - start, length } }))!.bytes;
          }
          start += part.length;
        }
        return front.inline.subarray(offset - start, offset - start + length);
      };
      for (const page of front.tables.touched.pages) {
        const index = decodeIndexPage(await stream(page.offset, page.length));
        for (const [i, { offset, length }] of index.blocks.entries()) {
          const { keys } = decodeTouchedBlock(await stream(offset, length));
          blocks++;
          for (let k = 0; k < keys.length; k++) {
            const key = keys.key(k);
            expect(mayMatch(index.filters[i]!, filterProbe("touched", key))).toBe(true);
            for (let at = key.indexOf(0); at !== -1; at = key.indexOf(0, at + 1)) {
              expect(mayMatch(index.filters[i]!, filterProbe("ancestor", key.subarray(0, at)))).toBe(true);
            }
          }
        }
      }
    }
    expect(blocks).toBeGreaterThan(12);
  });
});
