/** Which of the records that were found are those of the log: many attempts at landing leave records that are not. */
import type { LandingId, ObjectId, Position } from "../../base/ids.ts";
import type { FoundObjects, FoundRecord } from "./found-objects.ts";

export interface ChainPlace {
  readonly first: Position;
  readonly last: Position;
  /** Tree before `first`, and after `last`; `undefined` where it is not known. */
  readonly rootBefore: ObjectId | undefined;
  readonly rootAfter: ObjectId | undefined;
  /** What the head knows of the landings there. */
  idAt(position: Position): LandingId | undefined;
}

/** Attempts at extending a chain: what was tried too often is given up. */
const STEPS_MAX = 100_000;

/**
 * One record for each position, each standing on the tree of the one before. `undefined` when there is no such chain,
 * when there are several, or when nothing ties it to the log around it.
 */
export function findRecordChain(found: FoundObjects, place: ChainPlace): readonly FoundRecord[] | undefined {
  if (place.rootBefore === undefined || place.rootAfter === undefined) return undefined;
  const chains: FoundRecord[][] = [];
  let steps = 0;
  const extend = (chain: FoundRecord[], root: ObjectId): void => {
    if (chains.length > 1 || ++steps > STEPS_MAX) return;
    const position = (place.first + chain.length) as Position;
    if (position > place.last) {
      if (root === place.rootAfter) chains.push([...chain]);
      return;
    }
    for (const candidate of found.recordsAt(position)) {
      const { record } = candidate;
      const known = place.idAt(position);
      if (record.parentRoot !== root || (known !== undefined && known !== record.landingId)) continue;
      const before = chain.at(-1)?.record.hlc;
      if (before !== undefined && record.hlc <= before) continue;
      chain.push(candidate);
      extend(chain, record.root);
      chain.pop();
    }
  };
  extend([], place.rootBefore);
  return chains.length === 1 && steps <= STEPS_MAX ? chains[0] : undefined;
}
