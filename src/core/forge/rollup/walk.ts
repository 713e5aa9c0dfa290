/** Finds the blocks of a rollup's table in which a key, or keys of a range, may be, through its index and filters. */

import type { KeyColumn } from "../../codec/key-column.ts";
import { type FilterProbe, mayMatch } from "../../codec/path-filter.ts";
import type { RollupExtent, RollupTableName } from "../../codec/rollup.ts";
import type { IndexPage } from "../../codec/rollup-index.ts";
import type { OpenRollup } from "./read.ts";

export interface KeyQuery {
  readonly key: Uint8Array;
  /** Keys from `key` to before this one; absent: `key` alone. */
  readonly end?: Uint8Array;
  /** Blocks that one of these cannot be in are passed over; none: every block in the range counts. */
  readonly probes: readonly FilterProbe[];
}

/** Where a query is. Each step leads to a block further on. */
export interface KeyWalk<Query extends KeyQuery> {
  readonly query: Query;
  page: number;
  /** -1: not known before the page is. */
  block: number;
}

export interface CandidateBlock<Query extends KeyQuery> {
  readonly extent: RollupExtent;
  readonly walks: KeyWalk<Query>[];
}

export class TableWalk<Query extends KeyQuery> {
  readonly #rollup: OpenRollup;
  readonly #name: RollupTableName;
  /** Entries of the same key before this position do not count. */
  readonly #least: number;
  readonly #pages = new Map<number, IndexPage>();
  #walks: KeyWalk<Query>[] = [];

  /** `least`: position − first position of the rollup. */
  constructor(rollup: OpenRollup, name: RollupTableName, queries: Iterable<Query>, least: number) {
    this.#rollup = rollup;
    this.#name = name;
    this.#least = Math.max(0, least);
    const { keys, positions } = rollup.table(name);
    for (const query of queries) {
      const page = this.#startIn(keys, positions, query);
      const isBeyond = keys.length === 0 || (page === 0 && beginsBeyond(keys, 0, query));
      if (!isBeyond) this.#walks.push({ query, page, block: -1 });
    }
  }

  /** The next blocks to look into, by offset; none: it is over. Errors: DamagedRollupError, `unreachable`. */
  async next(): Promise<readonly CandidateBlock<Query>[]> {
    const candidates = new Map<number, CandidateBlock<Query>>();
    while (this.#walks.length > 0) {
      await this.#loadPages();
      const waiting: KeyWalk<Query>[] = [];
      for (const walk of this.#walks) {
        const state = this.#seek(walk);
        if (state === "page") waiting.push(walk);
        if (state !== "block") continue;
        const extent = this.#pages.get(walk.page)!.blocks[walk.block]!;
        const known = candidates.get(extent.offset);
        if (known === undefined) candidates.set(extent.offset, { extent, walks: [walk] });
        else known.walks.push(walk);
      }
      this.#walks = waiting;
    }
    return [...candidates.values()].sort((a, b) => a.extent.offset - b.extent.offset);
  }

  /** The block was looked into and the query is not answered: on to the next one, if it may go on there. */
  proceed(walk: KeyWalk<Query>): void {
    if (this.#step(walk)) this.#walks.push(walk);
  }

  async #loadPages(): Promise<void> {
    const missing = new Set<number>();
    for (const { page } of this.#walks) if (!this.#pages.has(page)) missing.add(page);
    if (missing.size === 0) return;
    const numbers = [...missing];
    const pages = await this.#rollup.pages(this.#name, numbers);
    for (const [i, number] of numbers.entries()) this.#pages.set(number, pages[i]!);
  }

  /** Goes on to a block that may have it. `page`: the page has to be loaded first. `end`: there is none. */
  #seek(walk: KeyWalk<Query>): "block" | "page" | "end" {
    const { query } = walk;
    for (;;) {
      const page = this.#pages.get(walk.page);
      if (page === undefined) return "page";
      if (walk.block < 0) walk.block = this.#startIn(page.keys, page.positions, query);
      const filter = page.filters[walk.block]!;
      if (query.probes.length === 0 || query.probes.some((probe) => mayMatch(filter, probe))) return "block";
      if (!this.#step(walk)) return "end";
    }
  }

  /** False: what comes next is beyond the query. */
  #step(walk: KeyWalk<Query>): boolean {
    const page = this.#pages.get(walk.page)!;
    if (walk.block + 1 < page.keys.length) return !beginsBeyond(page.keys, ++walk.block, walk.query);
    const { keys } = this.#rollup.table(this.#name);
    if (walk.page + 1 >= keys.length) return false;
    walk.page++;
    walk.block = 0;
    return !beginsBeyond(keys, walk.page, walk.query);
  }

  /** The last place that begins at or before the first entry in question; the first place if none does. */
  #startIn(keys: KeyColumn, positions: ArrayLike<number>, query: KeyQuery): number {
    const least = query.end === undefined ? this.#least : 0;
    let low = 0;
    let high = keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = keys.compare(middle, query.key);
      if (order < 0 || (order === 0 && positions[middle]! <= least)) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

function beginsBeyond(keys: KeyColumn, i: number, { key, end }: KeyQuery): boolean {
  return end === undefined ? keys.compare(i, key) > 0 : keys.compare(i, end) >= 0;
}

/** The range of everything below a directory: [key·00, key·01). */
export function rangeBelow(key: Uint8Array): { readonly key: Uint8Array; readonly end: Uint8Array } {
  const start = new Uint8Array(key.length + 1);
  start.set(key);
  const end = start.slice();
  end[key.length] = 1;
  return { key: start, end };
}

/** Whether a key is in a query's range. */
export function isInRange(keys: KeyColumn, i: number, { key, end }: KeyQuery): boolean {
  const order = keys.compare(i, key);
  return end === undefined ? order === 0 : order >= 0 && keys.compare(i, end) < 0;
}
