/**
 * Hybrid logical clock: a u64 of 48 bits Unix milliseconds and 16 bits counter. It orders nothing (the
 * position does); it gives every landing a time that never runs backwards.
 */
export type Hlc = bigint;

const COUNTER_BITS = 16n;
const HLC_MAX = (1n << 64n) - 1n;

/** A clock this far ahead of the store's date is refused. */
export const CLOCK_AHEAD_MAX_MS = 5 * 60 * 1000;

export function hlcFromMs(timeMs: number): Hlc {
  const ms = BigInt(Math.max(0, Math.floor(timeMs)));
  return ms >= 1n << 48n ? HLC_MAX : ms << COUNTER_BITS;
}

/** `max(local, parent + 1)`, saturating at 2^64 − 1. */
export function nextHlc(localMs: number, parent: Hlc): Hlc {
  const local = hlcFromMs(localMs);
  const after = parent >= HLC_MAX ? HLC_MAX : parent + 1n;
  return local > after ? local : after;
}

/** Unix milliseconds. */
export function hlcToMs(hlc: Hlc): number {
  return Number(hlc >> COUNTER_BITS);
}
