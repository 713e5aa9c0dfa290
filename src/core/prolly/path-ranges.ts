/** Path filters as ranges of tree keys. */
import { comparePaths, isWithin, parseTreePath, pathToKey, type TreePath } from "../base/path.ts";
import type { KeyRange } from "./types.ts";

const EVERYTHING: readonly KeyRange[] = [{}];

/**
 * The disjoint ranges, in key order, that hold the paths themselves and everything below them. Nothing sorts
 * between a path's key and its key followed by 0x00, so one range covers both.
 */
export function rangesOfPaths(paths: readonly TreePath[] | undefined): readonly KeyRange[] {
  if (paths === undefined) return EVERYTHING;
  return outermost(paths).map(rangeOfPath);
}

export function rangeOfPath(path: TreePath): KeyRange {
  const key = pathToKey(path);
  const end = new Uint8Array(key.length + 1);
  end.set(key);
  end[key.length] = 1;
  return { gte: key, lt: end };
}

/** Sorted, without paths that lie below another. */
export function outermost(paths: readonly TreePath[]): TreePath[] {
  const kept: TreePath[] = [];
  for (const path of paths.map((text) => parseTreePath(text)).sort(comparePaths)) {
    const last = kept.at(-1);
    if (last === undefined || !isWithin(path, last)) kept.push(path);
  }
  return kept;
}
