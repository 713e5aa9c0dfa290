/**
 * Streams without an end of their own. When the server drains they end with UNAVAILABLE, so that a client connects
 * again, to the next server, and goes on from its cursor.
 */
import { MicError } from "../../core/base/errors.ts";
import type { MethodCall } from "./method.ts";

/** Passes `open` a signal that fires when the caller is gone or the server drains. */
export async function* untilDraining<T>(
  call: MethodCall,
  open: (signal: AbortSignal) => AsyncIterable<T>,
): AsyncGenerator<T> {
  const { draining } = call.context;
  if (draining.aborted) throw shuttingDown();
  const ending = new AbortController();
  const end = (): void => ending.abort();
  call.signal.addEventListener("abort", end, { once: true });
  draining.addEventListener("abort", end, { once: true });
  if (call.signal.aborted) end();
  try {
    yield* open(ending.signal);
  } catch (error) {
    if (draining.aborted && !call.signal.aborted) throw shuttingDown();
    throw error;
  } finally {
    call.signal.removeEventListener("abort", end);
    draining.removeEventListener("abort", end);
    ending.abort();
  }
  if (draining.aborted && !call.signal.aborted) throw shuttingDown();
}

export function shuttingDown(): MicError {
  return new MicError("unreachable", "the server is shutting down", {
    hint: "connect again; a live stream goes on from its cursor",
  });
}
