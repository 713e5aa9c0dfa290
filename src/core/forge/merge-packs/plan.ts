/**
 * Which packs are worth merging: size tiers. Packs of about the same size wait until there are enough of them, then
 * become one of a larger tier, so that what is landed is written again a few times at most however long the history
 * grows, and a project has some dozens of packs beside those that are full.
 */
import type { ManifestPack } from "../../codec/pack-entry.ts";

interface Tier {
  /** Bytes from which on a pack belongs to the next tier. */
  readonly below: number;
  /** Packs of this tier that are merged together. */
  readonly count: number;
}

const KIB = 1 << 10;
const MIB = 1 << 20;

/** A pack of the last tier's limit or more stays as it is. */
export const MERGE_TIERS: readonly Tier[] = [
  { below: 64 * KIB, count: 32 },
  { below: MIB, count: 16 },
  { below: 16 * MIB, count: 8 },
  { below: 64 * MIB, count: 4 },
];
/** Stored bytes that are merged at a time: they are held in memory, twice. */
export const MERGE_BYTES_MAX: number = 128 * MIB;
/**
 * Whoever looks for one object reads a pack's index whole: a pack with this much of it stays as it is, whatever its
 * size, and this is about what a merge makes. 45 bytes for an object: some 70,000 of them.
 */
const INDEX_BYTES_FULL = 2 * MIB;
const INDEX_BYTES_MAX = 4 * MIB;
/** So much is worth a pack of its own, however few it comes from: half of what can be merged at a time, between these. */
const FULL_BYTES_LEAST = 8 * MIB;
const FULL_BYTES_MOST = 64 * MIB;
/** Packs that are merged at a time. */
export const MERGE_PACKS_MAX = 1024;

export interface PlanOptions {
  /** At most MERGE_BYTES_MAX, which is the default. */
  readonly bytesMax?: number;
  /** Merges whatever there is more than one of below the last tier's limit. */
  readonly all?: boolean;
  /** Left as they are. */
  readonly excluded?: ReadonlySet<string>;
}

/**
 * The runs that are due, by their place in the lists, none with a pack of another. `packs`: in the order of the lists. A
 * run holds records of positions without a gap, or none; content that is too large for it may stand between.
 */
export function planMerges(packs: readonly ManifestPack[], options: PlanOptions = {}): ManifestPack[][] {
  const tiers = options.all === true ? [{ below: MERGE_TIERS.at(-1)!.below, count: 2 }] : MERGE_TIERS;
  const bytesMax = Math.min(options.bytesMax ?? MERGE_BYTES_MAX, MERGE_BYTES_MAX);
  const fullBytes = Math.min(FULL_BYTES_MOST, Math.max(FULL_BYTES_LEAST, bytesMax / 2));
  for (let tier = tiers.length - 1; tier >= 0; tier--) {
    const { below, count } = tiers[tier]!;
    const least = tier === 0 ? 0 : tiers[tier - 1]!.below;
    const isDue = (run: readonly ManifestPack[]): boolean =>
      run.filter(({ size }) => size >= least).length >= count || isFull(run, fullBytes);
    const runs = runsBelow(packs, { below, bytesMax, excluded: options.excluded }).filter(isDue);
    // What is due on a higher tier takes with it what stands between.
    if (runs.length > 0) return runs;
  }
  return [];
}

/** Never where it would write a large pack again for the sake of a small one. */
function isFull(run: readonly ManifestPack[], fullBytes: number): boolean {
  const bytes = bytesOf(run);
  const indexBytes = run.reduce((sum, { indexLength }) => sum + indexLength, 0);
  const isEnough = bytes >= fullBytes || indexBytes >= INDEX_BYTES_FULL;
  return isEnough && run.every(({ size }) => size <= bytes / 2);
}

function bytesOf(packs: readonly ManifestPack[]): number {
  return packs.reduce((sum, { size }) => sum + size, 0);
}

/** The longest runs of packs below a size, within the limits of one merge. */
function runsBelow(
  packs: readonly ManifestPack[],
  limits: {
    readonly below: number;
    readonly bytesMax: number;
    readonly excluded: ReadonlySet<string> | undefined;
  },
): ManifestPack[][] {
  const { below, bytesMax, excluded } = limits;
  const runs: ManifestPack[][] = [];
  let run: ManifestPack[] = [];
  let bytes = 0;
  let indexBytes = 0;
  const close = (): void => {
    const whole = endingInRecords(run);
    if (whole.length > 1) runs.push(whole);
    // Content of a landing whose records come next.
    run = run.slice(whole.length);
    bytes = bytesOf(run);
    indexBytes = run.reduce((sum, { indexLength }) => sum + indexLength, 0);
  };
  const closeWithContent = (): void => {
    close();
    if (run.length > 1) runs.push(run);
    run = [];
    bytes = 0;
    indexBytes = 0;
  };
  for (const pack of packs) {
    if (pack.size >= below || pack.indexLength >= INDEX_BYTES_FULL || excluded?.has(pack.pack) === true) {
      // Records have no gaps.
      if (pack.hasRecords) closeWithContent();
      continue;
    }
    const isTooMuch = (): boolean =>
      bytes + pack.size > bytesMax ||
      indexBytes + pack.indexLength > INDEX_BYTES_MAX ||
      run.length === MERGE_PACKS_MAX;
    if (isTooMuch()) close();
    if (isTooMuch()) closeWithContent();
    run.push(pack);
    bytes += pack.size;
    indexBytes += pack.indexLength;
  }
  close();
  return runs;
}

/** Without the content at the end that belongs to landings after the run; all of it when there are no records at all. */
function endingInRecords(run: readonly ManifestPack[]): ManifestPack[] {
  const last = run.findLastIndex(({ hasRecords }) => hasRecords);
  return run.slice(0, last + 1);
}
