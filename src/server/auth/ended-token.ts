/** Calls that are running when their token stops being valid. */
import { MicError } from "../../core/base/errors.ts";
import type { Principal } from "./principal.ts";

/** Calls `end` once, at once where it has already happened, until it is disposed of. */
export function whenEnded({ ended }: Principal, end: () => void): Disposable {
  if (ended.aborted) end();
  else ended.addEventListener("abort", end, { once: true });
  return { [Symbol.dispose]: () => ended.removeEventListener("abort", end) };
}

export function tokenEnded(): MicError {
  return new MicError("unauthenticated", "the token has expired, or was revoked, or its rights changed", {
    hint: "call again; where that is refused, sign in: mic auth login",
  });
}
