/** Runs the built binary as another person would, and may kill it. */
import { MIC } from "../bench/harness.ts";

/** Exit codes of the command line. */
export const CONFLICT = 3;
export const UNREACHABLE = 5;
/** A server that was killed is back well before. */
const UNREACHABLE_SECONDS_MAX = 60;

export interface MicRun {
  readonly code: number | null;
  readonly killed: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

export async function mic(
  cwd: string,
  args: readonly string[],
  home: string,
  killAfterMs?: number,
): Promise<MicRun> {
  const child = Bun.spawn([MIC, ...args], {
    cwd,
    env: { ...process.env, MIC_HOME: home, MIC_AUTHOR: "Writer <writer@example.org>" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  clearTimeout(timer);
  return { code: child.exitCode, killed: child.signalCode === "SIGKILL", stdout, stderr };
}

/** Again while the forge cannot be reached; throws when it ends otherwise than it may. */
export async function expectDone(
  cwd: string,
  args: readonly string[],
  home: string,
  allowed: readonly number[] = [0],
): Promise<MicRun> {
  const deadline = performance.now() + UNREACHABLE_SECONDS_MAX * 1000;
  let run = await mic(cwd, args, home);
  while (run.code === UNREACHABLE && performance.now() < deadline) {
    await Bun.sleep(100);
    run = await mic(cwd, args, home);
  }
  if (run.code === null || !allowed.includes(run.code)) {
    throw new Error(`mic ${args.join(" ")} in ${cwd} exited ${run.code}\n${run.stdout}\n${run.stderr}`);
  }
  return run;
}
