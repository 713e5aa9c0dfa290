/** Puts a rollup into a head, in place of the rollups that it stands for from then on. */
import type { Position } from "../../base/ids.ts";
import type { RollupRef } from "../../codec/head.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";
import { rollupSpan } from "../../codec/rollup.ts";
import type { Put } from "../../store/object-store.ts";
import type { HeadChange } from "../head/change.ts";
import { isNameable } from "../head/epochs.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { digestOfRecords } from "./digest.ts";
import { rollupsWithin } from "./segments.ts";

/** What tells that a head has the log that a rollup was built from. */
export interface RollupOrigin {
  /** The rollups of that stretch in the head it was built on: exactly these are replaced. */
  readonly replaces: readonly RollupRef[];
  /** Digests of the hundreds of landings that were read from the log, where no rollup was named, by first position. */
  readonly read: ReadonlyMap<Position, string>;
}

/** `puts`: what the head's name of it leads to and is not stored yet. */
export function attachRollup(ref: RollupRef, origin: RollupOrigin, puts: readonly Put[]): HeadChange {
  return {
    what: `the rollup of ${ref.first} to ${ref.last}`,
    apply: async (snapshot, { storeMs }) => {
      const { head } = snapshot;
      if (ref.last > head.position) return undefined;
      // Written before yesterday: a collector may be about to take it.
      if (!isNameable(ref.epoch, storeMs)) return undefined;
      const there = rollupsWithin(head.rollups, ref);
      if (!areSame(there, origin.replaces)) return undefined;
      for (const [first, digest] of origin.read) {
        if ((await digestAt(snapshot, first)) !== digest) return undefined;
      }
      const others = head.rollups.filter((rollup) => !there.includes(rollup));
      const rollups = [...others, ref].sort((a, b) => a.first - b.first);
      return { pages: head.pages, packs: head.packs, rollups, puts };
    },
  };
}

function areSame(a: readonly RollupRef[], b: readonly RollupRef[]): boolean {
  return a.length === b.length && a.every((ref, i) => isSame(ref, b[i]!));
}

function isSame(a: RollupRef, b: RollupRef): boolean {
  return a.hash === b.hash && a.epoch === b.epoch && a.level === b.level && a.first === b.first;
}

async function digestAt(snapshot: Snapshot, first: Position): Promise<string> {
  const records: LandingRecord[] = [];
  const last = (first + rollupSpan(1) - 1) as Position;
  for await (const page of snapshot.records((first - 1) as Position, last)) records.push(...page);
  return digestOfRecords(records.reverse());
}
