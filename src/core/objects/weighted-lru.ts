/**
 * A least-recently-used list under a budget of bytes, without a map of its own: owners keep their entries.
 *
 * An entry above half of the budget would be gone after every other one that is added, and would have to be made
 * again each time it is used (the index of a pack of a million objects, for each node that is read). A few such
 * entries are kept aside, beyond the budget.
 */

export interface LruEntry {
  /** Bytes that the entry counts for. */
  readonly weight: number;
  /** Called when the entry leaves the list to make room: the owner forgets it. */
  evicted(): void;
  older: LruEntry | undefined;
  newer: LruEntry | undefined;
}

const HEAVY_MAX = 4;

export class WeightedLru {
  readonly #budget: number;
  /** Last used last. */
  readonly #heavy: LruEntry[] = [];
  #used = 0;
  /** Of that, bytes under the budget. */
  #light = 0;
  #oldest: LruEntry | undefined;
  #newest: LruEntry | undefined;

  constructor(budgetBytes: number) {
    this.#budget = budgetBytes;
  }

  /** Bytes in the list. */
  get used(): number {
    return this.#used;
  }

  /** Adds an entry as the newest and makes room. The newest entry stays, whatever it weighs. */
  add(entry: LruEntry): void {
    this.#used += entry.weight;
    if (this.#isHeavy(entry)) {
      this.#heavy.push(entry);
      if (this.#heavy.length > HEAVY_MAX) this.#evict(this.#heavy[0]!);
      return;
    }
    this.#append(entry);
    this.#light += entry.weight;
    while (this.#light > this.#budget && this.#oldest !== undefined && this.#oldest !== entry) {
      this.#evict(this.#oldest);
    }
  }

  /** Marks an entry that is in the list as just used. */
  touch(entry: LruEntry): void {
    if (this.#newest === entry) return;
    if (this.#isHeavy(entry)) {
      this.#heavy.splice(this.#heavy.indexOf(entry), 1);
      this.#heavy.push(entry);
      return;
    }
    this.#unlink(entry);
    this.#append(entry);
  }

  /** Takes an entry that is in the list out of it. */
  remove(entry: LruEntry): void {
    this.#used -= entry.weight;
    if (this.#isHeavy(entry)) {
      this.#heavy.splice(this.#heavy.indexOf(entry), 1);
      return;
    }
    this.#unlink(entry);
    this.#light -= entry.weight;
  }

  #isHeavy(entry: LruEntry): boolean {
    return entry.weight * 2 > this.#budget;
  }

  #evict(entry: LruEntry): void {
    this.remove(entry);
    entry.evicted();
  }

  #append(entry: LruEntry): void {
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest !== undefined) this.#newest.newer = entry;
    this.#newest = entry;
    this.#oldest ??= entry;
  }

  #unlink(entry: LruEntry): void {
    if (entry.older === undefined) this.#oldest = entry.newer;
    else entry.older.newer = entry.newer;
    if (entry.newer === undefined) this.#newest = entry.older;
    else entry.newer.older = entry.older;
    entry.older = undefined;
    entry.newer = undefined;
  }
}
