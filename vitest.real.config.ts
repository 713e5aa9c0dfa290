import { defineConfig } from "vitest/config";

const report = process.env["MIC_TEST_REPORT"];

/** The conformance kits on real object servers: started by `npm run test:real`, which starts the servers too. */
export default defineConfig({
  test: {
    include: ["test/real/*.real.ts"],
    pool: "threads",
    maxWorkers: "100%",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
  },
});
