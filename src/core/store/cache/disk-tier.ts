/**
 * A directory on this machine in front of slower tiers. What is asked for is rounded to blocks of 32 KiB and read
 * from the next tier in one request, so that readers who ask for slightly different ranges share what is kept, and
 * no read costs more requests than without the cache.
 */

import { equalBytes, releaseBytes, utf8 } from "../../base/bytes.ts";
import { hashBytes } from "../../base/hash.ts";
import type { ByteRange } from "../object-store.ts";
import {
  type BlockRange,
  blocksOf,
  bytesOf,
  joinBlocks,
  missingBlocks,
  placeBlocks,
} from "./block-ranges.ts";
import { BLOCK_BYTES, SEGMENT_BLOCKS, SEGMENT_BYTES, SEGMENT_ID_BYTES } from "./segment-file.ts";
import type { SegmentFiles } from "./segment-files.ts";
import type { ReadTier, TierRead } from "./tier.ts";
import { TierStats } from "./tier-stats.ts";

/** A larger read goes past the cache: it would push out too much at once. */
export const DISK_READ_BYTES_MAX = 32 << 20;
/** A larger object is not kept when it is written: who wrote it has it, and others read parts. */
const STORED_BYTES_MAX = 4 << 20;
/** Being written to the directory; beyond it reads wait. */
const WRITING_BYTES_MAX = 16 << 20;
/** From here on a reader gets the memory that is written to the directory, when it is written, and not a copy. */
const HANDED_BYTES_MIN = 256 << 10;
/** As much of such a read is missing that all of it is asked for. */
const MISSING_PART_MIN = 15 / 16;

const ALL: BlockRange = { first: 0, end: Number.MAX_SAFE_INTEGER };

const NOT_WRITTEN = { isWritten: false, isHanded: false, written: Promise.resolve() } as const;

/** Blocks on their way: asked of the next tier, then being written to the directory. */
interface Coming extends BlockRange {
  readonly asked: Promise<Uint8Array | undefined>;
  /** Once they are here. They are gone when they are written. */
  bytes: Uint8Array | undefined;
  isWritten: boolean;
  /** Whoever asked takes the memory over once it is written. */
  isHanded: boolean;
  /** Resolves when it is written, or will not be. */
  written: Promise<void>;
}

export interface DiskTierOptions {
  readonly files: SegmentFiles;
  /** Which store the keys are of: several may share the directory. */
  readonly identity: string;
  readonly elapsedMs: () => number;
}

export class DiskTier implements ReadTier {
  readonly stats: TierStats;
  readonly #next: ReadTier;
  readonly #files: SegmentFiles;
  readonly #identity: string;
  readonly #elapsedMs: () => number;
  readonly #coming = new Map<string, Coming[]>();
  readonly #writing = new Set<Promise<void>>();
  #writingBytes = 0;

  constructor(next: ReadTier, options: DiskTierOptions) {
    this.#next = next;
    this.#files = options.files;
    this.#identity = options.identity;
    this.#elapsedMs = options.elapsedMs;
    this.stats = new TierStats("disk", () => this.#files.heldBytes);
  }

  async read(key: string, read: TierRead): Promise<Uint8Array | undefined> {
    const { range } = read;
    if (range === undefined && read.fresh !== true) return await this.#readWhole(key, read);
    if (range !== undefined && (range.length === 0 || range.length > DISK_READ_BYTES_MAX)) {
      return await this.#next.read(key, read);
    }
    if (read.fresh || range === undefined) return await this.#readFresh(key, read);
    return await this.#readRange(key, range, read);
  }

  /** Keeps what was just stored: it is likely to be read soon, by another process. */
  stored(key: string, bytes: Uint8Array): void {
    if (bytes.length > STORED_BYTES_MAX) return;
    this.#keepWhole(key, bytes);
  }

  /** Resolves when everything that was read is kept. */
  async flush(): Promise<void> {
    while (this.#writing.size > 0) await Promise.all(this.#writing);
  }

  async #readRange(key: string, range: ByteRange, read: TierRead): Promise<Uint8Array | undefined> {
    const startedMs = this.#elapsedMs();
    const wanted = blocksOf(range);
    const before = this.#coming.get(key)?.slice() ?? [];
    let blocks = await this.#load(key, wanted);
    let missing = missingBlocks(wanted, blocks);
    if (missing !== undefined && covering(before, missing)?.isWritten === true) {
      // It was being written when it was looked for.
      blocks = await this.#load(key, wanted);
      missing = missingBlocks(wanted, blocks);
    }
    if (missing === undefined) {
      const bytes = joinBlocks(blocks, wanted.first, range);
      this.stats.hit(bytes.length, this.#elapsedMs() - startedMs);
      return bytes;
    }
    this.stats.misses++;
    const take = (from: Coming, found: Uint8Array): Uint8Array => {
      placeBlocks(blocks, wanted.first, from, found);
      return joinBlocks(blocks, wanted.first, range);
    };
    const known = this.#findComing(key, missing);
    if (known?.bytes !== undefined) return take(known, known.bytes);
    if (known === undefined && range.length >= HANDED_BYTES_MIN && isMost(missing, wanted)) {
      return await this.#handOver(key, range, read);
    }
    const coming = known ?? this.#ask(key, missing, read);
    // Copied before anybody else runs: the memory goes when it is written.
    const bytes = await coming.asked.then((found) => (found === undefined ? found : take(coming, found)));
    await this.#waitForWriting();
    return bytes;
  }

  /** All of the range, from the next tier. A copy into new memory would cost as much as writing it does. */
  async #handOver(key: string, range: ByteRange, read: TierRead): Promise<Uint8Array | undefined> {
    const wanted = blocksOf(range);
    const coming = this.#ask(key, wanted, read);
    coming.isHanded = true;
    const found = await coming.asked;
    if (found === undefined) return undefined;
    await coming.written;
    const start = range.offset - wanted.first * BLOCK_BYTES;
    return found.subarray(Math.min(start, found.length), start + range.length);
  }

  /** Whether a cached object ends is known by its last block. */
  async #readWhole(key: string, read: TierRead): Promise<Uint8Array | undefined> {
    const startedMs = this.#elapsedMs();
    const parts: Uint8Array[] = [];
    for (let first = 0; first * BLOCK_BYTES < DISK_READ_BYTES_MAX; first += SEGMENT_BLOCKS) {
      const wanted = { first, end: first + SEGMENT_BLOCKS };
      const blocks = await this.#load(key, wanted);
      if (missingBlocks(wanted, blocks) !== undefined) break;
      const part = joinBlocks(blocks, first, bytesOf(wanted));
      parts.push(part);
      if (part.length === SEGMENT_BYTES) continue;
      const bytes = parts.length === 1 ? part : new Uint8Array(Buffer.concat(parts));
      this.stats.hit(bytes.length, this.#elapsedMs() - startedMs);
      return bytes;
    }
    this.stats.misses++;
    const known = this.#findComing(key, ALL)?.bytes;
    if (known !== undefined) return known.slice();
    const bytes = await this.#next.read(key, read);
    if (bytes === undefined || bytes.length > DISK_READ_BYTES_MAX) return bytes;
    this.#keepWhole(key, bytes);
    await this.#waitForWriting();
    return bytes;
  }

  /** The blocks that are kept, by segment. */
  async #load(key: string, wanted: BlockRange): Promise<(Uint8Array | undefined)[]> {
    const parts = segmentsOf(wanted).map(async ({ segment, first, end }) => {
      const found = await this.#files.read(this.#id(key, segment), first, end);
      if (found === undefined) return new Array<Uint8Array | undefined>(end - first).fill(undefined);
      if (found.damaged > 0) this.stats.poisoned++;
      return found.blocks;
    });
    return (await Promise.all(parts)).flat();
  }

  /** What the store itself says. What is kept and differs from it is dropped; what is not kept, stays so. */
  async #readFresh(key: string, read: TierRead): Promise<Uint8Array | undefined> {
    const { range } = read;
    this.stats.misses++;
    const wanted = range === undefined ? ALL : blocksOf(range);
    const found = await this.#next.read(
      key,
      range === undefined ? read : { ...read, range: bytesOf(wanted) },
    );
    if (found === undefined || found.length > DISK_READ_BYTES_MAX + 2 * BLOCK_BYTES) return found;
    // What is wrong may be on its way to the disk.
    await this.flush();
    const blocks: (Uint8Array | undefined)[] = [];
    for (let at = 0; at <= found.length; at += BLOCK_BYTES) blocks.push(found.subarray(at, at + BLOCK_BYTES));
    if (wanted.first + blocks.length > wanted.end) blocks.pop();
    const there = { first: wanted.first, end: wanted.first + blocks.length };
    const kept = await this.#load(key, there);
    if (kept.some((bytes, i) => bytes !== undefined && !equalBytes(bytes, blocks[i]!))) {
      this.stats.poisoned++;
      for (const { segment } of segmentsOf(there)) await this.#files.remove(this.#id(key, segment));
    }
    return range === undefined ? found : joinBlocks(blocks, wanted.first, range);
  }

  #findComing(key: string, missing: BlockRange): Coming | undefined {
    return covering(this.#coming.get(key) ?? [], missing);
  }

  /** One read for all who miss the same blocks. */
  #ask(key: string, missing: BlockRange, read: TierRead): Coming {
    const asked = this.#next.read(key, { ...read, range: bytesOf(missing) });
    const coming: Coming = { ...missing, ...NOT_WRITTEN, asked, bytes: undefined };
    this.#addComing(key, coming);
    asked.then(
      (found) => {
        coming.bytes = found;
        if (found === undefined || !this.#files.isWritable) this.#removeComing(key, coming);
        else this.#write(key, coming, found);
      },
      // Those who wait for it get the error.
      () => this.#removeComing(key, coming),
    );
    return coming;
  }

  /** A copy of it. */
  #keepWhole(key: string, bytes: Uint8Array): void {
    if (!this.#files.isWritable) return;
    const copy = bytes.slice();
    const coming: Coming = { ...ALL, ...NOT_WRITTEN, asked: Promise.resolve(undefined), bytes: copy };
    this.#addComing(key, coming);
    this.#write(key, coming, copy);
  }

  /** Takes the bytes over. Shorter than `coming`: the object ends with them. */
  #write(key: string, coming: Coming, bytes: Uint8Array): void {
    const { first: start, end: last } = coming;
    const isEnd = bytes.length < (last - start) * BLOCK_BYTES;
    const count = isEnd ? Math.floor(bytes.length / BLOCK_BYTES) + 1 : last - start;
    const write = async (): Promise<void> => {
      for (const { segment, first, end } of segmentsOf({ first: start, end: start + count })) {
        const from = (segment * SEGMENT_BLOCKS + first - start) * BLOCK_BYTES;
        const part = bytes.subarray(from, from + (end - first) * BLOCK_BYTES);
        const isLast = isEnd && part.length < (end - first) * BLOCK_BYTES;
        await this.#files.write(this.#id(key, segment), first, part, isLast);
      }
    };
    const { length } = bytes;
    this.#writingBytes += length;
    const writing: Promise<void> = write().finally(() => {
      this.#writingBytes -= length;
      this.#writing.delete(writing);
      this.#removeComing(key, coming);
      coming.isWritten = true;
      coming.bytes = undefined;
      if (!coming.isHanded) releaseBytes(bytes);
    });
    coming.written = writing;
    this.#writing.add(writing);
  }

  #addComing(key: string, coming: Coming): void {
    const others = this.#coming.get(key);
    if (others === undefined) this.#coming.set(key, [coming]);
    else others.push(coming);
  }

  #removeComing(key: string, coming: Coming): void {
    const left = this.#coming.get(key)!.filter((each) => each !== coming);
    if (left.length === 0) this.#coming.delete(key);
    else this.#coming.set(key, left);
  }

  async #waitForWriting(): Promise<void> {
    while (this.#writingBytes > WRITING_BYTES_MAX) await Promise.race(this.#writing);
  }

  #id(key: string, segment: number): Uint8Array {
    return hashBytes(utf8(`${this.#identity}\n${key}\n${segment}`)).subarray(0, SEGMENT_ID_BYTES);
  }
}

function isMost(missing: BlockRange, wanted: BlockRange): boolean {
  return missing.end - missing.first >= (wanted.end - wanted.first) * MISSING_PART_MIN;
}

function covering(coming: readonly Coming[], missing: BlockRange): Coming | undefined {
  return coming.find(({ first, end }) => first <= missing.first && end >= missing.end);
}

interface SegmentBlocks extends BlockRange {
  readonly segment: number;
}

/** The same blocks, numbered within their segments. */
function segmentsOf({ first, end }: BlockRange): SegmentBlocks[] {
  const found: SegmentBlocks[] = [];
  for (let block = first; block < end; ) {
    const segment = Math.floor(block / SEGMENT_BLOCKS);
    const start = segment * SEGMENT_BLOCKS;
    const next = Math.min(end, start + SEGMENT_BLOCKS);
    found.push({ segment, first: block - start, end: next - start });
    block = next;
  }
  return found;
}
