import { describe, expect, test } from "vitest";
import { compress } from "../../src/core/base/compress.ts";
import type { ObjectId } from "../../src/core/base/ids.ts";
import { FRAME_RAW_BYTES_MAX } from "../../src/core/base/limits.ts";
import { encodeChunkList } from "../../src/core/codec/chunk-list.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { expandFrame, readObjectFromFrame } from "../../src/core/objects/read-frame.ts";
import { verifyFrame } from "../../src/core/objects/verify-pack.ts";
import { framesOf, testObject } from "../support/packs.ts";

const [FRAME] = framesOf([testObject("one ".repeat(40)), testObject("two"), testObject("")], 1000) as [Frame];
const CORRUPT = expect.objectContaining({ code: "corrupt" });

describe("verifyFrame()", () => {
  test("accepts what a builder made", () => {
    expect(FRAME.compressed).toBe(true);
    verifyFrame(FRAME);
  });

  test("refuses a frame that claims more than the cap before it expands it", () => {
    const rawLength = FRAME_RAW_BYTES_MAX + 1;
    expect(() => verifyFrame({ ...FRAME, rawLength })).toThrow(/claims/);
  });

  test("refuses a bomb: zstd that expands to more than the frame says", () => {
    const stored = compress(new Uint8Array(FRAME_RAW_BYTES_MAX));
    expect(stored.length).toBeLessThan(2000);
    expect(() => verifyFrame({ ...FRAME, stored })).toThrow(CORRUPT);
  });

  test("refuses raw frames of another length", () => {
    expect(() => verifyFrame({ ...FRAME, compressed: false })).toThrow(CORRUPT);
  });

  test("refuses gaps, overlaps, objects beyond the end and missing ones", () => {
    const [first, second, third] = FRAME.objects as [
      Frame["objects"][0],
      Frame["objects"][0],
      Frame["objects"][0],
    ];
    const wrong: Frame["objects"][] = [
      [],
      [first],
      [second, third],
      [first, { ...second, offset: second.offset + 1 }, third],
      [first, first, second, third],
      [first, { ...second, length: second.length + 1 }, third],
      [first, { ...second, sidecarLength: 1 }, third],
      [first, second, third, { ...third, offset: third.offset, length: -1, sidecarLength: 1 }],
    ];
    for (const objects of wrong) expect(() => verifyFrame({ ...FRAME, objects })).toThrow(CORRUPT);
  });

  test("refuses a chunk list whose sidecar no hash covers", () => {
    const chunk = { id: "11".repeat(32) as ObjectId, length: 5, hint: 9 };
    const { content, sidecar } = encodeChunkList({ chunks: [chunk] });
    const [good] = framesOf([testObject(content, "chunk-list", sidecar)], 1000);
    verifyFrame(good!);
    const [bad] = framesOf([testObject(content, "chunk-list", Uint8Array.of(2, 9))], 1000);
    expect(() => verifyFrame(bad!)).toThrow(CORRUPT);
    const [junk] = framesOf([testObject("not a chunk list", "chunk-list")], 1000);
    expect(() => verifyFrame(junk!)).toThrow(CORRUPT);
  });
});

describe("readObjectFromFrame()", () => {
  test("gives content and sidecar, verified", () => {
    const object = testObject("content", "node", "hints");
    const [frame] = framesOf([testObject("before"), object], 1000);
    const raw = expandFrame(frame!);
    const location = frame!.objects[1]!;
    const found = readObjectFromFrame(raw, location, object.id);
    expect(Buffer.from(found.content).toString()).toBe("content");
    expect(Buffer.from(found.sidecar).toString()).toBe("hints");
    expect(found.kind).toBe("node");
    expect(() => readObjectFromFrame(raw, location, FRAME.objects[0]!.id)).toThrow(CORRUPT);
    expect(() => readObjectFromFrame(raw.subarray(1), location, object.id)).toThrow(CORRUPT);
  });
});
