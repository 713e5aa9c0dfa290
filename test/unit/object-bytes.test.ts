import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as bytes from "../../src/core/base/bytes.ts";

const { ByteReader, ByteWriter, hexToBytes, utf8 } = bytes;
const CORRUPT = expect.objectContaining({ code: "corrupt" });

describe("ByteWriter and ByteReader", () => {
  test("give back every kind of field", () => {
    fc.assert(
      fc.property(
        fc.nat(255),
        fc.nat(0xffff),
        fc.nat(0xffffffff),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.maxSafeNat(),
        fc.uint8Array({ maxLength: 400 }),
        fc.string({ unit: "grapheme" }),
        (u8, u16, u32, u64, safe, blob, text) => {
          const writer = new ByteWriter(1);
          writer.u8(u8).u16(u16).u32(u32).u64(u64).u64(safe).varint(safe).prefixed(blob).string(text);
          writer.hex("0aff").bytes(blob);
          const reader = new ByteReader(writer.finish(), "test");
          expect([reader.u8(), reader.u16(), reader.u32(), reader.u64()]).toEqual([u8, u16, u32, u64]);
          expect([reader.safeU64(), reader.varint()]).toEqual([safe, safe]);
          expect(reader.prefixed()).toEqual(blob);
          expect(reader.string()).toBe(text);
          expect(reader.hex(2)).toBe("0aff");
          expect(reader.bytes(blob.length)).toEqual(blob);
          reader.end();
        },
      ),
    );
  });

  test("numbers are little-endian", () => {
    const writer = new ByteWriter().u16(0x0102).u32(0x01020304).u64(0x0102030405060708n).varint(300);
    expect(bytes.bytesToHex(writer.finish())).toBe("0201040302010807060504030201ac02");
  });

  test("finish() is a copy, view() is not", () => {
    const writer = new ByteWriter().u32(1);
    const copy = writer.finish();
    const view = writer.view();
    writer.patchU32(0, 2);
    expect([copy[0], view[0], writer.length]).toEqual([1, 2, 4]);
  });

  test("refuses to write a varint that it could not read", () => {
    for (const value of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => new ByteWriter().varint(value)).toThrow(expect.objectContaining({ code: "internal" }));
    }
  });
});

describe("ByteReader", () => {
  const read = (hex: string) => new ByteReader(hexToBytes(hex), "test");

  test("refuses to read past the end, and says where", () => {
    const reader = read("010203");
    reader.u8();
    for (const field of ["u32", "u64", "safeU64"] as const) expect(() => reader[field]()).toThrow(CORRUPT);
    expect(() => reader.bytes(3)).toThrow(/at byte 1/);
    expect(() => reader.hex(3)).toThrow(CORRUPT);
    expect(reader.u16()).toBe(0x0302);
    expect(() => reader.u8()).toThrow(/at byte 3/);
  });

  test("reads only its part of a larger buffer", () => {
    const reader = new ByteReader(Uint8Array.of(9, 1, 2, 9), "test", 1, 3);
    expect(reader.u16()).toBe(0x0201);
    expect(() => reader.u8()).toThrow(CORRUPT);
    const inBuffer = new ByteReader(Buffer.from([9, 1, 2, 9]).subarray(1, 3), "test");
    expect(inBuffer.u16()).toBe(0x0201);
    inBuffer.end();
  });

  test("refuses varints that are cut, too long, too large or not the shortest", () => {
    for (const hex of [
      "",
      "80",
      "8000",
      "ff00",
      "ffffffffffffff1f".replace(/1f$/, "20"),
      "ffffffffffffffff01",
    ]) {
      expect(() => read(hex).varint()).toThrow(CORRUPT);
    }
    expect(read("ffffffffffffff0f").varint()).toBe(Number.MAX_SAFE_INTEGER);
    expect(read("00").varint()).toBe(0);
  });

  test("refuses numbers above 2^53 - 1 instead of rounding them", () => {
    expect(read("ffffffffffff1f00").safeU64()).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => read("0000000000002000").safeU64()).toThrow(CORRUPT);
    expect(read("ffffffffffffffff").u64()).toBe(2n ** 64n - 1n);
  });

  test("refuses counts that the rest could not hold", () => {
    const reader = read("0000000000000000");
    expect(reader.count(2, 4)).toBe(2);
    expect(() => reader.count(3, 4)).toThrow(CORRUPT);
    expect(() => reader.count(0xffffffff, 1)).toThrow(CORRUPT);
  });

  test("refuses a prefix longer than what remains, bad UTF-8, another magic and trailing bytes", () => {
    expect(() => read("05aa").prefixed()).toThrow(CORRUPT);
    expect(() => read("02c328").string()).toThrow(CORRUPT);
    expect(() => read("4d494358").expectMagic("MICP")).toThrow(CORRUPT);
    expect(() => read("4d49").expectMagic("MICP")).toThrow(CORRUPT);
    expect(() => read("00").end()).toThrow(/trailing/);
    expect(read("02efbb").prefixed()).toEqual(hexToBytes("efbb"));
  });

  test("keeps a byte order mark that is part of the text", () => {
    expect(new ByteReader(new ByteWriter().string("\ufeffx").finish(), "test").string()).toBe("\ufeffx");
  });
});

describe("byte helpers", () => {
  test("compareBytes() orders as unsigned bytes, a prefix first", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 }), fc.uint8Array({ maxLength: 6 }), (a, b) => {
        expect(Math.sign(bytes.compareBytes(a, b))).toBe(Buffer.compare(a, b));
        expect(bytes.equalBytes(a, b)).toBe(Buffer.compare(a, b) === 0);
      }),
    );
  });

  test("hexToBytes() refuses what is not hex or half a byte", () => {
    for (const hex of ["0", "0g", "zz", "00 1"]) {
      expect(() => hexToBytes(hex)).toThrow(expect.objectContaining({ code: "usage" }));
    }
    expect(bytes.bytesToHex(Uint8Array.of(1, 2, 3), 1, 2)).toBe("02");
  });

  test("asPlainBytes() shares memory and gives slices that are copies", () => {
    const buffer = Buffer.from([1, 2, 3]);
    const plain = bytes.asPlainBytes(buffer.subarray(1));
    const slice = plain.slice();
    buffer.fill(9);
    expect([...plain, ...slice]).toEqual([9, 9, 2, 3]);
    expect(bytes.asPlainBytes(plain)).toBe(plain);
  });

  test("asBuffer() shares memory, concatBytes() does not", () => {
    const array = Uint8Array.of(1, 2, 3, 4).subarray(1, 3);
    const shared = bytes.asBuffer(array);
    const copy = bytes.concatBytes([array, utf8("x")]);
    array[0] = 7;
    expect([shared[0], shared.length]).toEqual([7, 2]);
    expect([...copy]).toEqual([2, 3, 0x78]);
  });
});
