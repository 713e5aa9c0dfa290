/**
 * Keeps a tree free of paths that are both a file and a directory. In key order a directory's entries stand
 * between name·00 and name·01, so one seek tells file, directory or nothing. A landing's own puts have been
 * checked against each other (check-request.ts); here they meet what the project already holds.
 */
import { asBuffer, compareBytes } from "../../base/bytes.ts";
import { keyToPath, type TreePath } from "../../base/path.ts";
import type { Tree } from "../../prolly/tree.ts";
import { fileAndDirectory } from "./check-request.ts";
import type { Edits } from "./edits.ts";

/** What stands at a directory's path before the landing. */
type DirectoryState =
  | { readonly kind: "directory" }
  | { readonly kind: "absent" }
  /** It, or an ancestor of it, is a file. */
  | { readonly kind: "file"; readonly key: Uint8Array };

const ROOT_STATE: DirectoryState = { kind: "directory" };
const ABSENT: DirectoryState = { kind: "absent" };

/**
 * Throws `usage` when applying `edits` to `before` would make a path a file and a directory at once. `isKnown`:
 * 1 for each edit whose key `before` has.
 */
export async function checkNeighbours(
  before: Tree,
  after: Tree,
  edits: Edits,
  isKnown: Uint8Array,
): Promise<void> {
  if (before.isEmpty) return;
  const directories = new Map<string, DirectoryState>();
  for (let i = 0; i < edits.length; i++) {
    if (isKnown[i] === 1 || edits.isDelete(i)) continue;
    const key = edits.key(i);
    const parent = await stateOf(parentEnd(key), key, before, directories);
    if (parent.kind === "file" && !isDeleted(parent.key, edits)) throw clash(parent.key, key);
    if (parent.kind !== "directory") continue;
    const next = await before.seek(key);
    if (next === undefined || !isBelow(next.key, key)) continue;
    // It was a directory: everything below it has to be gone.
    const left = await after.seek(afterKey(key));
    if (left !== undefined && isBelow(left.key, key)) throw clash(key, left.key);
  }
}

/** State of the directory `key[0..end)`. Ancestors first, so that below a new directory nothing is looked up. */
async function stateOf(
  end: number,
  key: Uint8Array,
  tree: Tree,
  memo: Map<string, DirectoryState>,
): Promise<DirectoryState> {
  if (end <= 0) return ROOT_STATE;
  const name = asBuffer(key).toString("latin1", 0, end);
  const known = memo.get(name);
  if (known !== undefined) return known;
  const directory = key.subarray(0, end);
  const parent = await stateOf(parentEnd(directory), key, tree, memo);
  const state = parent.kind === "directory" ? await lookUp(tree, directory) : parent;
  memo.set(name, state);
  return state;
}

async function lookUp(tree: Tree, directory: Uint8Array): Promise<DirectoryState> {
  const found = await tree.seek(directory);
  if (found === undefined) return ABSENT;
  if (isBelow(found.key, directory)) return ROOT_STATE;
  return compareBytes(found.key, directory) === 0 ? { kind: "file", key: directory } : ABSENT;
}

/** Length of the parent directory's key; 0 or less for a path at the top. */
function parentEnd(key: Uint8Array): number {
  return key.lastIndexOf(0);
}

function isBelow(key: Uint8Array, directory: Uint8Array): boolean {
  if (key.length <= directory.length || key[directory.length] !== 0) return false;
  for (let i = 0; i < directory.length; i++) if (key[i] !== directory[i]) return false;
  return true;
}

/** The least key greater than `key`. */
function afterKey(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

function isDeleted(key: Uint8Array, edits: Edits): boolean {
  let low = 0;
  let high = edits.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(edits.key(middle), key) < 0) low = middle + 1;
    else high = middle;
  }
  return low < edits.length && edits.isDelete(low) && compareBytes(edits.key(low), key) === 0;
}

function clash(file: Uint8Array, below: Uint8Array): Error {
  const paths = [file, below].map(keyToPath) as [TreePath, TreePath];
  return fileAndDirectory(paths[0], paths[1]);
}
