/** The HTTP half of the table of error codes; the gRPC half is in src/core/wire. */
import type { ErrorCode } from "../core/base/errors.ts";

const STATUS_OF_CODE: Readonly<Record<ErrorCode, number>> = {
  usage: 400,
  conflict: 409,
  "nothing-to-land": 409,
  dirty: 409,
  landed: 409,
  pending: 409,
  "not-found": 404,
  "already-exists": 409,
  "not-a-workspace": 400,
  unauthenticated: 401,
  forbidden: 403,
  unreachable: 503,
  "outcome-unknown": 503,
  "unsafe-path": 400,
  "too-large": 413,
  // 416 only where a Range header asked for it.
  "out-of-range": 400,
  corrupt: 500,
  unsupported: 501,
  "history-changed": 409,
  "landing-id-reused": 409,
  "different-lineage": 409,
  "rate-limited": 429,
  // The caller went away: nobody reads this.
  aborted: 499,
  internal: 500,
};

export function httpStatusOf(code: ErrorCode): number {
  return STATUS_OF_CODE[code];
}
