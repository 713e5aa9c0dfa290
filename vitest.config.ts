import { defineConfig } from "vitest/config";

const report = process.env["MIC_TEST_REPORT"];

export default defineConfig({
  test: {
    include: ["test/**/*.test.{ts,tsx}"],
    pool: "threads",
    maxWorkers: "100%",
    testTimeout: 120_000,
    hookTimeout: 180_000,
    // Bun reads TypeScript itself: modules are tested as they run, and nothing is transformed first.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    // Only a failure waits as long: a busy machine is slow, not wrong.
    expect: { poll: { timeout: 20_000 } },
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
  },
});
