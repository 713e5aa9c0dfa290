/**
 * Lines [aStart, aEnd) of `a` are replaced by lines [bStart, bEnd) of `b`; 0-based. Hunks are in order and at
 * least one unchanged line lies between two of them.
 */
export interface Hunk {
  readonly aStart: number;
  readonly aEnd: number;
  readonly bStart: number;
  readonly bEnd: number;
}
