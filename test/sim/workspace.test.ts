import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FaultTable } from "../../src/core/store/fault-table.ts";
import { copySimulator } from "./copy.ts";
import { runCopy, TIMES } from "./run-copy.ts";
import { simulateWorkspaces } from "./workspace/simulate.ts";
import { WORKSPACE_SIZES } from "./workspace/sizes.ts";

/** `npm run sim` runs thousands. */
const SEEDS = 6;
const SMALL_SEEDS = 4;

let copies: string;
beforeAll(() => {
  copies = mkdtempSync(join(tmpdir(), "mic-sim-copies-"));
});
afterAll(() => {
  rmSync(copies, { recursive: true, force: true });
});

const workspace = (seeds: number, first = 1): string[] => {
  return ["--story", "workspace", "--seed", String(first), "--count", String(seeds)];
};

describe("people with workspaces over a faulty store", () => {
  test(
    `${SEEDS} seeds lose nothing, land nothing twice and claim nothing that is not so`,
    TIMES,
    async () => {
      const table = new FaultTable();
      const total = { landings: 0, deaths: 0, resumed: 0 };
      for (let seed = 1; seed <= SEEDS; seed++) {
        const summary = await simulateWorkspaces(seed);
        for (const key of ["landings", "deaths", "resumed"] as const) total[key] += summary[key];
        table.add(summary.table);
      }
      expect(total.landings).toBeGreaterThan(5 * SEEDS);
      expect(total.deaths).toBeGreaterThan(SEEDS);
      expect(total.resumed).toBeGreaterThan(0);
      expect(table.total).toBeGreaterThan(20 * SEEDS);
    },
  );

  test("with small sizes: content ahead of its landing, and files one at a time", TIMES, async () => {
    const directory = join(copies, "small");
    copySimulator(directory, WORKSPACE_SIZES);
    const { code, output } = await runCopy(directory, workspace(SMALL_SEEDS));
    expect(code, output).toBe(0);
  });

  test("the same seed is the same run", async () => {
    const first = await simulateWorkspaces(5);
    expect((await simulateWorkspaces(5)).fingerprint).toBe(first.fingerprint);
  });
});
