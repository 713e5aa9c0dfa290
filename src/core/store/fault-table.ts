/** Faults that somebody saw, by kind and by what was being done: `read head`, `put pack`, `swap session`. */
import type { FaultKind } from "./faults.ts";

export class FaultTable {
  readonly #calls = new Map<string, number>();
  readonly #faults = new Map<string, Map<FaultKind, number>>();
  #total = 0;

  /** Faults in all. */
  get total(): number {
    return this.#total;
  }

  /** What was done, and how often. */
  get calls(): ReadonlyMap<string, number> {
    return this.#calls;
  }

  called(what: string, times = 1): void {
    this.#calls.set(what, (this.#calls.get(what) ?? 0) + times);
  }

  saw(kind: FaultKind, what: string, times = 1): void {
    let counts = this.#faults.get(what);
    if (counts === undefined) {
      counts = new Map();
      this.#faults.set(what, counts);
    }
    counts.set(kind, (counts.get(kind) ?? 0) + times);
    this.#total += times;
  }

  count(kind: FaultKind, what: string): number {
    return this.#faults.get(what)?.get(kind) ?? 0;
  }

  /** By kind alone. */
  kinds(): ReadonlyMap<FaultKind, number> {
    const kinds = new Map<FaultKind, number>();
    for (const counts of this.#faults.values()) {
      for (const [kind, count] of counts) kinds.set(kind, (kinds.get(kind) ?? 0) + count);
    }
    return kinds;
  }

  add(other: FaultTable): void {
    for (const [what, times] of other.#calls) this.called(what, times);
    for (const [what, counts] of other.#faults) {
      for (const [kind, times] of counts) this.saw(kind, what, times);
    }
  }

  /** Plain data, to be sent from one thread to another; `add(FaultTable.from(data))` is the inverse. */
  toJSON(): { readonly calls: [string, number][]; readonly faults: [string, FaultKind, number][] } {
    const faults: [string, FaultKind, number][] = [];
    for (const [what, counts] of this.#faults) {
      for (const [kind, times] of counts) faults.push([what, kind, times]);
    }
    return { calls: [...this.#calls], faults };
  }

  static from(data: ReturnType<FaultTable["toJSON"]>): FaultTable {
    const table = new FaultTable();
    for (const [what, times] of data.calls) table.called(what, times);
    for (const [what, kind, times] of data.faults) table.saw(kind, what, times);
    return table;
  }
}
