import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { copySimulator } from "./copy.ts";
import { DROPPING, LIFE_MUTANTS, ONE_PASS } from "./life/mutants.ts";
import { simulateLife } from "./life/simulate.ts";
import { patchesOf } from "./mutants.ts";
import { runCopy, TIMES } from "./run-copy.ts";
import { SMALL_SIZES } from "./sizes.ts";

/** `npm run sim` runs thousands. */
const SMALL_SEEDS = 16;
const REAL_SEEDS = 4;
const VARIANT_SEEDS = 4;
const MUTANT_SEEDS = 40;

const life = (seeds: number, first = 1): string[] => {
  return ["--story", "life", "--seed", String(first), "--count", String(seeds)];
};

let copies: string;
beforeAll(() => {
  copies = mkdtempSync(join(tmpdir(), "mic-life-"));
});
afterAll(() => {
  rmSync(copies, { recursive: true, force: true });
});

describe("days in the life of a project", () => {
  test(
    "with small sizes: rollups of several levels, merged packs and collection lose nothing",
    TIMES,
    async () => {
      const directory = join(copies, "small");
      copySimulator(directory, SMALL_SIZES);
      const { code, output } = await runCopy(directory, life(SMALL_SEEDS));
      expect(code, output).toBe(0);
      const counts = JSON.parse(output.trimEnd().split("\n").at(-1)!) as Record<string, number>;
      expect(counts["landings"]).toBeGreaterThan(10 * SMALL_SEEDS);
      expect(counts["rollups"]).toBeGreaterThan(SMALL_SEEDS);
      expect(counts["merged"]).toBeGreaterThan(SMALL_SEEDS);
      expect(counts["collected"]).toBeGreaterThan(SMALL_SEEDS);
      expect(counts["faults"]).toBeGreaterThan(100 * SMALL_SEEDS);
    },
  );

  test("with the sizes that are used", async () => {
    for (let seed = 1; seed <= REAL_SEEDS; seed++) await simulateLife(seed);
  });

  test("the same seed is the same run", async () => {
    const first = await simulateLife(11);
    expect((await simulateLife(11)).fingerprint).toBe(first.fingerprint);
  });
});

describe("the life's teeth", () => {
  test.concurrent.each([ONE_PASS, DROPPING])("are not set off by: $name", TIMES, async (variant) => {
    const directory = join(copies, variant.name.replaceAll(" ", "-"));
    copySimulator(directory, [...SMALL_SIZES, ...patchesOf(variant)]);
    const { code, output } = await runCopy(directory, life(VARIANT_SEEDS));
    expect(code, output).toBe(0);
  });

  test.concurrent.each(LIFE_MUTANTS.map((mutant, index) => ({ ...mutant, index })))(
    "find out: $name",
    TIMES,
    async (mutant) => {
      const directory = join(copies, String(mutant.index));
      copySimulator(directory, [...SMALL_SIZES, ...patchesOf(mutant)]);
      const { code, output } = await runCopy(directory, life(MUTANT_SEEDS, mutant.firstSeed));
      expect(code, `${mutant.name} was not found in ${MUTANT_SEEDS} seeds\n${output}`).toBe(1);
      expect(output).toMatch(/seed \d+: /);
    },
  );
});
