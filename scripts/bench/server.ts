/** Starts the built binary's server for a benchmark or a long run, and says how much memory it took. */
import { mkdirSync, readFileSync } from "node:fs";
import { MIC, readLines } from "./harness.ts";

export interface ServedForge extends AsyncDisposable {
  readonly url: string;
  readonly token: string;
  readonly pid: number;
  /** What clients need in their environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Highest resident memory so far, in bytes. */
  peakBytes(): number;
  /** User plus system time so far. */
  cpuMs(): number;
  /** Ends it as a power cut would. */
  kill(): Promise<void>;
  stop(): Promise<number>;
}

const OWNER_TOKEN = "mic_bench_token_that_is_long_enough";
const CLOCK_TICKS_PER_SECOND = 100;

export interface ServeOptions {
  /** Where the forge is kept; made when missing. */
  readonly data: string;
  /** Default 0: any free one. */
  readonly port?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** More flags of `mic serve`. */
  readonly flags?: readonly string[];
  /** Default: the built one. */
  readonly binary?: string;
  /** Put before the command: `taskset`, `nice`. */
  readonly prefix?: readonly string[];
}

export async function serve(options: ServeOptions): Promise<ServedForge> {
  mkdirSync(options.data, { recursive: true });
  const listen = `127.0.0.1:${options.port ?? 0}`;
  const child = Bun.spawn(
    [
      ...(options.prefix ?? []),
      options.binary ?? MIC,
      "serve",
      "--data",
      options.data,
      "--listen",
      listen,
      ...(options.flags ?? []),
      "--json",
    ],
    {
      env: {
        ...process.env,
        // One caller asks for more than any may: calls are counted, and not refused.
        MIC_RATE_LIMIT: "9000000,9000000",
        ...options.env,
        MIC_OWNER_TOKEN: OWNER_TOKEN,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    },
  );
  const lines = readLines(child.stdout);
  const first = await lines.next();
  if (first.done) throw new Error(`mic serve ended with ${await child.exited}`);
  const { url } = JSON.parse(first.value) as { url: string };
  const drained = drain(lines);
  const end = async (signal: NodeJS.Signals): Promise<number> => {
    child.kill(signal);
    const code = await child.exited;
    await drained;
    return code;
  };
  return {
    url,
    token: OWNER_TOKEN,
    pid: child.pid,
    env: { MIC_TOKEN: OWNER_TOKEN, MIC_SERVER: url },
    peakBytes: () => statusField(child.pid, "VmHWM") * 1024,
    cpuMs: () => cpuMsOf(child.pid),
    kill: async () => {
      await end("SIGKILL");
    },
    stop: () => end("SIGTERM"),
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) await end("SIGKILL");
    },
  };
}

/** The log is read so that the server never waits for it. */
async function drain(lines: AsyncGenerator<string>): Promise<void> {
  for await (const line of lines) {
    const { level } = JSON.parse(line) as { level?: string };
    if (level === "error") console.error(line);
  }
}

export function statusField(pid: number, name: string): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)![1]);
}

export function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / CLOCK_TICKS_PER_SECOND;
}
