/**
 * Bloom filter over the paths that a segment of operations touched, and over the directories that its puts
 * need. It is sized by its own number of entries (10 bits each, 7 probes: 0.8 % false positives), so it never
 * saturates. "No" is certain; "maybe" means: read the operations. Rollups use the same with other numbers.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 1 | u8 | probes k |
 * | 1 | m/8 | bytes | bits, least significant first |
 *
 * An entry is a tree key with a seed: 0 for a touched path, 1 for an ancestor of a put. Probe i is bit
 * (h1 + i·h2) mod 2^32 mod m with h1 = MurmurHash3-x86-32(key, 2·seed), h2 = (the same with 2·seed + 1) | 1.
 * A filter without bits or probes answers "maybe" to everything.
 */
export interface FilterShape {
  readonly bitsPerEntry: number;
  readonly probes: number;
}

const SEGMENT_FILTER: FilterShape = { bitsPerEntry: 10, probes: 7 };

export type FilterDomain = "touched" | "ancestor";

/** What a filter is asked for: the hashes of one key in one domain, good for any filter. */
export interface FilterProbe {
  readonly hash: number;
  readonly step: number;
}

/** Takes entries one by one, of which it keeps the hashes alone, for a filter whose size is known at the end. */
export class PathFilterBuilder {
  #hashes = new Uint32Array(1024);
  #length = 0;

  /** Adds `bytes[start..end)`. */
  add(domain: FilterDomain, bytes: Uint8Array, start: number, end: number): void {
    if (this.#length === this.#hashes.length) {
      const grown = new Uint32Array(this.#length * 2);
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    const seed = domain === "touched" ? 0 : 2;
    this.#hashes[this.#length++] = murmur3(bytes, seed, start, end);
    this.#hashes[this.#length++] = murmur3(bytes, seed + 1, start, end) | 1;
  }

  /** The filter of what was added; begins anew. */
  finish(shape: FilterShape): Uint8Array {
    const filter = emptyFilter(this.#length / 2, shape);
    for (let i = 0; i < this.#length; i += 2) setBits(filter, this.#hashes[i]!, this.#hashes[i + 1]!);
    this.#length = 0;
    return filter;
  }
}

function emptyFilter(entries: number, { bitsPerEntry, probes }: FilterShape): Uint8Array {
  const filter = new Uint8Array(1 + Math.ceil((entries * bitsPerEntry) / 8));
  filter[0] = probes;
  return filter;
}

export function encodePathFilter(
  touched: readonly Uint8Array[],
  ancestors: readonly Uint8Array[],
  shape: FilterShape = SEGMENT_FILTER,
): Uint8Array {
  const filter = emptyFilter(touched.length + ancestors.length, shape);
  for (const key of touched) add(filter, key, 0);
  for (const key of ancestors) add(filter, key, 1);
  return filter;
}

/** False only when no entry is `key` in that domain. Never throws, whatever the filter's bytes. */
export function mayContain(filter: Uint8Array, domain: FilterDomain, key: Uint8Array): boolean {
  return mayMatch(filter, filterProbe(domain, key));
}

export function filterProbe(domain: FilterDomain, key: Uint8Array): FilterProbe {
  const seed = domain === "touched" ? 0 : 2;
  return { hash: murmur3(key, seed), step: murmur3(key, seed + 1) | 1 };
}

/** `mayContain` for a key that is asked of many filters. */
export function mayMatch(filter: Uint8Array, probe: FilterProbe): boolean {
  const bits = (filter.length - 1) * 8;
  if (bits <= 0) return true;
  const { step } = probe;
  let { hash } = probe;
  for (let probes = filter[0]!; probes > 0; probes--) {
    const bit = hash % bits;
    if ((filter[1 + (bit >>> 3)]! & (1 << (bit & 7))) === 0) return false;
    hash = (hash + step) >>> 0;
  }
  return true;
}

function add(filter: Uint8Array, key: Uint8Array, domain: 0 | 1): void {
  setBits(filter, murmur3(key, domain * 2), murmur3(key, domain * 2 + 1) | 1);
}

function setBits(filter: Uint8Array, first: number, step: number): void {
  const bits = (filter.length - 1) * 8;
  let hash = first;
  for (let probes = filter[0]!; probes > 0; probes--) {
    const bit = hash % bits;
    filter[1 + (bit >>> 3)]! |= 1 << (bit & 7);
    hash = (hash + step) >>> 0;
  }
}

/** MurmurHash3_x86_32 (Appleby, public domain) of `key[start..end)`. */
export function murmur3(key: Uint8Array, seed: number, start = 0, end: number = key.length): number {
  const length = end - start;
  const blocksEnd = start + (length & ~3);
  let h = seed;
  for (let i = start; i < blocksEnd; i += 4) {
    let k = key[i]! | (key[i + 1]! << 8) | (key[i + 2]! << 16) | (key[i + 3]! << 24);
    k = Math.imul(k, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, 0x1b873593);
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  const rest = end - blocksEnd;
  if (rest !== 0) {
    let k = key[blocksEnd]!;
    if (rest > 1) k |= key[blocksEnd + 1]! << 8;
    if (rest > 2) k |= key[blocksEnd + 2]! << 16;
    k = Math.imul(k, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, 0x1b873593);
  }
  h ^= length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
