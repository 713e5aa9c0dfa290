import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isMicError, MicError } from "../../src/core/base/errors.ts";
import type { LandingId, ObjectId, PackId, Position, ProjectId, SessionId } from "../../src/core/base/ids.ts";
import { isTreePath, type TreePath } from "../../src/core/base/path.ts";
import type { TreeEntry } from "../../src/core/codec/tree-entry.ts";
import type {
  FetchItem,
  Landing,
  LandRequest,
  Operation,
  Session,
  TreeChange,
} from "../../src/core/forge/forge.ts";
import type { Frame, ObjectKind } from "../../src/core/objects/frame.ts";
import {
  decodeMessage,
  encodeMessage,
  entryFromWire,
  entryToWire,
  operationFromWire,
  operationToWire,
} from "../../src/core/wire/common.ts";
import { diffRequestFromWire, diffRequestToWire } from "../../src/core/wire/content.ts";
import { decodeChanges, decodeEntries, encodeChanges, encodeEntries } from "../../src/core/wire/entries.ts";
import {
  decodeFetchItem,
  decodeReadObjectsRequest,
  decodeReadObjectsResponse,
  encodeFetchItem,
  encodeReadObjectsRequest,
  encodeReadObjectsResponse,
} from "../../src/core/wire/frames.ts";
import {
  decodeTrailers,
  encodeTrailers,
  MessageSplitter,
  messageHeader,
} from "../../src/core/wire/framing.ts";
import {
  DiffResponse,
  FetchResponse,
  ListEntriesResponse,
  ReadObjectsRequest,
  Landing as WireLanding,
} from "../../src/core/wire/gen/mic/v1/content.ts";
import {
  LandRequest as WireLandRequest,
  Session as WireSession,
} from "../../src/core/wire/gen/mic/v1/sessions.ts";
import { landingFromWire, landingToWire } from "../../src/core/wire/history.ts";
import {
  encodeImportLandings,
  encodeLandRequest,
  ImportLandingsReader,
  LandRequestReader,
} from "../../src/core/wire/land.ts";
import { sessionFromWire, sessionToWire } from "../../src/core/wire/sessions.ts";
import { decodeStatus, encodeStatus, TRAILER_DETAIL_BYTES_MAX } from "../../src/core/wire/status.ts";

const hex = <T extends string>(bytes: number): fc.Arbitrary<T> =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((each) => Buffer.from(each).toString("hex") as T);
const objectId = hex<ObjectId>(32);
const count = fc.oneof(
  fc.nat(),
  fc.maxSafeNat(),
  fc.constantFrom(0, 127, 128, 2 ** 31, 2 ** 32, 2 ** 53 - 1),
);
const position = count.map((each) => each as Position);
const text = fc.string({ unit: "binary", maxLength: 40 }).filter((each) => each.isWellFormed());
const path: fc.Arbitrary<TreePath> = fc
  .array(fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join("/"))
  .filter((each): each is TreePath => isTreePath(each));
const entry: fc.Arbitrary<TreeEntry> = fc.oneof(
  fc.record({ kind: fc.constantFrom("file", "executable", "symlink"), size: count, id: objectId }),
  fc.record({ kind: fc.constantFrom("file", "executable"), size: count, id: objectId, chunks: objectId }),
);
const located = fc.record({ entry, hint: count });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ kind: fc.constant("delete" as const), path }),
  fc.record({ kind: fc.constant("put" as const), path, entry, hint: count }),
);
const change: fc.Arbitrary<TreeChange> = fc.record({
  path,
  before: fc.option(located, { nil: undefined }),
  after: fc.option(located, { nil: undefined }),
});
const KINDS: readonly ObjectKind[] = ["blob", "chunk-list", "node", "record", "operations"];
const frame: fc.Arbitrary<Frame> = fc
  .record({
    compressed: fc.boolean(),
    stored: fc.uint8Array({ minLength: 1, maxLength: 200 }),
    parts: fc.array(
      fc.record({
        id: objectId,
        kind: fc.constantFrom(...KINDS),
        length: fc.nat(300),
        sidecarLength: fc.nat(3),
      }),
      { minLength: 1, maxLength: 5 },
    ),
  })
  .map(({ compressed, stored, parts }) => {
    let offset = 0;
    const objects = parts.map((part) => {
      const object = { ...part, offset };
      offset += part.length + part.sidecarLength;
      return object;
    });
    const isCompressed = compressed && stored.length < offset;
    const bytes = isCompressed ? stored : new Uint8Array(offset);
    return { compressed: isCompressed, rawLength: offset, stored: bytes, objects };
  });
const ref = fc.record({ position, root: objectId });
const message = fc.record({ role: text, text });

const joined = (parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts);
const RUNS = { numRuns: 60 };

/** Chai compares a view with the array that it is of. */
function plain(value: Frame): Frame {
  return { ...value, stored: new Uint8Array(value.stored) };
}

describe("what is written by hand is what the generated code writes", () => {
  test("entries, and reads it back", () => {
    const items = fc.array(fc.record({ path, entry, hint: count }), { maxLength: 8 });
    fc.assert(
      fc.property(items, (entries) => {
        const bytes = encodeEntries(entries);
        const message = { entries: entries.map((each) => operationToWire({ kind: "put", ...each })) };
        expect(Buffer.compare(bytes, encodeMessage(ListEntriesResponse, message))).toBe(0);
        expect(decodeEntries(bytes)).toEqual(entries);
      }),
      RUNS,
    );
  });

  test("changes, and reads them back", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 8 }), (changes) => {
        const bytes = encodeChanges(changes);
        const wire = changes.map(({ path, before, after }) => ({
          path,
          before: before && entryToWire(before),
          after: after && entryToWire(after),
        }));
        expect(Buffer.compare(bytes, encodeMessage(DiffResponse, { changes: wire }))).toBe(0);
        expect(decodeChanges(bytes)).toEqual(changes);
        const decoded = decodeMessage(FetchResponse, bytes);
        expect(decoded.changes.map((each) => each.after && entryFromWire(each.after))).toEqual(
          changes.map(({ after }) => after),
        );
      }),
      RUNS,
    );
  });

  test("frames, and reads them back", () => {
    fc.assert(
      fc.property(frame, (value) => {
        const bytes = joined(encodeReadObjectsResponse(value));
        expect(plain(decodeReadObjectsResponse(bytes))).toEqual(plain(value));
        const fetched = joined(encodeFetchItem({ kind: "frame", frame: value }));
        expect(
          Buffer.compare(fetched, encodeMessage(FetchResponse, decodeMessage(FetchResponse, fetched))),
        ).toBe(0);
        const item = decodeFetchItem(fetched);
        expect(item.kind === "frame" && plain(item.frame)).toEqual(plain(value));
      }),
      RUNS,
    );
  });

  test("what is wanted, and reads it back", () => {
    const wants = fc.array(fc.record({ id: objectId, hint: count }), { maxLength: 8 });
    fc.assert(
      fc.property(text, wants, (project, refs) => {
        const bytes = encodeReadObjectsRequest(project, refs);
        expect(decodeReadObjectsRequest(bytes)).toEqual({ project, wants: refs });
        const wire = {
          project,
          wants: refs.map(({ id, hint }) => ({ id: Buffer.from(id, "hex"), hint: BigInt(hint) })),
        };
        expect(Buffer.compare(bytes, encodeMessage(ReadObjectsRequest, wire))).toBe(0);
      }),
      RUNS,
    );
  });
});

describe("a round trip changes nothing:", () => {
  test("fetched items", () => {
    const item: fc.Arbitrary<FetchItem> = fc.oneof(
      fc.record({ kind: fc.constant("content" as const), objects: count, bytes: count }),
      fc.record({ kind: fc.constant("changes" as const), changes: fc.array(change, { maxLength: 3 }) }),
    );
    fc.assert(
      fc.property(item, (value) => {
        expect(decodeFetchItem(joined(encodeFetchItem(value)))).toEqual(value);
      }),
      RUNS,
    );
  });

  const request: fc.Arbitrary<LandRequest> = fc.record({
    landingId: hex<LandingId>(16),
    base: ref,
    goal: text,
    author: text.filter((each) => each !== ""),
    agent: text,
    operations: fc.array(operation, { maxLength: 6 }),
    decisions: fc.array(text, { maxLength: 3 }),
    conversation: fc.array(message, { maxLength: 3 }),
    packs: fc.array(hex<PackId>(32), { maxLength: 3 }),
    frames: fc.array(frame, { maxLength: 3 }),
  });
  const defaults = {
    mintLandingId: (): LandingId => {
      throw new Error("there is one");
    },
    author: "nobody",
  };

  test("landings on their way in", () => {
    fc.assert(
      fc.property(request, fc.option(hex<SessionId>(16), { nil: undefined }), (value, session) => {
        const sent = session === undefined ? value : { ...value, session };
        const reader = new LandRequestReader();
        const messages = [...encodeLandRequest("acme/app", sent)].map(joined);
        for (const bytes of messages) reader.add(bytes);
        expect(reader.project).toBe("acme/app");
        const received = reader.finish(defaults);
        expect({ ...received, frames: received.frames.map(plain) }).toEqual({
          ...sent,
          frames: sent.frames.map(plain),
        });
        // Concatenated messages are one message: protocol buffers merge.
        const whole = decodeMessage(WireLandRequest, joined(messages));
        expect(whole.operations.map(operationFromWire)).toEqual(sent.operations);
        expect(whole.frames).toHaveLength(sent.frames.length);
      }),
      RUNS,
    );
  });

  test("a landing of more operations than a message takes", () => {
    const many = Array.from(
      { length: 10_000 },
      (_, i): Operation => ({ kind: "delete", path: `f${i}` as TreePath }),
    );
    fc.assert(
      fc.property(request, (value) => {
        const reader = new LandRequestReader();
        const messages = [...encodeLandRequest("p", { ...value, operations: many })].map(joined);
        for (const bytes of messages) reader.add(bytes);
        expect(messages.length).toBe(3 + value.frames.length);
        expect([...reader.finish(defaults).operations]).toEqual(many);
      }),
      { numRuns: 3 },
    );
  });

  test("but of no more than a landing takes, however short they are", () => {
    const operations = Array.from(
      { length: 21 },
      (_, i): Operation => ({ kind: "delete", path: `f${i}` as TreePath }),
    );
    fc.assert(
      fc.property(request, (value) => {
        const sent = { ...value, frames: [] };
        const read = (count: number): void => {
          const reader = new LandRequestReader(20);
          const some = { ...sent, operations: operations.slice(0, count) };
          for (const bytes of [...encodeLandRequest("p", some)].map(joined)) reader.add(bytes);
        };
        read(20);
        expect(() => read(21)).toThrow(expect.objectContaining({ code: "too-large" }));
      }),
      { numRuns: 3 },
    );
    const object = {
      id: "ab".repeat(32) as ObjectId,
      kind: "blob",
      offset: 0,
      length: 1,
      sidecarLength: 0,
    } as const;
    const frame = { compressed: false, rawLength: 1, stored: new Uint8Array(1), objects: [object] };
    fc.assert(
      fc.property(request, (value) => {
        const sent = { ...value, operations: [], frames: Array.from({ length: 21 }, () => frame) };
        const reader = new LandRequestReader(20);
        const readAll = (): void => {
          for (const bytes of [...encodeLandRequest("p", sent)].map(joined)) reader.add(bytes);
        };
        expect(readAll).toThrow(expect.objectContaining({ code: "too-large" }));
      }),
      { numRuns: 3 },
    );
  });

  const landing: fc.Arbitrary<Landing> = fc.record({
    position,
    landingId: hex<LandingId>(16),
    session: hex<SessionId>(16),
    root: objectId,
    parentRoot: objectId,
    goal: text,
    author: text,
    agent: text,
    timeMs: count,
    changes: count,
    hlc: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    base: ref,
    decisions: fc.array(text, { maxLength: 3 }),
    conversation: fc.array(message, { maxLength: 3 }),
    operations: fc.array(operation, { maxLength: 4 }),
  });

  test("landings on their way out", () => {
    fc.assert(
      fc.property(landing, (value) => {
        const bytes = encodeMessage(WireLanding, landingToWire(value));
        expect(landingFromWire(decodeMessage(WireLanding, bytes))).toEqual(value);
      }),
      RUNS,
    );
  });

  test("history that is imported", () => {
    const packs = fc.array(hex<PackId>(32), { maxLength: 2 });
    const landings = fc.array(landing, { maxLength: 3 });
    fc.assert(
      fc.property(
        ref,
        landings,
        packs,
        fc.array(frame, { maxLength: 2 }),
        fc.constantFrom({}, { allowSecrets: true }),
        (after, landings, packs, frames, more) => {
          const reader = new ImportLandingsReader();
          for (const parts of encodeImportLandings("p", { after, landings, packs, frames, ...more }))
            reader.add(joined(parts));
          const received = reader.finish();
          const expected = { after, landings, packs, frames: frames.map(plain), ...more };
          expect({ ...received, frames: received.frames.map(plain) }).toEqual(expected);
        },
      ),
      RUNS,
    );
  });

  test("sessions", () => {
    const session: fc.Arbitrary<Session> = fc.record(
      {
        id: hex<SessionId>(16),
        goal: text,
        owner: text,
        state: fc.constantFrom("open", "landed", "abandoned", "conflicted"),
        base: ref,
        createdAtMs: count,
        updatedAtMs: count,
        landedAt: position,
        operations: fc.array(operation, { maxLength: 4 }),
        decisions: fc.array(text, { maxLength: 3 }),
        conversation: fc.array(message, { maxLength: 3 }),
      },
      {
        requiredKeys: [
          "id",
          "goal",
          "owner",
          "state",
          "base",
          "createdAtMs",
          "updatedAtMs",
          "operations",
          "decisions",
          "conversation",
        ],
      },
    );
    fc.assert(
      fc.property(session, (value) => {
        const bytes = encodeMessage(WireSession, sessionToWire(value));
        expect(sessionFromWire(decodeMessage(WireSession, bytes))).toEqual(value);
      }),
      RUNS,
    );
  });

  test("ranges of positions", () => {
    const paths = fc.array(path, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(position, position, fc.option(paths, { nil: undefined }), (from, to, paths) => {
        const value = paths === undefined ? { from, to } : { from, to, paths };
        const project = "ab".repeat(16) as ProjectId;
        expect(diffRequestFromWire(diffRequestToWire(project, value))).toEqual(value);
      }),
      RUNS,
    );
  });

  test("messages cut into chunks of any size", () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 });
    fc.assert(
      fc.property(
        messages,
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
        fc.boolean(),
        (sent, sizes, reuses) => {
          const bytes = joined(sent.flatMap((each) => [messageHeader(each.length), each]));
          const splitter = new MessageSplitter(undefined, reuses);
          const received: Buffer[] = [];
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const chunk = bytes.subarray(at, at + sizes[i % sizes.length]!);
            for (const { bytes } of splitter.push(chunk)) received.push(Buffer.from(bytes));
            at += chunk.length;
          }
          expect(splitter.isBetween).toBe(true);
          expect(received.map((each) => each.toString("hex"))).toEqual(
            sent.map((each) => Buffer.from(each).toString("hex")),
          );
        },
      ),
      RUNS,
    );
  });

  test("errors", () => {
    const paths = fc.array(text, { maxLength: 5 });
    fc.assert(
      fc.property(
        text,
        text,
        paths,
        fc.dictionary(fc.string(), fc.jsonValue()),
        (said, hint, paths, data) => {
          delete data["paths"];
          const rest = JSON.parse(JSON.stringify(data)) as Record<string, unknown>;
          const message = said === "" ? "conflict" : said;
          const error = new MicError("conflict", message, {
            hint,
            data: { ...rest, ...(paths.length > 0 ? { paths } : {}) },
          });
          const received = decodeStatus(decodeTrailers(encodeTrailers(encodeStatus(error)).subarray(5)));
          expect(received.code).toBe("conflict");
          expect(received.message).toBe(message);
          expect(received.hint ?? "").toBe(hint);
          expect(received.data).toEqual(error.data);
        },
      ),
      RUNS,
    );
  });
});

test("the details of an error fit the trailers, however many paths it has", () => {
  const paths = Array.from({ length: 10_000 }, (_, i) => `directory/file-${i}`);
  const { details } = encodeStatus(
    new MicError("conflict", "others", { data: { paths } }),
    TRAILER_DETAIL_BYTES_MAX,
  );
  expect(details.length).toBeLessThanOrEqual(TRAILER_DETAIL_BYTES_MAX);
  const { data } = decodeStatus({ code: 10, message: "others", details });
  const kept = data["paths"] as string[];
  expect(kept.length).toBeGreaterThan(100);
  expect(kept).toEqual(paths.slice(0, kept.length));
  expect(data["pathsOmitted"]).toBe(paths.length - kept.length);
});

test("an internal error says nothing but its request", () => {
  const error = new MicError("internal", "secret", {
    hint: "secret",
    data: { request: "r1", sql: "secret" },
  });
  const status = encodeStatus(error);
  expect(Buffer.from(status.details).includes("secret")).toBe(false);
  expect(decodeStatus(status)).toMatchObject({
    code: "internal",
    message: "internal error",
    data: { request: "r1" },
  });
});

describe("decoders refuse what is no message, and nothing else happens:", () => {
  const decoders: readonly [string, (bytes: Uint8Array) => unknown][] = [
    ["entries", decodeEntries],
    ["changes", decodeChanges],
    ["fetched items", decodeFetchItem],
    ["frames", decodeReadObjectsResponse],
    ["wants", decodeReadObjectsRequest],
    ["landings in", (bytes) => new LandRequestReader().add(bytes)],
    ["imports", (bytes) => new ImportLandingsReader().add(bytes)],
    ["landings out", (bytes) => landingFromWire(decodeMessage(WireLanding, bytes))],
    ["sessions", (bytes) => sessionFromWire(decodeMessage(WireSession, bytes))],
    ["chunks of messages", (bytes) => new MessageSplitter(1000).push(bytes)],
    ["trailers", decodeTrailers],
    ["details of errors", (details) => decodeStatus({ code: 3, message: "m", details })],
  ];
  const seeds: readonly Uint8Array[] = fc
    .sample(fc.tuple(fc.array(change, { minLength: 1, maxLength: 3 }), frame), { numRuns: 8, seed: 1 })
    .flatMap(([changes, value]) => [
      encodeChanges(changes),
      joined(encodeFetchItem({ kind: "frame", frame: value })),
      joined(encodeReadObjectsResponse(value)),
    ]);

  for (const [what, decode] of decoders) {
    const attempt = (bytes: Uint8Array): void => {
      try {
        decode(bytes);
      } catch (error) {
        if (!isMicError(error)) throw error;
      }
    };
    test(`${what} of random bytes`, () => {
      fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), attempt), { numRuns: 300 });
    });
    test(`${what} of messages with a flipped, missing or doubled part`, () => {
      const change = fc.record({
        seed: fc.constantFrom(...seeds),
        at: fc.nat(),
        value: fc.nat(255),
        cut: fc.nat(20),
      });
      fc.assert(
        fc.property(change, ({ seed, at, value, cut }) => {
          const bytes = Buffer.from(seed);
          const index = at % bytes.length;
          bytes[index] = value;
          attempt(bytes);
          attempt(bytes.subarray(0, bytes.length - cut));
          attempt(Buffer.concat([bytes.subarray(0, index), bytes]));
        }),
        { numRuns: 200 },
      );
    });
  }
});
