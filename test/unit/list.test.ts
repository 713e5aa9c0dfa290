import { describe, expect, test } from "vitest";
import { LAZY_ITEMS_MIN, LazyList, listOf } from "../../src/core/base/list.ts";

const letters = ["a", "b", "c", "d", "e"];

describe("LazyList", () => {
  const list = new LazyList(letters.length, (i) => letters[i]!);

  test("answers as an array of the same items does", () => {
    expect([...list]).toEqual(letters);
    expect(list).toHaveLength(5);
    for (const index of [0, 4, 5, -1, -5, -6]) expect(list.at(index)).toBe(letters.at(index));
    for (const [start, end] of [[], [2], [1, 3], [-2], [0, -1], [3, 99], [4, 2], [-9, 2]]) {
      expect(list.slice(start, end), `${start}, ${end}`).toEqual(letters.slice(start, end));
    }
    expect(list.map((letter, i) => letter + i)).toEqual(letters.map((letter, i) => letter + i));
    expect(list.filter((_, i) => i % 2 === 0)).toEqual(["a", "c", "e"]);
    expect(JSON.stringify({ list })).toBe(JSON.stringify({ list: letters }));
  });

  test("makes an item only when it is asked for", () => {
    const made: number[] = [];
    const lazy = new LazyList(1e9, (i) => made.push(i));
    lazy.at(7);
    lazy.slice(3, 5);
    expect(made).toEqual([7, 3, 4]);
  });
});

test("listOf() makes an array of few items, and each of them once", () => {
  expect(listOf(3, (i) => i * 2)).toEqual([0, 2, 4]);
  const many = listOf(LAZY_ITEMS_MIN, (i) => i);
  expect(Array.isArray(many)).toBe(false);
  expect(many.at(-1)).toBe(LAZY_ITEMS_MIN - 1);
});
