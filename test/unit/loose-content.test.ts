import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteWriter, bytesToHex, hexToBytes, utf8 } from "../../src/core/base/bytes.ts";
import { isMicError, MicError } from "../../src/core/base/errors.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { Epoch, ObjectId, PackId, Position, ProjectId } from "../../src/core/base/ids.ts";
import { FRAME_RAW_BYTES_MAX, INLINE_CONTENT_BYTES_MAX } from "../../src/core/base/limits.ts";
import { mintLandingId, mintSessionId } from "../../src/core/base/random.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import { encodeChunkList } from "../../src/core/codec/chunk-list.ts";
import { decodeLooseObject, encodeLooseObject, type LooseObject } from "../../src/core/codec/loose-object.ts";
import { SEAL_BYTES, seal } from "../../src/core/codec/sealed.ts";
import type { StoredContent } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { blobKey, blobsPrefix, packsPrefix, parseBlobKey } from "../../src/core/objects/keys.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { FAULT_KINDS, type FaultRates } from "../../src/core/store/faults.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { inPieces, putOf } from "../conformance/forge-blobs.ts";
import { collectBytes, path, TestProject } from "../support/forge-project.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const DAY_MS = 86_400_000;
const AUTHOR = { author: "Ada", agent: "" };

const list = encodeChunkList({
  chunks: [
    { id: "a1".repeat(32) as ObjectId, length: 1_000_000, hint: 0 },
    { id: "b2".repeat(32) as ObjectId, length: 500_000, hint: 7 },
  ],
});
const blob: LooseObject = { kind: "blob", content: utf8("hello") };
const chunkList: LooseObject = {
  kind: "chunk-list",
  ...list,
  file: { id: "c3".repeat(32) as ObjectId, size: 1_500_000 },
  packs: [{ pack: "d4".repeat(32) as PackId, epoch: "2026-11-21" as Epoch }],
};
const formats = [
  { format: "blob", value: blob, id: hashObject(blob.content) },
  { format: "chunkList", value: chunkList, id: hashObject(chunkList.content) },
];

const golden: Record<string, { version: number; hex: string }> = JSON.parse(
  readFileSync(new URL("../golden/loose-object.json", import.meta.url), "utf8"),
);

function resealed(body: Uint8Array): Uint8Array {
  return seal(new ByteWriter(body.length + SEAL_BYTES).bytes(body));
}

function code(expected: string): unknown {
  return expect.objectContaining({ code: expected });
}

describe.each(formats)("a loose $format", ({ format, value, id }) => {
  const bytes = encodeLooseObject(value);
  const body = bytes.subarray(0, bytes.length - SEAL_BYTES);

  test("decodes from its golden vector and encodes to what decodes again", () => {
    const vector = new Uint8Array(hexToBytes(golden[format]!.hex));
    expect(decodeLooseObject(vector, id)).toEqual(value);
    expect(decodeLooseObject(bytes, id)).toEqual(value);
    if (value.kind === "blob") expect(bytesToHex(bytes)).toBe(golden[format]!.hex);
  });

  test("is refused with a flipped bit, cut short, or with trailing bytes", () => {
    for (let i = 0; i < bytes.length; i++) {
      const flipped = bytes.slice();
      flipped[i]! ^= 1 << (i % 8);
      expect(() => decodeLooseObject(flipped, id)).toThrow(code("corrupt"));
      expect(() => decodeLooseObject(bytes.subarray(0, i), id)).toThrow(MicError);
    }
    for (let i = 0; i < body.length; i++) {
      expect(() => decodeLooseObject(resealed(body.subarray(0, i)), id)).toThrow(MicError);
    }
    const trailing = resealed(Buffer.concat([body, Buffer.alloc(1)]));
    expect(() => decodeLooseObject(trailing, id)).toThrow(code("corrupt"));
  });

  test("is refused under another id, and in another version", () => {
    expect(() => decodeLooseObject(bytes, "0".repeat(64) as ObjectId)).toThrow(code("corrupt"));
    const changed = body.slice();
    changed[4] = 2;
    expect(() => decodeLooseObject(resealed(changed), id)).toThrow(code("unsupported"));
  });

  test("sealed random bytes and mutations are refused or decode to the same content", () => {
    const decodesOrRefuses = (candidate: Uint8Array): void => {
      try {
        expect(hashObject(decodeLooseObject(candidate, id).content)).toBe(id);
      } catch (error) {
        if (!(error instanceof MicError)) throw error;
        expect(["corrupt", "unsupported"]).toContain(error.code);
      }
    };
    const edits = fc.array(fc.tuple(fc.nat(body.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => decodesOrRefuses(resealed(bytes))));
    fc.assert(
      fc.property(edits, (changes) => {
        const mutated = body.slice();
        for (const [at, byte] of changes) mutated[at] = byte;
        decodesOrRefuses(resealed(mutated));
      }),
    );
  });
});

test("a loose object that claims to expand without end is refused before it is expanded", () => {
  const bomb = encodeLooseObject({ kind: "blob", content: new Uint8Array(1 << 20) }).slice(0, -SEAL_BYTES);
  for (const claim of [FRAME_RAW_BYTES_MAX + 1, 0xffffffff, 1000]) {
    new DataView(bomb.buffer).setUint32(8, claim, true);
    expect(() => decodeLooseObject(resealed(bomb), "0".repeat(64) as ObjectId)).toThrow(code("corrupt"));
  }
});

test("parseBlobKey() is the inverse of blobKey()", () => {
  const id = "ab".repeat(32) as ObjectId;
  const epoch = "2026-01-02" as Epoch;
  const key = blobKey("5".repeat(32) as ProjectId, epoch, id);
  expect(parseBlobKey(key)).toEqual({ epoch, id });
  expect(parseBlobKey(key.replace("/ab/", "/ac/"))).toBeUndefined();
  expect(parseBlobKey(`${key}x`)).toBeUndefined();
});

class World {
  readonly clock = new VirtualClock();
  readonly store = new MemoryStore(this.clock);

  open(store: ObjectStore = this.store, trustWriters = false): ForgeService {
    const { clock } = this;
    return new ForgeService({ store, address: "memory", clock, random: systemRandom, trustWriters });
  }

  async keys(prefix: string): Promise<string[]> {
    const keys: string[] = [];
    let after: string | undefined;
    do {
      const page = await this.store.list(prefix, after === undefined ? {} : { after });
      keys.push(...page.objects.map(({ key }) => key));
      after = page.next;
    } while (after !== undefined);
    return keys;
  }

  passDays(days: number): Promise<void> {
    return this.clock.run(this.clock.sleep(days * DAY_MS));
  }
}

function noise(length: number): Uint8Array {
  return randomFillSync(new Uint8Array(length));
}

async function readAll(project: TestProject, name: string, at: number): Promise<Buffer> {
  const found = await project.forge.getPath(project.id, at as Position, path(name));
  if (found?.kind !== "entry") throw new Error(`${name} is missing`);
  return Buffer.from(await collectBytes(project.forge.readFile(project.id, found)));
}

describe("a landing of stored content", () => {
  test("does not need the loose objects afterwards", async () => {
    const world = new World();
    const project = await TestProject.create(world.open(), "acme/app");
    const contents: Record<string, Uint8Array> = { a: noise(10), b: noise(900_000), c: noise(3_000_000) };
    const operations = [];
    for (const [name, bytes] of Object.entries(contents)) {
      operations.push(putOf(name, await project.forge.putBlob(project.id, inPieces(bytes))));
    }
    await project.land({ request: { operations } });
    const loose = await world.keys(blobsPrefix(project.id));
    expect(loose).toHaveLength(3);
    await world.store.delete(loose);
    const later = new TestProject(world.open(), project.id);
    for (const [name, bytes] of Object.entries(contents)) {
      expect((await readAll(later, name, 1)).equals(bytes)).toBe(true);
    }
    expect((await later.forge.fsck(project.id)).findings).toEqual([]);
  });

  test("more than travels in one landing is packed on the way", async () => {
    const world = new World();
    const project = await TestProject.create(world.open(), "acme/app");
    const contents = Array.from({ length: 12 }, () => noise(1 << 20));
    const session = mintSessionId(systemRandom);
    await project.forge.startSession(project.id, { id: session, goal: "g", owner: "o" });
    for (const [i, bytes] of contents.entries()) {
      const stored = await project.forge.putBlob(project.id, inPieces(bytes));
      await project.forge.recordOperations(project.id, session, [putOf(`f${i}`, stored)]);
    }
    const landing = { session, landingId: mintLandingId(systemRandom), ...AUTHOR };
    await project.forge.landSession(project.id, landing);
    const sizes = await Promise.all(
      (await world.keys(packsPrefix(project.id))).map(
        async (key) => (await world.store.get(key))!.bytes.length,
      ),
    );
    expect(sizes).toHaveLength(2);
    expect(Math.max(...sizes)).toBeLessThan(INLINE_CONTENT_BYTES_MAX + (2 << 20));
    for (const [i, bytes] of contents.entries()) {
      expect((await readAll(project, `f${i}`, 1)).equals(bytes)).toBe(true);
    }
    expect((await project.forge.fsck(project.id)).findings).toEqual([]);
  });

  test("what was stored days ago is copied under a new epoch, and found for its session much later", async () => {
    const world = new World();
    const project = await TestProject.create(world.open(), "acme/app");
    const bytes = noise(2_000_000);
    const stored = await project.forge.putBlob(project.id, inPieces(bytes));
    const [before] = await world.keys(packsPrefix(project.id));
    await world.passDays(3);
    const fresh = new TestProject(world.open(), project.id);
    await fresh.land({ request: { operations: [putOf("a", stored)] } });
    await world.store.delete([before!]);
    expect((await readAll(new TestProject(world.open(), project.id), "a", 1)).equals(bytes)).toBe(true);

    const session = mintSessionId(systemRandom);
    await project.forge.startSession(project.id, { id: session, goal: "g", owner: "o" });
    const old = [noise(100), noise(2_000_000)];
    for (const [i, content] of old.entries()) {
      const recorded = await project.forge.putBlob(project.id, inPieces(content));
      await project.forge.recordOperations(project.id, session, [putOf(`old${i}`, recorded)]);
    }
    await world.passDays(20);
    const forge = world.open();
    const landing = { session, landingId: mintLandingId(systemRandom), ...AUTHOR };
    expect(await forge.landSession(project.id, landing)).toMatchObject({ kind: "landed", position: 2 });
    for (const [i, content] of old.entries()) {
      expect((await readAll(new TestProject(forge, project.id), `old${i}`, 2)).equals(content)).toBe(true);
    }
  });

  test("a chunk list whose packs are gone is as if it were not there", async () => {
    const world = new World();
    const project = await TestProject.create(world.open(), "acme/app");
    const bytes = noise(2_000_000);
    const stored = await project.forge.putBlob(project.id, inPieces(bytes));
    await world.passDays(3);
    await project.land({ request: { operations: [putOf("a", stored)] } });
    const isOld = (key: string) => key.includes("/packs/2026-01-01/");
    await world.store.delete((await world.keys(packsPrefix(project.id))).filter(isOld));
    const forge = world.open();
    expect(await forge.findContent(project.id, { id: stored.id, chunks: stored.chunks! })).toEqual(stored);
    const later = new TestProject(forge, project.id);
    later.base = project.base;
    await later.land({ request: { operations: [putOf("b", stored)] } });
    expect((await readAll(later, "b", 2)).equals(bytes)).toBe(true);
  });

  test("a damaged loose object is corrupt, and storing the content again repairs it", async () => {
    const world = new World();
    const project = await TestProject.create(world.open(), "acme/app");
    const stored = await project.forge.putBlob(project.id, inPieces(utf8("precious")));
    const [key] = await world.keys(blobsPrefix(project.id));
    const bytes = (await world.store.get(key!))!.bytes.slice();
    bytes[20]! ^= 1;
    await world.store.put(key!, bytes);
    await expect(project.land({ request: { operations: [putOf("a", stored)] } })).rejects.toEqual(
      code("corrupt"),
    );
    const { findings } = await project.forge.fsck(project.id);
    expect(findings).toContainEqual(expect.objectContaining({ severity: "error", object: key }));
    await project.forge.putBlob(project.id, inPieces(utf8("precious")));
    await project.land({ request: { operations: [putOf("a", stored)] } });
  });

  test("a large source is stored piece by piece: what is open stays small", async () => {
    const world = new World();
    const project = await TestProject.create(world.open(), "acme/app");
    const piece = noise(1 << 20);
    let given = 0;
    let ahead = 0;
    const stored = async (): Promise<number> => {
      const keys = await world.keys(packsPrefix(project.id));
      const sizes = await Promise.all(keys.map(async (key) => (await world.store.get(key))!.bytes.length));
      return sizes.reduce((sum, size) => sum + size, 0);
    };
    const source = async function* () {
      for (let i = 0; i < 40; i++) {
        piece[0] = i;
        given += piece.length;
        yield piece.slice();
        ahead = Math.max(ahead, given - (await stored()));
      }
    };
    const result = await project.forge.putBlob(project.id, source());
    expect(result.size).toBe(given);
    expect(ahead).toBeLessThan(24 << 20);
  });
});

test.each([
  ["small", 1_000],
  ["large", 12_000_000],
])(
  "a writer that dies while it stores %s content leaves all of it or nothing that can be named",
  async (_, size) => {
    const content = noise(size);
    const id = hashObject(content);
    let crashes = 0;
    let stored: StoredContent | undefined;
    for (let step = 0; stored === undefined; step++) {
      for (const moment of ["before", "after"] as const) {
        const clock = new VirtualClock();
        const inner = new MemoryStore(clock);
        const world = new FaultWorld(inner, { clock, random: new SeededRandom(1), rates: {} });
        const open = (store: ObjectStore): ForgeService =>
          new ForgeService({ store, address: "m", clock, random: systemRandom, trustWriters: false });
        const steady = open(inner);
        const project = await TestProject.create(steady, "acme/app");
        const actor = world.actor();
        const dying = open(actor);
        const crashed = actor.crashAt(step, moment);
        const putting = dying.putBlob(project.id, inPieces(content));
        const ended = await Promise.race([crashed.then(() => undefined), putting]);
        if (ended !== undefined) {
          stored = ended;
          break;
        }
        crashes++;
        const again = await steady.putBlob(project.id, inPieces(content));
        expect(again).toMatchObject({ id, size });
        expect(await steady.findContent(project.id, again)).toEqual(again);
        await project.land({ request: { operations: [putOf("f", again)] } });
        expect((await readAll(project, "f", 1)).equals(content)).toBe(true);
      }
    }
    expect(stored).toMatchObject({ id, size });
    expect(crashes).toBeGreaterThan(1);
  },
);

/** Damage and a full disk are definite answers; everything else is worth another try. */
const DEFINITE = new Set(["read-flipped", "read-cut", "put-full", "clock-jump"]);
const RATES: FaultRates = Object.fromEntries(
  FAULT_KINDS.filter((kind) => !DEFINITE.has(kind)).map((kind) => [kind, 0.04]),
);
const SEEDS = 25;

test("under faults stored content stays, and a session lands once or not at all", async () => {
  let faults = 0;
  let landings = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const clock = new VirtualClock();
    const random = new SeededRandom(seed);
    const inner = new MemoryStore(clock);
    const world = new FaultWorld(inner, {
      clock,
      random,
      rates: RATES,
      etags: seed % 2 === 0 ? "content" : "version",
    });
    const open = (store: ObjectStore): ForgeService =>
      new ForgeService({ store, address: "faulty", clock, random, trustWriters: false });
    const calm = open(inner);
    const project = await TestProject.create(calm, "acme/app");
    const session = mintSessionId(random);
    const contents = [random.bytes(50), random.bytes(1_100_000)];
    const work = async (): Promise<void> => {
      const forge = open(world.actor());
      const again = async <T>(call: () => Promise<T>): Promise<T> => {
        for (let attempt = 0; ; attempt++) {
          try {
            return await call();
          } catch (error) {
            if (!isMicError(error) || error.kind !== "retry" || attempt === 50) throw error;
          }
        }
      };
      await again(() => forge.startSession(project.id, { id: session, goal: "g", owner: "o" }));
      for (const [i, bytes] of contents.entries()) {
        const stored = await again(() => forge.putBlob(project.id, inPieces(bytes)));
        expect(await calm.findContent(project.id, stored), `seed ${seed}`).toEqual(stored);
        await again(() => forge.recordOperations(project.id, session, [putOf(`f${i}`, stored)]));
      }
      const requests = [0, 1].map(() => ({ session, landingId: mintLandingId(random), ...AUTHOR }));
      const results = await Promise.allSettled(
        requests.map((request) => again(() => open(world.actor()).landSession(project.id, request))),
      );
      landings += results.filter(({ status }) => status === "fulfilled").length;
      await world.settle();
    };
    await clock.run(work());
    const { position } = await calm.getHead(project.id);
    expect(position, `seed ${seed}`).toBe(1);
    for (const [i, bytes] of contents.entries()) {
      expect((await readAll(project, `f${i}`, 1)).equals(bytes), `seed ${seed}`).toBe(true);
    }
    faults += world.observed;
  }
  expect(landings).toBe(SEEDS);
  expect(faults).toBeGreaterThan(SEEDS);
});
