import { describe, expect, test } from "vitest";
import { bytesToHex, hexToBytes } from "../../src/core/base/bytes.ts";
import { decodeTreeEntry, encodeTreeEntry, type TreeEntry } from "../../src/core/codec/tree-entry.ts";
import vectors from "./tree-entry.json" with { type: "json" };

describe.each(vectors)("tree entry version $version: $name", ({ entry, hex }) => {
  test("encodes to the vector", () => {
    expect(bytesToHex(encodeTreeEntry(entry as unknown as TreeEntry))).toBe(hex);
  });

  test("decodes from the vector", () => {
    expect(decodeTreeEntry(hexToBytes(hex))).toEqual(entry);
  });
});
