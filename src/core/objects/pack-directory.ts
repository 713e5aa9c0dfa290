/** Which packs hold what: the part of a head snapshot that the lookup needs. */
import type { Epoch, PackId, Position } from "../base/ids.ts";

export interface PackEntry {
  readonly pack: PackId;
  readonly epoch: Epoch;
  /** First and last position whose objects the pack may hold. */
  readonly first: Position;
  readonly last: Position;
  /** Bytes. */
  readonly size: number;
  /** Bytes of index and trailer at the end of the pack. */
  readonly indexLength: number;
}

export interface PackDirectory {
  /** Grows whenever `renew` took in other lists: what was asked before may have another answer now. */
  readonly version: number;
  /** Packs whose range holds the position, newest first. Returns at once what is in memory. */
  at(position: number): readonly PackEntry[] | Promise<readonly PackEntry[]>;
  /** Every pack, newest first, in pages. */
  newestFirst(): AsyncIterable<readonly PackEntry[]>;
  /**
   * Takes in what the newest head lists, after a pack of these lists was missing. `since`: the version that was
   * looked at. False when the head is still the same.
   */
  renew(since: number): Promise<boolean>;
}
