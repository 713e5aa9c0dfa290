/**
 * A change of what a head names that adds no landing: rollups attached, packs replaced by merged ones. The
 * publisher applies it with the next swap, together with the landings that wait or by itself.
 */
import type { Epoch } from "../base/ids.ts";
import type { RollupRef } from "../codec/head.ts";
import type { Put } from "../store/object-store.ts";
import type { PackLists } from "./manifest.ts";
import type { Snapshot } from "./snapshot.ts";

export interface HeadLists extends PackLists {
  /** By first position; they do not overlap. */
  readonly rollups: readonly RollupRef[];
}

export interface ChangePlace {
  /** Today by the store's time: of everything in `puts`. */
  readonly epoch: Epoch;
  /** The store's time, taken before anything is checked. */
  readonly storeMs: number;
}

export interface HeadChange {
  /** For messages: `rollup of 1 to 100`. */
  readonly what: string;
  /**
   * The lists for a head that was just read, with what must be stored for them; `undefined` when the change does
   * not fit this head (any more): it was applied already, or what it replaces is gone. Asked again for every head
   * that is tried. What the result newly names has an epoch of today or yesterday by `place.storeMs`.
   */
  apply(
    snapshot: Snapshot,
    place: ChangePlace,
  ): Promise<(HeadLists & { readonly puts: readonly Put[] }) | undefined>;
}

/** `obsolete`: the change did not fit the newest head. */
export type ChangeOutcome = "applied" | "obsolete";
