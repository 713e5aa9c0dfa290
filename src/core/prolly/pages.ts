/** Range reads: entries in pages, forward or in reverse, with offset and limit. */
import type { Cursor } from "./cursor.ts";
import type { LeafEntry, PageRange } from "./types.ts";

/** Entries per page, so that asynchronous iteration costs little per entry. */
const PAGE_ENTRIES = 256;
/** Leaves asked for at a time when a long scan finds that they must be read. */
const READ_AHEAD_NODES = 16;

/** What it asks of a tree. */
interface RankedTree {
  readonly isEmpty: boolean;
  count(): Promise<number>;
  rank(key: Uint8Array): Promise<number>;
  cursor(): Cursor;
}

export async function* readPages(tree: RankedTree, range: PageRange): AsyncGenerator<readonly LeafEntry[]> {
  const { gte, lt, reverse = false, offset = 0 } = range;
  let left = range.limit ?? Number.POSITIVE_INFINITY;
  if (tree.isEmpty || left <= 0) return;

  let rank: number;
  if (reverse) {
    rank = (lt === undefined ? await tree.count() : await tree.rank(lt)) - 1 - offset;
  } else rank = (gte === undefined ? 0 : await tree.rank(gte)) + offset;
  const total = await tree.count();
  if (rank < 0 || rank >= total) return;

  const cursor = tree.cursor();
  const move = cursor.seekRank(rank);
  if (move !== undefined) await move;
  let index = rank - cursor.rank();
  let page: LeafEntry[] = [];
  for (;;) {
    const node = cursor.node;
    let done = false;
    if (reverse) {
      const first = gte === undefined ? 0 : node.lowerBound(gte);
      const stop = Math.max(first, index + 1 - left);
      for (let i = index; i >= stop; i--) page.push(node.entry(i));
      left -= Math.max(0, index + 1 - stop);
      done = first > 0 || left <= 0;
    } else {
      const end = lt === undefined ? node.count : node.lowerBound(lt);
      const stop = Math.min(end, index + left);
      for (let i = index; i < stop; i++) page.push(node.entry(i));
      left -= Math.max(0, stop - index);
      done = end < node.count || left <= 0;
    }
    if (done) break;
    const moved = reverse ? cursor.previous() : cursor.next();
    // What is at hand is handed over before waiting for more.
    if (page.length >= PAGE_ENTRIES || (moved instanceof Promise && page.length > 0)) {
      yield page;
      page = [];
    }
    if (!(await moved)) break;
    if (moved instanceof Promise && !reverse && left > PAGE_ENTRIES) cursor.readAhead(READ_AHEAD_NODES, lt);
    index = reverse ? cursor.node.count - 1 : 0;
  }
  if (page.length > 0) yield page;
}
