import { readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteWriter, bytesToHex, hexToBytes } from "../../src/core/base/bytes.ts";
import { MicError } from "../../src/core/base/errors.ts";
import type { Epoch, LandingId, ObjectId, PackId, Position, SessionId } from "../../src/core/base/ids.ts";
import { HEAD_BYTES_MAX } from "../../src/core/base/limits.ts";
import { pathToKey, type TreePath } from "../../src/core/base/path.ts";
import { decodeHead, encodeHead, type Head } from "../../src/core/codec/head.ts";
import {
  decodeLandingRecord,
  encodeLandingRecord,
  type LandingRecord,
} from "../../src/core/codec/landing-record.ts";
import {
  decodeManifestPage,
  encodeManifestPage,
  type ManifestPage,
} from "../../src/core/codec/manifest-page.ts";
import { decodeOperations, encodeOperations, type StoredOperation } from "../../src/core/codec/operations.ts";
import type { ManifestPack } from "../../src/core/codec/pack-entry.ts";
import { encodePathFilter, mayContain, murmur3 } from "../../src/core/codec/path-filter.ts";
import { SEAL_BYTES, seal } from "../../src/core/codec/sealed.ts";
import { encodeTreeEntry } from "../../src/core/codec/tree-entry.ts";

const MAX = Number.MAX_SAFE_INTEGER as Position;
const epoch = "2026-02-28" as Epoch;

function id(digits: string): ObjectId & PackId {
  return digits.repeat(64 / digits.length) as ObjectId & PackId;
}
function short(digits: string): LandingId & SessionId {
  return digits.repeat(32 / digits.length) as LandingId & SessionId;
}
function pack(digits: string, first: number, last: number, hasRecords = true): ManifestPack {
  const range = { first: first as Position, last: last as Position };
  return { pack: id(digits), epoch, hasRecords, ...range, size: 4_000_000_000, indexLength: 81 };
}

const head: Head = {
  position: MAX,
  root: id("a1"),
  hlc: 2n ** 64n - 1n,
  leastReader: 1,
  leastWriter: 1,
  salt: "0102030405060708",
  nonce: "f0".repeat(16),
  rootHint: MAX - 1,
  ring: [short("01"), short("02"), short("03")],
  rollups: [{ level: 2, epoch, first: 1 as Position, last: 10_000 as Position, hash: id("b2") }],
  pages: [
    { hash: id("c3"), epoch, level: 1, first: 1 as Position, last: 500 as Position },
    { hash: id("d4"), epoch, level: 0, first: 500 as Position, last: 628 as Position },
  ],
  packs: [pack("e5", 629, 629, false), pack("e6", 629, 640)],
};

const firstHead: Head = {
  ...head,
  position: 0 as Position,
  root: id("0"),
  hlc: 0n,
  rootHint: 0,
  ring: [],
  rollups: [],
  pages: [],
  packs: [],
};

const operations: StoredOperation[] = [
  { kind: "put", path: "a/b" as TreePath, entry: { kind: "executable", size: 12, id: id("c3") }, hint: 7 },
  { kind: "delete", path: "a/c d" as TreePath },
  {
    kind: "put",
    path: "a/é🚀" as TreePath,
    entry: { kind: "file", size: 5_000_000_000, id: id("d4"), chunks: id("e5") },
    hint: 3,
  },
  { kind: "put", path: "link" as TreePath, entry: { kind: "symlink", size: 1, id: id("f6") }, hint: 0 },
];

function encodeStored(list: readonly StoredOperation[], position: number): Uint8Array {
  const encodable = list.map((operation) => ({
    key: pathToKey(operation.path),
    value: operation.kind === "put" ? encodeTreeEntry(operation.entry) : undefined,
    hint: operation.kind === "put" ? operation.hint : 0,
  }));
  return encodeOperations(encodable, position as Position);
}

const record: LandingRecord = {
  landingId: short("0a"),
  session: short("0b"),
  position: 7 as Position,
  hlc: 0x0102030405060708n,
  parentRoot: id("11"),
  root: id("22"),
  rootHint: 6,
  base: { position: 5 as Position, root: id("33") },
  digest: id("44"),
  operationCount: 4,
  goal: "make it 🚀",
  author: "Ada <ada@example.org>",
  agent: "robot",
  decisions: ["one", ""],
  conversation: [{ role: "user", text: "hello" }],
  packs: [id("55"), id("66")],
  operations: { kind: "inline", bytes: new Uint8Array(encodeStored(operations, 7)) },
};

const filter = encodePathFilter([pathToKey("a/b" as TreePath)], [pathToKey("a" as TreePath)]);
const segmented: LandingRecord = {
  ...record,
  operationCount: 100_000,
  operations: {
    kind: "segments",
    segments: [
      { id: id("77"), count: 99_999, filter },
      { id: id("88"), count: 1, filter: new Uint8Array(0) },
    ],
  },
};

interface Format {
  readonly name: string;
  readonly value: unknown;
  readonly encode: (value: unknown) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
  /** Ends in a seal over everything before it. */
  readonly isSealed: boolean;
  /** Byte offset of the version. */
  readonly versionAt: number;
}

function format<T>(
  name: string,
  value: T,
  encode: (value: T) => Uint8Array,
  decode: (bytes: Uint8Array) => T,
  more: { isSealed?: boolean; versionAt?: number } = {},
): Format {
  const isSealed = more.isSealed ?? false;
  return { name, value, isSealed, versionAt: more.versionAt ?? 4, encode, decode } as Format;
}

const sealedHead = { isSealed: true, versionAt: 54 };
const formats: readonly Format[] = [
  format("head", head, encodeHead, decodeHead, sealedHead),
  format("head-first", firstHead, encodeHead, decodeHead, sealedHead),
  format<ManifestPage>("page", { level: 0, packs: head.packs }, encodeManifestPage, decodeManifestPage),
  format<ManifestPage>(
    "page-of-pages",
    { level: 1, pages: [head.pages[1]!] },
    encodeManifestPage,
    decodeManifestPage,
  ),
  format(
    "operations",
    operations,
    (list) => encodeStored(list, 7),
    (bytes) => decodeOperations(bytes, 7 as Position),
  ),
  format("landing-record", record, encodeLandingRecord, decodeLandingRecord),
  format("landing-record-segments", segmented, encodeLandingRecord, decodeLandingRecord),
];

const goldenFile = new URL("../golden/landing-formats.json", import.meta.url);
if (process.env["MIC_WRITE_GOLDEN"] !== undefined) {
  const vectors = formats.map(({ name, value, encode }) => [
    name,
    { version: 1, hex: bytesToHex(encode(value)) },
  ]);
  writeFileSync(goldenFile, `${JSON.stringify(Object.fromEntries(vectors), undefined, 2)}\n`);
}
const golden: Record<string, { hex: string }> = JSON.parse(readFileSync(goldenFile, "utf8"));

/** Decoders refuse with a typed error, or return what encodes to the same bytes. */
function decodesOrRefuses({ encode, decode }: Format, bytes: Uint8Array): void {
  try {
    expect(bytesToHex(encode(decode(bytes)))).toBe(bytesToHex(bytes));
  } catch (error) {
    if (!(error instanceof MicError)) throw error;
    expect(["corrupt", "unsupported", "unsafe-path", "too-large"]).toContain(error.code);
  }
}

describe.each(formats)("$name", (it) => {
  const { value, encode, decode, isSealed, versionAt } = it;
  const bytes = encode(value);
  const body = isSealed ? bytes.subarray(0, bytes.length - SEAL_BYTES) : bytes;
  const finish = (changed: Uint8Array): Uint8Array =>
    isSealed ? seal(new ByteWriter(changed.length + SEAL_BYTES).bytes(changed)) : changed;

  test("encodes to and decodes from its golden vector", () => {
    expect(bytesToHex(bytes)).toBe(golden[it.name]?.hex);
    expect(decode(new Uint8Array(hexToBytes(golden[it.name]!.hex)))).toEqual(value);
  });

  // The others are found by their hash, which covers every bit.
  if (isSealed) {
    test("a flipped bit in any byte is found", () => {
      for (let i = 0; i < bytes.length; i++) {
        for (const bit of [1, 0x80]) {
          const flipped = bytes.slice();
          flipped[i]! ^= bit;
          expect(() => decode(flipped), `byte ${i}`).toThrow(expect.objectContaining({ code: "corrupt" }));
        }
      }
    });
  }

  test("is refused at every shorter length and with trailing bytes", () => {
    for (let length = 0; length < body.length; length++) {
      expect(() => decode(finish(body.subarray(0, length))), `${length} bytes`).toThrow(MicError);
    }
    expect(() => decode(finish(Buffer.concat([body, Buffer.alloc(1)])))).toThrow(MicError);
  });

  test("an unknown version is unsupported", () => {
    const changed = body.slice();
    changed[versionAt] = 99;
    expect(() => decode(finish(changed))).toThrow(expect.objectContaining({ code: "unsupported" }));
  });

  test("random bytes and mutations decode to themselves or are refused", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (random) => decodesOrRefuses(it, finish(random))),
      { numRuns: 300 },
    );
    const edits = fc.array(fc.tuple(fc.nat(body.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(edits, (changes) => {
        const mutated = body.slice();
        for (const [offset, byte] of changes) mutated[offset] = byte;
        decodesOrRefuses(it, finish(mutated));
      }),
      { numRuns: 2000 },
    );
  });

  test("a count of 0xffffffff anywhere is refused before anything is allocated", () => {
    for (let at = 0; at + 4 <= body.length; at++) {
      const changed = body.slice();
      changed.fill(0xff, at, at + 4);
      decodesOrRefuses(it, finish(changed));
    }
  });
});

describe("decodeHead()", () => {
  const bytes = encodeHead(head);
  const sealed = (change: (body: DataView) => void): Uint8Array => {
    const body = bytes.slice(0, bytes.length - SEAL_BYTES);
    change(new DataView(body.buffer));
    return seal(new ByteWriter(bytes.length).bytes(body));
  };

  test("the seed's 48 bytes come first: position, root, hlc", () => {
    const view = new DataView(bytes.buffer);
    expect(view.getBigUint64(0, true)).toBe(BigInt(MAX));
    expect(bytesToHex(bytes, 8, 40)).toBe(head.root);
    expect(view.getBigUint64(40, true)).toBe(head.hlc);
  });

  test.each([0, 47, 48, 49, 107])("refuses %i bytes", (length) => {
    expect(() => decodeHead(bytes.subarray(0, length))).toThrow(expect.objectContaining({ code: "corrupt" }));
  });

  test("positions are exact to 2^53 - 1 and refused above, never rounded", () => {
    expect(decodeHead(bytes).position).toBe(2 ** 53 - 1);
    for (const position of [2n ** 53n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
      const changed = sealed((view) => view.setBigUint64(0, position, true));
      expect(() => decodeHead(changed)).toThrow(expect.objectContaining({ code: "corrupt" }));
    }
  });

  test("refuses what cannot be: a ring longer than the history, a tree at 0, a root from the future", () => {
    const position = sealed((view) => view.setBigUint64(0, 2n, true));
    const empty = sealed((view) => view.setBigUint64(0, 0n, true));
    const reserved = sealed((view) => view.setUint16(58, 1, true));
    for (const bad of [position, empty, reserved]) {
      expect(() => decodeHead(bad)).toThrow(expect.objectContaining({ code: "corrupt" }));
    }
    expect(() => decodeHead(encodeHead({ ...head, position: 5 as Position, rootHint: 6 }))).toThrow(
      /introduced/,
    );
  });

  test("a newer least reader is unsupported, a newer least writer can be read", () => {
    expect(() => decodeHead(encodeHead({ ...head, leastReader: 2 }))).toThrow(
      expect.objectContaining({ code: "unsupported", hint: "use a newer mic" }),
    );
    expect(decodeHead(encodeHead({ ...head, leastWriter: 9 })).leastWriter).toBe(9);
  });

  test("more than 64 KiB is refused on both sides", () => {
    const packs = Array.from({ length: 1200 }, (_, i) => pack("ab", i + 1, i + 1));
    expect(() => encodeHead({ ...head, packs })).toThrow(/bug/);
    expect(() => decodeHead(new Uint8Array(HEAD_BYTES_MAX + 1))).toThrow(MicError);
  });
});

describe("decodeOperations()", () => {
  const decode = (list: readonly StoredOperation[], at = 7) =>
    decodeOperations(encodeStored(list, at), at as Position);

  test("refuses keys out of order, twice, or on a forbidden path", () => {
    const [first, second] = operations;
    expect(() => decode([second!, first!])).toThrow(/ascending/);
    expect(() => decode([first!, first!])).toThrow(/ascending/);
    for (const path of [".git/config", "a/.mic/x", "../x", "a//b"]) {
      expect(() => decode([{ kind: "delete", path: path as TreePath }])).toThrow(
        expect.objectContaining({ code: "unsafe-path" }),
      );
    }
  });

  test("refuses a key that shares more with the one before than it says", () => {
    const list = ["a", "ab"].map((path): StoredOperation => ({ kind: "delete", path: path as TreePath }));
    const bytes = encodeStored(list, 1);
    expect(bytesToHex(bytes, 12)).toBe("00016100" + "01016200");
    const loose = hexToBytes(`${bytesToHex(bytes, 0, 12)}00016100${"0002616200"}`);
    expect(() => decodeOperations(loose, 1 as Position)).toThrow(/shares more/);
  });

  test("sorts by tree key: below a directory comes before its longer neighbours", () => {
    const paths = ["a", "a/b", "a-", "a0"] as TreePath[];
    const list = paths.map((path): StoredOperation => ({ kind: "delete", path }));
    expect(decode(list)).toEqual(list);
  });
});

describe("path filters", () => {
  const key = (text: string): Uint8Array => pathToKey(text as TreePath);

  test("MurmurHash3 gives its published values", () => {
    const cases: [string, number, number][] = [
      ["", 0, 0],
      ["", 1, 0x514e28b7],
      ["test", 0, 0xba6bd213],
      ["Hello, world!", 0x9747b28c, 0x24884cba],
      ["The quick brown fox jumps over the lazy dog", 0x9747b28c, 0x2fa826cd],
    ];
    for (const [text, seed, hash] of cases) expect(murmur3(Buffer.from(text), seed)).toBe(hash);
  });

  test("never miss an entry and keep the two kinds apart", () => {
    const touched = Array.from({ length: 5000 }, (_, i) => key(`d${i % 50}/f${i}`));
    const ancestors = Array.from({ length: 50 }, (_, i) => key(`d${i}`));
    const made = encodePathFilter(touched, ancestors);
    for (const entry of touched) expect(mayContain(made, "touched", entry)).toBe(true);
    for (const entry of ancestors) expect(mayContain(made, "ancestor", entry)).toBe(true);
    const crossed = ancestors.filter((entry) => mayContain(made, "touched", entry));
    expect(crossed.length).toBeLessThan(5);
  });

  test("answer wrongly at most 2 times in 100, at every size", () => {
    for (const size of [100, 1000, 20_000]) {
      const made = encodePathFilter(
        Array.from({ length: size }, (_, i) => key(`in/${i}`)),
        [],
      );
      let wrong = 0;
      for (let i = 0; i < 10_000; i++) if (mayContain(made, "touched", key(`out/${i}`))) wrong++;
      expect(wrong).toBeLessThan(200);
    }
  });

  test("without bits, without probes, with all bits set or with absurd counts say maybe, and never throw", () => {
    const odd = [[], [7], [0], [0, 0, 0], [255], [7, 255, 255], [0, 255]];
    for (const bytes of odd) expect(mayContain(Uint8Array.from(bytes), "touched", key("a"))).toBe(true);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.uint8Array({ maxLength: 64 }), (bytes, entry) => {
        expect(typeof mayContain(bytes, "ancestor", entry)).toBe("boolean");
      }),
    );
  });
});
