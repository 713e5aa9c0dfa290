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
  const { response, state } = call;
  const { draining } = state.context;
  const signal = AbortSignal.any([call.signal, draining]);
  const events = open(signal)[Symbol.asyncIterator]();
  // The first event is read ahead only where it comes, or does not, at once.
  let first: IteratorResult<StreamEvent> | undefined;
  if (options.isOver === true) {
    first = await events.next();
    if (first.done === true) return { kind: "empty", status: 204, headers: { "cache-control": "no-store" } };
  }
  response.writeHead(200, HEADERS);
  response.write(`retry: ${RETRY_MS}\n\n`);
  const heartbeat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(": still here\n\n");
  }, state.heartbeatMs);
  try {
    for (let next = first ?? (await events.next()); next.done !== true; next = await events.next()) {
      if (call.signal.aborted) break;
      if (!response.write(formatEvent(next.value))) await drained(response, call.signal, state.stalledMs);
    }
    if (draining.aborted && !call.signal.aborted) response.write(": the server is stopping\n\n");
  } catch (error) {
    if (!signal.aborted) throw error;
    if (!call.signal.aborted) response.write(": the server is stopping\n\n");
  } finally {
    clearInterval(heartbeat);
    await events.return?.();
    if (!response.destroyed) response.end();
  }
  return { kind: "taken" };
}

/** JSON has no line breaks of its own, so one `data` line holds it. */
function formatEvent({ id, event, data }: StreamEvent): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
