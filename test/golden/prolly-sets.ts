/** The entries behind prolly-nodes.json. */
import { compareBytes, utf8 } from "../../src/core/base/bytes.ts";
import type { LeafEntry } from "../../src/core/prolly/types.ts";

function sorted(count: number, key: (i: number) => string, length: (i: number) => number): LeafEntry[] {
  return Array.from({ length: count }, (_, i) => ({
    key: new Uint8Array(utf8(key(i))),
    value: new Uint8Array(length(i)).fill(i),
    hint: i % 4,
  })).sort((a, b) => compareBytes(a.key, b.key));
}

const pad = (value: number, width: number) => String(value).padStart(width, "0");

export const GOLDEN_SETS: Record<string, () => LeafEntry[]> = {
  empty: () => [],
  one: () =>
    sorted(
      1,
      () => "README.md",
      () => 41,
    ),
  "empty-key": () =>
    sorted(
      2,
      (i) => "k".repeat(i),
      (i) => i,
    ),
  "two-levels": () =>
    sorted(
      48,
      (i) => `src\0core\0file${pad(i, 2)}.ts`,
      () => 100,
    ),
  "three-levels": () =>
    sorted(
      7,
      (i) => `k${i}`.padEnd(4000, "x"),
      () => 3,
    ),
  decimal: () =>
    sorted(
      3000,
      (i) => `k${pad(i, 6)}`,
      (i) => (i * 37) % 200,
    ),
  paths: () =>
    sorted(
      3000,
      (i) => `pkg${pad(i % 30, 3)}\0mod${Math.floor(i / 30) % 10}\0file${pad(i, 5)}.ts`,
      () => 41,
    ),
  large: () =>
    sorted(
      200,
      (i) => `v${pad(i, 4)}`,
      (i) => 1000 + (i % 25),
    ),
  dna: () =>
    sorted(
      20_000,
      (i) =>
        i
          .toString(4)
          .padStart(8, "0")
          .replace(/\d/g, (d) => "ACGT"[Number(d)]!),
      () => 20,
    ),
  long: () =>
    sorted(
      600,
      (i) => `${"p".repeat(700)}${pad(i, 4)}`,
      (i) => i % 50,
    ),
};
