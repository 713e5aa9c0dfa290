/** What callers are told while the accounts cannot be changed here, or not for sure. */
import { MicError } from "../../../core/base/errors.ts";
import { LITESTREAM_HINT } from "./litestream.ts";

export function notPrimary(): MicError {
  return new MicError("unreachable", "this server is the primary of the accounts no more", {
    hint: "repeat the call: the server that took over will answer it",
  });
}

export function notFlushed(problem: string | undefined): MicError {
  return new MicError("unreachable", problem ?? "the replica of the accounts does not answer", {
    hint: "what was changed holds on this server; repeat the call until it is everywhere",
  });
}

/** There is a replica, and nobody to write to it: whoever follows or takes over would not know of a change. */
export function frozen(): MicError {
  return new MicError(
    "unreachable",
    "the accounts can be read and not changed: Litestream, which replicates them, is not installed",
    { hint: LITESTREAM_HINT },
  );
}
