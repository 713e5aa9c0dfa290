/**
 * Streams many objects out of packs at the speed of the store: what is wanted is grouped by pack and frame, and read
 * ahead while the frames before are used. Memory is bounded by the windows of references that are planned (the one
 * that is streamed and the one after it) and by the reads held.
 */
import { throwIfAborted } from "../base/clock.ts";
import type { ObjectId, PackId } from "../base/ids.ts";
import { BLOB_FRAME_RAW_BYTES } from "../base/limits.ts";
import type { List } from "../base/list.ts";
import type { Frame, ObjectRef } from "./frame.ts";
import { FrameBuilder } from "./frame-builder.ts";
import { type FramePlan, passesWhole, planFrames } from "./frame-plan.ts";
import type { ObjectLookup } from "./object-lookup.ts";
import { CachedFrame } from "./pack-cache.ts";
import { RangeReads } from "./range-reads.ts";
import { expandFrame } from "./read-frame.ts";
import { Misses } from "./renewal.ts";

/** References that are planned together. A frame that is needed on both sides of a cut may be framed again. */
const WINDOW_REFS = 8192;

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

export function streamFrames(
  lookup: ObjectLookup,
  refs: List<ObjectRef>,
  options: FramesOptions,
): AsyncGenerator<Frame, void, undefined> {
  return new FrameStream(lookup, refs, options).frames();
}

/** References that are streamed together, and where they are, or why that is not known. */
type Window = { readonly refs: readonly ObjectRef[]; readonly misses: Misses } & (
  | { readonly plans: readonly FramePlan[] }
  | { readonly error: unknown }
);

class FrameStream {
  readonly #lookup: ObjectLookup;
  readonly #refs: List<ObjectRef>;
  readonly #options: FramesOptions;
  readonly #reads: RangeReads;
  readonly #planned: Set<ObjectId> | undefined;
  readonly #passed = new PassedFrames();
  /** The first reference that is in no window yet. */
  #next = 0;
  /** The window after the one that is being streamed, from when all reads of that one are under way. */
  #coming: Promise<Window> | undefined;

  constructor(lookup: ObjectLookup, refs: List<ObjectRef>, options: FramesOptions) {
    this.#lookup = lookup;
    this.#refs = refs;
    this.#options = options;
    this.#planned = options.distinct ? undefined : new Set();
    const { signal, unchecked } = options;
    this.#reads = new RangeReads(lookup, {
      ...(signal === undefined ? {} : { signal }),
      ...(unchecked === undefined ? {} : { unchecked }),
      onDrained: () => {
        this.#coming ??= this.#planNext();
      },
    });
  }

  async *frames(): AsyncGenerator<Frame, void, undefined> {
    for (;;) {
      throwIfAborted(this.#options.signal);
      this.#coming ??= this.#planNext();
      const coming = this.#coming;
      if (coming === undefined) return;
      const window = await coming;
      this.#coming = undefined;
      yield* this.#streamWindow(window);
    }
  }

  /** Nothing when all are planned. Never rejects. */
  #planNext(): Promise<Window> | undefined {
    const from = this.#next;
    if (from >= this.#refs.length) return undefined;
    this.#next = from + WINDOW_REFS;
    const refs = this.#refs.slice(from, this.#next);
    const planned = this.#planned;
    const wanted = planned === undefined ? refs : unplanned(refs, planned);
    return this.#plan(wanted, new Misses(this.#lookup.directory), false);
  }

  async #plan(refs: readonly ObjectRef[], misses: Misses, isNext: boolean): Promise<Window> {
    misses.begin();
    try {
      const found = await planFrames(this.#lookup, refs);
      const plans = found.filter((plan) => !this.#passed.has(plan));
      this.#reads.add(plans, isNext);
      return { refs, misses, plans };
    } catch (error) {
      return { refs, misses, error };
    }
  }

  /** When a pack is missing, what is left of the window is planned anew with what a newer head lists. */
  async *#streamWindow(first: Window): AsyncGenerator<Frame, void, undefined> {
    for (let window = first; ; ) {
      const { misses } = window;
      let run: PlanRun | undefined;
      try {
        if ("error" in window) throw window.error;
        run = new PlanRun(window.plans, this.#reads, this.#passed, this.#options);
        yield* run.frames();
        return;
      } catch (error) {
        await misses.renewOrThrow(error);
        let { refs } = window;
        if (run !== undefined) {
          yield* run.framed();
          const left = run.idsLeft();
          refs = refs.filter(({ id }) => left.has(id));
          run.abandon();
        }
        window = await this.#plan(refs, misses, true);
      }
    }
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

class PlanRun {
  readonly #plans: readonly FramePlan[];
  readonly #passed: PassedFrames;
  readonly #options: FramesOptions;
  readonly #reads: RangeReads;
  readonly #builder: FrameBuilder;
  /** Plans that are done: passed on, or in the builder. */
  #done = 0;

  constructor(plans: readonly FramePlan[], reads: RangeReads, passed: PassedFrames, options: FramesOptions) {
    this.#plans = plans;
    this.#passed = passed;
    this.#options = options;
    this.#reads = reads;
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
      if (this.#passed.has(plan)) {
        // By the window before, after this one was planned.
        this.#done++;
        reads.finish(plan);
        continue;
      }
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

  /** Nothing more of it is read. */
  abandon(): void {
    for (const plan of this.#plans.slice(this.#done)) this.#reads.finish(plan);
    this.#done = this.#plans.length;
  }
}

/** Not kept in the cache, which is for what is read again. */
async function expandPlan(reads: RangeReads, plan: FramePlan): Promise<CachedFrame> {
  const stored = await reads.storedBytes(plan);
  const raw = expandFrame({ ...plan.pack.index.frame(plan.frame), stored });
  return new CachedFrame(plan.pack, plan.frame, raw);
}
