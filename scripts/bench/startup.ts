/**
 * Whole-process start-up: `mic version`, and `mic status` in a workspace of ten files.
 *
 *   npm run bench -- startup [--runs 40]
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Measured, MIC, median, run, scratch } from "./harness.ts";

const { values } = parseArgs({ options: { runs: { type: "string", default: "40" } } });
const RUNS = Number(values.runs);

using directory = scratch("startup");
const env = { MIC_HOME: join(directory.path, "home"), MIC_AUTHOR: "Bench <bench@example.org>" };
const work = join(directory.path, "work");
mkdirSync(join(work, "src"), { recursive: true });
for (let i = 0; i < 10; i++) writeFileSync(join(work, "src", `file${i}.ts`), `export const value = ${i};\n`);
run([MIC, "init", "--name", "local/ten"], { cwd: work, env });
run([MIC, "land", "ten files"], { cwd: work, env });
run([MIC, "status"], { cwd: work, env });
run(["git", "init", "--quiet"], { cwd: work, env });
run(["git", "add", "."], { cwd: work, env });

const cases: { name: string; command: string[]; barMs: number | undefined; runs: Measured[] }[] = [
  { name: "mic version", command: [MIC, "version"], barMs: 15, runs: [] },
  { name: "mic status, 10 files", command: [MIC, "status"], barMs: 30, runs: [] },
  { name: "git version", command: ["git", "version"], barMs: undefined, runs: [] },
  { name: "git status, 10 files", command: ["git", "status"], barMs: undefined, runs: [] },
];
for (let i = 0; i < RUNS; i++) {
  for (const one of cases) one.runs.push(run(one.command, { cwd: work, env }));
}
let missed = 0;
for (const { name, barMs, runs } of cases) {
  const ms = median(runs.map((one) => one.wallMs));
  const verdict = barMs === undefined ? "" : `bar ${barMs} ms  ${ms <= barMs ? "met" : "MISSED"}`;
  if (barMs !== undefined && ms > barMs) missed++;
  console.log(`${name.padEnd(24)} ${ms.toFixed(1).padStart(7)} ms  ${verdict}`);
}
process.exitCode = missed === 0 ? 0 : 1;
