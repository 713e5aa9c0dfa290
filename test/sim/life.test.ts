import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { copySimulator } from "./copy.ts";
import { simulateLife } from "./life/simulate.ts";
import { runCopy, TIMES } from "./run-copy.ts";
import { SMALL_SIZES } from "./sizes.ts";

/** `npm run sim` runs thousands. */
const SMALL_SEEDS = 16;
const REAL_SEEDS = 4;

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
      const { code, output } = await runCopy(directory, ["--story", "life", "--count", String(SMALL_SEEDS)]);
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
