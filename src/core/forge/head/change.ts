/**
 * A change of what a head names that adds no landing: rollups attached, packs replaced by merged ones. The
 * publisher applies it with the next swap, together with the landings that wait or by itself.
 */
import { MicError } from "../../base/errors.ts";
import type { Epoch } from "../../base/ids.ts";
import { HEAD_BYTES_MAX } from "../../base/limits.ts";
import { PAGE_REF_BYTES } from "../../codec/page-ref.ts";
import type { Put } from "../../store/object-store.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { HEAD_PACKS_MAX, type HeadLists } from "./manifest.ts";

/** Lists for one head, with what must be stored for them. */
export interface ChangedLists extends HeadLists {
  readonly puts: readonly Put[];
}

export interface ChangePlace {
  /** Today by the store's time: of everything in `puts`. */
  readonly epoch: Epoch;
  /** The store's time, taken before anything is checked. */
  readonly storeMs: number;
}

export interface HeadChange {
  /** For messages: `the rollup of 1 to 100`. */
  readonly what: string;
  /**
   * The lists for a head that was just read, with what must be stored for them; `undefined` when the change does
   * not fit this head (any more): it was applied already, or what it replaces is gone. Asked again for every head
   * that is tried. What the result newly names has an epoch of today or yesterday by `place.storeMs`.
   */
  apply(snapshot: Snapshot, place: ChangePlace): Promise<ChangedLists | undefined>;
}

/** `obsolete`: the change did not fit the newest head, perhaps because it is in it already. */
export type ChangeOutcome = "applied" | "obsolete";

/**
 * Of a head's 64 KiB, for the entries of its lists: the rest is for the ring, the fixed part, and what landings add
 * to the lists (at most 200 packs, and a page where they spill).
 */
const LISTS_BYTES_MAX = HEAD_BYTES_MAX - (20 << 10);

/**
 * Lists that a change made, before they are given to a head. Errors: `too-large`; `corrupt` for packs or rollups
 * out of order. A change that is refused fails alone.
 */
export function checkLists(what: string, lists: HeadLists): void {
  const { rollups, pages, packs } = lists;
  const pagesBytes = (rollups.length + pages.length) * PAGE_REF_BYTES;
  if (pagesBytes > LISTS_BYTES_MAX || packs.length > HEAD_PACKS_MAX) {
    throw new MicError("too-large", `${what} makes the head too large`, {
      data: { rollups: rollups.length, pages: pages.length, packs: packs.length },
    });
  }
  const areOrdered =
    packs.every((pack, i) => i === 0 || packs[i - 1]!.last <= pack.last) &&
    rollups.every((rollup, i) => i === 0 || rollups[i - 1]!.last < rollup.first);
  if (!areOrdered) throw new MicError("corrupt", `${what} makes lists that are out of order`);
}
