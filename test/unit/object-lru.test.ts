import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type LruEntry, WeightedLru } from "../../src/core/objects/weighted-lru.ts";

class Item implements LruEntry {
  readonly weight: number;
  older: LruEntry | undefined;
  newer: LruEntry | undefined;
  isEvicted = false;

  constructor(weight: number) {
    this.weight = weight;
  }

  evicted(): void {
    this.isEvicted = true;
  }
}

describe("WeightedLru", () => {
  test("drops what was used longest ago, and keeps the newest whatever it weighs", () => {
    const lru = new WeightedLru(10);
    const [a, b, c, huge] = [new Item(4), new Item(4), new Item(4), new Item(100)];
    lru.add(a);
    lru.add(b);
    lru.touch(a);
    lru.add(c);
    expect([a.isEvicted, b.isEvicted, c.isEvicted]).toEqual([false, true, false]);
    lru.add(huge);
    expect([a.isEvicted, c.isEvicted, huge.isEvicted, lru.used]).toEqual([true, true, false, 100]);
    lru.remove(huge);
    expect([huge.isEvicted, lru.used]).toEqual([false, 0]);
  });

  test("agrees with a list kept in order of use", () => {
    const step = fc.record({
      kind: fc.constantFrom("add", "touch", "remove"),
      weight: fc.integer({ min: 1, max: 9 }),
      at: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const lru = new WeightedLru(20);
        const model: Item[] = [];
        for (const { kind, weight, at } of steps) {
          if (kind === "add") {
            const item = new Item(weight);
            lru.add(item);
            model.push(item);
            while (model.reduce((sum, each) => sum + each.weight, 0) > 20)
              expect(model.shift()!.isEvicted).toBe(true);
          } else if (model.length > 0) {
            const [item] = model.splice(at % model.length, 1) as [Item];
            if (kind === "remove") lru.remove(item);
            else {
              lru.touch(item);
              model.push(item);
            }
          }
          expect(lru.used).toBe(model.reduce((sum, each) => sum + each.weight, 0));
          expect(model.every((item) => !item.isEvicted)).toBe(true);
        }
      }),
    );
  });
});
