import { describe, expect, test } from "vitest";
import { bytesToHex, hexToBytes } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { type Chunk, decodeChunkList, encodeChunkList } from "../../src/core/codec/chunk-list.ts";
import { decodeHints, encodeHints } from "../../src/core/codec/hints.ts";
import vectors from "./chunk-list.json" with { type: "json" };
import hintVectors from "./hints.json" with { type: "json" };

describe.each(hintVectors)("hints version $version: $name", ({ hints, hex }) => {
  test("encode to the vector", () => {
    expect(bytesToHex(encodeHints(Float64Array.from(hints)))).toBe(hex);
  });

  test("decode from the vector", () => {
    expect([...decodeHints(hexToBytes(hex), hints.length)]).toEqual(hints);
  });
});

describe.each(vectors)("chunk list version $version: $name", (vector) => {
  const chunks = vector.chunks as unknown as Chunk[];

  test("encodes to the vector", () => {
    const { content, sidecar } = encodeChunkList({ chunks });
    expect(bytesToHex(content)).toBe(vector.content);
    expect(bytesToHex(sidecar)).toBe(vector.sidecar);
    expect(hashObject(content)).toBe(vector.id);
  });

  test("decodes from the vector", () => {
    expect(decodeChunkList(hexToBytes(vector.content), hexToBytes(vector.sidecar))).toEqual({ chunks });
  });
});
