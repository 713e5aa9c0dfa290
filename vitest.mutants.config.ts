import { defineConfig } from "vitest/config";

const report = process.env["MIC_TEST_REPORT"];

/** What the simulator finds out about a weakened protocol (`npm run test:mutants`): a test of the tests, for minutes. */
export default defineConfig({
  test: {
    include: ["test/sim/*.mutants.ts"],
    pool: "threads",
    maxWorkers: "100%",
    testTimeout: 300_000,
    hookTimeout: 60_000,
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
  },
});
