/** The part of a forge's conformance that agents without packs rely on: stored content, and landing a session. */
import { beforeEach, describe, expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import type { ObjectId, Position } from "../../src/core/base/ids.ts";
import { CHUNK_THRESHOLD_BYTES } from "../../src/core/base/limits.ts";
import { mintLandingId, mintSessionId } from "../../src/core/base/random.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import type {
  ContentRange,
  Forge,
  LandSession,
  Operation,
  StoredContent,
} from "../../src/core/forge/forge.ts";
import { collectBytes, path, TestProject } from "../support/forge-project.ts";

const AUTHOR = { author: "Ada <ada@example.org>", agent: "test" };

function code(expected: string): unknown {
  return expect.objectContaining({ code: expected });
}

/** In pieces of odd sizes, some of them empty. */
export async function* inPieces(bytes: Uint8Array, pieceBytes = 70_001): AsyncIterable<Uint8Array> {
  yield new Uint8Array(0);
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

/** Bytes that do not compress, the same for the same seed. */
function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

export function putOf(name: string, stored: StoredContent): Operation {
  return { kind: "put", path: path(name), entry: { kind: "file", ...stored }, hint: 0 };
}

export function describeStoredContent(current: () => Forge): void {
  describe("agents without packs", () => describeAgents(current));
}

function describeAgents(current: () => Forge): void {
  let forge: Forge;
  let project: TestProject;

  beforeEach(async () => {
    forge = current();
    project = await TestProject.create(forge, "acme/blobs");
  });

  function store(content: string | Uint8Array): Promise<StoredContent> {
    return forge.putBlob(project.id, inPieces(Buffer.from(content)));
  }

  async function read(stored: StoredContent, range?: ContentRange): Promise<Buffer> {
    const file = { entry: { kind: "file" as const, ...stored }, hint: 0 };
    const options = range === undefined ? {} : { range };
    return Buffer.from(await collectBytes(forge.readFile(project.id, file, options)));
  }

  async function readLanded(at: number, name: string, range?: ContentRange): Promise<Buffer> {
    const found = await forge.getPath(project.id, at as Position, path(name));
    if (found?.kind !== "entry") throw new Error(`${name} is no file`);
    expect(found.hint).toBeGreaterThan(0);
    const options = range === undefined ? {} : { range };
    return Buffer.from(await collectBytes(forge.readFile(project.id, found, options)));
  }

  async function startSession(goal = "Work") {
    const id = mintSessionId(systemRandom);
    await forge.startSession(project.id, { id, goal, owner: "ada" });
    return id;
  }

  function landing(session: LandSession["session"]): LandSession {
    return { session, landingId: mintLandingId(systemRandom), ...AUTHOR };
  }

  describe("stored content", () => {
    test("putBlob() names small content by its hash, and it can be read at once", async () => {
      for (const content of ["hello", "", "x".repeat(CHUNK_THRESHOLD_BYTES)]) {
        const stored = await store(content);
        expect(stored).toEqual({ id: hashObject(Buffer.from(content)), size: content.length });
        expect(await forge.findContent(project.id, { id: stored.id })).toEqual(stored);
        expect((await read(stored)).toString()).toBe(content);
      }
    });

    test("putBlob() cuts large content into chunks, the same way every time", async () => {
      const content = noise(CHUNK_THRESHOLD_BYTES + 1, 1);
      const larger = noise(5_000_000, 2);
      for (const bytes of [content, larger]) {
        const stored = await store(bytes);
        expect(stored).toMatchObject({ id: hashObject(bytes), size: bytes.length });
        expect(stored.chunks).toMatch(/^[0-9a-f]{64}$/);
        expect(await forge.putBlob(project.id, inPieces(bytes, 999_983))).toEqual(stored);
        const found = await forge.findContent(project.id, { id: stored.id, chunks: stored.chunks! });
        expect(found).toEqual(stored);
        expect(await forge.findContent(project.id, { id: stored.id })).toBeUndefined();
        expect((await read(stored)).equals(bytes)).toBe(true);
      }
    });

    test("findContent() knows landed content and nothing that was never stored", async () => {
      const big = noise(3_000_000, 3);
      await project.land({ put: { a: "landed", big } });
      const id = hashObject(Buffer.from("landed"));
      expect(await forge.findContent(project.id, { id })).toEqual({ id, size: 6 });
      const found = await forge.getPath(project.id, 1 as Position, path("big"));
      if (found?.kind !== "entry") throw new Error("big is missing");
      const { chunks } = found.entry;
      const stored = { id: hashObject(big), size: big.length, chunks };
      expect(await forge.findContent(project.id, { id: stored.id, chunks: chunks! })).toEqual(stored);
      const absent = "0123456789abcdef".repeat(4) as ObjectId;
      expect(await forge.findContent(project.id, { id: absent })).toBeUndefined();
      expect(await forge.findContent(project.id, { id: stored.id, chunks: absent })).toBeUndefined();
      expect(await forge.findContent(project.id, { id: chunks! })).toBeUndefined();
    });

    test("a landing takes along what was only stored, small and large", async () => {
      const big = noise(9_000_000, 4);
      const parts = [await store("one"), await store(""), await store(big), await store("one")];
      const operations = ["a", "b", "c", "d"].map((name, i) => putOf(name, parts[i]!));
      await project.land({ request: { operations } });
      expect((await readLanded(1, "a")).toString()).toBe("one");
      expect(await readLanded(1, "b")).toHaveLength(0);
      expect((await readLanded(1, "c")).equals(big)).toBe(true);
      expect((await readLanded(1, "d")).toString()).toBe("one");
      expect((await forge.fsck(project.id)).findings).toEqual([]);
      // Landed content is not sent again.
      await project.land({ request: { operations: [putOf("e", parts[2]!)] } });
      expect((await readLanded(2, "e")).equals(big)).toBe(true);
    });

    test("content that travels, content that is stored and content that is landed mix", async () => {
      await project.land({ put: { old: "landed" } });
      const stored = await store("stored");
      const request = project.request({ put: { sent: "sent", same: "landed" } });
      const operations = [...request.operations, putOf("z", stored)];
      const { frames } = project.request({ put: { sent: "sent" } });
      await project.land({ request: { operations, frames } });
      for (const [name, text] of Object.entries({ sent: "sent", same: "landed", z: "stored" })) {
        expect((await readLanded(2, name)).toString()).toBe(text);
      }
    });

    test("content that was never stored is not found, and the path is named", async () => {
      const id = "0123456789abcdef".repeat(4) as ObjectId;
      for (const entry of [
        { id, size: 3 },
        { id, size: 3_000_000, chunks: id },
      ]) {
        const change = { request: { operations: [putOf("lost", entry)] } };
        const refused = { code: "not-found", data: { paths: ["lost"] } };
        await expect(project.tryLand(change)).rejects.toMatchObject(refused);
      }
    });

    test("an entry that says something else than the content is corrupt", async () => {
      const small = await store("four");
      const large = await store(noise(2_000_000, 5));
      for (const entry of [
        { ...small, size: 5 },
        { ...large, size: 1_999_999 },
        { ...large, id: small.id },
        { id: large.id, size: large.size, chunks: small.id },
        { id: large.chunks!, size: 40 },
      ]) {
        const change = { request: { operations: [putOf("wrong", entry)] } };
        await expect(project.tryLand(change)).rejects.toEqual(code("corrupt"));
      }
      expect((await forge.getHead(project.id)).position).toBe(0);
    });

    test("a source that fails stores nothing", async () => {
      const content = noise(3_000_000, 6);
      for (const cut of [10, 2_500_000]) {
        const broken = async function* () {
          yield content.subarray(0, cut);
          throw new Error("the line was cut");
        };
        await expect(forge.putBlob(project.id, broken())).rejects.toThrow();
        const id = hashObject(content.subarray(0, cut));
        expect(await forge.findContent(project.id, { id })).toBeUndefined();
      }
    });

    test("readFile() of a range gives exactly that part", async () => {
      const small = Buffer.from("0123456789");
      const large = Buffer.from(noise(6_000_000, 7));
      const stored = [await store(small), await store(large)];
      await project.land({ request: { operations: [putOf("l", stored[1]!), putOf("s", stored[0]!)] } });
      for (const [name, bytes, entry] of [
        ["s", small, stored[0]!],
        ["l", large, stored[1]!],
      ] as const) {
        const size = bytes.length;
        for (const [offset, length] of [
          [0, size],
          [0, 1],
          [3, 4],
          [size - 1, 1],
          [size - 3, 100],
          [size, 5],
          [size + 7, 5],
          [2, 0],
          [Math.floor(size / 3), Math.floor(size / 2)],
        ] as const) {
          const part = bytes.subarray(offset, offset + length);
          const range = { offset, length };
          expect((await readLanded(1, name, range)).equals(part), `${name} ${offset}+${length}`).toBe(true);
          expect((await read(entry, range)).equals(part)).toBe(true);
        }
        for (const range of [
          { offset: -1, length: 1 },
          { offset: 0, length: -1 },
          { offset: 0.5, length: 1 },
        ]) {
          await expect(readLanded(1, name, range)).rejects.toEqual(code("usage"));
        }
      }
    });
  });

  describe("landSession()", () => {
    test("lands what was recorded, with goal, decisions and conversation", async () => {
      const session = await startSession("Say hello");
      const stored = await store("hello");
      await forge.recordOperations(project.id, session, [putOf("b", stored)]);
      await forge.recordOperations(project.id, session, [putOf("a", stored)]);
      await forge.recordDecision(project.id, session, "be kind");
      await forge.recordConversation(project.id, session, [{ role: "user", text: "say it" }]);
      const request = landing(session);
      const result = await forge.landSession(project.id, request);
      expect(result).toMatchObject({ kind: "landed", position: 1, session });
      expect(await forge.landSession(project.id, request)).toEqual(result);
      const landed = await forge.getLanding(project.id, 1 as Position);
      expect(landed).toMatchObject({
        landingId: request.landingId,
        session,
        goal: "Say hello",
        ...AUTHOR,
        base: { position: 0 },
        decisions: ["be kind"],
        conversation: [{ role: "user", text: "say it" }],
        changes: 2,
      });
      expect((await readLanded(1, "a")).toString()).toBe("hello");
      const after = await forge.getSession(project.id, session);
      expect(after).toMatchObject({ state: "landed", landedAt: 1 });
      await expect(forge.landSession(project.id, landing(session))).rejects.toEqual(code("landed"));
      await expect(forge.recordDecision(project.id, session, "late")).rejects.toEqual(code("landed"));
    });

    test("a goal of its own replaces the session's, and files can be removed", async () => {
      await project.land({ put: { a: "1", b: "2" } });
      const session = await startSession("Work");
      await forge.recordOperations(project.id, session, [{ kind: "delete", path: path("a") }]);
      await forge.landSession(project.id, { ...landing(session), goal: "Remove a" });
      expect(await forge.getLanding(project.id, 2 as Position)).toMatchObject({ goal: "Remove a" });
      expect(await forge.getPath(project.id, 2 as Position, path("a"))).toBeUndefined();
    });

    test("a conflict names the paths and marks the session, which can land on a newer base", async () => {
      const session = await startSession();
      await forge.recordOperations(project.id, session, [putOf("a", await store("ours"))]);
      await project.land({ put: { a: "theirs" } });
      const conflict = { kind: "conflict", paths: ["a"] };
      expect(await forge.landSession(project.id, landing(session))).toEqual(conflict);
      expect(await forge.getSession(project.id, session)).toMatchObject({ state: "conflicted" });
      expect(await forge.landSession(project.id, landing(session))).toEqual(conflict);
      await forge.recordOperations(project.id, session, [putOf("a", await store("both"))]);
      const result = await forge.landSession(project.id, { ...landing(session), base: project.base });
      expect(result).toMatchObject({ kind: "landed", position: 2 });
      expect((await readLanded(2, "a")).toString()).toBe("both");
      expect(await forge.getSession(project.id, session)).toMatchObject({ state: "landed", landedAt: 2 });
    });

    test("a session without operations, an abandoned one and an unknown one land nothing", async () => {
      const session = await startSession();
      await forge.recordDecision(project.id, session, "nothing to do");
      await expect(forge.landSession(project.id, landing(session))).rejects.toEqual(code("nothing-to-land"));
      await forge.recordOperations(project.id, session, [putOf("a", await store("x"))]);
      await forge.abandonSession(project.id, session);
      await expect(forge.landSession(project.id, landing(session))).rejects.toEqual(code("usage"));
      const unknown = mintSessionId(systemRandom);
      await expect(forge.landSession(project.id, landing(unknown))).rejects.toEqual(code("not-found"));
      expect((await forge.getHead(project.id)).position).toBe(0);
    });

    test("missing content names its path, and the session can land when it is stored", async () => {
      const session = await startSession();
      const id = hashObject(Buffer.from("late"));
      await forge.recordOperations(project.id, session, [putOf("a", { id, size: 4 })]);
      const refused = { code: "not-found", data: { paths: ["a"] } };
      await expect(forge.landSession(project.id, landing(session))).rejects.toMatchObject(refused);
      await store("late");
      expect(await forge.landSession(project.id, landing(session))).toMatchObject({ kind: "landed" });
    });

    test("a landing id that landed something else is landing-id-reused", async () => {
      const session = await startSession();
      await forge.recordOperations(project.id, session, [putOf("a", await store("x"))]);
      const other = project.request({ put: { b: "1" } });
      await forge.land(project.id, other);
      const reused = { ...landing(session), landingId: other.landingId };
      await expect(forge.landSession(project.id, reused)).rejects.toEqual(code("landing-id-reused"));
    });

    test("of landings of one session at once one lands, whatever their ids", async () => {
      for (const isSameId of [true, false]) {
        const session = await startSession();
        await forge.recordOperations(project.id, session, [putOf(`f${isSameId}`, await store("x"))]);
        const first = landing(session);
        const requests = Array.from({ length: 6 }, () => (isSameId ? first : landing(session)));
        const results = await Promise.allSettled(
          requests.map((request) => forge.landSession(project.id, request)),
        );
        const landed = results.filter((result) => result.status === "fulfilled");
        expect(landed).toHaveLength(isSameId ? requests.length : 1);
        for (const result of results) {
          if (result.status === "fulfilled") expect(result.value).toEqual(landed[0]!.value);
          else expect(result.reason).toEqual(code("landed"));
        }
      }
      expect((await forge.getHead(project.id)).position).toBe(2);
    });

    test("many sessions land at once, each at its own position", async () => {
      const sessions = await Promise.all(Array.from({ length: 20 }, () => startSession()));
      await Promise.all(
        sessions.map(async (session, i) =>
          forge.recordOperations(project.id, session, [putOf(`f${i}`, await store(`content ${i}`))]),
        ),
      );
      const results = await Promise.all(
        sessions.map((session) => forge.landSession(project.id, landing(session))),
      );
      const positions = results.map((result) => (result.kind === "landed" ? result.position : 0));
      expect(positions.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
      expect((await forge.fsck(project.id)).findings).toEqual([]);
    });
  });
}
