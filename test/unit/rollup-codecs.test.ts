import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesToHex, hexToBytes } from "../../src/core/base/bytes.ts";
import { MicError } from "../../src/core/base/errors.ts";
import type { ObjectId, Position } from "../../src/core/base/ids.ts";
import { pathToKey, type TreePath } from "../../src/core/base/path.ts";
import { KeyColumn } from "../../src/core/codec/key-column.ts";
import { encodePathFilter, mayContain } from "../../src/core/codec/path-filter.ts";
import {
  decodeRollupFront,
  encodeRollupFront,
  ROLLUP_PART_BYTES_MAX,
  type RollupFront,
  type RollupTable,
} from "../../src/core/codec/rollup.ts";
import { decodeIdBlock, IdBlockWriter } from "../../src/core/codec/rollup-ids.ts";
import { decodeIndexPage, encodeIndexPage, ROLLUP_FILTER } from "../../src/core/codec/rollup-index.ts";
import {
  decodeTouchedBlock,
  fingerprintOf,
  KIND_DELETE,
  TouchedBlockWriter,
  touchedKind,
} from "../../src/core/codec/rollup-touched.ts";

const golden: Record<string, { version: number; hex: string }> = JSON.parse(
  readFileSync(new URL("../golden/rollup.json", import.meta.url), "utf8"),
);

const key = (path: string): Uint8Array => new Uint8Array(pathToKey(path as TreePath));

function columnOf(...keys: Uint8Array[]): KeyColumn {
  const ends = new Uint32Array(keys.length);
  let end = 0;
  for (const [i, one] of keys.entries()) ends[i] = end += one.length;
  return new KeyColumn(new Uint8Array(Buffer.concat(keys)), ends);
}

function tableOf(entries: number, first: Uint8Array, second: Uint8Array, offset: number): RollupTable {
  return {
    entries,
    content: "c0".repeat(32),
    keys: columnOf(first, second),
    positions: [3, 99],
    pages: [
      { offset, length: 40, checksum: hexToBytes("a1".repeat(16)) },
      { offset: offset + 40, length: 10, checksum: hexToBytes("a2".repeat(16)) },
    ],
  };
}

const front: RollupFront = {
  level: 1,
  first: 101 as Position,
  digest: "d1".repeat(32),
  parts: [{ hash: "e1".repeat(32) as ObjectId, length: 70_000 }],
  tables: {
    touched: tableOf(5, key("a/b"), key("a/c"), 0),
    landings: tableOf(100, hexToBytes("00".repeat(16)), hexToBytes("80".repeat(16)), 60_000),
    sessions: tableOf(7, hexToBytes("01".repeat(16)), hexToBytes("81".repeat(16)), 70_000),
  },
  inline: new Uint8Array(60).fill(7),
};

const page = encodeIndexPage([
  {
    key: key("a/b"),
    position: 5,
    filter: encodePathFilter([key("a/b")], [key("a")], ROLLUP_FILTER),
    offset: 700,
    length: 300,
    checksum: hexToBytes("b1".repeat(16)),
  },
  {
    key: key("a/b"),
    position: 70,
    filter: encodePathFilter([key("a/b"), key("z")], [key("a")], ROLLUP_FILTER),
    offset: 1000,
    length: 20,
    checksum: hexToBytes("b2".repeat(16)),
  },
]);

const idBlock = (() => {
  const writer = new IdBlockWriter();
  writer.add(hexToBytes("01".repeat(16)), 99);
  writer.add(hexToBytes("f1".repeat(16)), 0);
  return writer.finish();
})();

function touchedBlock(paths: readonly string[]): Uint8Array {
  const writer = new TouchedBlockWriter();
  for (const [i, path] of paths.entries()) {
    writer.beginKey(key(path));
    writer.add(i, touchedKind("executable"), fingerprintOf("4f".repeat(32)), 0);
    writer.add(i + 40, KIND_DELETE, new Uint8Array(0), 0);
  }
  return writer.finish().stored;
}

const formats: readonly { name: string; bytes: Uint8Array; decode: (bytes: Uint8Array) => unknown }[] = [
  { name: "front", bytes: encodeRollupFront(front), decode: decodeRollupFront },
  { name: "index", bytes: page, decode: decodeIndexPage },
  { name: "ids", bytes: idBlock, decode: decodeIdBlock },
  { name: "touched", bytes: touchedBlock(["a", "a/b"]), decode: decodeTouchedBlock },
  {
    name: "touched-zstd",
    bytes: touchedBlock(Array.from({ length: 400 }, (_, i) => `dir/file ${1000 + i}`)),
    decode: decodeTouchedBlock,
  },
];

/** Every byte of a short one. */
function stepOver(bytes: Uint8Array): number {
  return bytes.length > 1000 ? 23 : 1;
}

function refusesOrDecodes(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): void {
  try {
    decode(bytes);
  } catch (error) {
    if (!(error instanceof MicError)) throw error;
    expect(["corrupt", "unsupported"]).toContain(error.code);
  }
}

/** What zstd makes of a block may change with its version. */
const exact = formats.filter(({ name }) => name !== "touched-zstd");

test.each(exact)("rollup $name encodes to its golden vector", ({ name, bytes }) => {
  expect(bytesToHex(bytes)).toBe(golden[name]?.hex);
});

describe.each(formats)("rollup $name", ({ name, bytes, decode }) => {
  test("decodes its golden vector to the same", () => {
    expect(decode(new Uint8Array(hexToBytes(golden[name]!.hex)))).toEqual(decode(bytes));
  });

  test("is refused when it is cut short anywhere, or goes on", () => {
    for (let length = 0; length < bytes.length; length += stepOver(bytes)) {
      const cut = bytes.slice(0, length);
      // A block of whole ids is one too.
      if (name === "ids" && length === 20) continue;
      expect(() => decode(cut), `${length} bytes`).toThrow(expect.objectContaining({ code: "corrupt" }));
    }
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    expect(() => decode(longer)).toThrow(expect.objectContaining({ code: "corrupt" }));
  });

  test("is refused or decoded, never more, with any bytes changed", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 }),
        (changes) => {
          const changed = bytes.slice();
          for (const [offset, byte] of changes) changed[offset] = byte;
          refusesOrDecodes(decode, changed);
        },
      ),
      { numRuns: 1500 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (random) => refusesOrDecodes(decode, random)),
      { numRuns: 500 },
    );
  });

  test("with a huge count in any place is refused without allocating for it", () => {
    const before = process.memoryUsage().rss;
    for (let at = 0; at < bytes.length; at += stepOver(bytes)) {
      for (const count of ["ffffffff", "ffffffff0f", "ffffffffffff7f"]) {
        const changed = bytes.slice();
        changed.set(hexToBytes(count).subarray(0, bytes.length - at), at);
        refusesOrDecodes(decode, changed);
      }
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(1 << 30);
  });
});

describe("decodeRollupFront()", () => {
  test("gives back what was encoded", () => {
    const bytes = encodeRollupFront(front);
    const decoded = decodeRollupFront(bytes);
    expect(bytesToHex(encodeRollupFront(decoded))).toBe(bytesToHex(bytes));
    expect(decoded).toMatchObject({ level: 1, first: 101, digest: front.digest, parts: front.parts });
    expect(bytesToHex(decoded.tables.landings.keys.key(1))).toBe("80".repeat(16));
    expect(decoded.tables.sessions.positions).toEqual([3, 99]);
  });

  test.each([
    ["a page that crosses from one part to the next", { offset: 69_990, length: 40 }],
    ["a page beyond the end", { offset: 70_030, length: 31 }],
    ["an offset beyond any part", { offset: 2 ** 50, length: 1 }],
  ])("refuses %s", (_, place) => {
    const { touched } = front.tables;
    const pages = [touched.pages[0]!, { ...touched.pages[1]!, ...place }];
    const changed = { ...front, tables: { ...front.tables, touched: { ...touched, pages } } };
    expect(() => decodeRollupFront(encodeRollupFront(changed))).toThrow(/in no part/);
  });

  test("refuses a range that is not one of its level, a level that is none, and landings that are not its range", () => {
    for (const first of [1, 2, 100, 102]) {
      const bytes = encodeRollupFront({ ...front, level: 2, first: first as Position });
      expect(() => decodeRollupFront(bytes)).toThrow(/begins at|landings on/);
    }
    for (const level of [0, 7, 255]) {
      expect(() => decodeRollupFront(encodeRollupFront({ ...front, level }))).toThrow(/level/);
    }
    const landings = { ...front.tables.landings, entries: 99 };
    const short = encodeRollupFront({ ...front, tables: { ...front.tables, landings } });
    expect(() => decodeRollupFront(short)).toThrow(/99 landings/);
  });

  test("refuses parts that are empty or too large", () => {
    for (const length of [0, ROLLUP_PART_BYTES_MAX + 1]) {
      const bytes = encodeRollupFront({ ...front, parts: [{ ...front.parts[0]!, length }] });
      expect(() => decodeRollupFront(bytes)).toThrow(/part of/);
    }
  });

  test("an unknown version is unsupported", () => {
    const bytes = encodeRollupFront(front);
    bytes[4] = 2;
    expect(() => decodeRollupFront(bytes)).toThrow(expect.objectContaining({ code: "unsupported" }));
  });
});

describe("decodeTouchedBlock()", () => {
  test("refuses a block that expands to more than one may", () => {
    const bomb = hexToBytes(`01${"808008"}00`);
    expect(() => decodeTouchedBlock(bomb)).toThrow(expect.objectContaining({ code: "corrupt" }));
  });

  test("refuses keys that expand to more than a column may hold", () => {
    // 4,000 keys of 4,096 bytes, each sharing all but the last bytes with the one before.
    const long = `${"x".repeat(4090)}`;
    const writer = new TouchedBlockWriter();
    for (let i = 0; i < 4000; i++) {
      writer.beginKey(key(`${long}${String(i).padStart(4, "0")}`));
      writer.add(0, KIND_DELETE, new Uint8Array(0), 0);
    }
    expect(() => decodeTouchedBlock(writer.finish().stored)).toThrow(/keys of more than/);
  });

  test("refuses a path twice, and a landing twice for a path", () => {
    const twice = new TouchedBlockWriter();
    for (let i = 0; i < 2; i++) {
      twice.beginKey(key("a"));
      twice.add(1, KIND_DELETE, new Uint8Array(0), 0);
    }
    expect(() => decodeTouchedBlock(twice.finish().stored)).toThrow(/comes twice/);
    const again = new TouchedBlockWriter();
    again.beginKey(key("a"));
    again.add(1, KIND_DELETE, new Uint8Array(0), 0);
    again.add(1, KIND_DELETE, new Uint8Array(0), 0);
    expect(() => decodeTouchedBlock(again.finish().stored)).toThrow(/ascending/);
  });
});

describe("the filter of a block", () => {
  test("answers maybe without bits, without probes, and with all ones", () => {
    for (const filter of [
      new Uint8Array(0),
      new Uint8Array([10]),
      new Uint8Array([0, 0, 0]),
      new Uint8Array(40).fill(255),
    ]) {
      expect(mayContain(filter, "touched", key("any/path"))).toBe(true);
      expect(mayContain(filter, "ancestor", key("any"))).toBe(true);
    }
  });

  test("passes over all but two of a thousand other paths, whatever the number of entries", () => {
    for (const count of [10, 1000, 30_000]) {
      const keys = Array.from({ length: count }, (_, i) => key(`dir/${i}`));
      const filter = encodePathFilter(keys, [], ROLLUP_FILTER);
      let maybe = 0;
      for (let i = 0; i < 20_000; i++) if (mayContain(filter, "touched", key(`other/${i}`))) maybe++;
      expect(maybe).toBeLessThan(20_000 * 0.0035);
    }
  });
});
