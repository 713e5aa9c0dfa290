export const ROLLUP_LEVEL_MAX = 6;
/** Positions that a rollup of a level covers. */
export function rollupSpan(level: number): number {
  return 10 ** (level + 1);
}
