/** Runs the simulator's program in a copy of the sources. */
import { execFile } from "node:child_process";
import { join } from "node:path";

const TIMEOUT_MS = 55_000;

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
