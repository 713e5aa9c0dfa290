/** Reads objects through the packs of one head snapshot. Cheap to make; what is worth keeping is in the cache. */
import { corrupt } from "../base/errors.ts";
import { objectIdFromBytes, objectIdToBytes } from "../base/ids.ts";
import type { List } from "../base/list.ts";
import type { PackIndex } from "../codec/pack-index.ts";
import type { Frame, ObjectRef } from "./frame.ts";
import { openPacksAt } from "./frame-plan.ts";
import { type FramesOptions, streamFrames } from "./frame-stream.ts";
import { ObjectLookup, objectNotFound } from "./object-lookup.ts";
import type { FrameUse, PackCache } from "./pack-cache.ts";
import type { PackDirectory, PackEntry } from "./pack-directory.ts";
import type { ObjectContent } from "./read-frame.ts";
import { renewing } from "./renewal.ts";

export class ObjectReader {
  readonly #cache: PackCache;
  readonly #lookup: ObjectLookup;

  constructor(cache: PackCache, directory: PackDirectory) {
    this.#cache = cache;
    this.#lookup = new ObjectLookup(cache, directory);
  }

  /**
   * Errors: `not-found` when no pack has the object; MissingPackError (also `not-found`) when a pack is gone that
   * the newest head names; `corrupt`, `unreachable`. `once`: as for `FrameUse`.
   */
  async read(ref: ObjectRef, { once }: { readonly once?: boolean } = {}): Promise<ObjectContent> {
    const id = objectIdToBytes(ref.id);
    return this.peek(id, ref.hint) ?? (await this.load(id, ref.hint, once ? "once" : "near"));
  }

  /** The object, if that takes no read. `id`: 32 bytes. */
  peek(id: Uint8Array, hint: number): ObjectContent | undefined {
    const found = this.#lookup.peekRow(id, hint);
    if (found === undefined) return undefined;
    const { pack, row } = found;
    return this.#cache.peekFrame(pack, pack.index.frameOfRow(row))?.read(row);
  }

  /** `read` for 32 raw bytes of id. */
  async load(id: Uint8Array, hint: number, use: FrameUse = "near"): Promise<ObjectContent> {
    return await renewing(this.#lookup.directory, () => this.#load(id, hint, use));
  }

  async #load(id: Uint8Array, hint: number, use: FrameUse): Promise<ObjectContent> {
    const found = await this.#lookup.findRow(id, hint);
    if (found === undefined) throw objectNotFound(objectIdFromBytes(id));
    const { pack, row } = found;
    const frame = await this.#cache.frame(pack, pack.index.frameOfRow(row), use);
    return frame.read(row);
  }

  /** Begins to open the packs of a position whose objects will be asked for. What fails is left to whoever asks. */
  prepare(position: number): void {
    openPacksAt(this.#lookup, [position]).catch(() => undefined);
  }

  /** Which pack holds an object, as the directory lists it, without reading it; `undefined` when none does. */
  async has(ref: ObjectRef): Promise<{ readonly entry: PackEntry } | undefined> {
    const id = objectIdToBytes(ref.id);
    const found = await renewing(this.#lookup.directory, () => this.#lookup.findRow(id, ref.hint));
    return found === undefined ? undefined : { entry: found.entry };
  }

  /**
   * Frames that together hold every object of `refs`, in the order of first need, each object once. A stored
   * frame is passed on as it is where at least half of its bytes are wanted (it may then hold others too),
   * otherwise what is wanted of it is framed again. The bytes of a frame are the receiver's own. Stored frames match their checksum (unless
   * that is not asked for), but are for the receiver to verify; objects that are framed again have been verified.
   */
  frames(refs: List<ObjectRef>, options: FramesOptions = {}): AsyncGenerator<Frame, void, undefined> {
    return streamFrames(this.#lookup, refs, options);
  }

  /**
   * Contents of the records in one frame of a pack that holds those of `entry.first` to `entry.last`: the frame
   * with the record of `position`. `first`: the position of the first of them. Errors: `corrupt`; MissingPackError,
   * which is left to the caller.
   */
  async recordsNear(
    entry: PackEntry,
    position: number,
  ): Promise<{ readonly first: number; readonly contents: readonly Uint8Array[] }> {
    const pack = await this.#cache.open(entry);
    const { index } = pack;
    const start = firstRecordRow(index, entry);
    const number = index.frameOfRow(start + position - entry.first);
    const from = Math.max(start, index.firstRow(number));
    const to = Math.min(start + entry.last - entry.first + 1, index.firstRow(number + 1));
    const frame = await this.#cache.frame(pack, number);
    const contents: Uint8Array[] = [];
    for (let row = from; row < to; row++) contents.push(frame.read(row).content);
    return { first: entry.first + from - start, contents };
  }
}

/**
 * Records follow each other in position order, in frames of their own: behind everything else as a landing writes a
 * pack, before it in a merged one. So none of the other rows has to be looked at.
 */
function firstRecordRow(index: PackIndex, { pack, first, last }: PackEntry): number {
  const count = last - first + 1;
  const isRecord = (row: number): boolean =>
    row >= 0 && row < index.objectCount && index.kindOfRow(row) === "record";
  const start = isRecord(0) ? 0 : index.objectCount - count;
  const isWhole = isRecord(start) && isRecord(start + count - 1);
  if (!isWhole || isRecord(start - 1) || isRecord(start + count)) {
    throw corrupt(`pack ${pack}`, `does not hold the records of ${first} to ${last}`);
  }
  return start;
}
