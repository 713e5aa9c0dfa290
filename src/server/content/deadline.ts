/** `grpc-timeout`: at most 8 digits and a unit (gRPC over HTTP/2, "Requests"). */
import { MicError } from "../../core/base/errors.ts";

const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};
/** Timers count in 32 bits. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/** Milliseconds, undefined without the header. Errors: `usage`. */
export function parseTimeout(header: string | string[] | undefined): number | undefined {
  if (header === undefined) return undefined;
  const match = typeof header === "string" ? /^(\d{1,8})([HMSmun])$/.exec(header) : null;
  if (match === null) throw new MicError("usage", "grpc-timeout is malformed", { hint: "for example 30S" });
  return Math.min(TIMEOUT_MS_MAX, Math.ceil(Number(match[1]) * UNIT_MS[match[2]!]!));
}
