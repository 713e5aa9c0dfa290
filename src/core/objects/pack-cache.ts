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
import { mayBeDamage } from "../store/read-verified.ts";
import { packKey } from "./keys.ts";
import type { PackEntry } from "./pack-directory.ts";
import { checkFrameBytes, expandFrame, type ObjectContent, sliceObject } from "./read-frame.ts";
import { type LruEntry, WeightedLru } from "./weighted-lru.ts";

/** A pack up to this is read whole, in one get. */
export const WHOLE_PACK_BYTES_MAX = 256 << 10;
/** Stored bytes that frames read one after the other are fetched ahead. */
const READ_AHEAD_BYTES_MAX = 1 << 20;
/** A scan's next frame is at most this many further on: a parent lies behind its children, and is read before them. */
const SCAN_GAP_FRAMES = 32;
/** Of those, what is read the first time. */
const SCAN_BACK_BYTES_MAX = 256 << 10;
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

/**
 * Why a frame is read. `near`: those after it are likely wanted if those before it were. `once`: it will not be wanted
 * again soon, and is not kept when it is large. `scan`: so are all of its kind around it.
 */
export type FrameUse = "near" | "once" | "scan";

export interface PackCacheOptions {
  readonly store: ObjectStore;
  readonly project: ProjectId;
  /** Bytes of indexes, small packs and raw frames. */
  readonly budgetBytes: number;
}

/** A pack whose index is in memory. */
export class OpenPack implements LruEntry {
  /** Under which day its bytes are. Of the positions it says nothing: they are the directory's. */
  entry: PackEntry;
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
  /** The last frame that a scan had to read, and how many were read with it. */
  lastScanned = Number.NaN;
  scanAhead = 1;
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
  peek(entry: PackEntry): OpenPack | undefined {
    const open = this.#packs.get(entry.pack);
    if (open === undefined) return undefined;
    this.#lru.touch(open);
    // It was stored again under another day; what was read of it may have been collected since.
    if (open.entry.epoch !== entry.epoch) open.entry = entry;
    return open;
  }

  /** Reads the index when it is not in memory. Errors: MissingPackError, `corrupt`, `unreachable`. */
  async open(entry: PackEntry): Promise<OpenPack> {
    const open = this.peek(entry);
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

  async frame(pack: OpenPack, frame: number, use: FrameUse = "near"): Promise<CachedFrame> {
    for (;;) {
      const cached = this.peekFrame(pack, frame);
      if (cached !== undefined) return cached;
      const read = pack.reading.get(frame) ?? this.#readFrames(pack, frame, use);
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
      if (!mayBeDamage(error)) throw error;
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

  /** Reads a frame, and those around it that are likely to be wanted next. */
  #readFrames(pack: OpenPack, wanted: number, use: FrameUse): FrameRead {
    const { index } = pack;
    const isKept = use !== "once" || index.frame(wanted).rawLength < READ_THROUGH_BYTES_MIN;
    const { first, last } = use === "scan" ? scanSpan(pack, wanted) : nearSpan(pack, wanted, isKept);
    const start = index.frame(first).offset;
    const end = index.frame(last).offset + index.frame(last).storedLength;
    const open = (bytes: Uint8Array): readonly (CachedFrame | undefined)[] =>
      isKept
        ? this.#keepFrames(pack, { first, last, wanted }, bytes)
        : [this.#openFrame(pack, wanted, bytes, start)];
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

  /** The wanted one is added last, so that it is the newest and stays however small the budget. */
  #keepFrames(pack: OpenPack, span: WantedSpan, bytes: Uint8Array): (CachedFrame | undefined)[] {
    const { first, last, wanted } = span;
    const start = pack.index.frame(first).offset;
    const kept: (CachedFrame | undefined)[] = new Array(last - first + 1).fill(undefined);
    for (let frame = last; frame >= first; frame--) {
      if (frame === wanted) continue;
      try {
        kept[frame - first] = this.#keepFrame(pack, frame, bytes, start);
      } catch (error) {
        if (!isMicError(error, "corrupt")) throw error;
      }
    }
    kept[wanted - first] = this.#keepFrame(pack, wanted, bytes, start);
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

/** Frames that are read together, both included. */
interface FrameSpan {
  readonly first: number;
  readonly last: number;
}

interface WantedSpan extends FrameSpan {
  readonly wanted: number;
}

/** With those that follow, twice as many each time, when the pack is being read from front to back. */
function nearSpan(pack: OpenPack, wanted: number, isKept: boolean): FrameSpan {
  const isSequential = isKept && wanted > pack.lastRead && wanted <= pack.lastRead + 2;
  const last = lastAhead(pack, wanted, wanted, isSequential ? pack.readAhead * 2 : 1);
  pack.readAhead = last - wanted + 1;
  pack.lastRead = last;
  return { first: wanted, last };
}

/** With what was skipped on the way to it, and with twice as many after it each time. */
function scanSpan(pack: OpenPack, wanted: number): FrameSpan {
  const { index, lastScanned } = pack;
  const goesOn = wanted > lastScanned && wanted <= lastScanned + SCAN_GAP_FRAMES;
  const end = index.frame(wanted).offset + index.frame(wanted).storedLength;
  const least = goesOn ? lastScanned + 1 : Math.max(0, wanted - SCAN_GAP_FRAMES);
  const bytesMax = goesOn ? READ_AHEAD_BYTES_MAX : SCAN_BACK_BYTES_MAX;
  const kind = index.kindOfRow(index.firstRow(wanted));
  let first = wanted;
  while (first > least && isToRead(pack, first - 1)) {
    if (end - index.frame(first - 1).offset > bytesMax) break;
    if (index.kindOfRow(index.firstRow(first - 1)) !== kind) break;
    first--;
  }
  const last = lastAhead(pack, first, wanted, goesOn ? pack.scanAhead * 2 : 1);
  pack.scanAhead = last - first + 1;
  pack.lastScanned = last;
  return { first, last };
}

/** The last of `count` frames from `wanted` on, as far as they are to be read and within bounds. */
function lastAhead(pack: OpenPack, first: number, wanted: number, count: number): number {
  const { index } = pack;
  const start = index.frame(first).offset;
  let last = wanted;
  while (last + 1 < index.frameCount && last - wanted + 1 < count && isToRead(pack, last + 1)) {
    const next = index.frame(last + 1);
    if (next.offset + next.storedLength - start > READ_AHEAD_BYTES_MAX) break;
    last++;
  }
  return last;
}

function isToRead(pack: OpenPack, frame: number): boolean {
  return !pack.frames.has(frame) && !pack.reading.has(frame);
}
