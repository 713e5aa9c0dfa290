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
/** So much is worth a pack of its own, however few it comes from. */
const FULL_BYTES = 64 * MIB;
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
  for (let tier = tiers.length - 1; tier >= 0; tier--) {
    const { below, count } = tiers[tier]!;
    const least = tier === 0 ? 0 : tiers[tier - 1]!.below;
    const runs = runsBelow(packs, below, options).filter(
      (run) => run.filter(({ size }) => size >= least).length >= count || isFull(run),
    );
    // What is due on a higher tier takes with it what stands between.
    if (runs.length > 0) return runs;
  }
  return [];
}

function isFull(run: readonly ManifestPack[]): boolean {
  return run.length > 1 && bytesOf(run) >= FULL_BYTES;
}

function bytesOf(packs: readonly ManifestPack[]): number {
  return packs.reduce((sum, { size }) => sum + size, 0);
}

/** The longest runs of packs below a size, within the limits of one merge. */
function runsBelow(packs: readonly ManifestPack[], below: number, options: PlanOptions): ManifestPack[][] {
  const bytesMax = Math.min(options.bytesMax ?? MERGE_BYTES_MAX, MERGE_BYTES_MAX);
  const runs: ManifestPack[][] = [];
  let run: ManifestPack[] = [];
  let bytes = 0;
  const close = (): void => {
    const whole = endingInRecords(run);
    if (whole.length > 1) runs.push(whole);
    // Content of a landing whose records come next.
    run = run.slice(whole.length);
    bytes = bytesOf(run);
  };
  const closeWithContent = (): void => {
    close();
    if (run.length > 1) runs.push(run);
    run = [];
    bytes = 0;
  };
  for (const pack of packs) {
    if (pack.size >= below || options.excluded?.has(pack.pack) === true) {
      // Records have no gaps.
      if (pack.hasRecords) closeWithContent();
      continue;
    }
    const isTooMuch = (): boolean => bytes + pack.size > bytesMax || run.length === MERGE_PACKS_MAX;
    if (isTooMuch()) close();
    if (isTooMuch()) closeWithContent();
    run.push(pack);
    bytes += pack.size;
  }
  close();
  return runs;
}

/** Without the content at the end that belongs to landings after the run; all of it when there are no records at all. */
function endingInRecords(run: readonly ManifestPack[]): ManifestPack[] {
  const last = run.findLastIndex(({ hasRecords }) => hasRecords);
  return run.slice(0, last + 1);
}
