import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteWriter, bytesToHex, hexToBytes } from "../../src/core/base/bytes.ts";
import { MicError } from "../../src/core/base/errors.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { Epoch, ProjectId } from "../../src/core/base/ids.ts";
import {
  COLLECTION_VERSION,
  type CollectionPass,
  decodeCollectionPass,
  encodeCollectionPass,
} from "../../src/core/codec/collection.ts";
import { SEAL_BYTES, seal } from "../../src/core/codec/sealed.ts";
import { Candidates, EarlierPass } from "../../src/core/forge/collect/candidates.ts";
import { KeySet } from "../../src/core/forge/collect/key-set.ts";
import { projectPrefix, stagingKey } from "../../src/core/objects/keys.ts";
import { parseStoredKey, type StoredKey } from "../../src/core/objects/stored-key.ts";

const PROJECT = "0f".repeat(16) as ProjectId;
const golden: Record<string, { version: number; hex: string }> = JSON.parse(
  readFileSync(new URL("../golden/collection.json", import.meta.url), "utf8"),
);
const passes: Record<string, CollectionPass> = {
  pass: {
    isDeleted: false,
    atMs: 1_767_355_200_000,
    nonce: "0f".repeat(16),
    groups: [
      { kind: 1, days: 20454, ids: hexToBytes("a1".repeat(16)) },
      { kind: 2, days: 20453, ids: hexToBytes("b2".repeat(16) + "b3".repeat(16)) },
    ],
  },
  deleted: {
    isDeleted: true,
    atMs: 1_767_355_200_001,
    nonce: "f0".repeat(16),
    groups: [
      { kind: 6, days: 0, ids: hexToBytes("c3".repeat(16)) },
      { kind: 7, days: 0, ids: hexToBytes("d4".repeat(16)) },
    ],
  },
};

function plain(pass: CollectionPass): unknown {
  return { ...pass, groups: pass.groups.map((group) => ({ ...group, ids: bytesToHex(group.ids) })) };
}

function resealed(body: Uint8Array): Uint8Array {
  return seal(new ByteWriter(body.length + SEAL_BYTES).bytes(body));
}

describe.each(Object.keys(passes))("a collector's pass: %s", (name) => {
  const value = passes[name]!;
  const bytes = hexToBytes(golden[name]!.hex);
  const body = bytes.subarray(0, bytes.length - SEAL_BYTES);

  test("is what the vector says, both ways", () => {
    expect(golden[name]!.version).toBe(COLLECTION_VERSION);
    expect(bytesToHex(encodeCollectionPass(value))).toBe(golden[name]!.hex);
    expect(plain(decodeCollectionPass(bytes))).toEqual(plain(value));
  });

  test("is refused with any byte flipped, cut short or too long", () => {
    for (let offset = 0; offset < bytes.length; offset++) {
      const flipped = Uint8Array.from(bytes);
      flipped[offset]! ^= 1 << (offset % 8);
      expect(() => decodeCollectionPass(flipped), `byte ${offset}`).toThrow(MicError);
      expect(() => decodeCollectionPass(bytes.subarray(0, offset))).toThrow(MicError);
    }
    expect(() => decodeCollectionPass(resealed(Buffer.concat([body, Buffer.alloc(1)])))).toThrow(/corrupt/);
  });

  test("of another version is unsupported, and counts are checked before anything is allocated", () => {
    const newer = Uint8Array.from(body);
    newer[4] = 2;
    expect(() => decodeCollectionPass(resealed(newer))).toThrow(/version 2/);
    for (const offset of [32, 39]) {
      const many = Uint8Array.from(body);
      many.fill(0xff, offset, offset + 4);
      expect(() => decodeCollectionPass(resealed(many))).toThrow(MicError);
    }
  });

  test("with other bytes under a right seal is decoded or refused, never worse", () => {
    fc.assert(
      fc.property(fc.nat(body.length - 1), fc.nat(255), (at, byte) => {
        const changed = Uint8Array.from(body);
        changed[at] = byte;
        try {
          const decoded = decodeCollectionPass(resealed(changed));
          expect(encodeCollectionPass(decoded)).toEqual(Uint8Array.from(resealed(changed)));
        } catch (error) {
          expect(error).toBeInstanceOf(MicError);
        }
      }),
    );
  });
});

test("ids that are out of order or stand twice are refused, groups as well", () => {
  const { pass } = passes;
  const twice = hexToBytes("b3".repeat(16) + "b3".repeat(16));
  const wrong: CollectionPass["groups"][] = [
    [{ kind: 2, days: 1, ids: twice }],
    [...pass!.groups].reverse(),
    [{ kind: 0, days: 1, ids: hexToBytes("b3".repeat(16)) }],
    [{ kind: 9, days: 1, ids: hexToBytes("b3".repeat(16)) }],
    [{ kind: 2, days: 1, ids: new Uint8Array(0) }],
  ];
  for (const groups of wrong) {
    const bytes = encodeCollectionPass({ ...pass!, groups });
    expect(() => decodeCollectionPass(bytes)).toThrow(/corrupt/);
  }
});

const storedKey = fc.record({
  kind: fc.constantFrom("pack", "page", "rollup", "part", "blob") as fc.Arbitrary<StoredKey["kind"]>,
  days: fc.nat(3),
  id: fc.nat(200).map((n) => hashObject(Buffer.from(String(n))) as string),
});

test("a pass has exactly the candidates that were found, in whatever order", () => {
  fc.assert(
    fc.property(fc.array(storedKey, { maxLength: 300 }), fc.array(storedKey), (added, asked) => {
      const candidates = new Candidates();
      for (const key of added) expect(candidates.add(key)).toBe(true);
      const groups = candidates.groups();
      const pass = encodeCollectionPass({ isDeleted: false, atMs: 1, nonce: "00".repeat(16), groups });
      const earlier = new EarlierPass(decodeCollectionPass(pass));
      const names = new Set(added.map((key) => JSON.stringify(key)));
      for (const key of [...added, ...asked]) expect(earlier.has(key)).toBe(names.has(JSON.stringify(key)));
      expect(earlier.count).toBe(names.size);
    }),
  );
});

test("a set of keys has what was added, and as good as nothing else", () => {
  const set = new KeySet();
  const id = (n: number): string => hashObject(Buffer.from(String(n)));
  for (let n = 0; n < 20_000; n++) set.add(n % 2 === 0 ? "pack" : "page", n % 7, id(n));
  for (let n = 0; n < 20_000; n++) expect(set.has(n % 2 === 0 ? "pack" : "page", n % 7, id(n))).toBe(true);
  expect(set.size).toBe(20_000);
  for (let n = 0; n < 20_000; n++) {
    expect(set.has(n % 2 === 0 ? "page" : "pack", n % 7, id(n))).toBe(false);
    expect(set.has(n % 2 === 0 ? "pack" : "page", (n % 7) + 1, id(n))).toBe(false);
  }
});

test("parseStoredKey() knows every kind of key, and takes no other for one", () => {
  const hash = hashObject(Buffer.from("x"));
  const hh = hash.slice(0, 2);
  const known: Record<string, StoredKey["kind"]> = {
    [`packs/2026-01-02/${hh}/${hash}.pack`]: "pack",
    [`blobs/2026-01-02/${hh}/${hash}`]: "blob",
    [`pages/2026-01-02/${hh}/${hash}`]: "page",
    [`landing-log/parts/2026-01-02/${hh}/${hash}`]: "part",
    [`landing-log/level-3/2026-01-02/0000000000000001-${hash}`]: "rollup",
  };
  for (const [below, kind] of Object.entries(known)) {
    expect(parseStoredKey(PROJECT, projectPrefix(PROJECT) + below)).toEqual({ kind, days: 20455, id: hash });
  }
  const session = parseStoredKey(PROJECT, `${projectPrefix(PROJECT)}sessions/${"ab".repeat(16)}.bin`);
  expect(session).toEqual({ kind: "session", days: 0, id: "ab".repeat(16) });
  const upload = parseStoredKey(PROJECT, stagingKey(PROJECT, "2026-01-02" as Epoch, "cd".repeat(16)));
  expect(upload).toEqual({ kind: "staging", days: 20455, id: "cd".repeat(16) });
  const others = [
    "head",
    "gc/pass",
    `packs/2026-01-02/${hh}/${hash}`,
    `packs/2026-02-31/${hh}/${hash}.pack`,
    `packs/1969-12-31/${hh}/${hash}.pack`,
    `packs/2026-01-02/00/${hash}.pack`,
    `blobs/2026-01-02/${hh}/${hash}.pack`,
    `quarantine/packs/2026-01-02/${hh}/${hash}.pack`,
    `landing-log/level-3/2026-01-02/1-${hash}`,
  ];
  for (const below of others) {
    expect(parseStoredKey(PROJECT, projectPrefix(PROJECT) + below)).toMatchObject({ kind: "other", days: 0 });
  }
});
