/**
 * Directories of a tree whose keys are paths with 0x00 separators. Everything below directory D is the range
 * [D·00, D·01); a listing passes over a subdirectory with one seek.
 */
import { EMPTY_BYTES } from "../base/bytes.ts";
import type { Cursor } from "./cursor.ts";
import type { Tree } from "./tree.ts";
import type { Hint, LeafEntry } from "./types.ts";

const SEPARATOR = 0x00;
/** Sorts directly behind everything below a directory. */
const AFTER_SEPARATOR = 0x01;

export type DirectoryItem =
  | { readonly kind: "entry"; readonly name: Uint8Array; readonly value: Uint8Array; readonly hint: Hint }
  /** `count`: entries anywhere below. */
  | { readonly kind: "directory"; readonly name: Uint8Array; readonly count: number };

export type PathLookup =
  | { readonly kind: "entry"; readonly value: Uint8Array; readonly hint: Hint }
  | { readonly kind: "directory"; readonly count: number };

export interface ListOptions {
  /** Only names greater than this. */
  readonly after?: Uint8Array;
  readonly limit: number;
}

/** What stands at a path. The empty key is the root, a directory even when it is empty. */
export async function lookupPath(tree: Tree, key: Uint8Array): Promise<PathLookup | undefined> {
  if (key.length === 0) return { kind: "directory", count: await tree.count() };
  const entry = await tree.seek(key);
  if (entry === undefined || !startsWith(entry.key, key)) return undefined;
  if (entry.key.length === key.length) return { kind: "entry", value: entry.value, hint: entry.hint };
  // No byte sorts before the separator, so what is below a key comes first of all that continues it.
  const below = { gte: withByte(key, SEPARATOR), lt: withByte(key, AFTER_SEPARATOR) };
  const count = entry.key[key.length] === SEPARATOR ? await tree.count(below) : 0;
  return count === 0 ? undefined : { kind: "directory", count };
}

/** Items of a directory in name order. `dirKey` is empty for the root. A directory that does not exist has none. */
export async function listDirectory(
  tree: Tree,
  dirKey: Uint8Array,
  options: ListOptions,
): Promise<{ readonly items: readonly DirectoryItem[]; readonly more: boolean }> {
  const items: DirectoryItem[] = [];
  if (tree.isEmpty) return { items, more: false };
  const prefix = dirKey.length === 0 ? EMPTY_BYTES : withByte(dirKey, SEPARATOR);
  const scan = new Scan(tree.cursor());
  await scan.seek(
    options.after === undefined ? prefix : withByte(concat(prefix, options.after), AFTER_SEPARATOR),
  );
  for (let entry = scan.entry(); entry !== undefined && startsWith(entry.key, prefix); entry = scan.entry()) {
    if (items.length >= options.limit) return { items, more: true };
    const { key, value, hint } = entry;
    const end = key.indexOf(SEPARATOR, prefix.length);
    if (end === -1) {
      items.push({ kind: "entry", name: key.subarray(prefix.length), value, hint });
      await scan.next();
      continue;
    }
    const rank = scan.rank();
    await scan.seek(withByte(key.subarray(0, end), AFTER_SEPARATOR));
    items.push({ kind: "directory", name: key.slice(prefix.length, end), count: scan.rank() - rank });
  }
  return { items, more: false };
}

/** A cursor with a place inside its leaf. */
class Scan {
  readonly #cursor: Cursor;
  #index = 0;

  constructor(cursor: Cursor) {
    this.#cursor = cursor;
  }

  async seek(key: Uint8Array): Promise<void> {
    const move = this.#cursor.seekKey(key);
    if (move !== undefined) await move;
    this.#index = this.#cursor.node.lowerBound(key);
  }

  async next(): Promise<void> {
    this.#index++;
    if (this.#index < this.#cursor.node.count) return;
    if (await this.#cursor.next()) this.#index = 0;
  }

  entry(): LeafEntry | undefined {
    const { node } = this.#cursor;
    return this.#index < node.count ? node.entry(this.#index) : undefined;
  }

  rank(): number {
    return this.#cursor.rank() + this.#index;
  }
}

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  if (key.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (key[i] !== prefix[i]) return false;
  return true;
}

function withByte(bytes: Uint8Array, byte: number): Uint8Array {
  const longer = new Uint8Array(bytes.length + 1);
  longer.set(bytes);
  longer[bytes.length] = byte;
  return longer;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
