import { describe, expect, test } from "vitest";
import { FRAME_RAW_BYTES_MAX } from "../../src/core/base/limits.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { verifyFrame } from "../../src/core/objects/verify-pack.ts";
import { framesOf, objectsIn, testObject } from "../support/packs.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const random = new SeededRandom(7);

describe("FrameBuilder", () => {
  test("puts several objects in a frame, in order, up to the raw target", () => {
    const objects = Array.from({ length: 10 }, (_, i) => testObject(`object number ${i}`));
    const frames = framesOf(objects, 40);
    expect(frames.map((frame) => frame.objects.length)).toEqual([2, 2, 2, 2, 2]);
    expect(frames.flatMap((frame) => frame.objects.map(({ id }) => id))).toEqual(objects.map(({ id }) => id));
    for (const frame of frames) verifyFrame(frame);
  });

  test("keeps sidecars and empty objects", () => {
    const objects = [testObject(""), testObject("node", "node", "hints"), testObject("", "blob", "side")];
    expect(framesOf(objects, 100).flatMap(objectsIn)).toEqual(objects);
  });

  test("makes a frame of one empty object", () => {
    const frames = framesOf([testObject("")]);
    expect(frames).toMatchObject([{ compressed: false, rawLength: 0 }]);
    verifyFrame(frames[0]!);
  });

  test("gives a larger object a frame of its own and keeps the order", () => {
    const large = testObject("x".repeat(500), "blob", "side");
    const frames = framesOf([testObject("before"), large, testObject("after")], 64);
    expect(frames.map((frame) => frame.objects.length)).toEqual([1, 1, 1]);
    expect(frames[1]).toMatchObject({ compressed: true, rawLength: 504 });
    for (const frame of frames) verifyFrame(frame);
  });

  test.each([
    ["an array", 5000, (bytes: Uint8Array) => bytes],
    ["a Buffer, of which slice() is a view", 5000, (bytes: Uint8Array) => Buffer.from(bytes)],
    ["a small Buffer", 500, (bytes: Uint8Array) => Buffer.from(bytes)],
  ])("stores raw what zstd does not make smaller, in memory of its own: %s", (_, length, wrap) => {
    const content = wrap(random.bytes(length));
    const builder = new FrameBuilder({ rawTarget: 1000 });
    builder.add("blob", testObject(content).id, content);
    const [frame] = builder.finish();
    expect(frame!.compressed).toBe(false);
    content.fill(0);
    verifyFrame(frame!);
  });

  test("gives stored bytes that can be copied with slice()", () => {
    const frames = framesOf(
      [testObject("text ".repeat(300)), testObject(Buffer.from(random.bytes(90)))],
      100,
    );
    expect(frames.map((frame) => frame.compressed)).toEqual([true, false]);
    for (const { stored } of frames) expect(stored.slice().buffer).not.toBe(stored.buffer);
  });

  test("reuses its buffer without changing frames given out", () => {
    const builder = new FrameBuilder({ rawTarget: 100, level: "store" });
    const first = testObject(random.bytes(90));
    const second = testObject(random.bytes(90));
    builder.add("blob", first.id, first.content);
    builder.add("blob", second.id, second.content);
    const full = builder.takeFull();
    expect(full).toHaveLength(1);
    expect(builder.takeFull()).toEqual([]);
    const rest = builder.finish();
    for (const frame of [...full, ...rest]) {
      expect(frame.compressed).toBe(false);
      verifyFrame(frame);
    }
    expect(builder.finish()).toEqual([]);
  });

  test("refuses an object that fits no frame", () => {
    const builder = new FrameBuilder({ rawTarget: 1000 });
    const content = new Uint8Array(FRAME_RAW_BYTES_MAX + 1);
    expect(() => builder.add("blob", testObject("").id, content)).toThrow(
      expect.objectContaining({ code: "too-large" }),
    );
  });
});
