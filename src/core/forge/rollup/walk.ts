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

/** Blocks that are looked into at once for a query that goes on: more each time, up to this. */
const WIDTH_MAX = 32;

/** Where a query is. */
export interface KeyWalk<Query extends KeyQuery> {
  readonly query: Query;
  page: number;
  /** -1: not known before the page is. */
  block: number;
  /** Blocks to take next. */
  width: number;
  /** Answered, or beyond its range. */
  isOver: boolean;
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
      if (!isBeyond) this.#walks.push({ query, page, block: -1, width: 1, isOver: false });
    }
  }

  /**
   * The next blocks to look into, by offset, for the queries that are not settled; none: it is over. Errors:
   * DamagedRollupError, `unreachable`.
   */
  async next(): Promise<readonly CandidateBlock<Query>[]> {
    const candidates = new Map<number, CandidateBlock<Query>>();
    let searching = this.#walks.filter((walk) => !walk.isOver);
    this.#walks = searching;
    while (searching.length > 0) {
      await this.#loadPages(searching);
      searching = searching.filter((walk) => this.#take(walk, candidates) === "page");
    }
    return [...candidates.values()].sort((a, b) => a.extent.offset - b.extent.offset);
  }

  /** Takes the next blocks of a query. `page`: there are none before a page is loaded. */
  #take(walk: KeyWalk<Query>, candidates: Map<number, CandidateBlock<Query>>): "page" | "taken" {
    for (let taken = 0; taken < walk.width && !walk.isOver; taken++) {
      const state = this.#seek(walk);
      if (state === "page") {
        if (taken === 0) return "page";
        break;
      }
      if (state === "end") break;
      const extent = this.#pages.get(walk.page)!.blocks[walk.block]!;
      const known = candidates.get(extent.offset);
      if (known === undefined) candidates.set(extent.offset, { extent, walks: [walk] });
      else known.walks.push(walk);
      walk.isOver = !this.#step(walk);
    }
    walk.width = Math.min(WIDTH_MAX, walk.width * 2);
    return "taken";
  }

  async #loadPages(walks: readonly KeyWalk<Query>[]): Promise<void> {
    const missing = new Set<number>();
    for (const { page } of walks) if (!this.#pages.has(page)) missing.add(page);
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
      if (this.#step(walk)) continue;
      walk.isOver = true;
      return "end";
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
