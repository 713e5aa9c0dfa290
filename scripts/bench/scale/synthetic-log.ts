/**
 * A log of any length without the trees: records, operations, packs and manifest are what landings write, ids and
 * contents come from a generator, so that any stretch can be made again from its positions.
 */
import { bytesToHex, utf8 } from "../../../src/core/base/bytes.ts";
import { hashObject } from "../../../src/core/base/hash.ts";
import {
  EMPTY_ROOT,
  epochOf,
  type LandingId,
  type ObjectId,
  type Position,
  type ProjectId,
  type SessionId,
} from "../../../src/core/base/ids.ts";
import { comparePaths, parseTreePath, pathToKey, type TreePath } from "../../../src/core/base/path.ts";
import { systemClock, systemRandom } from "../../../src/core/base/system.ts";
import { encodeHead, type Head, type RollupRef } from "../../../src/core/codec/head.ts";
import { encodeLandingRecord, type LandingRecord } from "../../../src/core/codec/landing-record.ts";
import { encodeOperations } from "../../../src/core/codec/operations.ts";
import { encodePack } from "../../../src/core/codec/pack.ts";
import type { ManifestPack } from "../../../src/core/codec/pack-entry.ts";
import { encodeTreeEntry, type TreeEntry } from "../../../src/core/codec/tree-entry.ts";
import { appendPacks, type PackLists, PageCache } from "../../../src/core/forge/head/manifest.ts";
import { RING_SIZE } from "../../../src/core/forge/landing/batch.ts";
import { ProjectStore } from "../../../src/core/forge/project-store.ts";
import { FrameBuilder } from "../../../src/core/objects/frame-builder.ts";
import { headKey, packKey } from "../../../src/core/objects/keys.ts";
import type { ObjectStore } from "../../../src/core/store/object-store.ts";
import { generator } from "../harness.ts";

export const PROJECT = "7".repeat(32) as ProjectId;
/** Files that landings touch; each directory has as many beside them that none does. */
export const FILES = 1_000_000;
const FILES_PER_DIRECTORY = 100;
/** A landing touches 1 to 5 files. */
const TOUCHED_MAX = 5;
const RECORDS_PER_PACK = 100;
const PACKS_PER_COMMIT = 50;
const CACHE_BYTES = 64 << 20;

export function touchedPath(file: number): TreePath {
  return parseTreePath(`${directoryOf(file)}/source-${file % FILES_PER_DIRECTORY}.ts`);
}

/** Of a file that no landing touches. */
export function quietPath(file: number): TreePath {
  return parseTreePath(`${directoryOf(file)}/quiet-${file % FILES_PER_DIRECTORY}.ts`);
}

function directoryOf(file: number): string {
  const directory = Math.floor(file / FILES_PER_DIRECTORY);
  return `packages/group-${Math.floor(directory / 100)}/module-${directory % 100}/src`;
}

function randomHex(random: () => number, bytes: number): string {
  let hex = "";
  for (let i = 0; i < bytes; i += 4)
    hex += Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0");
  return hex;
}

export interface SyntheticLanding {
  readonly landingId: LandingId;
  readonly session: SessionId;
  readonly root: ObjectId;
  readonly files: readonly number[];
  readonly entries: readonly TreeEntry[];
}

/** The landing at a position, the same each time. */
export function landingAt(position: number): SyntheticLanding {
  const random = generator(position);
  const landingId = randomHex(random, 16) as LandingId;
  const session = randomHex(random, 16) as SessionId;
  const root = randomHex(random, 32) as ObjectId;
  const files = new Set<number>();
  for (let left = 1 + Math.floor(random() * TOUCHED_MAX); left > 0; left--)
    files.add(Math.floor(random() * FILES));
  const entries = [...files].map(
    (): TreeEntry => ({ kind: "file", size: 1000, id: randomHex(random, 32) as ObjectId }),
  );
  return { landingId, session, root, files: [...files], entries };
}

function recordOf(position: number, parentRoot: ObjectId): LandingRecord {
  const { landingId, session, root, files, entries } = landingAt(position);
  const operations = files
    .map((file, i) => ({ path: touchedPath(file), entry: entries[i]! }))
    .sort((a, b) => comparePaths(a.path, b.path))
    .map(({ path, entry }) => ({ key: pathToKey(path), value: encodeTreeEntry(entry), hint: position }));
  return {
    landingId,
    session,
    position: position as Position,
    hlc: BigInt(position),
    parentRoot,
    root,
    rootHint: position,
    base: { position: (position - 1) as Position, root: parentRoot },
    digest: hashObject(utf8(landingId)),
    operationCount: operations.length,
    goal: `change ${position}`,
    author: "Bench <bench@example.org>",
    agent: "bench",
    decisions: [],
    conversation: [],
    packs: [],
    operations: { kind: "inline", bytes: encodeOperations(operations, position as Position) },
  };
}

/** A log that grows: packs of records, the manifest's pages, a head. */
export class SyntheticLog {
  #store: ObjectStore;
  #cache: PageCache;
  #lists: PackLists = { pages: [], packs: [] };
  #position = 0;
  #root: ObjectId = EMPTY_ROOT;

  constructor(store: ObjectStore) {
    this.#store = store;
    this.#cache = new PageCache(store, PROJECT);
  }

  get position(): number {
    return this.#position;
  }

  /** Up to a position; `perPack` landings share a pack, as those of a batch or of a merged pack do. */
  async grow(upTo: number, perPack = RECORDS_PER_PACK): Promise<void> {
    const epoch = epochOf(await this.#store.nowMs());
    let added: ManifestPack[] = [];
    while (this.#position < upTo) {
      const first = (this.#position + 1) as Position;
      const last = Math.min(upTo, this.#position + perPack) as Position;
      const frames = new FrameBuilder({ rawTarget: 128 << 10 });
      for (let position: number = first; position <= last; position++) {
        const record = recordOf(position, this.#root);
        this.#root = record.root;
        const bytes = encodeLandingRecord(record);
        frames.add("record", hashObject(bytes), bytes);
      }
      const { id, bytes, indexLength } = encodePack(frames.finish());
      await this.#store.put(packKey(PROJECT, epoch, id), bytes);
      added.push({ pack: id, epoch, hasRecords: true, first, last, size: bytes.length, indexLength });
      this.#position = last;
      if (added.length < PACKS_PER_COMMIT && last < upTo) continue;
      const { puts, ...lists } = appendPacks(this.#lists, added, {
        project: PROJECT,
        epoch,
        cache: this.#cache,
      });
      for (const put of puts) await this.#store.put(put.key, put.bytes);
      this.#lists = lists;
      added = [];
    }
  }

  /** Goes on in a store that was opened again. Returns its lists. */
  async continueOn(store: ObjectStore, upTo: number): Promise<PackLists> {
    this.#store = store;
    this.#cache = new PageCache(store, PROJECT);
    await this.grow(upTo);
    return this.#lists;
  }

  /** The landings of (after, upTo] alone, each with a pack of its own. */
  async tail(after: number, upTo: number): Promise<PackLists> {
    this.#position = after;
    this.#root = landingAt(after).root;
    await this.grow(upTo, 1);
    return this.#lists;
  }

  /** A head at the log's end, with these rollups. */
  async writeHead(rollups: readonly RollupRef[]): Promise<void> {
    await putHead(this.#store, headAt(this.#position, rollups, this.#lists));
  }
}

/** A head that names a log as if it had landed. */
export function headAt(position: number, rollups: readonly RollupRef[], lists: PackLists): Head {
  const ring: LandingId[] = [];
  for (let at = Math.max(1, position - RING_SIZE + 1); at <= position; at++)
    ring.push(landingAt(at).landingId);
  return {
    position: position as Position,
    root: landingAt(position).root,
    hlc: BigInt(position),
    leastReader: 1,
    leastWriter: 1,
    salt: "0102030405060708",
    nonce: bytesToHex(crypto.getRandomValues(new Uint8Array(16))),
    rootHint: position,
    ring,
    rollups,
    ...lists,
  };
}

export async function putHead(store: ObjectStore, head: Head): Promise<void> {
  const key = headKey(PROJECT);
  const stored = await store.get(key);
  await store.commit([], { key, expected: stored?.etag ?? null, bytes: encodeHead(head) });
}

/** As a server opens it, with a cache of its own. */
export function openProject(store: ObjectStore): ProjectStore {
  const ports = { clock: systemClock, random: systemRandom };
  return new ProjectStore({ store, project: PROJECT, ...ports, cacheBytes: CACHE_BYTES, trustWriters: true });
}
