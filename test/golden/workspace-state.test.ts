/** Formats of the workspace's own small files: vectors both ways, every flipped byte, random bytes. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesToHex, hexToBytes } from "../../src/core/base/bytes.ts";
import { MicError } from "../../src/core/base/errors.ts";
import type { LandingId, ObjectId, PackId, Position, ProjectId, SessionId } from "../../src/core/base/ids.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import {
  type Conflict,
  decodeConflictState,
  encodeConflictState,
} from "../../src/core/codec/conflict-state.ts";
import type { ContentSide } from "../../src/core/codec/content-side.ts";
import {
  decodeOperationLog,
  stepCountOf,
  encodeOperationLog,
  type OperationLog,
} from "../../src/core/codec/operation-log.ts";
import {
  decodePendingLanding,
  encodePendingLanding,
  type PendingLanding,
} from "../../src/core/codec/pending-landing.ts";
import { decodeTransition, encodeTransition, type Transition } from "../../src/core/codec/transition.ts";
import {
  decodeWorkspaceSettings,
  encodeWorkspaceSettings,
  type WorkspaceSettings,
} from "../../src/core/codec/workspace-settings.ts";

const path = (text: string) => text as TreePath;
const id = (byte: string) => byte.repeat(32) as ObjectId;
const file = (byte: string, hint = 0): ContentSide => ({
  entry: { kind: "file", size: 300, id: id(byte) },
  hint,
});
const chunked: ContentSide = {
  entry: { kind: "executable", size: 5_000_000_000, id: id("d4"), chunks: id("e5") },
  hint: 2 ** 40,
};

const settings: WorkspaceSettings = {
  address: "https://forge.example.org",
  project: "0f".repeat(16) as ProjectId,
  projectName: "acme/app",
  salt: "0102030405060708",
  sparse: [path("docs"), path("src/é")],
  untracked: [path("old.log")],
  tracked: [path("build/keep")],
  session: "a1".repeat(16) as SessionId,
  folding: { case: true, normalization: false },
  cloning: { position: 7 as Position, root: id("b2") },
};
const plainSettings: WorkspaceSettings = {
  ...settings,
  address: ".mic/forge",
  sparse: [],
  untracked: [],
  tracked: [],
  session: undefined,
  folding: { case: false, normalization: true },
  cloning: undefined,
};

const conflicts: Conflict[] = [
  {
    path: path("a"),
    kind: "content",
    base: file("01", 1),
    ours: file("02"),
    theirs: file("03", 9),
    written: file("04"),
  },
  {
    path: path("a/b"),
    kind: "deleted-by-us",
    base: file("01", 1),
    ours: undefined,
    theirs: chunked,
    written: undefined,
  },
];

const pending: PendingLanding = {
  landingId: "c3".repeat(16) as LandingId,
  basePosition: (2 ** 53 - 1) as Position,
  baseRoot: id("b2"),
  session: "a1".repeat(16) as SessionId,
  goal: "make it 🚀",
  author: "Ada <ada@example.org>",
  agent: "agent",
  decisions: ["one", ""],
  packs: ["99".repeat(32) as PackId],
  operations: [
    { path: path("a"), after: undefined },
    { path: path("b"), after: chunked },
  ],
  resendable: true,
  hasContent: true,
};

const transition: Transition = {
  kind: "sync",
  number: 4,
  timeMs: 1_700_000_000_123,
  description: "sync to @9",
  from: { position: 8 as Position, root: id("b2") },
  to: { position: 9 as Position, root: id("b3") },
  complete: false,
  steps: [
    {
      path: path("clean"),
      diskBefore: file("05", 3),
      baseBefore: file("05", 3),
      diskAfter: undefined,
      baseAfter: undefined,
    },
    {
      path: path("merged"),
      diskBefore: file("06"),
      baseBefore: undefined,
      diskAfter: file("07"),
      baseAfter: chunked,
    },
  ],
  conflictsBefore: [],
  conflictsAfter: conflicts,
};

const log: OperationLog = {
  nextNumber: 6,
  operations: [
    { ...transition, kind: "land", steps: [], conflictsAfter: [] },
    { ...transition, kind: "untrack", number: 5, complete: true },
  ],
  inEffect: 1,
};

const formats = [
  ["workspace settings", [settings, plainSettings], encodeWorkspaceSettings, decodeWorkspaceSettings],
  ["conflict state", [conflicts, []], encodeConflictState, decodeConflictState],
  [
    "pending landing",
    [pending, { ...pending, session: undefined, operations: [], resendable: false }],
    encodePendingLanding,
    decodePendingLanding,
  ],
  ["transition", [transition], encodeTransition, decodeTransition],
  ["operation log", [log], encodeOperationLog, decodeOperationLog],
] as unknown as [string, unknown[], (value: unknown) => Uint8Array, (bytes: Uint8Array) => unknown][];

const VECTORS = new URL("workspace-state.json", import.meta.url);
const vectors: Record<string, string[]> = existsSync(VECTORS)
  ? JSON.parse(readFileSync(VECTORS, "utf8"))
  : {};
if (process.env["MIC_WRITE_GOLDEN"] === "1") {
  const written = formats.map(([name, values, encode]) => [
    name,
    values.map((value) => bytesToHex(encode(value))),
  ]);
  writeFileSync(VECTORS, `${JSON.stringify(Object.fromEntries(written), null, 2)}\n`);
}

describe.each(formats)("%s", (name, values, encode, decode) => {
  test("has the bytes of its vectors, both ways", () => {
    expect(values.map((value) => bytesToHex(encode(value)))).toEqual(vectors[name]);
    expect(vectors[name]!.map((hex) => decode(hexToBytes(hex)))).toEqual(values);
  });

  test("refuses every flipped byte and every cut", () => {
    const bytes = encode(values[0]!);
    for (let i = 0; i < bytes.length; i++) {
      const flipped = bytes.slice();
      flipped[i]! ^= 1 << (i % 8);
      expect(() => decode(flipped)).toThrow(MicError);
      expect(() => decode(bytes.subarray(0, i))).toThrow(MicError);
    }
  });

  test("refuses random bytes with an error of its own", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => decode(bytes)).toThrow(MicError);
      }),
      { numRuns: 200 },
    );
  });
});

test("a sealed file with a huge count is refused before anything is allocated", async () => {
  const { seal } = await import("../../src/core/codec/sealed.ts");
  const { ByteWriter, utf8 } = await import("../../src/core/base/bytes.ts");
  const huge = seal(new ByteWriter().bytes(utf8("MCON")).u16(1).u32(0xffffffff));
  expect(() => decodeConflictState(huge)).toThrow(/count 4294967295/);
  const operations = seal(new ByteWriter().bytes(utf8("MOPS")).u16(1).u64(1).u32(0).u32(0xffffffff));
  expect(() => decodeOperationLog(operations)).toThrow(/count 4294967295/);
});

test("unsorted and forbidden paths are refused, also under a right seal", () => {
  expect(() => decodeConflictState(encodeConflictState([...conflicts].reverse()))).toThrow(/not sorted/);
  const evil = { ...transition, steps: [{ ...transition.steps[0]!, path: path(".git/config") }] };
  expect(() => decodeTransition(encodeTransition(evil))).toThrow(/reserved component/);
  const [read] = decodeOperationLog(encodeOperationLog({ ...log, operations: [evil], inEffect: 1 })).operations;
  expect(stepCountOf(read!)).toBe(1);
  expect(() => read!.steps).toThrow(/reserved component/);
});
