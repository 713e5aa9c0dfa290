/**
 * Collecting garbage when a long job knows that there is much of it. The engine lets the heap grow to twice what
 * lives before it collects, and passing a million items makes a gigabyte of short-lived objects. A collection
 * takes up to 0.1 s with a million strings alive, so only jobs of very many items ask for one.
 */
interface Engine {
  /** JavaScriptCore. */
  readonly Bun?: { gc(now: boolean): void };
  /** V8, when it is told to offer it. */
  readonly gc?: () => void;
}

/** Each leaves some hundred bytes to some kilobytes behind. */
const ITEMS_MIN = 1 << 17;

/** To be called where a job of so many items lets go of much: between its phases. */
export function collectAfter(items: number): void {
  if (items < ITEMS_MIN) return;
  const { Bun: runtime, gc } = globalThis as unknown as Engine;
  if (runtime === undefined) gc?.();
  else runtime.gc(true);
}

/** One phase of a job, which collects now and then on its way. */
export class GarbagePace {
  #items = 0;

  /** So many more were passed, and what was made for them is not needed any more. */
  passed(items: number): void {
    this.#items += items;
    if (this.#items < ITEMS_MIN) return;
    collectAfter(this.#items);
    this.#items = 0;
  }
}
