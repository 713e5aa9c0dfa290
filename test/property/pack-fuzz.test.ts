/** Decoders never crash, loop or allocate on hostile bytes: they give a value or a typed error. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesToHex, hexToBytes } from "../../src/core/base/bytes.ts";
import { MicError } from "../../src/core/base/errors.ts";
import { hashBytes } from "../../src/core/base/hash.ts";
import {
  CHUNK_BYTES_MAX,
  type Chunk,
  decodeChunkList,
  encodeChunkList,
} from "../../src/core/codec/chunk-list.ts";
import { decodeHints, encodeHints } from "../../src/core/codec/hints.ts";
import { decodePackIndex, encodePack, openPackIndex, PACK_TRAILER_BYTES } from "../../src/core/codec/pack.ts";
import { decodeTreeEntry, encodeTreeEntry, type TreeEntry } from "../../src/core/codec/tree-entry.ts";
import type { ObjectKind } from "../../src/core/objects/frame.ts";
import { verifyPack } from "../../src/core/objects/verify-pack.ts";
import treeEntries from "../golden/tree-entry.json" with { type: "json" };
import { framesOf, objectsIn, testObject } from "../support/packs.ts";

const RUNS = { numRuns: 300 };
const position = fc.oneof(fc.constant(0), fc.nat(300), fc.maxSafeNat());
const id = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => bytesToHex(bytes));
const chunk = fc.record({ id, length: fc.integer({ min: 1, max: CHUNK_BYTES_MAX }), hint: position });
const kind = fc.constantFrom<ObjectKind>("blob", "node", "record", "operations");
const object = fc.record({
  content: fc.uint8Array({ maxLength: 60 }),
  kind,
  sidecar: fc.uint8Array({ maxLength: 8 }),
});

/** Some changed bytes, a cut, or something appended. */
const mutation = fc.record({
  changes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
  keep: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, fc.double({ min: 0, max: 1, noNaN: true })),
  append: fc.oneof(
    { weight: 4, arbitrary: fc.constant(new Uint8Array(0)) },
    fc.uint8Array({ maxLength: 40 }),
  ),
});

function mutate(
  bytes: Uint8Array,
  how: typeof mutation extends fc.Arbitrary<infer T> ? T : never,
): Uint8Array {
  const kept = bytes.slice(0, Math.floor(bytes.length * how.keep));
  for (const [at, value] of how.changes) if (kept.length > 0) kept[at % kept.length] = value;
  return Buffer.concat([kept, how.append]);
}

/** The decoded value, or undefined when it was refused as it should be. */
function decodeOrRefuse<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof MicError && (error.code === "corrupt" || error.code === "unsupported"))
      return undefined;
    throw error;
  }
}

describe("tree entries", () => {
  const entry = fc
    .record({ size: fc.maxSafeNat(), id, chunks: id, kind: fc.constantFrom("file", "executable", "symlink") })
    .map(({ chunks, ...rest }) =>
      rest.kind === "symlink" || rest.size % 2 === 0 ? rest : { ...rest, chunks },
    ) as fc.Arbitrary<unknown> as fc.Arbitrary<TreeEntry>;

  test("decode to what was encoded", () => {
    fc.assert(
      fc.property(entry, (value) => void expect(decodeTreeEntry(encodeTreeEntry(value))).toEqual(value)),
    );
  });

  test("hostile bytes are refused or are the one encoding of what they decode to", () => {
    const check = (bytes: Uint8Array): void => {
      const found = decodeOrRefuse(() => decodeTreeEntry(bytes));
      if (found !== undefined) expect(bytesToHex(encodeTreeEntry(found))).toBe(bytesToHex(bytes));
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), check), RUNS);
    const valid = fc.constantFrom(...treeEntries.map(({ hex }) => hexToBytes(hex)));
    fc.assert(
      fc.property(valid, mutation, (bytes, how) => check(mutate(bytes, how))),
      RUNS,
    );
  });

  test("sizes above 2^53 - 1, unknown kinds and every other length are refused", () => {
    const [file, , symlink, chunked] = treeEntries.map(({ hex }) => Buffer.from(hex, "hex")) as [
      Buffer,
      Buffer,
      Buffer,
      Buffer,
    ];
    const large = Buffer.from(file);
    large.writeBigUInt64LE(2n ** 53n, 1);
    const unknown = Buffer.from(file);
    unknown[0] = 3;
    const chunkedLink = Buffer.from(chunked);
    chunkedLink[0] = symlink[0]! | 0x80;
    for (const bytes of [large, unknown, chunkedLink])
      expect(() => decodeTreeEntry(bytes)).toThrow(/corrupt/);
    for (let length = 0; length < chunked.length; length++) {
      expect(() => decodeTreeEntry(chunked.subarray(0, length))).toThrow(/corrupt/);
    }
    for (let length = 0; length < 80; length++) {
      if (length !== file.length)
        expect(() => decodeTreeEntry(Buffer.concat([file, Buffer.alloc(40)], length))).toThrow(/corrupt/);
    }
  });
});

describe("hints", () => {
  test("decode to what was encoded", () => {
    fc.assert(
      fc.property(fc.array(position, { maxLength: 60 }), (values) => {
        const hints = Float64Array.from(values);
        expect(decodeHints(encodeHints(hints), values.length)).toEqual(hints);
      }),
    );
  });

  test("hostile bytes are refused or are the one encoding of what they decode to", () => {
    const check = (bytes: Uint8Array, count: number): void => {
      const found = decodeOrRefuse(() => decodeHints(bytes, count));
      if (found === undefined) return;
      expect(found.length).toBe(count);
      expect(bytesToHex(encodeHints(found))).toBe(bytesToHex(bytes));
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 20 }), fc.nat(40), check), RUNS);
    const valid = fc.array(position, { maxLength: 30 });
    fc.assert(
      fc.property(valid, mutation, (values, how) =>
        check(mutate(encodeHints(Float64Array.from(values)), how), values.length),
      ),
      RUNS,
    );
  });
});

describe("chunk lists", () => {
  const list = fc.array(chunk, { minLength: 1, maxLength: 20 }) as fc.Arbitrary<unknown> as fc.Arbitrary<
    Chunk[]
  >;

  test("decode to what was encoded", () => {
    fc.assert(
      fc.property(list, (chunks) => {
        const { content, sidecar } = encodeChunkList({ chunks });
        expect(decodeChunkList(content, sidecar)).toEqual({ chunks });
      }),
    );
  });

  test("hostile bytes are refused or are the one encoding of what they decode to", () => {
    const check = (content: Uint8Array, sidecar: Uint8Array): void => {
      const found = decodeOrRefuse(() => decodeChunkList(content, sidecar));
      if (found === undefined) return;
      const again = encodeChunkList(found);
      expect(bytesToHex(again.content)).toBe(bytesToHex(content));
      expect(bytesToHex(again.sidecar)).toBe(bytesToHex(sidecar));
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), fc.uint8Array({ maxLength: 10 }), check), RUNS);
    fc.assert(
      fc.property(list, mutation, mutation, (chunks, how, howSidecar) => {
        const { content, sidecar } = encodeChunkList({ chunks });
        check(mutate(content, how), sidecar);
        check(content, mutate(sidecar, howSidecar));
      }),
      RUNS,
    );
  });

  test("a count of 0xFFFFFFFF is refused before anything is allocated", () => {
    const { content, sidecar } = encodeChunkList({
      chunks: [{ id: "11".repeat(32), length: 1, hint: 0 }] as Chunk[],
    });
    for (const count of [0, 2, 180_000, 180_001, 0xffffffff]) {
      const wrong = Buffer.from(content);
      wrong.writeUInt32LE(count, 8);
      expect(() => decodeChunkList(wrong, sidecar)).toThrow(/corrupt/);
    }
  });

  test("another version is unsupported, and too many chunks are too large", () => {
    const one = { id: "11".repeat(32), length: 1, hint: 0 } as Chunk;
    const { content, sidecar } = encodeChunkList({ chunks: [one] });
    const newer = Buffer.from(content);
    newer[4] = 2;
    expect(() => decodeChunkList(newer, sidecar)).toThrow(expect.objectContaining({ code: "unsupported" }));
    expect(() => encodeChunkList({ chunks: Array.from({ length: 180_001 }, () => one) })).toThrow(
      expect.objectContaining({ code: "too-large" }),
    );
  });
});

describe("packs", () => {
  const objects = fc.array(object, { maxLength: 12 });
  const made = fc.tuple(objects, fc.integer({ min: 1, max: 150 })).map(([list, rawTarget]) => {
    const all = list.map((each) => testObject(each.content, each.kind, each.sidecar));
    return { all, pack: encodePack(framesOf(all, rawTarget)) };
  });

  test("hold what was put in, in order, and are found by id", () => {
    fc.assert(
      fc.property(made, ({ all, pack }) => {
        const { frames, index, id: packId } = verifyPack(pack.bytes, { trusted: false });
        expect(packId).toBe(pack.id);
        expect([...frames].flatMap(objectsIn)).toEqual(all);
        for (const each of all) expect(index.find(each.id)?.length).toBe(each.content.length);
        expect(encodePack([...frames]).id).toBe(pack.id);
      }),
    );
  });

  test("hostile bytes are refused", () => {
    fc.assert(
      fc.property(made, mutation, ({ pack }, how) => {
        const bytes = mutate(pack.bytes, how);
        const found = decodeOrRefuse(() => verifyPack(bytes, { trusted: false }));
        if (found !== undefined) expect(bytesToHex(bytes)).toBe(bytesToHex(pack.bytes));
      }),
      RUNS,
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(decodeOrRefuse(() => decodePackIndex(bytes))).toBeUndefined();
      }),
      RUNS,
    );
  });

  test("an index with a fitting checksum is refused or is the one encoding of itself", () => {
    fc.assert(
      fc.property(made, mutation, ({ pack }, { changes }) => {
        const tail = Buffer.from(pack.bytes.subarray(pack.bytes.length - pack.indexLength));
        const covered = tail.length - PACK_TRAILER_BYTES + 16;
        for (const [at, value] of changes) tail[at % covered] = value;
        tail.set(hashBytes(tail.subarray(0, covered)).subarray(0, 16), covered);
        const index = decodeOrRefuse(() => decodePackIndex(tail));
        if (index === undefined) return;
        let end = 8;
        for (const [i, frame] of index.frames().entries()) {
          expect(frame.offset).toBe(end);
          end += frame.storedLength;
          let raw = 0;
          for (const each of index.objectsOfFrame(i)) {
            expect(each.offset).toBe(raw);
            raw += each.length + each.sidecarLength;
          }
          expect(raw).toBe(frame.rawLength);
        }
        expect(index.packSize).toBe(end + tail.length);
        for (const each of index.ids()) expect(index.find(each)).toBeDefined();
      }),
      RUNS,
    );
  });

  test("rows that are read without having been checked are refused or lie in their frame", () => {
    fc.assert(
      fc.property(made, mutation, ({ all, pack }, { changes }) => {
        const tail = Buffer.from(pack.bytes.subarray(pack.bytes.length - pack.indexLength));
        const covered = tail.length - PACK_TRAILER_BYTES + 16;
        for (const [at, value] of changes) tail[at % covered] = value;
        tail.set(hashBytes(tail.subarray(0, covered)).subarray(0, 16), covered);
        const index = decodeOrRefuse(() => openPackIndex(tail));
        if (index === undefined) return;
        for (const { id } of all) {
          const found = decodeOrRefuse(() => index.find(id));
          if (found === undefined) continue;
          const { rawLength } = index.frame(found.frame);
          expect(found.offset + found.length + found.sidecarLength).toBeLessThanOrEqual(rawLength);
        }
        const known = decodeOrRefuse(() => decodePackIndex(tail));
        for (let row = 0; known !== undefined && row < known.objectCount; row++) {
          expect(index.isIdOfRow(known.idBytesOfRow(row), row)).toBe(true);
          expect(index.idOfRow(row)).toBe(known.idOfRow(row));
          expect(index.locate(row)).toEqual(known.locate(row));
        }
      }),
      RUNS,
    );
  });

  test("an index finds every id however often it is asked", () => {
    const all = Array.from({ length: 600 }, (_, i) => testObject(Buffer.from(`object ${i}`)));
    const pack = encodePack(framesOf(all, 4096));
    const index = openPackIndex(pack.bytes.subarray(pack.bytes.length - pack.indexLength));
    for (let round = 0; round < 2; round++) {
      for (const { id } of all) expect(index.idOfRow(index.findRow(Buffer.from(id, "hex")))).toBe(id);
      expect(index.findRow(new Uint8Array(32))).toBe(-1);
      expect(index.findRow(new Uint8Array(32).fill(0xff))).toBe(-1);
    }
    const [first, second] = [index.idBytesOfRow(0), index.idBytesOfRow(1)];
    expect(index.isIdOfRow(first, 0)).toBe(true);
    expect(index.isIdOfRow(second, 0)).toBe(false);
  });
});
