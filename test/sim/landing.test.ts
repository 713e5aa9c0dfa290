import { describe, expect, test } from "vitest";
import { FaultTable } from "../../src/core/store/fault-table.ts";
import { FAULT_KINDS } from "../../src/core/store/faults.ts";
import { simulate } from "./simulate.ts";

/** `MIC_SIM_SEEDS` runs more of them. */
const SEEDS = Number(process.env["MIC_SIM_SEEDS"] ?? 800);
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
