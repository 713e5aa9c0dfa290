/**
 * `npm run test:mutants`: every line of the protocol that is removed or weakened (`MUTANTS` and its like) is found by
 * the simulator, by what it breaks; and what two lines guard is not missed when one of them goes.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { copySimulator, type Patch } from "./copy.ts";
import { DROPPING, LIFE_MUTANTS, ONE_PASS, SHORT_READS } from "./life/mutants.ts";
import { INDEX_AT_ONCE, MUTANTS, type Mutant, patchesOf, SHORT_RING, type Variant } from "./mutants.ts";
import { failureOf, runCopy, TIMES } from "./run-copy.ts";
import { SMALL_SIZES } from "./sizes.ts";
import { WORKSPACE_MUTANTS } from "./workspace/mutants.ts";

interface Story {
  readonly story: string;
  readonly sizes: readonly Patch[];
  readonly mutants: readonly Mutant[];
  /** From the first one that finds a mutant, where that is known: then it takes one, until something changes the runs. */
  readonly mutantSeeds: number;
  readonly variants: readonly Variant[];
  readonly variantSeeds: number;
}

const STORIES: readonly Story[] = [
  {
    story: "landing",
    sizes: [],
    mutants: MUTANTS,
    mutantSeeds: 3000,
    variants: [SHORT_RING, INDEX_AT_ONCE],
    variantSeeds: 100,
  },
  {
    story: "life",
    sizes: SMALL_SIZES,
    mutants: LIFE_MUTANTS,
    mutantSeeds: 120,
    variants: [ONE_PASS, DROPPING, SHORT_READS],
    variantSeeds: 8,
  },
  {
    story: "workspace",
    sizes: [],
    mutants: WORKSPACE_MUTANTS,
    mutantSeeds: 60,
    variants: [],
    variantSeeds: 0,
  },
];

let copies: string;
beforeAll(() => {
  copies = mkdtempSync(join(tmpdir(), "mic-mutants-"));
});
afterAll(() => {
  rmSync(copies, { recursive: true, force: true });
});

describe.each(STORIES)(
  "the teeth of $story",
  ({ story, sizes, mutants, mutantSeeds, variants, variantSeeds }) => {
    const runSeeds = (
      directory: string,
      patches: readonly Patch[],
      seeds: number,
      first = 1,
    ): ReturnType<typeof runCopy> => {
      copySimulator(directory, [...sizes, ...patches]);
      return runCopy(directory, ["--story", story, "--seed", String(first), "--count", String(seeds)]);
    };

    test.concurrent.each([...variants])("are not set off by: $name", TIMES, async (variant) => {
      const directory = join(copies, `${story}-${variant.name.replaceAll(" ", "-")}`);
      const { code, output } = await runSeeds(directory, patchesOf(variant), variantSeeds);
      expect(code, output).toBe(0);
    });

    test.concurrent.each(mutants.map((mutant, index) => ({ ...mutant, index })))(
      "find out: $name",
      TIMES,
      async (mutant) => {
        const directory = join(copies, `${story}-${mutant.index}`);
        const { code, output } = await runSeeds(directory, patchesOf(mutant), mutantSeeds, mutant.firstSeed);
        expect(code, `${mutant.name} was not found in ${mutantSeeds} seeds\n${output}`).toBe(1);
        expect(failureOf(output), output).toMatch(mutant.finds);
        expect(output).toContain("replay: ");
      },
    );
  },
);
