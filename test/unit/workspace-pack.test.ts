import { execFile, execFileSync } from "node:child_process";
import { appendFileSync, closeSync, openSync, readFileSync, utimesSync, writeSync } from "node:fs";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { hexToBytes } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { CHUNK_THRESHOLD_BYTES } from "../../src/core/base/limits.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import { type ChunkList, decodeChunkList } from "../../src/core/codec/chunk-list.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { expandFrame, type ObjectContent, readObjectFromFrame } from "../../src/core/objects/read-frame.ts";
import { WorkspaceIndex } from "../../src/core/workspace/index/workspace-index.ts";
import { type PackFilesOptions, packFiles } from "../../src/core/workspace/packing/pack-files.ts";
import type { PackedFile } from "../../src/core/workspace/packing/packed-files.ts";
import { scanWorkspace } from "../../src/core/workspace/scan/scan.ts";
import { nextTick } from "../support/land-in-index.ts";
import { type TemporaryWorkspace, temporaryWorkspace } from "../support/temporary-workspace.ts";

/** Everything that the frames hold, verified. */
function collect(frames: readonly Frame[]): Map<string, ObjectContent> {
  const objects = new Map<string, ObjectContent>();
  for (const frame of frames) {
    const raw = expandFrame(frame);
    for (const object of frame.objects) objects.set(object.id, readObjectFromFrame(raw, object, object.id));
  }
  return objects;
}

async function packAll(ws: TemporaryWorkspace, options: Partial<PackFilesOptions> = {}) {
  const scan = await scanWorkspace({ root: ws.root, index: WorkspaceIndex.empty() });
  const frames: Frame[] = [];
  const packed = await packFiles({
    root: ws.root,
    files: scan.changes.map(({ path, after }) => ({ path, kind: after!.kind, size: after!.size })),
    isKnown: () => undefined,
    onFrame: (frame) => {
      frames.push(frame);
    },
    ...options,
  });
  return { packed: [...packed], frames, objects: collect(frames) };
}

function chunkListOf(objects: Map<string, ObjectContent>, file: PackedFile): ChunkList {
  const stored = objects.get(file.entry.chunks!)!;
  expect(stored.kind).toBe("chunk-list");
  return decodeChunkList(stored.content, stored.sidecar);
}

/** Does not compress and does not repeat. */
function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed | 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

describe("packFiles()", () => {
  test("gives every file's kind, size and id, and frames with its content", async () => {
    using ws = temporaryWorkspace();
    ws.write("a", "content");
    ws.write("empty", "");
    ws.writeExecutable("run", "#!/bin/sh\n");
    ws.link("to", "a");
    ws.link("dangling", "no where/ü");
    await nextTick();
    const { packed, objects } = await packAll(ws);
    expect(packed.map(({ path, entry }) => [path, entry.kind, entry.size])).toEqual([
      ["a", "file", 7],
      ["dangling", "symlink", 11],
      ["empty", "file", 0],
      ["run", "executable", 10],
      ["to", "symlink", 1],
    ]);
    const contentOf = (i: number) => Buffer.from(objects.get(packed[i]!.entry.id)!.content).toString();
    expect([0, 1, 2, 3, 4].map(contentOf)).toEqual(["content", "no where/ü", "", "#!/bin/sh\n", "a"]);
    for (const { hint, stat } of packed) {
      expect(hint).toBe(0);
      expect(stat).toBeDefined();
    }
  });

  test("gives stat data that the next scan takes as clean", async () => {
    using ws = temporaryWorkspace();
    ws.write("a", "content");
    ws.link("b", "a");
    await nextTick();
    const { packed } = await packAll(ws);
    const index = WorkspaceIndex.empty().update({ upserts: packed });
    const scan = await scanWorkspace({ root: ws.root, index });
    expect(scan.changes).toEqual([]);
    expect(scan.refreshed).toEqual([]);
  });

  test("gives no stat data for a file whose times are not over yet, and reads it twice", async () => {
    using ws = temporaryWorkspace();
    ws.write("f", "content");
    const tomorrow = Date.now() / 1000 + 24 * 3600;
    utimesSync(ws.path("f"), tomorrow, tomorrow);
    await nextTick();
    const { packed, objects } = await packAll(ws);
    expect(packed[0]!.stat).toBeUndefined();
    expect(Buffer.from(objects.get(packed[0]!.entry.id)!.content).toString()).toBe("content");
  });

  test("frames equal content once, and known content not at all", async () => {
    using ws = temporaryWorkspace();
    for (let i = 0; i < 50; i++) ws.write(`same/${i}`, "the same");
    ws.write("known", "already there");
    const known = hashObject(Buffer.from("already there"));
    const { packed, frames, objects } = await packAll(ws, {
      isKnown: (id) => (id === known ? 17 : undefined),
    });
    expect(frames.flatMap((frame) => frame.objects)).toHaveLength(1);
    expect(objects.has(known)).toBe(false);
    expect(packed.find(({ path }) => path === "known")!.hint).toBe(17);
  });

  test("splits a large file into chunks that make it up again, with the whole file's id", async () => {
    using ws = temporaryWorkspace();
    const content = noise(9_000_000, 7);
    ws.write("large", content);
    ws.write("small", noise(CHUNK_THRESHOLD_BYTES, 9));
    const { packed, objects } = await packAll(ws);
    const [large, small] = packed;
    expect(large!.entry).toMatchObject({ size: content.length, id: hashObject(content) });
    const list = chunkListOf(objects, large!);
    const joined = Buffer.concat(list.chunks.map(({ id }) => objects.get(id)!.content));
    expect(joined.equals(content)).toBe(true);
    expect(list.chunks.every(({ hint }) => hint === 0)).toBe(true);
    expect(objects.has(large!.entry.id)).toBe(false);
    expect(small!.entry.chunks).toBeUndefined();
  });

  test("frames only the chunks that a changed large file does not share with the version before", async () => {
    using ws = temporaryWorkspace();
    const content = noise(12_000_000, 3);
    ws.write("large", content);
    const first = await packAll(ws);
    const list = chunkListOf(first.objects, first.packed[0]!);
    content[6_000_000]! ^= 1;
    ws.write("large", content);
    const prior = { chunks: list.chunks.map((chunk) => ({ ...chunk, hint: 5 })) };
    const second = await packAll(ws, { priorChunks: (path) => (path === "large" ? prior : undefined) });
    const chunks = [...second.objects.values()].filter(({ kind }) => kind === "blob");
    expect(chunks).toHaveLength(1);
    const hints = chunkListOf(second.objects, second.packed[0]!).chunks.map(({ hint }) => hint);
    expect(hints.filter((hint) => hint === 0)).toHaveLength(1);
    expect(hints.filter((hint) => hint === 5)).toHaveLength(hints.length - 1);
  });

  test("does the same in one thread and in two", async () => {
    using ws = temporaryWorkspace();
    for (let i = 0; i < 600; i++) ws.write(`d${i % 20}/f${i}`, noise(40_000 + i, i + 1));
    ws.write("d5/large", noise(3_000_000, 99));
    ws.write("same", noise(40_000, 1));
    await nextTick();
    const single = await packAll(ws, { workers: 0 });
    const double = await packAll(ws, { workers: 1 });
    expect(double.packed).toEqual(single.packed);
    expect([...double.objects.keys()].sort()).toEqual([...single.objects.keys()].sort());

    const known = single.packed.slice(0, 300).map(({ entry }) => entry.id);
    const hints = new Map(known.map((id, i) => [id as string, i + 1]));
    const again = await packAll(ws, {
      workers: 1,
      isKnown: (id) => hints.get(id),
      knownIds: () => Buffer.concat(known.map((id) => hexToBytes(id))),
    });
    for (const { entry, hint } of again.packed) expect(hint).toBe(hints.get(entry.id) ?? 0);
    for (const id of known) expect(again.objects.has(id)).toBe(false);
  });

  test("makes no more frames than the caller takes", async () => {
    using ws = temporaryWorkspace();
    for (let i = 0; i < 64; i++) ws.write(`f${i}`, noise(1_000_000, i + 1));
    let waiting = 0;
    let most = 0;
    const { packed } = await packAll(ws, {
      onFrame: async () => {
        waiting++;
        most = Math.max(most, waiting);
        await new Promise((resolve) => setTimeout(resolve, 1));
        waiting--;
      },
    });
    expect(packed).toHaveLength(64);
    expect(most).toBe(1);
  });

  test("reads a file that was written to meanwhile again, and names one that does not hold still", async () => {
    using ws = temporaryWorkspace();
    ws.write("log", noise(5_000_000, 1));
    let writes = 0;
    const appending = (times: number) => ({
      onFrame: () => {
        if (writes++ < times) appendFileSync(ws.path("log"), "one more line");
      },
    });
    const { packed } = await packAll(ws, appending(1));
    expect(packed[0]!.entry).toMatchObject({
      size: 5_000_013,
      id: hashObject(readFileSync(ws.path("log"))),
    });
    await expect(packAll(ws, appending(1000))).rejects.toMatchObject({
      code: "dirty",
      kind: "retry",
      data: { paths: ["log"] },
    });
  });

  test("names a file that is gone or became something else", async () => {
    using ws = temporaryWorkspace();
    ws.write("target", "");
    const pack = (path: string) =>
      packFiles({
        root: ws.root,
        files: [{ path: path as TreePath, kind: "file", size: 0 }],
        isKnown: () => undefined,
        onFrame: () => undefined,
      });
    ws.makeDirectory("dir");
    ws.link("link", "target");
    execFileSync("mkfifo", [ws.path("pipe")]);
    for (const path of ["gone", "dir", "link", "pipe"]) {
      await expect(pack(path), path).rejects.toMatchObject({ code: "dirty", data: { paths: [path] } });
    }
  });

  test("ends with the caller's error, and its worker with it", async () => {
    using ws = temporaryWorkspace();
    for (let i = 0; i < 80; i++) ws.write(`f${i}`, noise(500_000, i + 1));
    let frames = 0;
    const failing = packAll(ws, {
      onFrame: () => {
        if (++frames === 3) throw new Error("no room");
      },
    });
    await expect(failing).rejects.toThrow("no room");
    const controller = new AbortController();
    const aborted = packAll(ws, { signal: controller.signal, onFrame: () => controller.abort() });
    await expect(aborted).rejects.toMatchObject({ code: "aborted" });
  });

  test("streams a file of any size with bounded memory", async () => {
    using ws = temporaryWorkspace();
    const size = Number(process.env["MIC_TEST_LARGE_BYTES"] ?? 300 << 20);
    const file = openSync(ws.path("huge"), "w");
    const block = noise(1 << 20, 5);
    for (let written = 0; written < size; written += block.length) {
      for (let at = 0; at < block.length; at += 4096) block.writeDoubleLE(written + at, at);
      writeSync(file, block);
    }
    closeSync(file);
    const program = `
      const { packFiles } = await import(${JSON.stringify(new URL("../../src/core/workspace/packing/pack-files.ts", import.meta.url).href)});
      let bytes = 0;
      let peak = 0;
      const [packed] = await packFiles({
        root: ${JSON.stringify(ws.root)},
        files: [{ path: "huge", kind: "file", size: ${size} }],
        isKnown: () => undefined,
        onFrame: (frame) => {
          bytes += frame.rawLength;
          peak = Math.max(peak, process.memoryUsage().rss);
        },
      });
      console.log(JSON.stringify({ size: packed.entry.size, bytes, peak }));
    `;
    const { stdout } = await promisify(execFile)(process.execPath, ["-e", program]);
    const { bytes, peak, ...rest } = JSON.parse(stdout) as { size: number; bytes: number; peak: number };
    expect(rest.size).toBe(size);
    expect(bytes).toBeGreaterThan(size);
    expect(peak).toBeLessThan(260 << 20);
  });
});
