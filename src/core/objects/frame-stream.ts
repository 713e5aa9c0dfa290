/**
 * Streams many objects out of packs at the speed of the store: what is wanted is grouped by pack and frame,
 * neighbouring frames are read together, and a few reads are under way while the frames before them are used.
 * Memory is bounded by the window of references that are planned at a time and by the reads held.
 */
import { releaseBytes } from "../base/bytes.ts";
import { throwIfAborted } from "../base/clock.ts";
import { OBJECT_ID_BYTES, type ObjectId, objectIdToBytes, type PackId } from "../base/ids.ts";
import { BLOB_FRAME_RAW_BYTES } from "../base/limits.ts";
import type { List } from "../base/list.ts";
import type { Frame, ObjectRef } from "./frame.ts";
import { FrameBuilder } from "./frame-builder.ts";
import { type ObjectLookup, objectNotFound, type PackRow } from "./object-lookup.ts";
import { CachedFrame, type OpenPack } from "./pack-cache.ts";
import { checkFrameBytes, expandFrame, isFrame } from "./read-frame.ts";
import { Misses } from "./renewal.ts";

/** References that are planned together. A frame that is needed on both sides of a cut may be framed again. */
const WINDOW_REFS = 8192;
/** Rows of a pack for each reference up to which the next row is guessed. */
const GUESS_ROWS_PER_REF = 32;
/** Packs that are opened at the same time. */
const OPEN_WIDTH = 16;
/** Bytes of one ranged read. */
const READ_BYTES_MAX = 4 << 20;
/** Unwanted bytes between two frames that are read through: they cost a local store more than another read. */
const GAP_BYTES_MAX = 32 << 10;
/** Frames between the first need of a read and the last: bounds what is held when packs alternate. */
const READ_SPAN_FRAMES_MAX = 32;
/** Reads are started ahead until this many bytes are under way or held. */
const AHEAD_BYTES_MAX = 8 << 20;

export interface FramesOptions {
  readonly signal?: AbortSignal;
  /** Leave re-framed objects uncompressed, for a reader in this process. Default: compressed. */
  readonly uncompressed?: boolean;
  /** The reader verifies every object: stored frames are not compared with their checksums. */
  readonly unchecked?: boolean;
  /** The reader is done with a frame's stored bytes when it asks for the next frame: they need not be its own. */
  readonly borrowed?: boolean;
  /** No object is asked for twice: `refs` are not searched for it. */
  readonly distinct?: boolean;
}

/** One frame, and what is wanted of it. */
interface FramePlan {
  readonly pack: OpenPack;
  readonly frame: number;
  /** In the order asked. */
  readonly rows: number[];
  readonly ids: ObjectId[];
  /** Raw bytes of them. */
  wanted: number;
  /** The raw frame, when it is in memory and will be framed again. */
  cached: CachedFrame | undefined;
  /** Absent when the bytes are in memory. */
  read: RangeRead | undefined;
}

/** Neighbouring frames of one pack in one ranged get. */
interface RangeRead {
  readonly pack: OpenPack;
  readonly firstPlan: number;
  readonly start: number;
  end: number;
  lastFrame: number;
  /** Plans that still need the bytes. */
  uses: number;
  bytes: Promise<Uint8Array> | undefined;
}

export async function* streamFrames(
  lookup: ObjectLookup,
  refs: List<ObjectRef>,
  options: FramesOptions,
): AsyncGenerator<Frame, void, undefined> {
  const planned = options.distinct ? undefined : new Set<ObjectId>();
  const passed = new PassedFrames();
  for (let from = 0; from < refs.length; from += WINDOW_REFS) {
    throwIfAborted(options.signal);
    const window = refs.slice(from, from + WINDOW_REFS);
    yield* streamWindow(lookup, planned === undefined ? window : unplanned(window, planned), passed, options);
  }
}

/** What was not asked for before; from now on it was. */
function unplanned(refs: readonly ObjectRef[], planned: Set<ObjectId>): readonly ObjectRef[] {
  return refs.filter(({ id }) => {
    if (planned.has(id)) return false;
    planned.add(id);
    return true;
  });
}

/** When a pack is missing, what is left of the window is planned anew with what a newer head lists. */
async function* streamWindow(
  lookup: ObjectLookup,
  window: readonly ObjectRef[],
  passed: PassedFrames,
  options: FramesOptions,
): AsyncGenerator<Frame, void, undefined> {
  const misses = new Misses(lookup.directory);
  for (let refs = window; ; ) {
    misses.begin();
    let run: PlanRun | undefined;
    try {
      const plans = await planWindow(lookup, refs);
      run = new PlanRun(
        lookup,
        plans.filter((plan) => !passed.has(plan)),
        passed,
        options,
      );
      yield* run.frames();
      return;
    } catch (error) {
      await misses.renewOrThrow(error);
      if (run === undefined) continue;
      yield* run.framed();
      const left = run.idsLeft();
      refs = refs.filter(({ id }) => left.has(id));
    }
  }
}

/** Stored frames that went out whole, so that a later window does not send them again. */
class PassedFrames {
  readonly #frames = new Map<PackId, Set<number>>();

  has(plan: FramePlan): boolean {
    return this.#frames.get(plan.pack.entry.pack)?.has(plan.frame) ?? false;
  }

  add(plan: FramePlan): void {
    const id = plan.pack.entry.pack;
    const frames = this.#frames.get(id);
    if (frames === undefined) this.#frames.set(id, new Set([plan.frame]));
    else frames.add(plan.frame);
  }
}

/** `refs`: each object once. */
async function planWindow(lookup: ObjectLookup, refs: readonly ObjectRef[]): Promise<FramePlan[]> {
  await openHintedPacks(lookup, refs);
  const plans: FramePlan[] = [];
  const plansOfPack = new Map<OpenPack, Map<number, FramePlan>>();
  const idBytes = Buffer.alloc(OBJECT_ID_BYTES);
  let last: { readonly plan: FramePlan; readonly nextFrame: number } | undefined;
  let nextRow = 0;
  for (const ref of refs) {
    const { id, hint } = ref;
    idBytes.write(id, 0, OBJECT_ID_BYTES, "hex");
    // What is asked in the order of paths was mostly packed in it.
    const isNext = last?.plan.pack.index.hasIdAt(nextRow, idBytes) === true;
    if (last !== undefined && isNext && nextRow < last.nextFrame) {
      addRow(last.plan, id, nextRow++);
      continue;
    }
    const found: PackRow | undefined =
      last !== undefined && isNext
        ? { pack: last.plan.pack, row: nextRow }
        : (lookup.peekRow(idBytes, hint) ?? (await lookup.findRow(objectIdToBytes(id), hint)));
    if (found === undefined) throw objectNotFound(id);
    const { pack, row } = found;
    const plan = planOf(found, plans, plansOfPack);
    addRow(plan, id, row);
    // Below that many the table behind the guess does not pay.
    last =
      refs.length * GUESS_ROWS_PER_REF < pack.index.objectCount
        ? undefined
        : { plan, nextFrame: pack.index.firstRow(plan.frame + 1) };
    nextRow = row + 1;
  }
  return plans;
}

function addRow(plan: FramePlan, id: ObjectId, row: number): void {
  plan.rows.push(row);
  plan.ids.push(id);
  plan.wanted += plan.pack.index.rawLengthOfRow(row);
}

function planOf(
  { pack, row }: PackRow,
  plans: FramePlan[],
  plansOfPack: Map<OpenPack, Map<number, FramePlan>>,
): FramePlan {
  let ofPack = plansOfPack.get(pack);
  if (ofPack === undefined) {
    ofPack = new Map();
    plansOfPack.set(pack, ofPack);
  }
  const frame = pack.index.frameOfRow(row);
  let plan = ofPack.get(frame);
  if (plan === undefined) {
    plan = { pack, frame, rows: [], ids: [], wanted: 0, cached: undefined, read: undefined };
    ofPack.set(frame, plan);
    plans.push(plan);
  }
  return plan;
}

/** Opens what the hints name, many at a time. A pack that is missing is reported by the lookup that needs it. */
async function openHintedPacks(lookup: ObjectLookup, refs: readonly ObjectRef[]): Promise<void> {
  const hints = new Set<number>();
  for (const ref of refs) hints.add(ref.hint);
  hints.delete(0);
  const closed = new Map<PackId, () => Promise<unknown>>();
  for (const hint of hints) {
    for (const entry of await lookup.entriesAt(hint)) {
      if (lookup.cache.peek(entry.pack) === undefined) {
        closed.set(entry.pack, () => lookup.cache.open(entry));
      }
    }
  }
  const opens = [...closed.values()];
  for (let from = 0; from < opens.length; from += OPEN_WIDTH) {
    await Promise.allSettled(opens.slice(from, from + OPEN_WIDTH).map((open) => open()));
  }
}

class PlanRun {
  readonly #plans: readonly FramePlan[];
  readonly #passed: PassedFrames;
  readonly #options: FramesOptions;
  readonly #reads: ReadAhead;
  readonly #builder: FrameBuilder;
  /** Plans that are done: passed on, or in the builder. */
  #done = 0;

  constructor(
    lookup: ObjectLookup,
    plans: readonly FramePlan[],
    passed: PassedFrames,
    options: FramesOptions,
  ) {
    this.#plans = plans;
    this.#passed = passed;
    this.#options = options;
    this.#reads = new ReadAhead(lookup, plans, options);
    this.#builder = new FrameBuilder({
      rawTarget: BLOB_FRAME_RAW_BYTES,
      ...(options.uncompressed ? { level: "store" } : {}),
    });
  }

  async *frames(): AsyncGenerator<Frame, void, undefined> {
    const reads = this.#reads;
    const builder = this.#builder;
    for (const plan of this.#plans) {
      throwIfAborted(this.#options.signal);
      const { index } = plan.pack;
      if (passesWhole(plan)) {
        yield* builder.finish();
        const found = await reads.storedBytes(plan);
        const stored = this.#options.borrowed ? found : new Uint8Array(found);
        this.#passed.add(plan);
        this.#done++;
        yield index.frameWith(plan.frame, stored, plan);
        reads.finish(plan);
        continue;
      }
      const frame = plan.cached ?? (await expandPlan(reads, plan));
      for (let i = 0; i < plan.rows.length; i++) {
        const object = frame.read(plan.rows[i]!);
        builder.add(object.kind, plan.ids[i]!, object.content, object.sidecar);
      }
      reads.finish(plan);
      this.#done++;
      yield* builder.takeFull();
    }
    yield* builder.finish();
  }

  /** What was framed again before the run broke off. */
  framed(): readonly Frame[] {
    return this.#builder.finish();
  }

  /** Objects that neither `frames` nor `framed` gave. */
  idsLeft(): ReadonlySet<ObjectId> {
    return new Set(this.#plans.slice(this.#done).flatMap((plan) => plan.ids));
  }
}

/** At least half of the frame is wanted: sending all of it costs less than making another. */
function passesWhole(plan: FramePlan): boolean {
  return plan.wanted * 2 >= plan.pack.index.frame(plan.frame).rawLength;
}

/** Not kept in the cache, which is for what is read again. */
async function expandPlan(reads: ReadAhead, plan: FramePlan): Promise<CachedFrame> {
  const stored = await reads.storedBytes(plan);
  const raw = expandFrame({ ...plan.pack.index.frame(plan.frame), stored });
  return new CachedFrame(plan.pack, plan.frame, raw);
}

class ReadAhead {
  readonly #lookup: ObjectLookup;
  readonly #options: FramesOptions;
  readonly #queue: RangeRead[];
  #nextRead = 0;
  /** Bytes under way or held. */
  #heldBytes = 0;

  constructor(lookup: ObjectLookup, plans: readonly FramePlan[], options: FramesOptions) {
    this.#lookup = lookup;
    this.#options = options;
    this.#queue = groupReads(plans);
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

  /** To be called once per plan, in order. */
  finish({ read }: FramePlan): void {
    if (read === undefined) return;
    read.uses--;
    if (read.uses > 0) return;
    this.#heldBytes -= read.end - read.start;
    // Megabytes each: left to the collector, they would pile up.
    read.bytes?.then(releaseBytes, leaveToReader);
    read.bytes = undefined;
  }

  #bytesOf(read: RangeRead): Promise<Uint8Array> {
    while (this.#nextRead < this.#queue.length) {
      if (read.bytes !== undefined && this.#heldBytes >= AHEAD_BYTES_MAX) break;
      this.#start(this.#queue[this.#nextRead]!);
      this.#nextRead++;
    }
    return read.bytes!;
  }

  #start(read: RangeRead): void {
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

/** Assigns plans to reads; a plan whose bytes are in memory needs none. Reads are in the order of first need. */
function groupReads(plans: readonly FramePlan[]): RangeRead[] {
  const reads: RangeRead[] = [];
  const openRead = new Map<OpenPack, RangeRead>();
  for (const [at, plan] of plans.entries()) {
    if (!passesWhole(plan)) plan.cached = plan.pack.frames.get(plan.frame);
    if (plan.cached !== undefined || plan.pack.whole !== undefined) continue;
    const { offset, storedLength } = plan.pack.index.frame(plan.frame);
    const end = offset + storedLength;
    const open = openRead.get(plan.pack);
    if (
      open !== undefined &&
      plan.frame > open.lastFrame &&
      offset - open.end <= GAP_BYTES_MAX &&
      end - open.start <= READ_BYTES_MAX &&
      at - open.firstPlan < READ_SPAN_FRAMES_MAX
    ) {
      open.end = end;
      open.lastFrame = plan.frame;
      open.uses++;
      plan.read = open;
      continue;
    }
    const read: RangeRead = {
      pack: plan.pack,
      firstPlan: at,
      start: offset,
      end,
      lastFrame: plan.frame,
      uses: 1,
      bytes: undefined,
    };
    openRead.set(plan.pack, read);
    reads.push(read);
    plan.read = read;
  }
  return reads;
}
