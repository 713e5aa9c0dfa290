/** Reads fronts, pages and blocks of rollups from the store, each checked. What is damaged is asked for once more. */

import { equalBytes, hexToBytes } from "../../base/bytes.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import { hashBytes } from "../../base/hash.ts";
import type { ProjectId } from "../../base/ids.ts";
import type { RollupRef } from "../../codec/head.ts";
import { decodeRollupFront, hasChecksum, type RollupExtent, type RollupFront } from "../../codec/rollup.ts";
import { rollupKey, rollupPartKey } from "../../objects/keys.ts";
import type { ObjectStore } from "../../store/object-store.ts";

/** What lies between two extents that are read together is read too. */
const GAP_BYTES_MAX = 128 << 10;
const REQUEST_BYTES_MAX = 4 << 20;
/** Requests at once. */
const REQUESTS_TOGETHER = 16;

export interface RollupPlace {
  readonly store: ObjectStore;
  readonly project: ProjectId;
}

interface SignalOption {
  readonly signal?: AbortSignal;
}

/** A rollup that is not there or not what it says. The log says the same, only slower. */
export class DamagedRollupError extends MicError {
  readonly ref: RollupRef;
  /** Newer code wrote it, and can read it. */
  readonly isNewer: boolean;

  constructor(ref: RollupRef, key: string, detail: string, cause?: unknown) {
    super("corrupt", `the rollup of ${ref.first} to ${ref.last} is damaged: ${detail}`, {
      hint: "run `mic fsck --repair`: it is built again from the log",
      data: { object: key },
      ...(cause === undefined ? {} : { cause }),
    });
    this.ref = ref;
    this.isNewer = isMicError(cause, "unsupported");
  }
}

/** Errors: DamagedRollupError, also for one that newer code wrote; `unreachable`. */
export async function readFront(
  { store, project }: RollupPlace,
  ref: RollupRef,
  options: SignalOption = {},
): Promise<{ readonly front: RollupFront; readonly bytes: number }> {
  const key = rollupKey(project, ref.epoch, ref.level, ref.first, ref.hash);
  let stored = await store.get(key, options);
  const hash = hexToBytes(ref.hash);
  if (stored === undefined || !equalBytes(hashBytes(stored.bytes), hash)) {
    stored = await store.get(key, { ...options, fresh: true });
    if (stored === undefined) throw new DamagedRollupError(ref, key, "it is missing");
    if (!equalBytes(hashBytes(stored.bytes), hash))
      throw new DamagedRollupError(ref, key, "it has another hash");
  }
  const front = decoding(ref, key, () => decodeRollupFront(stored.bytes));
  if (front.level !== ref.level || front.first !== ref.first) {
    throw new DamagedRollupError(ref, key, `it is that of ${front.first} on level ${front.level}`);
  }
  return { front, bytes: stored.bytes.length };
}

/** Runs a decoder of what `ref` names: what it refuses is damage. */
export function decoding<T>(ref: RollupRef, key: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!isMicError(error, "corrupt") && !isMicError(error, "unsupported")) throw error;
    throw new DamagedRollupError(ref, key, error.message, error);
  }
}

interface Wanted extends RollupExtent {
  /** Place in what was asked for. */
  readonly index: number;
}

interface Span {
  readonly key: string;
  /** In the part. */
  readonly offset: number;
  length: number;
  readonly extents: { readonly at: number; readonly extent: Wanted }[];
}

/**
 * The bytes of extents, in the order in which they are given, each with its own memory. Neighbours in a part are
 * read with one request. Errors: DamagedRollupError, `unreachable`, `aborted`.
 */
export async function readExtents(
  place: RollupPlace,
  ref: RollupRef,
  front: RollupFront,
  extents: readonly RollupExtent[],
  options: SignalOption = {},
): Promise<readonly Uint8Array[]> {
  const result: Uint8Array[] = new Array(extents.length);
  const sorted = extents.map((extent, index) => ({ ...extent, index }));
  sorted.sort((a, b) => a.offset - b.offset);
  const spans: Span[] = [];
  for (const extent of sorted) {
    const found = locate(place, ref, front, extent);
    if (found.inline !== undefined) {
      if (!hasChecksum(found.inline, extent.checksum)) {
        throw new DamagedRollupError(ref, frontKey(place, ref), `its inline bytes at ${extent.offset}`);
      }
      result[extent.index] = found.inline;
      continue;
    }
    addToSpans(spans, found.key, found.offset, extent);
  }
  for (let from = 0; from < spans.length; from += REQUESTS_TOGETHER) {
    const together = spans.slice(from, from + REQUESTS_TOGETHER);
    await Promise.all(together.map((span) => readSpan(place, ref, span, result, options)));
  }
  return result;
}

function frontKey({ project }: RollupPlace, ref: RollupRef): string {
  return rollupKey(project, ref.epoch, ref.level, ref.first, ref.hash);
}

type Located =
  | { readonly inline: Uint8Array }
  | { readonly inline?: undefined; readonly key: string; readonly offset: number };

function locate(place: RollupPlace, ref: RollupRef, front: RollupFront, extent: RollupExtent): Located {
  let start = 0;
  const end = extent.offset + extent.length;
  for (const part of front.parts) {
    const partEnd = start + part.length;
    if (extent.offset < partEnd) {
      if (end > partEnd) break;
      const key = rollupPartKey(place.project, ref.epoch, part.hash);
      return { key, offset: extent.offset - start };
    }
    start = partEnd;
  }
  if (extent.offset >= start && end <= start + front.inline.length) {
    return { inline: front.inline.subarray(extent.offset - start, end - start) };
  }
  throw new DamagedRollupError(ref, frontKey(place, ref), `${extent.offset} to ${end} is in no part`);
}

function addToSpans(spans: Span[], key: string, offset: number, extent: Wanted): void {
  const last = spans.at(-1);
  const end = offset + extent.length;
  if (last !== undefined && last.key === key) {
    const gap = offset - (last.offset + last.length);
    if (gap <= GAP_BYTES_MAX && end - last.offset <= REQUEST_BYTES_MAX) {
      last.extents.push({ at: offset - last.offset, extent });
      last.length = Math.max(last.length, end - last.offset);
      return;
    }
  }
  spans.push({ key, offset, length: extent.length, extents: [{ at: 0, extent }] });
}

async function readSpan(
  { store }: RollupPlace,
  ref: RollupRef,
  span: Span,
  result: Uint8Array[],
  options: SignalOption,
): Promise<void> {
  const { key, offset, length } = span;
  const range = { offset, length };
  let stored = await store.get(key, { range, ...options });
  if (stored === undefined || !take(span, stored.bytes, result)) {
    stored = await store.get(key, { range, ...options, fresh: true });
    if (stored === undefined) throw new DamagedRollupError(ref, key, "a part is missing");
    if (!take(span, stored.bytes, result)) {
      throw new DamagedRollupError(ref, key, `bytes ${offset} to ${offset + length} of a part`);
    }
  }
}

/** False: some of it is not what it should be. */
function take({ extents }: Span, bytes: Uint8Array, result: Uint8Array[]): boolean {
  for (const { at, extent } of extents) {
    const view = bytes.subarray(at, at + extent.length);
    if (view.length !== extent.length || !hasChecksum(view, extent.checksum)) return false;
    // What stays in a cache does not hold its neighbours in memory.
    result[extent.index] = extents.length === 1 ? view : new Uint8Array(view);
  }
  return true;
}
