import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { EntryKind, TreeEntry } from "../../src/core/codec/tree-entry.ts";
import { detectRenames, type RenameInput } from "../../src/core/merge/renames.ts";

interface Change extends RenameInput {
  readonly content: Uint8Array;
}

function entry(content: Uint8Array, kind: EntryKind = "file"): { entry: TreeEntry } {
  return { entry: { kind, size: content.length, id: hashObject(content) } };
}
const removed = (path: string, text: string, kind?: EntryKind): Change => {
  const content = utf8(text);
  return { path, content, before: entry(content, kind) };
};
const added = (path: string, text: string, kind?: EntryKind): Change => {
  const content = utf8(text);
  return { path, content, after: entry(content, kind) };
};
const lines = (count: number, from = 0): string =>
  Array.from({ length: count }, (_, i) => `this is line ${i + from}\n`).join("");

async function renamesOf(changes: readonly Change[], reads: string[] = []) {
  const found = await detectRenames(changes, async (change) => {
    reads.push(change.path);
    return change.content;
  });
  return found.map(({ from, to, similarity }) => [from.path, to.path, similarity]);
}

describe("detectRenames()", () => {
  test("finds the same content by id, without reading it", async () => {
    const reads: string[] = [];
    const changes = [
      removed("a", lines(9)),
      added("b", lines(9)),
      removed("big", "x".repeat(3e6)),
      added("moved/big", "x".repeat(3e6)),
    ];
    expect(await renamesOf(changes, reads)).toEqual([
      ["a", "b", 100],
      ["big", "moved/big", 100],
    ]);
    expect(reads).toEqual([]);
  });

  test("prefers the same name among copies of the same content", async () => {
    const text = lines(5);
    const changes = [
      removed("old/one", text),
      removed("old/two", text),
      added("new/other", text),
      added("new/two", text),
    ];
    expect(await renamesOf(changes)).toEqual([
      ["old/one", "new/other", 100],
      ["old/two", "new/two", 100],
    ]);
  });

  test("finds edited files by similarity, the best match first", async () => {
    const changes = [
      removed("a", lines(20, 100)),
      removed("b", lines(20, 200)),
      added("c", lines(18, 100) + lines(2, 500)),
      added("d", lines(12, 100) + lines(8, 600)),
    ];
    expect(await renamesOf(changes)).toEqual([["a", "c", 90]]);
    expect(await renamesOf([changes[0]!, changes[3]!])).toEqual([["a", "d", 60]]);
  });

  test("half of the content is the least", async () => {
    expect(await renamesOf([removed("a", lines(10, 10)), added("b", lines(5, 10) + lines(5, 50))])).toEqual([
      ["a", "b", 50],
    ]);
    expect(await renamesOf([removed("a", lines(10, 10)), added("b", lines(4, 10) + lines(6, 50))])).toEqual(
      [],
    );
    expect(await renamesOf([removed("a", lines(10)), added("b", lines(30))])).toEqual([]);
  });

  test("compares text without line breaks in pieces", async () => {
    const words = Array.from({ length: 200 }, (_, i) => `word${i}`).join(" ");
    const found = await renamesOf([
      removed("a", words),
      added("b", `${words.slice(0, -30)}and another end of it`),
    ]);
    expect(found).toHaveLength(1);
  });

  test("empty files and symlinks to other targets are no renames; a link that moved is", async () => {
    const changes = [
      removed("empty", ""),
      added("empty2", ""),
      removed("link", "target", "symlink"),
      added("link2", "target", "symlink"),
      removed("link3", "target/aaaaaaaaaaaaa", "symlink"),
      added("link4", "target/aaaaaaaaaaaab", "symlink"),
      added("file", "target"),
    ];
    expect(await renamesOf(changes)).toEqual([["link", "link2", 100]]);
  });

  test("only deleted and added files take part, each once", async () => {
    const text = lines(9);
    const modified: Change = {
      path: "m",
      content: utf8(text),
      before: entry(utf8(text)),
      after: entry(utf8(text)),
    };
    expect(await renamesOf([modified, added("copy", text)])).toEqual([]);
    expect(await renamesOf([removed("a", text), added("b", text), added("c", text)])).toEqual([
      ["a", "b", 100],
    ]);
  });

  test("the work is bounded: of many files only those with the same name are compared", async () => {
    const changes: Change[] = [];
    for (let i = 0; i < 300; i++) {
      changes.push(removed(`old/${i}/file${i}`, lines(20, i * 40)));
      changes.push(added(`new/${i}/file${i}`, lines(19, i * 40)));
      changes.push(removed(`old/${i}/before${i}`, lines(30, i * 40)));
      changes.push(added(`new/${i}/after${i}`, lines(31, i * 40)));
    }
    const reads: string[] = [];
    expect(await renamesOf(changes, reads)).toHaveLength(300);
    expect(reads).toHaveLength(600);
  });

  test("the work is bounded: large contents are read up to a limit, each once, and huge ones not at all", async () => {
    const reads: string[] = [];
    const large = Array.from({ length: 75 }, (_, i) => [
      removed(`a${i}`, `${i + 10}x`.repeat(200_000)),
      added(`b${i}`, `${i + 10}y`.repeat(200_000)),
    ]).flat();
    const huge = [removed("huge1", "x".repeat(1_100_000)), added("huge2", "y".repeat(1_100_000))];
    await renamesOf([...large, ...huge], reads);
    expect(new Set(reads).size).toBe(reads.length);
    expect(reads.length * 600_000).toBeLessThan((64 << 20) + 600_000);
    expect(reads).not.toContain("huge1");
  });

  test("stops when the signal fires", async () => {
    const changes = [removed("a", lines(5)), added("b", lines(6))];
    const read = async (change: Change) => change.content;
    await expect(detectRenames(changes, read, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "aborted",
    });
  });
});
