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
  test("drops what was used longest ago", () => {
    const lru = new WeightedLru(10);
    const [a, b, c] = [new Item(4), new Item(4), new Item(4)];
    lru.add(a);
    lru.add(b);
    lru.touch(a);
    lru.add(c);
    expect([a.isEvicted, b.isEvicted, c.isEvicted]).toEqual([false, true, false]);
    expect(lru.used).toBe(8);
    lru.remove(a);
    expect([a.isEvicted, lru.used]).toEqual([false, 4]);
  });

  test("keeps the last few that weigh more than half of the budget, and what fits beside them", () => {
    const lru = new WeightedLru(10);
    const heavy = [60, 70, 80, 90, 100].map((weight) => new Item(weight));
    const light = Array.from({ length: 20 }, () => new Item(5));
    lru.add(heavy[0]!);
    for (const item of light) {
      lru.add(item);
      expect(heavy[0]!.isEvicted).toBe(false);
    }
    expect(light.filter((item) => !item.isEvicted)).toHaveLength(2);
    for (const item of heavy.slice(1, 4)) lru.add(item);
    lru.touch(heavy[0]!);
    lru.add(heavy[4]!);
    expect(heavy.map((item) => item.isEvicted)).toEqual([false, true, false, false, false]);
    expect(lru.used).toBe(10 + 60 + 80 + 90 + 100);
    lru.remove(heavy[4]!);
    lru.touch(heavy[3]!);
    expect(lru.used).toBe(10 + 60 + 80 + 90);
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
