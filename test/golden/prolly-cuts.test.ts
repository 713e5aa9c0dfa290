import { describe, expect, it } from "vitest";
import { compareBytes, hexToBytes, utf8 } from "../../src/core/base/bytes.ts";
import { cutSeed, energyOf, hashKey, isCut } from "../../src/core/prolly/cut-rule.ts";
import { CUT_TABLE } from "../../src/core/prolly/cut-table.ts";
import vectors from "./prolly-tree-cuts.json" with { type: "json" };

const salt = hexToBytes(vectors.salt);
const pad = (value: number, width: number) => String(value).padStart(width, "0");

const SETS: Record<string, (i: number) => { key: Uint8Array; valueLength: number }> = {
  decimal: (i) => ({ key: utf8(`k${pad(i, 6)}`), valueLength: (i * 37) % 200 }),
  paths: (i) => ({
    key: utf8(`pkg${pad(i % 30, 3)}\0mod${Math.floor(i / 30) % 10}\0file${pad(i, 5)}.ts`),
    valueLength: 41,
  }),
  large: (i) => ({ key: utf8(`v${pad(i, 4)}`), valueLength: 1000 + (i % 25) }),
};

describe("the cut rule's vectors", () => {
  it("the table has 257 integers with the published values", () => {
    expect(CUT_TABLE.length).toBe(257);
    for (const [name, value] of Object.entries(vectors.table)) {
      expect(CUT_TABLE[Number(/\d+/.exec(name)![0])]).toBe(value);
    }
    expect(CUT_TABLE[256]! - CUT_TABLE[255]!).toBe(2 ** 37);
    for (let i = 1; i < 257; i++) expect(CUT_TABLE[i]!).toBeGreaterThan(CUT_TABLE[i - 1]!);
  });

  it.each(vectors.hashes)("hash and energy of $key at level $level", ({ key, level, h, energy }) => {
    const bytes = hexToBytes(key);
    expect(hashKey(cutSeed(salt, level), bytes, 0, bytes.length)).toBe(h);
    expect(energyOf(h)).toBe(energy);
  });

  it.each(vectors.sets)("cuts of the set $name", ({ name, keys, cuts }) => {
    const entries = Array.from({ length: keys }, (_, i) => SETS[name]!(i));
    entries.sort((a, b) => compareBytes(a.key, b.key));
    const seed = cutSeed(salt, 0);
    const found: number[] = [];
    let size = 0;
    let count = 0;
    for (const [i, { key, valueLength }] of entries.entries()) {
      const after = size + key.length + valueLength + 4;
      count += 1;
      if (isCut(seed, size, after, count, key, 0, key.length)) {
        found.push(i);
        size = 0;
        count = 0;
      } else size = after;
    }
    expect(found).toEqual(cuts);
  });
});
