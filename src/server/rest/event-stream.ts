/**
 * Server-sent events. One event is written, and has left, before the next is asked for, so that a slow client
 * holds one event in memory, and one that takes nothing is dropped.
 */
import type { Answer, HeaderFields } from "./answer.ts";
import { drained } from "./answer.ts";
import type { Call } from "./route.ts";

export const EVENT_STREAM_TYPE = "text/event-stream";
const HEADERS: HeaderFields = {
  "content-type": EVENT_STREAM_TYPE,
  "cache-control": "no-store",
  "x-accel-buffering": "no",
  "x-content-type-options": "nosniff",
};
/** Milliseconds after which a client that was cut off comes back. */
const RETRY_MS = 1000;

export interface StreamEvent {
  /** The cursor after it: what `Last-Event-ID` will say. */
  readonly id: string;
  readonly event: string;
  readonly data: unknown;
}

/**
 * `open` is given a signal that fires when the client is gone or the server drains. `isOver`: the stream may end
 * at once; a client that has seen all of it is then told not to come back (204).
 */
export async function eventStreamAnswer(
  call: Call<unknown, unknown, unknown>,
  open: (signal: AbortSignal) => AsyncIterable<StreamEvent>,
  options: { readonly isOver?: boolean } = {},
): Promise<Answer> {
  if (call.isHead) return { kind: "empty", status: 200, headers: HEADERS };
  const { draining } = call.state.context;
  // By hand: the server's signal outlives every stream, and must not collect them.
  const over = new AbortController();
  const end = (): void => over.abort();
  if (draining.aborted || call.signal.aborted) end();
  draining.addEventListener("abort", end);
  call.signal.addEventListener("abort", end);
  const events = open(over.signal)[Symbol.asyncIterator]();
  try {
    // Read ahead only where an event comes, or none does, at once.
    const first = options.isOver === true ? await events.next() : undefined;
    if (first?.done === true) return { kind: "empty", status: 204, headers: { "cache-control": "no-store" } };
    await writeEvents(call, events, first);
    return { kind: "taken" };
  } catch (error) {
    if (!over.signal.aborted || !call.response.headersSent) throw error;
    return { kind: "taken" };
  } finally {
    draining.removeEventListener("abort", end);
    await events.return?.();
  }
}

async function writeEvents(
  { response, state, signal }: Call<unknown, unknown, unknown>,
  events: AsyncIterator<StreamEvent>,
  first: IteratorResult<StreamEvent> | undefined,
): Promise<void> {
  response.writeHead(200, HEADERS);
  response.write(`retry: ${RETRY_MS}\n\n`);
  const heartbeat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(": still here\n\n");
  }, state.heartbeatMs);
  try {
    for (let next = first ?? (await events.next()); next.done !== true; next = await events.next()) {
      if (signal.aborted) return;
      if (!response.write(formatEvent(next.value))) await drained(response, signal, state.stalledMs);
    }
  } finally {
    clearInterval(heartbeat);
    // Also when the token has ended: the client is still there.
    if (!response.destroyed) {
      response.end(state.context.draining.aborted ? ": the server is stopping\n\n" : undefined);
    }
  }
}

/** JSON has no line breaks of its own, so one `data` line holds it. */
function formatEvent({ id, event, data }: StreamEvent): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
