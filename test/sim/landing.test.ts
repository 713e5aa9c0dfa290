import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FaultTable } from "../../src/core/store/fault-table.ts";
import { FAULT_KINDS } from "../../src/core/store/faults.ts";
import { copySimulator } from "./copy.ts";
import { INDEX_AT_ONCE, MUTANTS, patchesOf, SHORT_RING } from "./mutants.ts";
import { failureOf, runCopy, TIMES } from "./run-copy.ts";
import { simulate } from "./simulate.ts";

/** `MIC_SIM_SEEDS` runs more of them. */
const SEEDS = Number(process.env["MIC_SIM_SEEDS"] ?? 800);
/** From the first one that finds it, where that is known: then it takes a few. */
const MUTANT_SEEDS = 3000;
const VARIANT_SEEDS = 100;
const FAULTS_LEAST = 5;

describe("landing over a faulty store", () => {
  test(`${SEEDS} seeds keep every invariant, with every kind of fault that landing can meet`, async () => {
    const table = new FaultTable();
    const total = { landings: 0, conflicts: 0, failures: 0 };
    for (let seed = 1; seed <= SEEDS; seed++) {
      const summary = await simulate(seed);
      total.landings += summary.landings;
      total.conflicts += summary.conflicts;
      total.failures += summary.failures;
      table.add(summary.table);
    }
    expect(table.total).toBeGreaterThan(SEEDS * FAULTS_LEAST);
    expect(total.landings).toBeGreaterThan(SEEDS * 5);
    expect(total.conflicts).toBeGreaterThan(SEEDS);
    // Landing deletes nothing.
    const kinds = table.kinds();
    const missed = FAULT_KINDS.filter((kind) => !kinds.has(kind) && !kind.startsWith("delete-"));
    expect(missed).toEqual([]);
  });

  test("the same seed is the same run", async () => {
    for (const seed of [7, 1689]) {
      const first = await simulate(seed);
      expect(await simulate(seed)).toEqual(first);
    }
  });
});

describe("the simulator's teeth", () => {
  let copies: string;

  beforeAll(() => {
    copies = mkdtempSync(join(tmpdir(), "mic-mutants-"));
  });
  afterAll(() => {
    rmSync(copies, { recursive: true, force: true });
  });

  test.concurrent.each([SHORT_RING, INDEX_AT_ONCE])("are not set off by: $name", TIMES, async (variant) => {
    const directory = join(copies, variant.name.replaceAll(" ", "-"));
    copySimulator(directory, patchesOf(variant));
    const { code, output } = await run(directory, VARIANT_SEEDS);
    expect(code, output).toBe(0);
  });

  test.concurrent.each(MUTANTS.map((mutant, index) => ({ ...mutant, index })))(
    "finds out: $name",
    TIMES,
    async (mutant) => {
      const directory = join(copies, String(mutant.index));
      copySimulator(directory, patchesOf(mutant));
      const { code, output } = await run(directory, MUTANT_SEEDS, mutant.firstSeed);
      expect(code, `${mutant.name} was not found in ${MUTANT_SEEDS} seeds\n${output}`).toBe(1);
      expect(failureOf(output), output).toMatch(mutant.finds);
      expect(output).toContain("replay: ");
    },
  );
});

function run(directory: string, seeds: number, first = 1): Promise<{ code: number; output: string }> {
  return runCopy(directory, ["--seed", String(first), "--count", String(seeds)]);
}
