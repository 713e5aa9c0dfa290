/** What every adapter checks before it sends anything. A breach is a bug of the caller, never bad input. */
import { invariant } from "../base/errors.ts";
import type { ByteRange, Put, Swap } from "./object-store.ts";

/** S3's limit, bytes. */
export const STORE_KEY_BYTES_MAX = 1024;
export const LIST_LIMIT_MAX = 1000;

/** Printable ASCII without space, in non-empty components. */
const KEY = /^[\x21-\x2e\x30-\x7e]+(?:\/[\x21-\x2e\x30-\x7e]+)*$/;
const DOTS = /(?:^|\/)\.\.?(?:\/|$)/;
const PREFIX = /^[\x21-\x7e]*$/;

export function isStoreKey(key: string): boolean {
  return key.length <= STORE_KEY_BYTES_MAX && KEY.test(key) && !DOTS.test(key);
}

export function checkStoreKey(key: string): void {
  invariant(isStoreKey(key), `store key ${JSON.stringify(key.slice(0, 200))}`);
}

/** A prefix may end anywhere; the empty one is the whole store. */
export function checkStorePrefix(prefix: string): void {
  invariant(
    prefix.length <= STORE_KEY_BYTES_MAX && PREFIX.test(prefix),
    `store prefix ${JSON.stringify(prefix)}`,
  );
}

export function checkListLimit(limit: number): void {
  invariant(Number.isInteger(limit) && limit >= 1 && limit <= LIST_LIMIT_MAX, `list limit ${limit}`);
}

/** One key, one role: the order of two writes of one key in a commit would be anybody's guess. */
export function checkCommit(puts: readonly Put[], swap: Swap): void {
  checkStoreKey(swap.key);
  const seen = new Set<string>([swap.key]);
  for (const put of puts) {
    checkStoreKey(put.key);
    invariant(!seen.has(put.key), `commit names ${put.key} twice`);
    seen.add(put.key);
  }
}

/** Cuts a range to an object of `size` bytes. */
export function clampRange(range: ByteRange | undefined, size: number): { start: number; end: number } {
  if (range === undefined) return { start: 0, end: size };
  const { offset, length } = range;
  invariant(
    Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(length) && length >= 0,
    `range ${offset}+${length}`,
  );
  const start = Math.min(offset, size);
  return { start, end: Math.min(start + length, size) };
}
