/** Reads objects through the packs of one head snapshot. Cheap to make; what is worth keeping is in the cache. */
import { objectIdFromBytes, objectIdToBytes } from "../base/ids.ts";
import type { List } from "../base/list.ts";
import type { Frame, ObjectRef } from "./frame.ts";
import { type FramesOptions, streamFrames } from "./frame-stream.ts";
import { ObjectLookup, objectNotFound } from "./object-lookup.ts";
import type { PackCache } from "./pack-cache.ts";
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
   * the newest head names; `corrupt`, `unreachable`. `once`: as for `PackCache.frame`.
   */
  async read(ref: ObjectRef, options: { readonly once?: boolean } = {}): Promise<ObjectContent> {
    const id = objectIdToBytes(ref.id);
    return this.peek(id, ref.hint) ?? (await this.load(id, ref.hint, options.once));
  }

  /** The object, if that takes no read. `id`: 32 bytes. */
  peek(id: Uint8Array, hint: number): ObjectContent | undefined {
    const found = this.#lookup.peekRow(id, hint);
    if (found === undefined) return undefined;
    const { pack, row } = found;
    return this.#cache.peekFrame(pack, pack.index.frameOfRow(row))?.read(row);
  }

  /** `read` for 32 raw bytes of id. */
  async load(id: Uint8Array, hint: number, once = false): Promise<ObjectContent> {
    return await renewing(this.#lookup.directory, () => this.#load(id, hint, once));
  }

  async #load(id: Uint8Array, hint: number, once: boolean): Promise<ObjectContent> {
    const found = await this.#lookup.findRow(id, hint);
    if (found === undefined) throw objectNotFound(objectIdFromBytes(id));
    const { pack, row } = found;
    const frame = await this.#cache.frame(pack, pack.index.frameOfRow(row), once);
    return frame.read(row);
  }

  /** Which pack holds an object, without reading it; `undefined` when none does. */
  async has(ref: ObjectRef): Promise<{ readonly entry: PackEntry } | undefined> {
    const id = objectIdToBytes(ref.id);
    const found = await renewing(this.#lookup.directory, () => this.#lookup.findRow(id, ref.hint));
    return found === undefined ? undefined : { entry: found.pack.entry };
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

  /** Contents of the records in one pack, in file order. Errors: MissingPackError, which is left to the caller. */
  async recordsIn(entry: PackEntry): Promise<readonly Uint8Array[]> {
    const pack = await this.#cache.open(entry);
    const records: Uint8Array[] = [];
    for (const row of pack.index.rowsOfKind("record")) {
      const frame = await this.#cache.frame(pack, pack.index.frameOfRow(row));
      records.push(frame.read(row).content);
    }
    return records;
  }
}
