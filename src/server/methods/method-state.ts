/** What the methods of one server share, whichever transport a call came by. */
import type { ServerContext } from "../context.ts";
import { ByteBudget } from "./byte-budget.ts";
import { CallGates } from "./call-gates.ts";

/** Bytes of uploads that are in memory at a time, over all callers; the rest wait in their sockets. */
export const UPLOAD_BYTES_MAX = 128 << 20;

export class MethodState {
  readonly gates = new CallGates();
  readonly uploads = new ByteBudget(UPLOAD_BYTES_MAX);
}

const STATES = new WeakMap<ServerContext, MethodState>();

/** One for each server, so that gRPC and HTTP/1.1 count together. */
export function methodStateOf(context: ServerContext): MethodState {
  let state = STATES.get(context);
  if (state === undefined) {
    state = new MethodState();
    STATES.set(context, state);
  }
  return state;
}
