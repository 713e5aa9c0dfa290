/**
 * Renames among the deleted and added files of a change: first files with the same content, then files that
 * share at least half of it, by the amount of lines (or pieces of long lines) that both have.
 */
import { throwIfAborted } from "../base/clock.ts";
import type { TreeEntry } from "../codec/tree-entry.ts";

export interface RenameInput {
  readonly path: string;
  readonly before?: { readonly entry: TreeEntry } | undefined;
  readonly after?: { readonly entry: TreeEntry } | undefined;
}

export interface Rename<T extends RenameInput> {
  readonly from: T;
  readonly to: T;
  /** Percent, 50 to 100. */
  readonly similarity: number;
}

export interface RenameOptions {
  /** Least similarity, percent. Default 50. */
  readonly similarityMin?: number;
  readonly signal?: AbortSignal;
}

/** Larger files are only matched by id. */
const FILE_BYTES_MAX = 1 << 20;
/** Content that is read in one call of `detectRenames`. */
const TOTAL_BYTES_MAX = 64 << 20;
/** Above this many pairs, only files with the same name are compared. */
const PAIRS_MAX = 40_000;
/** Long lines are compared in pieces of this size. */
const PIECE_BYTES_MAX = 64;

/**
 * Each deleted file is matched with at most one added file. `readContent` gives the content of a deleted
 * (`before`) or added (`after`) file. Sorted by the path of `to` as given.
 */
export async function detectRenames<T extends RenameInput>(
  changes: readonly T[],
  readContent: (change: T, side: "before" | "after") => Promise<Uint8Array>,
  options: RenameOptions = {},
): Promise<Rename<T>[]> {
  const deleted = changes.filter(({ before, after }) => before !== undefined && after === undefined);
  const added = changes.filter(({ before, after }) => before === undefined && after !== undefined);
  const renames = new Map<T, Rename<T>>();
  const used = new Set<T>();
  const match = (from: T, to: T, similarity: number): void => {
    used.add(from);
    renames.set(to, { from, to, similarity });
  };
  matchById(deleted, added, match);
  const sources = deleted.filter((change) => !used.has(change) && isComparable(change.before!.entry));
  const targets = added.filter((change) => !renames.has(change) && isComparable(change.after!.entry));
  const pairs = candidatePairs(sources, targets);
  const scores = await scorePairs(pairs, readContent, options);
  for (const { from, to, similarity } of scores) {
    if (!used.has(from) && !renames.has(to)) match(from, to, similarity);
  }
  return added.flatMap((change) => renames.get(change) ?? []);
}

function matchById<T extends RenameInput>(
  deleted: readonly T[],
  added: readonly T[],
  match: (from: T, to: T, similarity: number) => void,
): void {
  const byId = new Map<string, T[]>();
  for (const change of deleted) {
    const { id, size, kind } = change.before!.entry;
    // Empty files are all alike and say nothing.
    if (size === 0) continue;
    const key = `${kind === "symlink"}${id}`;
    const known = byId.get(key);
    if (known === undefined) byId.set(key, [change]);
    else known.push(change);
  }
  const matched = new Set<T>();
  // Files that keep their name come first, so that they are not taken by another copy.
  for (const isSameName of [true, false]) {
    for (const change of added) {
      if (matched.has(change)) continue;
      const { id, kind } = change.after!.entry;
      const sources = byId.get(`${kind === "symlink"}${id}`);
      if (sources === undefined) continue;
      const index = isSameName ? sources.findIndex(({ path }) => nameOf(path) === nameOf(change.path)) : 0;
      const source = sources[index];
      if (source === undefined) continue;
      sources.splice(index, 1);
      matched.add(change);
      match(source, change, 100);
    }
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function isComparable(entry: TreeEntry): boolean {
  return entry.kind !== "symlink" && entry.size > 0 && entry.size <= FILE_BYTES_MAX;
}

interface Pair<T> {
  readonly from: T;
  readonly to: T;
}

/** Pairs whose sizes allow half of the larger file to be shared; those with the same name come first. */
function candidatePairs<T extends RenameInput>(sources: readonly T[], targets: readonly T[]): Pair<T>[] {
  const byName = new Map<string, T[]>();
  for (const from of sources) {
    const name = nameOf(from.path);
    const known = byName.get(name);
    if (known === undefined) byName.set(name, [from]);
    else known.push(from);
  }
  const pairs: Pair<T>[] = [];
  const add = (from: T, to: T): void => {
    const a = from.before!.entry.size;
    const b = to.after!.entry.size;
    if (Math.min(a, b) * 2 >= Math.max(a, b) && pairs.length < PAIRS_MAX) pairs.push({ from, to });
  };
  for (const to of targets) for (const from of byName.get(nameOf(to.path)) ?? []) add(from, to);
  if (sources.length * targets.length > PAIRS_MAX) return pairs;
  for (const to of targets) {
    for (const from of sources) if (nameOf(from.path) !== nameOf(to.path)) add(from, to);
  }
  return pairs;
}

/** Best first; of equal scores the one with the same name, then the order of the pairs. */
async function scorePairs<T extends RenameInput>(
  pairs: readonly Pair<T>[],
  readContent: (change: T, side: "before" | "after") => Promise<Uint8Array>,
  options: RenameOptions,
): Promise<Rename<T>[]> {
  const prints = new Map<T, Fingerprint | undefined>();
  let budget = TOTAL_BYTES_MAX;
  const printOf = async (change: T, side: "before" | "after"): Promise<Fingerprint | undefined> => {
    if (prints.has(change)) return prints.get(change);
    const { size } = change[side]!.entry;
    budget -= size;
    const print = budget < 0 ? undefined : fingerprint(await readContent(change, side));
    prints.set(change, print);
    return print;
  };
  const least = options.similarityMin ?? 50;
  const scores: Rename<T>[] = [];
  for (const { from, to } of pairs) {
    throwIfAborted(options.signal);
    const a = await printOf(from, "before");
    const b = await printOf(to, "after");
    if (a === undefined || b === undefined) continue;
    const similarity = Math.floor((100 * sharedBytes(a, b)) / Math.max(a.size, b.size, 1));
    if (similarity >= least) scores.push({ from, to, similarity });
  }
  return scores.sort((x, y) => y.similarity - x.similarity);
}

/** How many bytes of a file are in pieces with each hash. */
interface Fingerprint {
  readonly size: number;
  readonly bytesByHash: ReadonlyMap<number, number>;
}

function fingerprint(bytes: Uint8Array): Fingerprint {
  const bytesByHash = new Map<number, number>();
  let hash = 0x811c9dc5;
  let start = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    hash = Math.imul(hash ^ byte, 0x01000193);
    const length = i + 1 - start;
    if (byte !== 0x0a && length < PIECE_BYTES_MAX && i + 1 < bytes.length) continue;
    bytesByHash.set(hash, (bytesByHash.get(hash) ?? 0) + length);
    hash = 0x811c9dc5;
    start = i + 1;
  }
  return { size: bytes.length, bytesByHash };
}

function sharedBytes(a: Fingerprint, b: Fingerprint): number {
  let shared = 0;
  for (const [hash, bytes] of a.bytesByHash) shared += Math.min(bytes, b.bytesByHash.get(hash) ?? 0);
  return shared;
}
