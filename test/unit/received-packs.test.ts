import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodePack } from "../../src/core/codec/pack.ts";
import { ReceivedPacks } from "../../src/core/workspace/clone/received-packs.ts";
import { LocalObjects, OBJECTS_DIR } from "../../src/core/workspace/content/local-objects.ts";
import { metaPath } from "../../src/core/workspace/layout.ts";
import { framesOf, testObject } from "../support/packs.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const random = new SeededRandom(31);
let root: string;
let directory: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "mic-received-"));
  directory = metaPath(root, OBJECTS_DIR);
});

afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

describe("ReceivedPacks", () => {
  test("writes the pack that encodePack() makes, also of frames larger than its buffer", () => {
    const sizes = [10, 40_000, 700_000, 300, 200_000, 200_000, 200_000, 1];
    const objects = sizes.map((size) => testObject(random.bytes(size)));
    const frames = framesOf(objects, 100_000);
    using received = new ReceivedPacks(directory);
    for (const frame of frames) {
      const borrowed = { ...frame, stored: new Uint8Array(frame.stored) };
      received.add(borrowed);
      borrowed.stored.fill(0);
    }
    received.finish();
    const [name, ...others] = readdirSync(directory);
    expect(others).toEqual([]);
    expect(Buffer.compare(readFileSync(join(directory, name!)), encodePack(frames).bytes)).toBe(0);
    const local = new LocalObjects(root);
    for (const { id, content } of objects) {
      expect(Buffer.compare(local.read(id)!.content, content)).toBe(0);
    }
  });

  test("begins a pack when the one before it is full", () => {
    const objects = Array.from({ length: 5 }, () => testObject(random.bytes(2 << 20)));
    using received = new ReceivedPacks(directory);
    for (const frame of framesOf(objects, 100, "store")) received.add(frame);
    received.finish();
    expect(readdirSync(directory).length).toBeGreaterThan(1);
    const local = new LocalObjects(root);
    for (const { id } of objects) expect(local.has(id)).toBe(true);
  });

  test("leaves nothing of a pack that is not finished, and takes away what was left over", () => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "received.tmp-0"), "of one that was killed");
    writeFileSync(join(directory, "received.tmp-17"), "of one that was killed");
    writeFileSync(join(directory, "else"), "");
    {
      using received = new ReceivedPacks(directory);
      for (const frame of framesOf([testObject("content")])) received.add(frame);
      expect(readdirSync(directory).sort()).toEqual(["else", "received.tmp-0"]);
    }
    expect(readdirSync(directory)).toEqual(["else"]);
  });

  test("makes no file for nothing", () => {
    using received = new ReceivedPacks(directory);
    received.finish();
    expect(() => readdirSync(directory)).toThrow("ENOENT");
  });
});
