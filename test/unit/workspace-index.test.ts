import { readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ObjectId, Position } from "../../src/core/base/ids.ts";
import { comparePaths, type TreePath } from "../../src/core/base/path.ts";
import { decodeWorkspaceIndex, encodeWorkspaceIndex } from "../../src/core/codec/workspace-index.ts";
import { type IndexEntry, WorkspaceIndex } from "../../src/core/workspace/index/workspace-index.ts";
import { temporaryWorkspace } from "../support/temporary-workspace.ts";

function entry(path: string, seed = path.length): IndexEntry {
  const kind = (["file", "executable", "symlink"] as const)[seed % 3]!;
  const id = (seed * 2654435761 + path.length).toString(16).padStart(64, "0").slice(-64) as ObjectId;
  const chunks =
    kind !== "symlink" && seed % 5 === 0
      ? { chunks: `${"c".repeat(60)}${1000 + (seed % 1000)}` as ObjectId }
      : {};
  return {
    path: path as TreePath,
    entry: { kind, size: seed, id, ...chunks },
    hint: seed % 4,
    stat:
      seed % 7 === 0 ? undefined : { mtimeMs: 1.5 + seed, ctimeMs: 2.25 + seed, size: seed, ino: 10 + seed },
  };
}

const name = fc.constantFrom("a", "b", "a.b", "a-", "é", "z", "\u{1f600}", "\uffee", "long-name.txt");
const treePath = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));

/** Leaves out what cannot stand beside what is there. */
function addable(model: Map<string, IndexEntry>, path: string): boolean {
  for (const other of model.keys()) {
    if (other.startsWith(`${path}/`) || path.startsWith(`${other}/`)) return false;
  }
  return true;
}

function roundTrip(index: WorkspaceIndex): WorkspaceIndex {
  return WorkspaceIndex.fromBytes(new Uint8Array(Buffer.concat(encodeWorkspaceIndex(index.columns))));
}

describe("WorkspaceIndex", () => {
  test("holds after any updates what a sorted map would", () => {
    const steps = fc.array(
      fc.record({
        upserts: fc.array(fc.tuple(treePath, fc.nat(1000)), { maxLength: 12 }),
        removes: fc.array(fc.nat(1000), { maxLength: 4 }),
        position: fc.nat(),
      }),
      { minLength: 1, maxLength: 5 },
    );
    fc.assert(
      fc.property(steps, (changes) => {
        const model = new Map<string, IndexEntry>();
        let index = WorkspaceIndex.empty();
        for (const { upserts, removes, position } of changes) {
          const removed = [...model.keys()].filter((_, i) => removes.includes(i)) as TreePath[];
          for (const path of removed) model.delete(path);
          const added: IndexEntry[] = [];
          for (const [path, seed] of upserts) {
            if (!addable(model, path) || added.some((other) => other.path === path)) continue;
            added.push(entry(path, seed));
            model.set(path, added.at(-1)!);
          }
          const base = { position: position as Position, root: "d".repeat(64) as ObjectId };
          index = roundTrip(index.update({ base, upserts: added, removes: removed }));
          expect(index.base).toEqual(base);
        }
        const sorted = [...model.keys()].sort(comparePaths);
        expect([...index.entries()].map(({ path }) => path)).toEqual(sorted);
        expect(index.count).toBe(model.size);
        for (const path of sorted) {
          expect(index.find(path)).toEqual(model.get(path));
          for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) {
            const dir = path.slice(0, slash) as TreePath;
            expect(index.hasDirectory(dir)).toBe(true);
            const below = sorted.filter((other) => other.startsWith(`${dir}/`));
            expect([...index.entries(dir)].map((found) => found.path)).toEqual(below);
          }
          expect(index.findById(model.get(path)!.entry.id)?.entry.id).toBe(model.get(path)!.entry.id);
          expect(index.find(`${path}x`)).toBeUndefined();
          expect(index.hasDirectory(path)).toBe(false);
        }
      }),
      { numRuns: 150 },
    );
  });

  test("takes what a scan learned the same way whether it copies columns or builds them anew", () => {
    const stat = (seed: number) => ({ mtimeMs: seed + 0.5, ctimeMs: seed + 0.25, size: seed, ino: seed });
    const dirs = ["", "a", "a/b", "c", "nowhere"];
    const paths = ["a", "a/b", "c"].flatMap((dir) =>
      Array.from({ length: 40 }, (_, i) => `${dir}/f${100 + i}`),
    );
    const first = WorkspaceIndex.empty().update({
      upserts: paths.map((path) => entry(path, 7 * path.length + 1)),
      scan: {
        refreshed: [],
        directories: dirs.map((path, i) => ({ path, stat: stat(i) })),
        ignoreFiles: [{ dir: "a", name: 0, stat: stat(5) }],
        untracked: [],
        deleted: [],
      },
    });
    const index = fc.nat(paths.length - 1);
    const upserts = fc.uniqueArray(fc.tuple(index, fc.nat(1000)), { maxLength: 5, selector: ([i]) => i });
    const scan = fc.record({
      refreshed: fc.array(fc.record({ file: index, stat: fc.nat(99).map(stat) }), { maxLength: 4 }),
      directories: fc.array(
        fc.record({
          path: fc.constantFrom(...dirs),
          stat: fc.option(fc.nat(99).map(stat), { nil: undefined }),
        }),
        { maxLength: 5 },
      ),
      ignoreFiles: fc.array(
        fc.record({ dir: fc.constantFrom(...dirs), name: fc.nat(1), stat: fc.nat(99).map(stat) }),
        { maxLength: 3 },
      ),
      untracked: fc.array(
        fc.oneof(
          fc.constantFrom("new", "a/new", "a/b/x/y", "nowhere/x", "c/z"),
          index.map((i) => paths[i]!),
        ),
        { maxLength: 4 },
      ),
      deleted: fc.constant([]),
    });
    fc.assert(
      fc.property(upserts, scan, (rows, findings) => {
        const changed = rows.map(([i, seed]) => entry(paths[i]!, seed - (seed % 5) + 1));
        const copied = first.update({ upserts: changed, scan: findings });
        const reused = roundTrip(first).become({ upserts: changed, scan: findings });
        expect(roundTrip(reused).columns).toEqual(roundTrip(copied).columns);
        // A path that is not tracked makes the columns be built; it and its directory are taken out again.
        const extra = entry("zz/extra", 1);
        const built = first
          .update({ upserts: [...changed, extra], scan: findings })
          .update({ removes: [extra.path] });
        const expected = { ...built.columns, dirMtime: built.columns.dirMtime.slice() };
        // Removing the path distrusts the directory that it was in.
        expected.dirMtime[0] = copied.columns.dirMtime[0]!;
        expect(roundTrip(copied).columns).toEqual({ ...expected, position: 0, root: copied.base.root });
      }),
    );
  });

  test("forgets stat data whose size is not the content's", () => {
    const wrong = { ...entry("a", 4), stat: { mtimeMs: 1, ctimeMs: 1, size: 5, ino: 1 } };
    expect(
      WorkspaceIndex.empty()
        .update({ upserts: [wrong] })
        .find("a")?.stat,
    ).toBeUndefined();
  });

  test("finds content by id among many equal ones", () => {
    const same = Array.from({ length: 20_000 }, (_, i) => ({
      ...entry(`d${i % 100}/f${i}`, 8),
      hint: i + 1,
    }));
    const index = WorkspaceIndex.empty().update({ upserts: same });
    expect(index.hintOf(same[0]!.entry.id)).toBeGreaterThan(0);
    expect(index.hintOf("e".repeat(64) as ObjectId)).toBeUndefined();
  });

  test("load() is empty at position 0 without a file, and is what save() wrote with one", () => {
    using ws = temporaryWorkspace();
    expect(WorkspaceIndex.load(ws.root).count).toBe(0);
    expect(WorkspaceIndex.load(ws.root).base.position).toBe(0);
    const upserts = ["a", "b/c", "b/d/e", "f"].map((path, i) => entry(path, i + 1));
    WorkspaceIndex.empty().update({ upserts }).save(ws.root);
    expect([...WorkspaceIndex.load(ws.root).entries()]).toEqual(upserts);
  });

  test("load() puts a large index into shared memory, as the scan's worker needs it", () => {
    using ws = temporaryWorkspace();
    const upserts = Array.from({ length: 6000 }, (_, i) => entry(`d${i % 50}/${i}`, i));
    WorkspaceIndex.empty().update({ upserts }).save(ws.root);
    const index = WorkspaceIndex.load(ws.root);
    expect(index.sharedBytes?.byteLength).toBeGreaterThan(256 << 10);
    expect(index.count).toBe(6000);
    expect(index.find("d7/57")).toEqual(entry("d7/57", 57));
  });

  test("load() refuses a damaged index and says how to get a new one", () => {
    using ws = temporaryWorkspace();
    WorkspaceIndex.empty()
      .update({ upserts: [entry("a/b", 3), entry("c", 5)] })
      .save(ws.root);
    const path = ws.path(".mic/index");
    const bytes = readFileSync(path);
    for (let i = 0; i < bytes.length; i++) {
      const damaged = Buffer.from(bytes);
      damaged[i]! ^= 1 << (i % 8);
      writeFileSync(path, damaged);
      expect(() => WorkspaceIndex.load(ws.root), `byte ${i}`).toThrow(
        expect.objectContaining({
          code: i >= 8 && i < 12 ? "unsupported" : "corrupt",
          hint: expect.any(String),
        }),
      );
    }
    for (let length = 0; length < bytes.length; length++) {
      writeFileSync(path, bytes.subarray(0, length));
      expect(() => WorkspaceIndex.load(ws.root), `${length} bytes`).toThrow(
        expect.objectContaining({ code: "corrupt" }),
      );
    }
  });
});

test("decodeWorkspaceIndex() refuses counts that the bytes cannot hold, before it allocates", () => {
  const bytes = Buffer.concat(encodeWorkspaceIndex(WorkspaceIndex.empty().columns));
  for (const offset of [56, 60, 64, 68, 72, 76]) {
    const hostile = new Uint8Array(bytes);
    new DataView(hostile.buffer).setUint32(offset, 0xffffffff, true);
    expect(() => decodeWorkspaceIndex(hostile)).toThrow(expect.objectContaining({ code: "corrupt" }));
  }
});

test("decodeWorkspaceIndex() answers any bytes with an index or a clean error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (random) => {
      const bytes = new Uint8Array(random);
      bytes.set(Buffer.from("micindex\x01\0\0\0").subarray(0, bytes.length));
      expect(() => decodeWorkspaceIndex(bytes)).toThrow(expect.objectContaining({ code: "corrupt" }));
    }),
  );
});
