import { describe, expect, test } from "vitest";
import { asBuffer, utf8 } from "../../src/core/base/bytes.ts";
import { isMicError } from "../../src/core/base/errors.ts";
import { hashBytes, hashObject } from "../../src/core/base/hash.ts";
import type { ObjectId } from "../../src/core/base/ids.ts";
import { FRAME_RAW_BYTES_MAX } from "../../src/core/base/limits.ts";
import { decodePackIndex, encodePack, PACK_TRAILER_BYTES } from "../../src/core/codec/pack.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { verifyPack } from "../../src/core/objects/verify-pack.ts";
import { framesOf, testObject } from "../support/packs.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const OBJECTS = [
  testObject("the first file\n".repeat(5)),
  testObject(""),
  testObject("second", "node", "\x05\x07"),
  testObject(new SeededRandom(1).bytes(80)),
  testObject("a record", "record"),
  testObject("operations", "operations", "side"),
];
const FRAMES = framesOf(OBJECTS, 96);
const PACK = encodePack(FRAMES);
const TAIL = PACK.bytes.subarray(PACK.bytes.length - PACK.indexLength);

const FRAME_ROW = 21;
const OBJECT_ROW = 9;

/** The tail with some bytes changed and a checksum that fits them. */
function resealed(edit: (tail: Buffer) => void, tail: Uint8Array = TAIL): Uint8Array {
  const copy = Buffer.from(tail);
  edit(copy);
  const covered = copy.length - PACK_TRAILER_BYTES + 16;
  copy.set(hashBytes(copy.subarray(0, covered)).subarray(0, 16), covered);
  return copy;
}

/** A frame that stores its objects raw, with ids of the test's choice. */
function frameWithIds(ids: readonly string[]): Frame {
  return {
    compressed: false,
    rawLength: ids.length,
    stored: new Uint8Array(ids.length),
    objects: ids.map((id, i) => ({
      id: id as ObjectId,
      kind: "blob",
      offset: i,
      length: 1,
      sidecarLength: 0,
    })),
  };
}

function indexOf(frames: readonly Frame[]): ReturnType<typeof decodePackIndex> {
  const { bytes, indexLength } = encodePack(frames);
  return decodePackIndex(bytes.subarray(bytes.length - indexLength));
}

describe("encodePack()", () => {
  test("names the pack by the BLAKE3 of its bytes", () => {
    expect(PACK.id).toBe(hashObject(PACK.bytes));
  });

  test("gives an index that finds every object in its frame", () => {
    const index = decodePackIndex(TAIL);
    expect(index.objectCount).toBe(OBJECTS.length);
    expect(index.packSize).toBe(PACK.bytes.length);
    expect(index.ids()).toEqual(OBJECTS.map((object) => object.id));
    for (const [frame, { objects }] of FRAMES.entries()) {
      expect(index.objectsOfFrame(frame)).toEqual(objects);
      for (const { id, ...location } of objects) expect(index.find(id)).toEqual({ frame, ...location });
    }
    expect(index.idsOfKind("record")).toEqual([OBJECTS[4]!.id]);
    expect(index.idsOfKind("chunk-list")).toEqual([]);
  });

  test("keeps the frames and their order", () => {
    const { frames } = verifyPack(PACK.bytes, { trusted: false });
    expect(frames.map((frame) => ({ ...frame, stored: Buffer.from(frame.stored) }))).toEqual(
      FRAMES.map((frame) => ({ ...frame, stored: Buffer.from(frame.stored) })),
    );
  });

  test("makes a pack of no frames", () => {
    const empty = encodePack([]);
    expect(decodePackIndex(empty.bytes.subarray(8)).objectCount).toBe(0);
    expect([...verifyPack(empty.bytes, { trusted: false }).frames]).toEqual([]);
  });

  test("sorts ids that share their first bytes, and finds the first of equal ones", () => {
    const near = ["00", "ff", "7f", "80", "01"].map((end) => `${"5a".repeat(31)}${end}`);
    const index = indexOf([frameWithIds([...near, near[1]!]), frameWithIds([near[0]!, "00".repeat(32)])]);
    for (const [row, id] of near.entries()) {
      expect(index.find(id as ObjectId)).toMatchObject({ frame: 0, offset: row });
    }
    expect(index.find("00".repeat(32) as ObjectId)).toMatchObject({ frame: 1, offset: 1 });
    expect(index.find(`${"5a".repeat(31)}02` as ObjectId)).toBeUndefined();
    expect(index.find("ff".repeat(32) as ObjectId)).toBeUndefined();
  });

  test("refuses more than a gigabyte before it allocates", () => {
    const stored = new Uint8Array(1 << 20);
    const frame: Frame = { compressed: false, rawLength: stored.length, stored, objects: [] };
    expect(() => encodePack(Array.from({ length: 1025 }, () => frame))).toThrow(
      expect.objectContaining({ code: "too-large" }),
    );
  });

  test("takes a frame whose objects do not fill it for a bug", () => {
    const frame = frameWithIds(["11".repeat(32)]);
    const wrong = { ...frame, rawLength: 2, stored: new Uint8Array(2) };
    expect(() => encodePack([wrong])).toThrow(expect.objectContaining({ code: "internal" }));
  });
});

describe("decodePackIndex()", () => {
  test("refuses every cut of the tail", () => {
    for (let length = 0; length < TAIL.length; length++) {
      expect(() => decodePackIndex(TAIL.subarray(TAIL.length - length))).toThrow(/corrupt/);
      expect(() => decodePackIndex(TAIL.subarray(0, length))).toThrow(/corrupt/);
    }
  });

  test("refuses counts that the bytes cannot hold", () => {
    for (const at of [0, 4, 8]) {
      const tail = resealed((copy) => copy.writeUInt32LE(0xffffffff, copy.length - PACK_TRAILER_BYTES + at));
      expect(() => decodePackIndex(tail)).toThrow(expect.objectContaining({ code: "corrupt" }));
    }
  });

  test("refuses another version as unsupported", () => {
    const tail = resealed((copy) => copy.writeUInt16LE(2, copy.length - PACK_TRAILER_BYTES + 12));
    expect(() => decodePackIndex(tail)).toThrow(expect.objectContaining({ code: "unsupported" }));
  });

  const objectsAt = FRAMES.length * FRAME_ROW;
  const idsAt = objectsAt + OBJECTS.length * OBJECT_ROW;
  const rowsAt = idsAt + OBJECTS.length * 32;
  const raw = FRAMES.findIndex((frame) => !frame.compressed);
  const several = FRAMES.findIndex((frame) => frame.objects.length > 1);
  const cases: [string, (tail: Buffer) => void][] = [
    ["a frame above the raw limit", (tail) => tail.writeUInt32LE(FRAME_RAW_BYTES_MAX + 1, 4)],
    ["a raw frame of another stored length", (tail) => tail.writeUInt32LE(1, raw * FRAME_ROW)],
    ["unknown frame flags", (tail) => tail.writeUInt8(2, 12)],
    ["a compressed frame that is not smaller", (tail) => tail.writeUInt8(1, raw * FRAME_ROW + 12)],
    ["a frame without objects", (tail) => tail.writeUInt32LE(0, 8)],
    ["a frame with more objects than there are", (tail) => tail.writeUInt32LE(0xffffffff, 8)],
    ["objects in no frame", (tail) => tail.writeUInt32LE(1, several * FRAME_ROW + 8)],
    ["an object that passes its frame's end", (tail) => tail.writeUInt32LE(0xfffffff0, objectsAt)],
    ["objects that leave a gap", (tail) => tail.writeUInt32LE(1, objectsAt)],
    ["an unknown object kind", (tail) => tail.writeUInt8(5, objectsAt + 8)],
    ["a row beyond the table", (tail) => tail.writeUInt32LE(OBJECTS.length, rowsAt)],
    ["a row named twice", (tail) => tail.writeUInt32LE(tail.readUInt32LE(rowsAt + 4), rowsAt)],
    ["unsorted ids", (tail) => tail.fill(0xff, idsAt, idsAt + 32)],
    ["equal ids out of order", (tail) => equalIdsOutOfOrder(tail, idsAt, rowsAt)],
  ];
  test.each(cases)("refuses %s under a fitting checksum", (_, edit) => {
    expect(() => decodePackIndex(resealed(edit))).toThrow(expect.objectContaining({ code: "corrupt" }));
  });

  function equalIdsOutOfOrder(tail: Buffer, ids: number, rows: number): void {
    tail.copyWithin(ids, ids + 32, ids + 64);
    const first = tail.readUInt32LE(rows);
    const second = tail.readUInt32LE(rows + 4);
    tail.writeUInt32LE(Math.max(first, second), rows);
    tail.writeUInt32LE(Math.min(first, second), rows + 4);
  }
});

describe("verifyPack()", () => {
  test("detects every single changed byte", () => {
    for (let at = 0; at < PACK.bytes.length; at++) {
      for (const change of [0x01, 0x80, 0xff]) {
        const copy = Buffer.from(PACK.bytes);
        copy[at]! ^= change;
        let error: unknown;
        try {
          verifyPack(copy, { trusted: false });
        } catch (caught) {
          error = caught;
        }
        const isDetected = isMicError(error, "corrupt") || isMicError(error, "unsupported");
        expect(isDetected, `byte ${at} ^ ${change}: ${String(error)}`).toBe(true);
      }
    }
  });

  test("refuses every cut and what trails or precedes", () => {
    for (let length = 0; length < PACK.bytes.length; length++) {
      expect(() => verifyPack(PACK.bytes.subarray(0, length), { trusted: false })).toThrow(/corrupt/);
    }
    const longer = Buffer.concat([PACK.bytes, utf8("x")]);
    expect(() => verifyPack(longer, { trusted: false })).toThrow(/corrupt/);
    const inside = Buffer.concat([PACK.bytes.subarray(0, 8), utf8("x"), PACK.bytes.subarray(8)]);
    expect(() => verifyPack(inside, { trusted: true })).toThrow(/corrupt/);
  });

  test("refuses a tail longer than the pack", () => {
    expect(() =>
      verifyPack(Buffer.concat([PACK.bytes.subarray(0, 8), TAIL.subarray(30)]), { trusted: true }),
    ).toThrow(/corrupt/);
  });

  test("refuses content that is not its id", () => {
    const [frame] = framesOf([testObject("some content")]);
    const lie = { ...frame!, objects: [{ ...frame!.objects[0]!, id: hashObject(utf8("other")) }] };
    const { bytes } = encodePack([lie]);
    expect(() => verifyPack(bytes, { trusted: false })).toThrow(expect.objectContaining({ code: "corrupt" }));
    expect(verifyPack(bytes, { trusted: true }).frames).toHaveLength(1);
  });

  test("refuses to expand more than the caller allows", () => {
    const { bytes } = encodePack(framesOf([testObject(new Uint8Array(100_000))], 200_000));
    expect(() => verifyPack(bytes, { trusted: false, rawBytesMax: 99_999 })).toThrow(
      expect.objectContaining({ code: "too-large" }),
    );
    expect(verifyPack(bytes, { trusted: false, rawBytesMax: 100_000 }).indexLength).toBe(
      decodePackIndex(asBuffer(bytes).subarray(-102)).objectCount + 101,
    );
  });
});
