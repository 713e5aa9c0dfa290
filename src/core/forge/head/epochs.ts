/**
 * Which days of the store's clock matter. What is written once is stored under its day, and the collector takes only
 * what is some days old and unnamed: so a head may newly name what is of today or yesterday, and nothing older
 * (docs/format/collection.md).
 */
import { type Epoch, epochOf } from "../../base/ids.ts";

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

/**
 * Where uploads are looked for, newest first: the last days before `sinceMs`, and all since. That is another machine's
 * time, so it may be on the next day already, and content may have been uploaded ahead of it.
 */
export function searchedEpochs(storeMs: number, sinceMs = storeMs): Epoch[] {
  const since = Math.max(0, Math.floor(storeMs / DAY_MS) - Math.floor(sinceMs / DAY_MS));
  return lastEpochs(storeMs, Math.min(SEARCHED + since, SEARCHED_MAX));
}

function lastEpochs(storeMs: number, count: number): Epoch[] {
  return Array.from({ length: count }, (_, days) => epochOf(storeMs - days * DAY_MS));
}
