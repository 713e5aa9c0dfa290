/** A Litestream whose mic was killed goes on: two of them on one database would trip over each other. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";

/** Of the process that was started last, in the directory of its configuration. */
const FILE = "litestream.pid";
const WAIT_MS_MAX = 5_000;
const STEP_MS = 20;

export function rememberChild(directory: string, pid: number | undefined): void {
  if (pid !== undefined) writeFileSync(`${directory}/${FILE}`, `${pid}\n`, { mode: 0o600 });
}

export function forgetChild(directory: string): void {
  rmSync(`${directory}/${FILE}`, { force: true });
}

/** Ends the one that `config` was given to, if it is still there. True when there was one. */
export async function endOrphan(
  directory: string,
  config: string,
  sleep: (durationMs: number) => Promise<void>,
): Promise<boolean> {
  const file = `${directory}/${FILE}`;
  if (!existsSync(file)) return false;
  const pid = Number(readFileSync(file, "latin1"));
  // The number may be another process's by now.
  const isOrphan = (): boolean => Number.isSafeInteger(pid) && pid > 1 && commandOf(pid).includes(config);
  const found = isOrphan();
  if (found) process.kill(pid, "SIGKILL");
  for (let waitedMs = 0; isOrphan() && waitedMs < WAIT_MS_MAX; waitedMs += STEP_MS) await sleep(STEP_MS);
  forgetChild(directory);
  return found;
}

/** Empty when there is no such process, or no way to ask. */
function commandOf(pid: number): string {
  try {
    if (existsSync("/proc/self")) return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
    if (process.platform === "win32") return "";
    return execFileSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" });
  } catch (error) {
    if (error instanceof Error) return "";
    throw error;
  }
}
