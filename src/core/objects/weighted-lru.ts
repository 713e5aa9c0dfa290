/** A least-recently-used list under a budget of bytes, without a map of its own: owners keep their entries. */

export interface LruEntry {
  /** Bytes that the entry counts for. */
  readonly weight: number;
  /** Called when the entry leaves the list to make room: the owner forgets it. */
  evicted(): void;
  older: LruEntry | undefined;
  newer: LruEntry | undefined;
}

export class WeightedLru {
  readonly #budget: number;
  #used = 0;
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
    this.#append(entry);
    this.#used += entry.weight;
    while (this.#used > this.#budget && this.#oldest !== undefined && this.#oldest !== entry) {
      const victim = this.#oldest;
      this.remove(victim);
      victim.evicted();
    }
  }

  /** Marks an entry that is in the list as just used. */
  touch(entry: LruEntry): void {
    if (this.#newest === entry) return;
    this.#unlink(entry);
    this.#append(entry);
  }

  /** Takes an entry that is in the list out of it. */
  remove(entry: LruEntry): void {
    this.#unlink(entry);
    this.#used -= entry.weight;
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
