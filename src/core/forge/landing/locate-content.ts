/** Every put names content that exists: sent with the landing, uploaded for it, or already in the project. */
import { releaseBytes } from "../../base/bytes.ts";
import { MicError } from "../../base/errors.ts";
import { StreamHasher } from "../../base/hash.ts";
import type { ObjectId, Position } from "../../base/ids.ts";
import type { TreePath } from "../../base/path.ts";
import { type ChunkList, chunkedSize, decodeChunkList } from "../../codec/chunk-list.ts";
import { TREE_ENTRY_CHUNKS_OFFSET, type TreeEntry, treeEntrySize } from "../../codec/tree-entry.ts";
import type { ObjectReader } from "../../objects/object-reader.ts";
import type { PackCache } from "../../objects/pack-cache.ts";
import { expandFrame, type ObjectContent, sliceObject } from "../../objects/read-frame.ts";
import type { LeafEntry } from "../../prolly/types.ts";
import { overlayReader } from "../content/overlay-reader.ts";
import type { UploadedPack } from "../content/uploaded-packs.ts";
import type { PutOperation } from "../forge.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { BroughtContent } from "./brought-content.ts";
import type { PreparedLanding } from "./prepared-landing.ts";

/** Look-ups in the project under way at once. */
const LOOKUPS_AT_ONCE = 64;
/** Frames are used one after the other and hashed here. */
const STREAMED = { borrowed: true, unchecked: true, uncompressed: true } as const;

export interface ContentPlaces {
  readonly landing: PreparedLanding;
  readonly uploads: readonly UploadedPack[];
  readonly snapshot: Snapshot;
  readonly cache: PackCache;
  readonly trustWriters: boolean;
}

/** Finds the content of a landing's puts, some edits at a time. */
export class ContentLocator {
  readonly #places: ContentPlaces;
  readonly #brought: BroughtContent;
  readonly #own: OwnContent;

  constructor(places: ContentPlaces) {
    this.#places = places;
    this.#brought = new BroughtContent(places.landing.sent, places.uploads);
    this.#own = new OwnContent(places);
  }

  /**
   * Sets the hint of each edit in [from, to) to the position that introduced its content, or to `position` where
   * the landing itself does. `existing`: what the tree has at their keys. Errors: `not-found` for missing
   * content, `corrupt` for a size or id that the content does not have.
   */
  async locate(
    from: number,
    to: number,
    existing: readonly (LeafEntry | undefined)[],
    position: Position,
  ): Promise<void> {
    const { edits, request } = this.#places.landing;
    const { hints } = edits;
    const operation = (i: number): PutOperation => request.operations.at(i) as PutOperation;
    const elsewhere: number[] = [];
    const chunked: number[] = [];
    for (let i = from; i < to; i++) {
      const value = edits.value(i);
      if (value === undefined) continue;
      hints[i] = position;
      const isChunked = value.length > TREE_ENTRY_CHUNKS_OFFSET;
      const found = this.#brought.lengthOf(value);
      if (found === -1) {
        const known = existing[i - from];
        if (known === undefined || !sameContent(known.value, value)) elsewhere.push(i);
        else if (known.hint !== 0) hints[i] = known.hint;
      } else if (isChunked) chunked.push(i);
      else if (found !== treeEntrySize(value)) {
        const { path, entry } = operation(i);
        throw wrongContent(path, `${found} bytes, not ${entry.size}`);
      }
    }
    for (let start = 0; start < elsewhere.length; start += LOOKUPS_AT_ONCE) {
      const wanted = elsewhere.slice(start, start + LOOKUPS_AT_ONCE);
      const located = await Promise.all(wanted.map((i) => this.#own.locate(operation(i))));
      wanted.forEach((i, k) => {
        if (located[k] !== 0) hints[i] = located[k]!;
      });
    }
    for (const i of chunked) await this.#own.checkChunks(operation(i));
  }
}

class OwnContent {
  readonly #places: ContentPlaces;
  #reader: ObjectReader | undefined;

  constructor(places: ContentPlaces) {
    this.#places = places;
  }

  /** The position that introduced content which the project already has. */
  async locate(operation: PutOperation): Promise<number> {
    const { entry, path, hint } = operation;
    const { snapshot, trustWriters } = this.#places;
    const id = entry.chunks ?? entry.id;
    const told = hint === 0 ? (this.#places.landing.located?.get(id) ?? 0) : hint;
    const ref = { id, hint: told <= snapshot.head.position ? told : 0 };
    const found = await snapshot.reader.has(ref);
    if (found === undefined) throw contentMissing(path, id);
    const { first, last } = found.entry;
    const located = first <= ref.hint && ref.hint <= last ? ref.hint : last;
    if (!trustWriters) {
      const object = await snapshot.reader.read({ id: ref.id, hint: located });
      if (entry.chunks !== undefined) await this.#checkList(operation, object);
      else if (object.content.length !== entry.size) {
        throw wrongContent(path, `${object.content.length} bytes, not ${entry.size}`);
      }
    }
    return located;
  }

  /** The chunks of a file whose list came with the landing. */
  async checkChunks(operation: PutOperation): Promise<void> {
    const { entry, path } = operation;
    const vouched = this.#places.landing.vouched.get(entry.chunks!);
    if (vouched !== undefined) {
      if (vouched.id !== entry.id) throw wrongContent(path, "chunks that are not the content of its id");
      if (vouched.size !== entry.size) throw wrongContent(path, `${vouched.size} bytes, not ${entry.size}`);
      return;
    }
    await this.#checkList(operation, await this.#read(operation.entry.chunks!, 0));
  }

  async #checkList(operation: PutOperation, object: ObjectContent): Promise<void> {
    const { entry, path } = operation;
    const list = decodeChunkList(object.content, object.sidecar);
    if (chunkedSize(list) !== entry.size) {
      throw wrongContent(path, `chunks of ${chunkedSize(list)} bytes, not ${entry.size}`);
    }
    if (this.#places.trustWriters) await this.#checkPresence(list, path);
    else await this.#checkContent(list, entry, path);
  }

  async #checkPresence(list: ChunkList, path: TreePath): Promise<void> {
    const { landing } = this.#places;
    for (const { id, hint } of list.chunks) {
      if (landing.sent.has(id) || (await this.#overlay().has({ id, hint })) !== undefined) continue;
      throw new MicError("not-found", `a chunk of ${JSON.stringify(path)} is missing`, {
        data: { paths: [path], object: id },
      });
    }
  }

  /**
   * That chunks have their ids says nothing about the id of the whole, which says all about them: they are not
   * hashed on their own.
   */
  async #checkContent(list: ChunkList, entry: TreeEntry, path: TreePath): Promise<void> {
    const { chunks } = list;
    const { sent } = this.#places.landing;
    const hasher = new StreamHasher();
    const passed = new Set<ObjectId>();
    let next = 0;
    /** Hashes as many chunks as are at hand: in `frame`, sent with the landing, or to be had again. */
    const hashOn = async (frame: ReadonlyMap<ObjectId, Uint8Array>): Promise<void> => {
      for (; next < chunks.length; next++) {
        const { id, hint, length } = chunks[next]!;
        let content = frame.get(id);
        if (content === undefined && (passed.has(id) || sent.has(id))) {
          ({ content } = await this.#read(id, hint));
        }
        if (content === undefined) return;
        if (content.length !== length) {
          throw wrongContent(path, `a chunk of ${content.length} bytes, not ${length}`);
        }
        hasher.update(content);
      }
    };
    const stored = chunks.filter(({ id }) => !sent.has(id));
    for await (const frame of this.#overlay().frames(stored, STREAMED)) {
      const raw = expandFrame(frame);
      const contents = new Map<ObjectId, Uint8Array>();
      for (const object of frame.objects) contents.set(object.id, sliceObject(raw, object).content);
      await hashOn(contents);
      for (const id of contents.keys()) passed.add(id);
      if (raw !== frame.stored) releaseBytes(raw);
    }
    await hashOn(new Map());
    if (next < chunks.length || hasher.digest() !== entry.id) {
      throw wrongContent(path, "chunks that are not the content of its id");
    }
  }

  async #read(id: ObjectId, hint: number): Promise<ObjectContent> {
    const { landing } = this.#places;
    if (!landing.sent.has(id)) return await this.#overlay().read({ id, hint });
    for (const frame of landing.frames) {
      const object = frame.objects.find((candidate) => candidate.id === id);
      if (object !== undefined) return sliceObject(expandFrame(frame), object);
    }
    throw new MicError("internal", `bug: object ${id} was sent and is not there`);
  }

  /** Reads the project and the uploaded packs, which no head names yet. */
  #overlay(): ObjectReader {
    if (this.#reader !== undefined) return this.#reader;
    const { uploads, snapshot, cache } = this.#places;
    this.#reader = overlayReader(snapshot, uploads, cache);
    return this.#reader;
  }
}

/** Equal from the size on: the kind may differ. */
export function sameContent(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 1; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function contentMissing(path: TreePath, object: ObjectId): MicError {
  return new MicError("not-found", `the content of ${JSON.stringify(path)} is missing`, {
    hint: "store it first, as a blob or in a pack, or send it with the landing",
    data: { paths: [path], object },
  });
}

function wrongContent(path: TreePath, detail: string): MicError {
  return new MicError("corrupt", `the content of ${JSON.stringify(path)} has ${detail}`, {
    data: { paths: [path] },
  });
}
