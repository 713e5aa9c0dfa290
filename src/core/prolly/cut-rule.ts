/**
 * Where a level of the tree is cut into nodes. Part of the format: docs/format/prolly-node.md.
 *
 * A cut follows from the keys and the *lengths* of values since the previous cut, never from value bytes or
 * child hashes, so that an edit moves boundaries only near itself and editing a value moves none. Node sizes
 * follow a Weibull distribution (shape 3, scale 4096): far more even than those of a rolling hash. The hash
 * is keyed, so that keys cannot be crafted by someone who does not know the salt.
 */
import { invariant } from "../base/errors.ts";
import { CUT_TABLE } from "./cut-table.ts";

/** What an entry costs beside its key and value: its two offsets. */
export const ENTRY_OVERHEAD_BYTES = 4;
/** Child hash and subtree count. */
export const INTERNAL_VALUE_BYTES = 40;
/** No cut while a node counts fewer bytes than this. */
export const CUT_MIN_BYTES = 512;
/** Always a cut when a node counts this much. */
export const CUT_MAX_BYTES = 16_384;
/** An internal node is not cut before this many entries, so that every level is at most a quarter of the one below. */
export const INTERNAL_ENTRIES_MIN = 4;
/** Longer values are stored elsewhere and referred to. */
export const INLINE_VALUE_BYTES_MAX = 1024;
export const SALT_BYTES = 8;

/** HalfSipHash state of one level: the salt and the level have been absorbed. */
export interface CutSeed {
  readonly level: number;
  readonly v0: number;
  readonly v1: number;
  readonly v2: number;
  readonly v3: number;
}

/** `salt`: 8 bytes, two little-endian words. */
export function cutSeed(salt: Uint8Array, level: number): CutSeed {
  invariant(salt.length === SALT_BYTES, `a salt of ${salt.length} bytes`);
  const k0 = salt[0]! | (salt[1]! << 8) | (salt[2]! << 16) | (salt[3]! << 24);
  const k1 = salt[4]! | (salt[5]! << 8) | (salt[6]! << 16) | (salt[7]! << 24);
  let v0 = k0;
  let v1 = k1;
  let v2 = 0x6c796765 ^ k0;
  let v3 = 0x74656462 ^ k1 ^ level;
  v0 = (v0 + v1) | 0;
  v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
  v0 = (v0 << 16) | (v0 >>> 16);
  v2 = (v2 + v3) | 0;
  v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
  v0 = (v0 + v3) | 0;
  v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
  v2 = (v2 + v1) | 0;
  v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
  v2 = (v2 << 16) | (v2 >>> 16);
  v0 ^= level;
  return { level, v0, v1, v2, v3 };
}

/** HalfSipHash-1-3 with 32 bits of output (Aumasson and Bernstein) of the level (u32) and `bytes[start, end)`. */
export function hashKey(seed: CutSeed, bytes: Uint8Array, start: number, end: number): number {
  let { v0, v1, v2, v3 } = seed;
  const length = end - start;
  const tailStart = end - (length & 3);
  for (let i = start; i < tailStart; i += 4) {
    const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  // The message is four bytes longer than the key: the level comes first.
  let last = (length + 4) << 24;
  if (tailStart < end) last |= bytes[tailStart]!;
  if (tailStart + 1 < end) last |= bytes[tailStart + 1]! << 8;
  if (tailStart + 2 < end) last |= bytes[tailStart + 2]! << 16;
  v3 ^= last;
  for (let round = 0; round < 4; round++) {
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    if (round === 0) {
      v0 ^= last;
      v2 ^= 0xff;
    }
  }
  return (v1 ^ v3) >>> 0;
}

/** 2³⁶ · −ln(1 − h/2³²) by linear interpolation in the table: exact integers below 2⁵³. */
export function energyOf(hash: number): number {
  const i = hash >>> 24;
  const low = CUT_TABLE[i]!;
  return low + Math.floor(((CUT_TABLE[i + 1]! - low) * ((hash >>> 8) & 0xffff)) / 65_536);
}

/**
 * Whether a node ends after the entry with key `bytes[keyStart, keyEnd)`, which takes it from `before` to
 * `after` counted bytes and is its `entries`-th.
 */
export function isCut(
  seed: CutSeed,
  before: number,
  after: number,
  entries: number,
  bytes: Uint8Array,
  keyStart: number,
  keyEnd: number,
): boolean {
  if (after < CUT_MIN_BYTES) return false;
  if (seed.level > 0 && entries < INTERNAL_ENTRIES_MIN) return false;
  if (after >= CUT_MAX_BYTES) return true;
  // At most 16,384³ < 2⁵³.
  const span = after * after * after - before * before * before;
  return energyOf(hashKey(seed, bytes, keyStart, keyEnd)) < span;
}
