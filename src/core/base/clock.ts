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
