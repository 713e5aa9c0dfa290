import { describe, expect, test } from "vitest";
import { releaseBytes } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { PackBuilder } from "../../src/core/codec/pack-builder.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { verifyPack } from "../../src/core/objects/verify-pack.ts";

function makeFrames(seed: number, sizes: readonly number[]): Frame[] {
  const builder = new FrameBuilder({ rawTarget: 4096 });
  let state = seed;
  for (const size of sizes) {
    // Some of it compresses, some does not.
    const content = Uint8Array.from({ length: size }, (_, i) => {
      state = (state * 1103515245 + 12345) & 0x7fffffff;
      return size % 2 === 0 ? state >>> 16 : i >>> 6;
    });
    builder.add("blob", hashObject(content), content, size % 3 === 0 ? content.subarray(0, 5) : undefined);
  }
  return builder.finish();
}

const SIZES = [10, 3000, 9000, 9001, 20_000, 1, 700, 4095];

describe("PackBuilder", () => {
  test("makes the packs that encodePack makes, one after the other in the same memory", () => {
    const builder = new PackBuilder(200_000);
    const memory = new Set<ArrayBufferLike>();
    for (const seed of [1, 2, 3]) {
      const frames = makeFrames(seed, SIZES);
      for (const frame of frames) builder.add(frame);
      expect(builder.storedLength).toBe(frames.reduce((sum, { stored }) => sum + stored.length, 0));
      const bytes = builder.finish();
      memory.add(bytes.buffer);
      expect(Buffer.compare(bytes, encodePack(frames).bytes)).toBe(0);
      expect([...verifyPack(bytes, { trusted: false }).frames]).toEqual(frames);
      builder.clear();
      expect(builder.frames).toEqual([]);
    }
    expect(memory.size).toBe(1);
  });

  test("keeps the frames when it outgrows its capacity", () => {
    const builder = new PackBuilder(100);
    const frames = makeFrames(4, SIZES);
    for (const frame of frames) builder.add(frame);
    expect(builder.frames).toEqual(frames);
    expect(Buffer.compare(builder.finish(), encodePack(frames).bytes)).toBe(0);
  });

  test("can be used again after its memory was given back", () => {
    const builder = new PackBuilder(100_000);
    const frames = makeFrames(6, SIZES);
    for (const frame of frames) builder.add(frame);
    const bytes = builder.finish();
    const expected = encodePack(frames).bytes;
    expect(Buffer.compare(bytes, expected)).toBe(0);
    builder.release();
    expect([bytes.length, builder.storedLength, builder.frames.length]).toEqual([0, 0, 0]);
    for (const frame of frames) builder.add(frame);
    expect(Buffer.compare(builder.finish(), expected)).toBe(0);
  });

  test("does not look at a frame's bytes after it was added", () => {
    const builder = new PackBuilder(100_000);
    const frames = makeFrames(5, [50_000]);
    const expected = encodePack(frames).bytes;
    builder.add(frames[0]!);
    releaseBytes(frames[0]!.stored);
    expect(Buffer.compare(builder.finish(), expected)).toBe(0);
  });
});

describe("releaseBytes()", () => {
  test("empties a large array and every view of it", () => {
    const bytes = new Uint8Array(1 << 20);
    const view = bytes.subarray(10, 20);
    releaseBytes(bytes);
    expect([bytes.length, view.length]).toEqual([0, 0]);
  });

  test("leaves memory alone that may be shared with others", () => {
    const pooled = Buffer.from("pooled");
    releaseBytes(pooled);
    expect(pooled.toString()).toBe("pooled");
    const shared = new Uint8Array(new SharedArrayBuffer(1 << 20));
    releaseBytes(shared);
    expect(shared.length).toBe(1 << 20);
  });
});
