import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { LocalObjects } from "../../src/core/workspace/content/local-objects.ts";
import { type IndexEntry, WorkspaceIndex } from "../../src/core/workspace/index/workspace-index.ts";
import { framesOf, testObject } from "../support/packs.ts";
import { at, paths, TestWorkspaces } from "../support/workspaces.ts";

let spaces: TestWorkspaces;
let root: string;
beforeEach(() => {
  spaces = new TestWorkspaces();
  root = spaces.newDir();
});
afterEach(async () => {
  await spaces[Symbol.asyncDispose]();
});

const content = (n: number) => Buffer.from(`content ${n} ${"x".repeat(n)}`);
const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();

function add(objects: LocalObjects, purpose: "received" | "kept", ...numbers: number[]): void {
  const writer = objects.writer(purpose);
  for (const n of numbers) writer.addBlob(hashObject(content(n)), content(n));
  writer.finish();
}

function names(): string[] {
  return readdirSync(join(root, ".mic/objects")).sort();
}

test("content that was kept is read, other content is missing", () => {
  const objects = new LocalObjects(root);
  expect(objects.read(hashObject(content(1)))).toBeUndefined();
  add(objects, "kept", 1, 2);
  add(objects, "received", 3);
  expect(text(new LocalObjects(root).read(hashObject(content(2)))?.content)).toBe(content(2).toString());
  const missing: ReturnType<typeof hashObject>[] = [];
  const wants = [1, 9, 2, 3].map((n) => hashObject(content(n)));
  const frames = [...objects.frames(wants, missing)];
  expect(frames.map((frame) => frame.objects.length)).toEqual([2, 1]);
  expect(missing).toEqual([hashObject(content(9))]);
});

test("a flipped byte is found when the content is read", () => {
  const objects = new LocalObjects(root);
  add(objects, "kept", 100);
  const path = join(root, ".mic/objects", names()[0]!);
  const bytes = readFileSync(path);
  bytes[12]! ^= 1;
  writeFileSync(path, bytes);
  expect(() => new LocalObjects(root).read(hashObject(content(100)))).toThrow(/corrupt|does not/);
});

test("a received pack that was cut short is as good as none; a kept one is an error", () => {
  const objects = new LocalObjects(root);
  add(objects, "received", 1);
  truncateSync(join(root, ".mic/objects", names()[0]!), 20);
  expect(new LocalObjects(root).has(hashObject(content(1)))).toBe(false);
  add(new LocalObjects(root), "kept", 2);
  truncateSync(join(root, ".mic/objects", names()[0]!), 20);
  expect(() => new LocalObjects(root).has(hashObject(content(2)))).toThrow(/corrupt/);
});

test("many small packs become one, without what nothing refers to", () => {
  const objects = new LocalObjects(root);
  for (let n = 0; n < 60; n++) add(objects, "kept", n);
  expect(objects.needsCompaction(1 << 30)).toBe(true);
  const live = new Set(Array.from({ length: 50 }, (_, n) => hashObject(content(n))));
  objects.compact((id) => live.has(id), 1 << 30);
  expect(names()).toHaveLength(1);
  expect(objects.needsCompaction(1 << 30)).toBe(false);
  expect(objects.has(hashObject(content(49)))).toBe(true);
  expect(objects.has(hashObject(content(50)))).toBe(false);
  objects.compact((id) => id === hashObject(content(7)), 0);
  expect(objects.has(hashObject(content(7)))).toBe(true);
  expect(objects.has(hashObject(content(8)))).toBe(false);
});

test("above the budget packs whose content is in use stay as they are", () => {
  const objects = new LocalObjects(root);
  add(objects, "received", 1, 2, 3);
  const [used] = names();
  add(objects, "received", 4, 5);
  const live = new Set([1, 2, 3].map((n) => hashObject(content(n))));
  objects.compact((id) => live.has(id), 0);
  expect(names()).toEqual([used]);
  expect(objects.has(hashObject(content(4)))).toBe(false);
});

test("a pack that was added whole is read like any other", async () => {
  const objects = new LocalObjects(root);
  const writer = objects.writer("received");
  const { bytes } = encodePack(framesOf([testObject(content(1)), testObject(content(2))]));
  await writer.addPack(bytes);
  writer.finish();
  expect(text(objects.read(hashObject(content(2)))?.content)).toBe(content(2).toString());
});

test("replacing tracked files in an index gives what building it anew gives", () => {
  const id = (n: number) => hashObject(content(n));
  const entry = (name: string, n: number, chunks?: number): IndexEntry => ({
    path: paths(name)[0]!,
    entry: {
      kind: n % 2 === 0 ? "file" : "executable",
      size: n,
      id: id(n),
      ...(chunks === undefined ? {} : { chunks: id(chunks) }),
    },
    hint: n,
    stat: n % 3 === 0 ? { mtimeMs: n, ctimeMs: n + 1, size: n, ino: n } : undefined,
  });
  const names = Array.from({ length: 200 }, (_, i) => `d${i % 7}/${i % 3 === 0 ? "e/" : ""}f${i}`);
  const base = { position: at(1), root: id(1) };
  const first = WorkspaceIndex.empty(base).update({
    upserts: names.map((name, i) => entry(name, i, i === 50 ? 900 : undefined)),
  });
  for (const replaced of [[1, 2, 30], [50], [49, 51, 199]]) {
    const upserts = replaced.map((i) => entry(names[i]!, 300 + i));
    const next = first.update({ base: { ...base, position: at(2) }, upserts });
    const all = new Map([...first.entries(), ...upserts].map((known) => [known.path, known]));
    const rebuilt = WorkspaceIndex.empty({ ...base, position: at(2) }).update({ upserts: [...all.values()] });
    expect([...next.entries()]).toEqual([...rebuilt.entries()]);
    expect([...first.entries()]).toHaveLength(200);
    expect(first.find(names[1]!)?.hint).toBe(1);
  }
});
