import { constants, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { concatBytes, EMPTY_BYTES, utf8 } from "../../src/core/base/bytes.ts";
import { compress, decompress } from "../../src/core/base/compress.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const TEXT = utf8("some text that repeats, some text that repeats\n".repeat(50));
const CORRUPT = expect.objectContaining({ code: "corrupt" });

describe("compress() and decompress()", () => {
  test("give back what went in, of every size around the block limits", () => {
    const random = new SeededRandom(3);
    for (const length of [0, 1, 2, 255, 256, 65_535, 65_791, 65_792, 131_072, 131_073, 300_000]) {
      for (const raw of [random.bytes(length), new Uint8Array(length), TEXT.slice(0, length)]) {
        expect(new Uint8Array(decompress(compress(raw), raw.length))).toEqual(raw);
      }
    }
  });

  test("levels change the size, not the content", () => {
    expect(new Uint8Array(decompress(compress(TEXT, 19), TEXT.length))).toEqual(TEXT);
  });

  test("a frame with a checksum is read and its checksum checked", () => {
    const stored = zstdCompressSync(TEXT, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
    expect(new Uint8Array(decompress(stored, TEXT.length))).toEqual(TEXT);
    const changed = Buffer.from(stored);
    changed[changed.length - 1]! ^= 1;
    expect(() => decompress(changed, TEXT.length)).toThrow(CORRUPT);
  });

  test("a frame without its content size is held to the size asked for", () => {
    const stored = zstdCompressSync(TEXT, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } });
    expect(new Uint8Array(decompress(stored, TEXT.length))).toEqual(TEXT);
    expect(() => decompress(stored, TEXT.length - 1)).toThrow(CORRUPT);
    expect(() => decompress(stored, TEXT.length + 1)).toThrow(CORRUPT);
  });
});

describe("decompress()", () => {
  const stored = compress(TEXT);

  test("refuses another raw length, shorter or longer", () => {
    for (const length of [0, 1, TEXT.length - 1, TEXT.length + 1, TEXT.length * 2]) {
      expect(() => decompress(stored, length)).toThrow(CORRUPT);
    }
  });

  test("refuses a bomb without producing it", () => {
    const bomb = compress(new Uint8Array(16 << 20));
    expect(bomb.length).toBeLessThan(8000);
    expect(() => decompress(bomb, 1000)).toThrow(CORRUPT);
    const claimsNothing = zstdCompressSync(new Uint8Array(16 << 20), {
      params: { [constants.ZSTD_c_contentSizeFlag]: 0 },
    });
    expect(() => decompress(claimsNothing, 1000)).toThrow(CORRUPT);
  });

  test("never holds more of a bomb than was asked for", () => {
    // 2 GiB in 64 KiB: blocks that repeat one byte (RFC 8878 §3.1.1.2), in a window of 1 MiB, of no stated size.
    const blocks = 16_384;
    const bomb = Buffer.alloc(6 + blocks * 4);
    bomb.set([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50]);
    for (let i = 0; i < blocks; i++) {
      const isLast = i === blocks - 1 ? 1 : 0;
      bomb.writeUIntLE(((128 << 10) << 3) | (1 << 1) | isLast, 6 + i * 4, 3);
    }
    const peakKib = process.resourceUsage().maxRSS;
    expect(() => decompress(bomb, 1000)).toThrow(CORRUPT);
    expect(process.resourceUsage().maxRSS - peakKib).toBeLessThan(1 << 20);
    const small = Buffer.concat([bomb.subarray(0, 6), bomb.subarray(bomb.length - 4)]);
    expect(decompress(small, 128 << 10)).toEqual(new Uint8Array(128 << 10));
  });

  test("refuses every cut", () => {
    for (let length = 0; length < stored.length; length++) {
      expect(() => decompress(stored.subarray(0, length), TEXT.length)).toThrow(CORRUPT);
    }
  });

  test("refuses a second frame, a skippable frame and trailing bytes", () => {
    const empty = compress(EMPTY_BYTES);
    const skippable = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7);
    for (const after of [stored, empty, skippable, Uint8Array.of(0)]) {
      expect(() => decompress(concatBytes([stored, after]), TEXT.length)).toThrow(CORRUPT);
    }
    expect(() => decompress(concatBytes([skippable, stored]), TEXT.length)).toThrow(CORRUPT);
    expect(() => decompress(concatBytes([stored, stored]), TEXT.length * 2)).toThrow(CORRUPT);
  });

  test("refuses what is not zstd or needs a dictionary", () => {
    expect(() => decompress(TEXT, TEXT.length)).toThrow(CORRUPT);
    const withDictionary = Buffer.concat([stored.subarray(0, 5), Buffer.alloc(4, 1), stored.subarray(5)]);
    withDictionary[4]! |= 3;
    expect(() => decompress(withDictionary, TEXT.length)).toThrow(/dictionary/);
  });

  test("gives the same bytes, other bytes of the same length or `corrupt` for any changed byte", () => {
    for (let at = 0; at < stored.length; at++) {
      for (const change of [0x01, 0x80, 0xff]) {
        const copy = Buffer.from(stored);
        copy[at]! ^= change;
        try {
          expect(decompress(copy, TEXT.length)).toHaveLength(TEXT.length);
        } catch (error) {
          expect(error).toMatchObject({ code: "corrupt" });
        }
      }
    }
  });
});
