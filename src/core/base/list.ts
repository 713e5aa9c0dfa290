/**
 * Long results without an object for each of their items: what is large stays in columns, and an item is made
 * when somebody asks for it.
 */

/** The part of an array that long results offer too: every array is a list. */
export interface List<T> extends Iterable<T> {
  readonly length: number;
  /** Counts from the end when negative. */
  at(index: number): T | undefined;
  slice(start?: number, end?: number): T[];
  map<U>(convert: (item: T, index: number) => U): U[];
  filter(keep: (item: T, index: number) => boolean): T[];
}

/** Below this an array of the items costs little, and each item is made once. */
export const LAZY_ITEMS_MIN = 4096;

/** `make` is pure: it may be called more than once for an item, and long after this call. */
export function listOf<T>(length: number, make: (index: number) => T): List<T> {
  if (length >= LAZY_ITEMS_MIN) return new LazyList(length, make);
  const items: T[] = [];
  for (let i = 0; i < length; i++) items.push(make(i));
  return items;
}

/** Makes each item when it is asked for. */
export class LazyList<T> implements List<T> {
  readonly length: number;
  readonly #make: (index: number) => T;

  constructor(length: number, make: (index: number) => T) {
    this.length = length;
    this.#make = make;
  }

  at(index: number): T | undefined {
    const i = index < 0 ? this.length + index : index;
    return i >= 0 && i < this.length ? this.#make(i) : undefined;
  }

  slice(start = 0, end = this.length): T[] {
    const from = start < 0 ? Math.max(0, this.length + start) : start;
    const to = end < 0 ? this.length + end : Math.min(end, this.length);
    const items: T[] = [];
    for (let i = from; i < to; i++) items.push(this.#make(i));
    return items;
  }

  map<U>(convert: (item: T, index: number) => U): U[] {
    const items: U[] = [];
    for (let i = 0; i < this.length; i++) items.push(convert(this.#make(i), i));
    return items;
  }

  filter(keep: (item: T, index: number) => boolean): T[] {
    const items: T[] = [];
    for (let i = 0; i < this.length; i++) {
      const item = this.#make(i);
      if (keep(item, i)) items.push(item);
    }
    return items;
  }

  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (let i = 0; i < this.length; i++) yield this.#make(i);
  }

  /** As the array that it stands for. */
  toJSON(): T[] {
    return this.slice();
  }
}
