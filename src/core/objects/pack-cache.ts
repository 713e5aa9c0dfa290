/**
 * Pack indexes and raw frames of one project in memory: long-lived, shared by every reader of the project,
 * bounded by bytes. Packs are immutable, so nothing here ever goes stale. Reads that miss at the same time are
 * one read; they belong to no caller and therefore take no signal.
 */
import { asPlainBytes } from "../base/bytes.ts";
import { corrupt, invariant, isMicError, MicError } from "../base/errors.ts";
import { hashBytes, verifyObject } from "../base/hash.ts";
import type { PackId, ProjectId } from "../base/ids.ts";
import { openPackIndex, packIdOf } from "../codec/pack.ts";
import type { PackIndex } from "../codec/pack-index.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { packKey } from "./keys.ts";
import type { PackEntry } from "./pack-directory.ts";
import { checkFrameBytes, expandFrame, type ObjectContent, sliceObject } from "./read-frame.ts";
import { type LruEntry, WeightedLru } from "./weighted-lru.ts";

/** A pack up to this is read whole, in one get. */
export const WHOLE_PACK_BYTES_MAX = 256 << 10;
/** Stored bytes that frames read one after the other are fetched ahead. */
const READ_AHEAD_BYTES_MAX = 1 << 20;
/** Larger frames are not kept for readers who ask for that. */
const READ_THROUGH_BYTES_MIN = 256 << 10;
/** What a frame costs beside its bytes. */
const ENTRY_OVERHEAD_BYTES = 256;
/** What a pack costs beside its bytes: a dozen objects, maps and arrays. Those of small landings have few bytes. */
const PACK_OVERHEAD_BYTES = 3 << 10;

/** The head or a rollup names a pack that the store does not have. A newer head may not name it any more. */
export class MissingPackError extends MicError {
  readonly pack: PackId;

  constructor(pack: PackId) {
    super("not-found", `pack ${pack} is missing from the store`, {
      hint: "run `mic fsck` to see what is affected",
      data: { missingPack: pack },
    });
    this.pack = pack;
  }
}

export interface PackCacheOptions {
  readonly store: ObjectStore;
  readonly project: ProjectId;
  /** Bytes of indexes, small packs and raw frames. */
  readonly budgetBytes: number;
}

/** A pack whose index is in memory. */
export class OpenPack implements LruEntry {
  readonly entry: PackEntry;
  readonly index: PackIndex;
  /** All bytes of a small pack. */
  readonly whole: Uint8Array | undefined;
  readonly frames = new Map<number, CachedFrame>();
  readonly reading = new Map<number, FrameRead>();
  readonly weight: number;
  older: LruEntry | undefined;
  newer: LruEntry | undefined;
  /** The last frame that had to be read, and how many were read with it. */
  lastRead = Number.NaN;
  readAhead = 1;
  readonly #onEvicted: (pack: OpenPack) => void;

  constructor(
    entry: PackEntry,
    index: PackIndex,
    whole: Uint8Array | undefined,
    onEvicted: (pack: OpenPack) => void,
  ) {
    this.entry = entry;
    this.index = index;
    this.whole = whole;
    this.weight = PACK_OVERHEAD_BYTES + index.memoryBytes + (whole?.length ?? 0);
    this.#onEvicted = onEvicted;
  }

  evicted(): void {
    this.#onEvicted(this);
  }
}

/** A raw frame. Each object is verified when it is first read and remembered as verified while it stays here. */
export class CachedFrame implements LruEntry {
  readonly raw: Uint8Array;
  readonly weight: number;
  older: LruEntry | undefined;
  newer: LruEntry | undefined;
  readonly #pack: OpenPack;
  readonly #number: number;
  readonly #verified: Uint8Array;

  /** `isVerified`: all of it was, by the ids of its objects. */
  constructor(pack: OpenPack, number: number, raw: Uint8Array, isVerified = false) {
    this.raw = raw;
    this.weight = ENTRY_OVERHEAD_BYTES + raw.length;
    this.#pack = pack;
    this.#number = number;
    this.#verified = new Uint8Array(pack.index.firstRow(number + 1) - pack.index.firstRow(number));
    if (isVerified) this.#verified.fill(1);
  }

  evicted(): void {
    this.#pack.frames.delete(this.#number);
  }

  /** `row` is a row of this frame. Throws `corrupt` when the content is not that of its id. */
  read(row: number): ObjectContent {
    const { index } = this.#pack;
    const object = sliceObject(this.raw, index.locate(row));
    const at = row - index.firstRow(this.#number);
    if (this.#verified[at] === 0) {
      if (!index.isIdOfRow(hashBytes(object.content), row)) {
        verifyObject(index.idOfRow(row), object.content, `in pack ${this.#pack.entry.pack}`);
      }
      this.#verified[at] = 1;
    }
    return object;
  }
}

/** Whether a frame is, uncompressed, the one object that its index names: its id proves more than a checksum. */
function isOnlyObject(index: PackIndex, frame: number, stored: Uint8Array): boolean {
  const row = index.firstRow(frame);
  const { compressed } = index.frame(frame);
  if (compressed || index.firstRow(frame + 1) !== row + 1) return false;
  const { length } = index.locate(row);
  return length === stored.length && index.isIdOfRow(hashBytes(stored), row);
}

interface FrameRead {
  readonly first: number;
  /** From `first` on; one that was only fetched ahead and turned out damaged is left to its own reader. */
  readonly frames: Promise<readonly (CachedFrame | undefined)[]>;
}

export class PackCache {
  readonly #store: ObjectStore;
  readonly #project: ProjectId;
  readonly #lru: WeightedLru;
  readonly #packs = new Map<PackId, OpenPack>();
  readonly #opening = new Map<PackId, Promise<OpenPack>>();

  constructor(options: PackCacheOptions) {
    this.#store = options.store;
    this.#project = options.project;
    this.#lru = new WeightedLru(options.budgetBytes);
  }

  /** What is read may be wrong, and right when it is read again: nothing is passed on unverified. */
  get mayBeDamaged(): boolean {
    return this.#store.mayBeDamaged === true;
  }

  /** Bytes held. */
  get usedBytes(): number {
    return this.#lru.used;
  }

  /** The pack, if its index is in memory. */
  peek(pack: PackId): OpenPack | undefined {
    const open = this.#packs.get(pack);
    if (open !== undefined) this.#lru.touch(open);
    return open;
  }

  /** Reads the index when it is not in memory. Errors: MissingPackError, `corrupt`, `unreachable`. */
  async open(entry: PackEntry): Promise<OpenPack> {
    const open = this.peek(entry.pack);
    if (open !== undefined) return open;
    let opening = this.#opening.get(entry.pack);
    if (opening === undefined) {
      opening = this.#readPack(entry).finally(() => this.#opening.delete(entry.pack));
      this.#opening.set(entry.pack, opening);
    }
    return opening;
  }

  /** Reads the index again, past every cache, although it is in memory. */
  async reopen(entry: PackEntry): Promise<OpenPack> {
    const tail = await this.#readTail(entry, true);
    this.#forget(entry.pack);
    return this.#openTail(entry, tail);
  }

  /** Takes in a pack that this process has just made, so that nobody has to read it back. */
  admit(entry: PackEntry, bytes: Uint8Array): void {
    if (this.#packs.has(entry.pack)) return;
    invariant(bytes.length === entry.size, `pack ${entry.pack} has another size than its entry`);
    const tail = bytes.subarray(bytes.length - entry.indexLength);
    this.#keep(
      entry,
      openPackIndex(new Uint8Array(tail)),
      bytes.length <= WHOLE_PACK_BYTES_MAX ? asPlainBytes(bytes) : undefined,
    );
  }

  /** The raw frame, if it takes no read to have it. */
  peekFrame(pack: OpenPack, frame: number): CachedFrame | undefined {
    const cached = pack.frames.get(frame);
    if (cached !== undefined) {
      this.#lru.touch(cached);
      return cached;
    }
    return pack.whole === undefined ? undefined : this.#keepFrame(pack, frame, pack.whole, 0);
  }

  /** `once`: it will not be wanted again soon, and is not kept when it is large. */
  async frame(pack: OpenPack, frame: number, once = false): Promise<CachedFrame> {
    const isKept = !once || pack.index.frame(frame).rawLength < READ_THROUGH_BYTES_MIN;
    for (;;) {
      const cached = this.peekFrame(pack, frame);
      if (cached !== undefined) return cached;
      const read = pack.reading.get(frame) ?? this.#readFrames(pack, frame, isKept);
      const found = (await read.frames)[frame - read.first];
      if (found !== undefined) return found;
    }
  }

  /**
   * Stored bytes of a pack, past this cache; with `fresh` past the store's caches too. Errors: MissingPackError,
   * `corrupt` when the pack is too short.
   */
  async readBytes(
    entry: PackEntry,
    offset: number,
    length: number,
    options: { readonly signal?: AbortSignal; readonly fresh?: boolean } = {},
  ): Promise<Uint8Array> {
    const key = packKey(this.#project, entry.epoch, entry.pack);
    const range = { offset, length };
    let stored = await this.#store.get(key, { ...options, range });
    if (stored !== undefined && stored.bytes.length !== length && options.fresh !== true) {
      stored = await this.#store.get(key, { ...options, range, fresh: true });
    }
    if (stored === undefined) {
      this.#forget(entry.pack);
      throw new MissingPackError(entry.pack);
    }
    if (stored.bytes.length !== length) {
      throw corrupt(`pack ${entry.pack}`, `ends after ${offset + stored.bytes.length} bytes`);
    }
    return asPlainBytes(stored.bytes);
  }

  async #readPack(entry: PackEntry): Promise<OpenPack> {
    if (entry.indexLength > entry.size) {
      throw corrupt(`pack ${entry.pack}`, `an index of ${entry.indexLength} bytes in ${entry.size}`);
    }
    const tail = await this.#readTail(entry, false);
    try {
      return this.#openTail(entry, tail);
    } catch (error) {
      if (!isMicError(error, "corrupt")) throw error;
      return this.#openTail(entry, await this.#readTail(entry, true));
    }
  }

  /** The index, or all of a small pack. */
  #readTail(entry: PackEntry, fresh: boolean): Promise<Uint8Array> {
    const length = entry.size <= WHOLE_PACK_BYTES_MAX ? entry.size : entry.indexLength;
    return this.readBytes(entry, entry.size - length, length, { fresh });
  }

  #openTail(entry: PackEntry, bytes: Uint8Array): OpenPack {
    const { pack, size, indexLength } = entry;
    const isWhole = bytes.length === size;
    if (isWhole && packIdOf(bytes) !== pack) throw corrupt(`pack ${pack}`, "does not have that content");
    const index = openPackIndex(bytes.subarray(bytes.length - indexLength));
    if (index.packSize !== size) throw corrupt(`pack ${pack}`, `is not ${size} bytes long`);
    return this.#packs.get(pack) ?? this.#keep(entry, index, isWhole ? bytes : undefined);
  }

  /** Reads a frame, and those that follow it when the pack is being read from front to back. */
  #readFrames(pack: OpenPack, first: number, isKept: boolean): FrameRead {
    const { index } = pack;
    const isSequential = isKept && first > pack.lastRead && first <= pack.lastRead + 2;
    pack.readAhead = isSequential ? pack.readAhead * 2 : 1;
    const start = index.frame(first).offset;
    let last = first;
    let end = start + index.frame(first).storedLength;
    while (last + 1 < index.frameCount && last - first + 1 < pack.readAhead) {
      const next = index.frame(last + 1);
      const isWanted = !pack.frames.has(last + 1) && !pack.reading.has(last + 1);
      if (!isWanted || next.offset + next.storedLength - start > READ_AHEAD_BYTES_MAX) break;
      last++;
      end = next.offset + next.storedLength;
    }
    pack.readAhead = last - first + 1;
    pack.lastRead = last;
    const open = (bytes: Uint8Array): readonly (CachedFrame | undefined)[] =>
      isKept ? this.#keepFrames(pack, first, last, bytes) : [this.#openFrame(pack, first, bytes, start)];
    const frames = this.readBytes(pack.entry, start, end - start)
      .then(open)
      .catch(async (error: unknown) => {
        if (!isMicError(error, "corrupt")) throw error;
        return open(await this.readBytes(pack.entry, start, end - start, { fresh: true }));
      })
      .finally(() => {
        for (let frame = first; frame <= last; frame++) pack.reading.delete(frame);
      });
    const read = { first, frames };
    for (let frame = first; frame <= last; frame++) pack.reading.set(frame, read);
    return read;
  }

  /** The first is added last, so that it is the newest and stays however small the budget. */
  #keepFrames(pack: OpenPack, first: number, last: number, bytes: Uint8Array): (CachedFrame | undefined)[] {
    const start = pack.index.frame(first).offset;
    const kept: (CachedFrame | undefined)[] = [];
    for (let frame = last; frame >= first; frame--) {
      try {
        kept[frame - first] = this.#keepFrame(pack, frame, bytes, start);
      } catch (error) {
        if (frame === first || !isMicError(error, "corrupt")) throw error;
        kept[frame - first] = undefined;
      }
    }
    return kept;
  }

  #keepFrame(pack: OpenPack, number: number, bytes: Uint8Array, start: number): CachedFrame {
    const cached = this.#openFrame(pack, number, bytes, start);
    pack.frames.set(number, cached);
    this.#lru.add(cached);
    return cached;
  }

  /** `bytes` start at `start` in the pack. */
  #openFrame(pack: OpenPack, number: number, bytes: Uint8Array, start: number): CachedFrame {
    const location = pack.index.frame(number);
    const from = location.offset - start;
    const stored = bytes.subarray(from, from + location.storedLength);
    const isVerified = isOnlyObject(pack.index, number, stored);
    if (!isVerified) checkFrameBytes(location, stored);
    let raw = expandFrame({ ...location, stored });
    // A view would keep everything that was read with it alive.
    if (raw === stored && bytes.length > raw.length && pack.whole === undefined) raw = new Uint8Array(raw);
    return new CachedFrame(pack, number, raw, isVerified);
  }

  #keep(entry: PackEntry, index: PackIndex, whole: Uint8Array | undefined): OpenPack {
    const pack = new OpenPack(entry, index, whole, (victim) => this.#dropped(victim));
    this.#packs.set(entry.pack, pack);
    this.#lru.add(pack);
    return pack;
  }

  #forget(id: PackId): void {
    const pack = this.#packs.get(id);
    if (pack === undefined) return;
    this.#lru.remove(pack);
    this.#dropped(pack);
  }

  #dropped(pack: OpenPack): void {
    this.#packs.delete(pack.entry.pack);
    for (const frame of pack.frames.values()) this.#lru.remove(frame);
    pack.frames.clear();
  }
}
