/** What a directory has to hold after its base has moved: said from the trees, without the product's merge. */
import { areInTheWay, type FileState, mergeStates, sameState, type Tree } from "./content.ts";

/** A directory as it has to be. */
export interface Expected {
  readonly files: Map<string, FileState>;
  readonly conflicts: Set<string>;
  /** Tokens of both sides that have to be in a file with markers. */
  readonly marked: Map<string, readonly string[]>;
  /** Paths of which this says nothing: edited while a command ran, or in conflict before. */
  readonly free: Set<string>;
}

export interface BaseMove {
  readonly from: Tree;
  readonly to: Tree;
  /** What this workspace itself landed with `to`: its files stay as they are. */
  readonly landed: ReadonlySet<string>;
}

export function isFree({ free }: Expected, path: string): boolean {
  if (free.has(path)) return true;
  for (const other of free) if (areInTheWay(other, path)) return true;
  return false;
}

export function moveBase(expected: Expected, { from, to, landed }: BaseMove): void {
  const { files, conflicts, marked, free } = expected;
  const earlier = [...conflicts];
  const coming: string[] = [];
  for (const path of new Set([...from.keys(), ...to.keys()])) {
    const [base, theirs] = [from.get(path), to.get(path)];
    if (sameState(base, theirs) || landed.has(path)) continue;
    if (earlier.some((other) => other === path || areInTheWay(other, path))) free.add(path);
    if (isFree(expected, path)) continue;
    const merged = mergeStates(base, files.get(path), theirs);
    if (theirs !== undefined) coming.push(path);
    if (merged.kind === "marked") marked.set(path, merged.tokens);
    if (merged.kind === "marked" || merged.kind === "left") conflicts.add(path);
    if (merged.kind === "clean" && merged.state === undefined) files.delete(path);
    if (merged.kind === "clean" && merged.state !== undefined) files.set(path, merged.state);
  }
  for (const path of coming) {
    // What is ours and stays cannot be made a directory, nor its directory a file.
    const blockers = [...files.keys()].filter((other) => areInTheWay(other, path));
    if (blockers.length === 0) continue;
    if (blockers.some((blocker) => isFree(expected, blocker))) free.add(path);
    files.delete(path);
    conflicts.add(path);
  }
}
