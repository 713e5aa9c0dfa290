/** Merges sorted streams of entries into one, with one block or segment of each in memory. */
import { compareSlices } from "../../codec/key-column.ts";

/** Where a stream of entries is. Changes under whoever holds it. */
export interface EntryCursor {
  /** The key is `key[keyStart..keyEnd)`. */
  readonly key: Uint8Array;
  readonly keyStart: number;
  readonly keyEnd: number;
  /** Position − first position of the rollup that is being written. */
  readonly position: number;
  /** What codec/rollup-touched.ts calls a kind; 0 for ids. */
  readonly kind: number;
  readonly fingerprints: Uint8Array;
  readonly fingerprintAt: number;
  /** Steps to the next entry in memory. False: `load` tells whether there is more. */
  advance(): boolean;
  /** Loads more and steps to its first entry. False: that was the end. */
  load(): Promise<boolean>;
}

/** Every entry by key, then position. `take` may return a promise, which is then waited for. */
export async function mergeEntries(
  cursors: readonly EntryCursor[],
  take: (entry: EntryCursor) => void | Promise<void>,
): Promise<void> {
  const heap: EntryCursor[] = [];
  for (const cursor of cursors) {
    if (!(await cursor.load())) continue;
    heap.push(cursor);
    siftUp(heap);
  }
  for (let top = heap[0]; top !== undefined; top = heap[0]) {
    const taken = take(top);
    if (taken !== undefined) await taken;
    if (!top.advance() && !(await top.load())) {
      const last = heap.pop()!;
      if (heap.length === 0) break;
      heap[0] = last;
    }
    siftDown(heap);
  }
}

function isBefore(a: EntryCursor, b: EntryCursor): boolean {
  const order = compareSlices(a.key, a.keyStart, a.keyEnd, b.key, b.keyStart, b.keyEnd);
  return order === 0 ? a.position < b.position : order < 0;
}

function siftUp(heap: EntryCursor[]): void {
  let at = heap.length - 1;
  const entry = heap[at]!;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!isBefore(entry, heap[parent]!)) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = entry;
}

function siftDown(heap: EntryCursor[]): void {
  const { length } = heap;
  const entry = heap[0]!;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= length) break;
    if (child + 1 < length && isBefore(heap[child + 1]!, heap[child]!)) child++;
    if (!isBefore(heap[child]!, entry)) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = entry;
}
