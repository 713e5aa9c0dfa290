import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { copySimulator } from "./copy.ts";
import { DROPPING, LIFE_MUTANTS, ONE_PASS, SHORT_READS } from "./life/mutants.ts";
import { patchesOf } from "./mutants.ts";
import { failureOf, runCopy, TIMES } from "./run-copy.ts";
import { SMALL_SIZES } from "./sizes.ts";

const VARIANT_SEEDS = 2;
/** From the first one that finds it: then it takes one, until something changes the runs. */
const MUTANT_SEEDS = 120;

let copies: string;
beforeAll(() => {
  copies = mkdtempSync(join(tmpdir(), "mic-life-teeth-"));
});
afterAll(() => {
  rmSync(copies, { recursive: true, force: true });
});

const life = (seeds: number, first = 1): string[] => {
  return ["--story", "life", "--seed", String(first), "--count", String(seeds)];
};

describe("the life's teeth", () => {
  test.concurrent.each([ONE_PASS, DROPPING, SHORT_READS])(
    "are not set off by: $name",
    TIMES,
    async (variant) => {
      const directory = join(copies, variant.name.replaceAll(" ", "-"));
      copySimulator(directory, [...SMALL_SIZES, ...patchesOf(variant)]);
      const { code, output } = await runCopy(directory, life(VARIANT_SEEDS));
      expect(code, output).toBe(0);
    },
  );

  test.concurrent.each(LIFE_MUTANTS.map((mutant, index) => ({ ...mutant, index })))(
    "find out: $name",
    TIMES,
    async (mutant) => {
      const directory = join(copies, String(mutant.index));
      copySimulator(directory, [...SMALL_SIZES, ...patchesOf(mutant)]);
      const { code, output } = await runCopy(directory, life(MUTANT_SEEDS, mutant.firstSeed));
      expect(code, `${mutant.name} was not found in ${MUTANT_SEEDS} seeds\n${output}`).toBe(1);
      expect(failureOf(output), output).toMatch(mutant.finds);
    },
  );
});
