/**
 * The ranged reads of a stream of frames: neighbouring frames are read together, in whatever order they are needed,
 * and some reads are under way while the frames before them are used. What is held is bounded twice: a read's frames
 * are needed close to each other, and no read starts ahead of need while enough is held.
 */
import { releaseBytes } from "../base/bytes.ts";
import { type FramePlan, passesWhole, type RangeRead } from "./frame-plan.ts";
import type { ObjectLookup } from "./object-lookup.ts";
import type { OpenPack } from "./pack-cache.ts";
import { checkFrameBytes, isFrame } from "./read-frame.ts";

/**
 * Bytes of one read. An object server checks whole pieces of an object of a megabyte or so, whatever part of them is
 * asked for: reads of 0.5 MiB cost MinIO three times the processor time of reads of 2 MiB, larger ones save nothing.
 */
const READ_BYTES_MAX = 2 << 20;
/** Unwanted bytes between two frames that are read through: they cost a local store more than another read. */
const GAP_BYTES_MAX = 32 << 10;
/** Stored bytes that are needed between the first frame of a read and its last. */
const SPAN_BYTES_MAX = 8 << 20;
/** Reads are started ahead until this many bytes are under way or held. */
const AHEAD_BYTES_MAX = 12 << 20;

export interface RangeReadsOptions {
  readonly signal?: AbortSignal;
  /** The reader verifies every object: frames are not compared with their checksums. */
  readonly unchecked?: boolean;
  /** Every read that was asked for is started, and there is room for more. */
  readonly onDrained: () => void;
}

export class RangeReads {
  readonly #lookup: ObjectLookup;
  readonly #options: RangeReadsOptions;
  /** Not started, in the order of first need. */
  #queue: RangeRead[] = [];
  /** Bytes under way or held. */
  #heldBytes = 0;

  constructor(lookup: ObjectLookup, options: RangeReadsOptions) {
    this.#lookup = lookup;
    this.#options = options;
  }

  /** Assigns reads to plans; one whose bytes are in memory needs none. `isNext`: needed before all that is waiting. */
  add(plans: readonly FramePlan[], isNext: boolean): void {
    const reads = groupReads(plans);
    this.#queue = isNext ? [...reads, ...this.#queue] : [...this.#queue, ...reads];
    this.#startAhead();
  }

  /** The stored bytes of a plan's frame, checked against their checksum if asked; valid until `finish`. */
  async storedBytes(plan: FramePlan): Promise<Uint8Array> {
    const location = plan.pack.index.frame(plan.frame);
    const { read } = plan;
    const bytes = read === undefined ? plan.pack.whole! : await this.#bytesOf(read);
    const from = location.offset - (read?.start ?? 0);
    const stored = bytes.subarray(from, from + location.storedLength);
    const { cache } = this.#lookup;
    if (this.#options.unchecked && !cache.mayBeDamaged) return stored;
    if (isFrame(location, stored)) return stored;
    const { signal } = this.#options;
    const again = await cache.readBytes(plan.pack.entry, location.offset, location.storedLength, {
      fresh: true,
      ...(signal === undefined ? {} : { signal }),
    });
    checkFrameBytes(location, again);
    return again;
  }

  /** To be called once for each plan, whether its bytes were asked for or are not wanted any more. */
  finish({ read }: FramePlan): void {
    if (read === undefined) return;
    read.uses--;
    if (read.uses > 0 || read.bytes === undefined) return;
    this.#heldBytes -= read.end - read.start;
    // Megabytes each: left to the collector, they would pile up.
    read.bytes.then(releaseBytes, leaveToReader);
    read.bytes = undefined;
    this.#startAhead();
  }

  #bytesOf(read: RangeRead): Promise<Uint8Array> {
    while (read.bytes === undefined) this.#start(this.#queue.shift()!);
    this.#startAhead();
    return read.bytes;
  }

  #startAhead(): void {
    while (this.#heldBytes < AHEAD_BYTES_MAX) {
      const read = this.#queue.shift();
      if (read === undefined) {
        this.#options.onDrained();
        return;
      }
      this.#start(read);
    }
  }

  #start(read: RangeRead): void {
    if (read.uses === 0) return;
    const length = read.end - read.start;
    this.#heldBytes += length;
    const { signal } = this.#options;
    const options = signal === undefined ? {} : { signal };
    read.bytes = this.#lookup.cache.readBytes(read.pack.entry, read.start, length, options);
    // A reader that stops early leaves reads behind; whoever does wait for one still gets its error.
    read.bytes.catch(leaveToReader);
  }
}

function leaveToReader(): undefined {
  return undefined;
}

/** A plan whose frame must be read, and how many stored bytes are needed before it. */
interface Need {
  readonly plan: FramePlan;
  readonly start: number;
  readonly end: number;
  readonly bytesBefore: number;
}

/** In the order of first need. */
function groupReads(plans: readonly FramePlan[]): RangeRead[] {
  const needs = needsOf(plans);
  const sorted = [...needs].sort((a, b) =>
    a.plan.pack === b.plan.pack ? a.start - b.start : comparePacks(a.plan.pack, b.plan.pack),
  );
  let read: RangeRead | undefined;
  let earliest = 0;
  let latest = 0;
  for (const { plan, start, end, bytesBefore } of sorted) {
    const first = Math.min(earliest, bytesBefore);
    const last = Math.max(latest, bytesBefore);
    const joins =
      read !== undefined &&
      read.pack === plan.pack &&
      start - read.end <= GAP_BYTES_MAX &&
      end - read.start <= READ_BYTES_MAX &&
      last - first <= SPAN_BYTES_MAX;
    if (read !== undefined && joins) {
      read.end = end;
      read.uses++;
      earliest = first;
      latest = last;
    } else {
      read = { pack: plan.pack, start, end, uses: 1, bytes: undefined };
      earliest = bytesBefore;
      latest = bytesBefore;
    }
    plan.read = read;
  }
  const reads = new Set<RangeRead>();
  for (const { plan } of needs) reads.add(plan.read!);
  return [...reads];
}

/** Those that are not in memory, in the order of need. */
function needsOf(plans: readonly FramePlan[]): Need[] {
  const needs: Need[] = [];
  let bytesBefore = 0;
  for (const plan of plans) {
    if (!passesWhole(plan)) plan.cached = plan.pack.frames.get(plan.frame);
    if (plan.cached !== undefined || plan.pack.whole !== undefined) continue;
    const { offset, storedLength } = plan.pack.index.frame(plan.frame);
    needs.push({ plan, start: offset, end: offset + storedLength, bytesBefore });
    bytesBefore += storedLength;
  }
  return needs;
}

function comparePacks(a: OpenPack, b: OpenPack): number {
  return a.entry.pack < b.entry.pack ? -1 : 1;
}
