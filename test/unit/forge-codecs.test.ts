import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteWriter, bytesToHex, hexToBytes } from "../../src/core/base/bytes.ts";
import { MicError } from "../../src/core/base/errors.ts";
import type { ObjectId, Position, ProjectId, SessionId } from "../../src/core/base/ids.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import { decodeMeta, encodeMeta, type ProjectMeta } from "../../src/core/codec/meta.ts";
import { decodeName, encodeName, type NameRecord } from "../../src/core/codec/name.ts";
import {
  decodeOrganization,
  encodeOrganization,
  type OrganizationRecord,
} from "../../src/core/codec/organization.ts";
import { SEAL_BYTES, seal } from "../../src/core/codec/sealed.ts";
import { decodeSession, encodeSession, type StoredSession } from "../../src/core/codec/session.ts";

const name: NameRecord = { name: "acme/app", project: "0f".repeat(16) as ProjectId, state: "redirect" };

const meta: ProjectMeta = {
  id: "0f".repeat(16) as ProjectId,
  name: "acme/app",
  description: "Ünïcode",
  visibility: "public",
  salt: "0102030405060708",
  createdAtMs: 1_700_000_000_123,
  deletedAtMs: 0,
  revision: 3,
  formerNames: ["acme/old", "acme/older"],
};

const organization: OrganizationRecord = {
  name: "acme",
  description: "Ünïcode",
  createdAtMs: 1_700_000_000_123,
  nonce: "0f".repeat(16),
};

const session: StoredSession = {
  id: "a1".repeat(16) as SessionId,
  state: "conflicted",
  basePosition: (2 ** 53 - 1) as Position,
  baseRoot: "b2".repeat(32) as ObjectId,
  owner: "Ada <ada@example.org>",
  created: 0x0102030405060708n,
  updated: 2n ** 64n - 1n,
  goal: "make it 🚀",
  operations: [
    { kind: "delete", path: "a" as TreePath },
    {
      kind: "put",
      path: "a/b" as TreePath,
      entry: { kind: "executable", size: 12, id: "c3".repeat(32) as ObjectId },
      hint: 7,
    },
    {
      kind: "put",
      path: "big" as TreePath,
      entry: {
        kind: "file",
        size: 5_000_000_000,
        id: "d4".repeat(32) as ObjectId,
        chunks: "e5".repeat(32) as ObjectId,
      },
      hint: 0,
    },
  ],
  decisions: ["one", ""],
  conversation: [{ role: "user", text: "hello" }],
  recentWrites: ["0011223344556677"],
};

const formats = [
  { format: "name", value: name, encode: encodeName, decode: decodeName },
  { format: "meta", value: meta, encode: encodeMeta, decode: decodeMeta },
  { format: "organization", value: organization, encode: encodeOrganization, decode: decodeOrganization },
  { format: "session", value: session, encode: encodeSession, decode: decodeSession },
] as readonly {
  format: string;
  value: unknown;
  encode: (value: unknown) => Uint8Array;
  decode: (bytes: Uint8Array) => unknown;
}[];

const golden: Record<string, { version: number; hex: string }> = JSON.parse(
  readFileSync(new URL("../golden/forge-objects.json", import.meta.url), "utf8"),
);

/** Decoders must refuse with a typed error, never crash or return something else than was stored. */
function decodesOrRefuses(format: (typeof formats)[number], bytes: Uint8Array): void {
  try {
    expect(bytesToHex(format.encode(format.decode(bytes)))).toBe(bytesToHex(bytes));
  } catch (error) {
    if (!(error instanceof MicError)) throw error;
    expect(["corrupt", "unsupported", "unsafe-path", "too-large"]).toContain(error.code);
  }
}

function resealed(body: Uint8Array): Uint8Array {
  return seal(new ByteWriter(body.length + SEAL_BYTES).bytes(body));
}

describe.each(formats)("$format", (format) => {
  const bytes = format.encode(format.value);
  const body = bytes.subarray(0, bytes.length - SEAL_BYTES);

  test("encodes to and decodes from its golden vector", () => {
    expect(bytesToHex(bytes)).toBe(golden[format.format]?.hex);
    expect(format.decode(hexToBytes(golden[format.format]!.hex))).toEqual(format.value);
  });

  test("a flipped bit in any byte is found", () => {
    for (let i = 0; i < bytes.length; i++) {
      const flipped = bytes.slice();
      flipped[i]! ^= 1 << (i % 8);
      expect(() => format.decode(flipped)).toThrow(expect.objectContaining({ code: "corrupt" }));
    }
  });

  test("is refused at every shorter length, sealed again or not", () => {
    for (let length = 0; length < body.length; length++) {
      expect(() => format.decode(bytes.subarray(0, length))).toThrow(MicError);
      expect(() => format.decode(resealed(body.subarray(0, length)))).toThrow(MicError);
    }
  });

  test("is refused with trailing bytes", () => {
    expect(() => format.decode(resealed(Buffer.concat([body, Buffer.alloc(1)])))).toThrow(
      expect.objectContaining({ code: "corrupt" }),
    );
  });

  test("an unknown version is unsupported", () => {
    const changed = body.slice();
    changed[4] = 99;
    expect(() => format.decode(resealed(changed))).toThrow(expect.objectContaining({ code: "unsupported" }));
  });

  test("sealed random bytes and sealed mutations decode to themselves or are refused", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (random) => decodesOrRefuses(format, resealed(random))),
      { numRuns: 300 },
    );
    const edits = fc.array(fc.tuple(fc.nat(body.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(edits, (changes) => {
        const mutated = body.slice();
        for (const [offset, value] of changes) mutated[offset] = value;
        decodesOrRefuses(format, resealed(mutated));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("decodeSession()", () => {
  const bytes = encodeSession(session);
  const operationsAt = 96 + 4 + Buffer.byteLength(session.goal) + 4 + session.owner.length;

  test("the header is 64 bytes with the goal after the base root", () => {
    expect(new DataView(bytes.buffer).getUint32(96, true)).toBe(Buffer.byteLength(session.goal));
    expect(new DataView(bytes.buffer).getBigUint64(56, true)).toBe(session.updated);
  });

  test("refuses a count of 0xffffffff before allocating", () => {
    const body = bytes.slice(0, bytes.length - SEAL_BYTES);
    new DataView(body.buffer).setUint32(operationsAt, 0xffffffff, true);
    expect(() => decodeSession(resealed(body))).toThrow(/does not fit/);
  });

  test("refuses operations out of order, twice on one path, or on a forbidden path", () => {
    const [first, second] = session.operations;
    const hostile = { kind: "delete", path: ".git/hooks" as TreePath } as const;
    for (const operations of [
      [second!, first!],
      [first!, first!],
    ]) {
      expect(() => decodeSession(encodeSession({ ...session, operations }))).toThrow(/not sorted/);
    }
    expect(() => decodeSession(encodeSession({ ...session, operations: [hostile] }))).toThrow(
      expect.objectContaining({ code: "unsafe-path" }),
    );
  });
});
