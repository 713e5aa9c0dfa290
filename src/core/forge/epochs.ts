/**
 * Which days of the store's clock matter. What is written once is stored under its day, and the collector takes only
 * what is some days old and unnamed: so a head may newly name what is of today or yesterday, and nothing older
 * (docs/format/collection.md).
 */
import { type Epoch, epochOf } from "../base/ids.ts";

const DAY_MS = 86_400_000;
const NAMEABLE = 2;
/** Uploads that are older may be gone. */
const SEARCHED = 4;
/** However long ago something was stored. */
const SEARCHED_MAX = 64;

/** `storeMs`: the store's time, taken before what relies on this is checked. */
export function isNameable(epoch: Epoch, storeMs: number): boolean {
  return lastEpochs(storeMs, NAMEABLE).includes(epoch);
}

/** Where uploads are looked for, newest first: the last days, or as many as reach back to `sinceMs`. */
export function searchedEpochs(storeMs: number, sinceMs = storeMs): Epoch[] {
  const since = Math.min(Math.ceil((storeMs - sinceMs) / DAY_MS) + 1, SEARCHED_MAX);
  return lastEpochs(storeMs, Math.max(SEARCHED, since));
}

function lastEpochs(storeMs: number, count: number): Epoch[] {
  return Array.from({ length: count }, (_, days) => epochOf(storeMs - days * DAY_MS));
}
