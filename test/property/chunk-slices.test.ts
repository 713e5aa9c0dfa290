import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import { CHUNK_BYTES_MAX } from "../../src/core/codec/chunk-list.ts";
import { CHUNK_BYTES_MIN, CHUNK_BYTES_NORMAL, Chunker } from "../../src/core/objects/chunker.ts";
import { GEAR_TABLE } from "../../src/core/objects/gear-table.ts";
import { makeChunkInput } from "../support/chunk-inputs.ts";

const RANDOM = makeChunkInput({ source: "random", seed: 5, length: 12_000_000 });
/** Random, then a stretch without any cut, then random: every way in which a chunk ends. */
const MIXED = new Uint8Array(18_000_000);
MIXED.set(RANDOM.subarray(0, 5_000_000));
MIXED.set(RANDOM.subarray(5_000_000, 10_000_000), 13_000_000);

/** The definition, without slices and without skipping ahead cleverly. */
function referenceLengths(input: Uint8Array): number[] {
  const lengths: number[] = [];
  for (let start = 0; start < input.length; ) {
    let length = Math.min(CHUNK_BYTES_MIN, input.length - start);
    let hash = 0;
    while (start + length < input.length && length < CHUNK_BYTES_MAX) {
      hash = (hash * 2 + GEAR_TABLE[input[start + length]!]!) % 2 ** 32;
      length++;
      if (Math.floor(hash / (length <= CHUNK_BYTES_NORMAL ? 2 ** 10 : 2 ** 14)) === 0) break;
    }
    lengths.push(length);
    start += length;
  }
  return lengths;
}

/** Pushes copies that are wiped after each call, as a reader with one buffer does. */
function chunkInSlices(input: Uint8Array, sliceLength: () => number): { lengths: number[]; ids: string[] } {
  const chunker = new Chunker();
  const chunks: { length: number; id: string }[] = [];
  const take = (chunk: Uint8Array): void => void chunks.push({ length: chunk.length, id: hashObject(chunk) });
  for (let at = 0; at < input.length; ) {
    const slice = input.slice(at, at + Math.max(1, sliceLength()));
    for (const chunk of chunker.push(slice)) take(chunk);
    slice.fill(0xee);
    at += slice.length;
  }
  const last = chunker.finish();
  if (last !== undefined) take(last);
  return { lengths: chunks.map(({ length }) => length), ids: chunks.map(({ id }) => id) };
}

function idsAt(input: Uint8Array, lengths: readonly number[]): string[] {
  let at = 0;
  return lengths.map((length) => {
    at += length;
    return hashObject(input.subarray(at - length, at));
  });
}

const EXPECTED = referenceLengths(MIXED);
const EXPECTED_IDS = idsAt(MIXED, EXPECTED);

describe("Chunker", () => {
  test("cuts where the definition says", () => {
    expect(EXPECTED).toContain(CHUNK_BYTES_MAX);
    expect(chunkInSlices(MIXED, () => MIXED.length)).toEqual({ lengths: EXPECTED, ids: EXPECTED_IDS });
    expect(chunkInSlices(RANDOM, () => RANDOM.length).lengths).toEqual(referenceLengths(RANDOM));
  });

  test("cuts at the same places whatever the slices", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 3_000_000 }), { minLength: 1, maxLength: 8 }),
        (slices) => {
          let i = 0;
          const found = chunkInSlices(
            MIXED,
            () => slices[i++ % slices.length]! + (slices.length === 1 ? 30_000 : 0),
          );
          expect(found).toEqual({ lengths: EXPECTED, ids: EXPECTED_IDS });
        },
      ),
      { numRuns: 10 },
    );
    for (const slice of [4096, 65_536, CHUNK_BYTES_MIN, CHUNK_BYTES_MAX]) {
      expect(chunkInSlices(MIXED, () => slice)).toEqual({ lengths: EXPECTED, ids: EXPECTED_IDS });
    }
  });

  test("cuts at the same places when slices end at and beside every boundary", () => {
    const boundaries = new Set<number>();
    let at = 0;
    for (const length of EXPECTED) {
      for (const near of [CHUNK_BYTES_MIN, CHUNK_BYTES_NORMAL, length]) {
        for (const offset of [-1, 0, 1]) boundaries.add(at + near + offset);
      }
      at += length;
    }
    const sorted = [...boundaries].sort((a, b) => a - b);
    let position = 0;
    const found = chunkInSlices(MIXED, () => {
      const next = sorted.find((boundary) => boundary > position) ?? MIXED.length;
      const length = next - position;
      position = next;
      return length;
    });
    expect(found).toEqual({ lengths: EXPECTED, ids: EXPECTED_IDS });
  });

  test("keeps all but a few chunks when bytes are inserted, changed or removed", () => {
    const before = new Set(idsAt(RANDOM, referenceLengths(RANDOM)));
    fc.assert(
      fc.property(
        fc.nat(RANDOM.length),
        fc.nat(1000),
        fc.uint8Array({ maxLength: 1000 }),
        (at, removed, added) => {
          const edited = Buffer.concat([RANDOM.subarray(0, at), added, RANDOM.subarray(at + removed)]);
          const { ids } = chunkInSlices(edited, () => edited.length);
          expect(ids.filter((id) => !before.has(id)).length).toBeLessThanOrEqual(3);
        },
      ),
      { numRuns: 10, seed: 1 },
    );
  });

  test("starts anew after finish()", () => {
    const chunker = new Chunker();
    expect(chunker.finish()).toBeUndefined();
    expect(chunker.push(RANDOM.subarray(0, 600_000))).toEqual([]);
    expect(chunker.finish()).toHaveLength(600_000);
    expect(chunker.finish()).toBeUndefined();
    expect(chunker.push(RANDOM)[0]).toHaveLength(referenceLengths(RANDOM)[0]!);
  });
});
