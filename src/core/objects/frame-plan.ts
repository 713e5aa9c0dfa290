/** Which frames of which packs hold what is wanted: references are found in the packs' indexes and grouped by frame. */
import { OBJECT_ID_BYTES, type ObjectId, objectIdToBytes, type PackId } from "../base/ids.ts";
import type { ObjectRef } from "./frame.ts";
import { type ObjectLookup, objectNotFound, type PackRow } from "./object-lookup.ts";
import type { CachedFrame, OpenPack } from "./pack-cache.ts";

/** Rows of a pack for each reference up to which the next row is guessed. */
const GUESS_ROWS_PER_REF = 32;
/** Packs that are opened at the same time. */
const OPEN_WIDTH = 16;

/** One frame, and what is wanted of it. */
export interface FramePlan {
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
export interface RangeRead {
  readonly pack: OpenPack;
  readonly start: number;
  end: number;
  /** Plans that still need the bytes. */
  uses: number;
  /** Absent before it is started and when nobody needs it any more. */
  bytes: Promise<Uint8Array> | undefined;
}

/** At least half of the frame is wanted: sending all of it costs less than making another. */
export function passesWhole(plan: FramePlan): boolean {
  return plan.wanted * 2 >= plan.pack.index.frame(plan.frame).rawLength;
}

/** In the order of first need. `refs`: each object once. Errors: `not-found`, MissingPackError, `corrupt`, `unreachable`. */
export async function planFrames(lookup: ObjectLookup, refs: readonly ObjectRef[]): Promise<FramePlan[]> {
  const hints = new Set<number>();
  for (const ref of refs) hints.add(ref.hint);
  await openPacksAt(lookup, hints);
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
    const found: FoundRow | undefined =
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
  { pack, row }: FoundRow,
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

type FoundRow = Pick<PackRow, "pack" | "row">;

/**
 * Opens the packs of positions, many at a time. A pack that cannot be opened is reported by the lookup that needs it.
 * Errors: those of the directory.
 */
export async function openPacksAt(lookup: ObjectLookup, positions: Iterable<number>): Promise<void> {
  const closed = new Map<PackId, () => Promise<unknown>>();
  for (const position of positions) {
    if (position === 0) continue;
    for (const entry of await lookup.entriesAt(position)) {
      if (lookup.cache.peek(entry) === undefined) {
        closed.set(entry.pack, () => lookup.cache.open(entry));
      }
    }
  }
  const opens = [...closed.values()];
  for (let from = 0; from < opens.length; from += OPEN_WIDTH) {
    await Promise.allSettled(opens.slice(from, from + OPEN_WIDTH).map((open) => open()));
  }
}
