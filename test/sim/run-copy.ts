/** Runs the simulator's program in a copy of the sources. */
import { execFile } from "node:child_process";
import { join } from "node:path";

/** Several of them share two cores with all other tests: only what hangs is given up on. */
const TIMEOUT_MS = 280_000;
/** Of a test that calls `runCopy`. */
export const TIMES = { timeout: 290_000 } as const;

export function runCopy(
  directory: string,
  args: readonly string[],
): Promise<{ readonly code: number; readonly output: string }> {
  const script = join(directory, "test/sim/main.ts");
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [script, ...args],
      { cwd: directory, timeout: TIMEOUT_MS },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, output: stdout + stderr });
      },
    );
  });
}

/** What the seed that failed broke, without where and what led to it. */
export function failureOf(output: string): string {
  return output.split("\n").find((line) => /^seed \d+: /.test(line)) ?? "";
}
