/** Time as a port, so that the landing protocol runs in a deterministic simulation. */
import { MicError } from "./errors.ts";

export interface Clock {
  /** Unix time in milliseconds. May jump; order never depends on it. */
  nowMs(): number;
  /** Resolves after `durationMs`, or rejects with `aborted` when the signal fires first. */
  sleep(durationMs: number, signal?: AbortSignal): Promise<void>;
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new MicError("aborted", "interrupted", { cause: signal.reason });
}

/** What is awaited is shared with others and goes on; only this caller stops waiting. Errors: `aborted`. */
export async function abortable<Result>(shared: Promise<Result>, signal: AbortSignal): Promise<Result> {
  throwIfAborted(signal);
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(new MicError("aborted", "interrupted", { cause: signal.reason }));
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([shared, aborted]);
  } finally {
    if (stop !== undefined) signal.removeEventListener("abort", stop);
  }
}
