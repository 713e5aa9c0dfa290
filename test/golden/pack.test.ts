import { describe, expect, test } from "vitest";
import { bytesToHex, hexToBytes } from "../../src/core/base/bytes.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { verifyPack } from "../../src/core/objects/verify-pack.ts";
import { objectsIn } from "../support/packs.ts";
import vectors from "./pack.json" with { type: "json" };

/** The compressed bytes are part of a vector: which of its encodings zstd chooses is not part of the format. */
describe.each(vectors)("pack version $version: $name", (vector) => {
  test("decodes to the objects written down", () => {
    const { id, frames, indexLength } = verifyPack(hexToBytes(vector.hex), { trusted: false });
    expect(id).toBe(vector.id);
    expect(indexLength).toBe(vector.indexLength);
    const found = frames.map((frame) => ({
      compressed: frame.compressed,
      objects: objectsIn(frame).map((object) => ({
        id: object.id,
        kind: object.kind,
        content: bytesToHex(object.content),
        sidecar: bytesToHex(object.sidecar),
      })),
    }));
    expect(found).toEqual(vector.frames);
  });

  test("its frames encode to the same bytes", () => {
    const { frames } = verifyPack(hexToBytes(vector.hex), { trusted: false });
    const { id, bytes } = encodePack([...frames]);
    expect(bytesToHex(bytes)).toBe(vector.hex);
    expect(id).toBe(vector.id);
  });
});
