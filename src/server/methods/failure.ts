/** What a caller is told of a failed call. What it must not see is in the log, under an id that it is told. */
import { bytesToHex } from "../../core/base/bytes.ts";
import { isMicError, MicError } from "../../core/base/errors.ts";
import { encodeStatus, GRPC, type WireStatus } from "../../core/wire/status.ts";
import type { ServerContext } from "../context.ts";

const REQUEST_ID_BYTES = 8;

/** `detailBytesMax`: see `encodeStatus`. */
export function statusOfFailure(
  error: unknown,
  context: ServerContext,
  path: string,
  detailBytesMax = Number.POSITIVE_INFINITY,
): WireStatus {
  return encodeStatus(visibleError(error, context, path), detailBytesMax);
}

function visibleError(error: unknown, context: ServerContext, path: string): MicError {
  if (isMicError(error) && error.code !== "internal") {
    if (error.code === "corrupt")
      context.log.warn("request-failed", { path, code: error.code, detail: error.message });
    return error;
  }
  const requestId = bytesToHex(context.random.bytes(REQUEST_ID_BYTES));
  context.log.error("internal-error", {
    requestId,
    path,
    error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    ...(error instanceof Error && error.cause !== undefined ? { cause: String(error.cause) } : {}),
  });
  return new MicError("internal", "internal error", {
    hint: "report it with the request id",
    data: { request: requestId },
  });
}

export const DEADLINE_PASSED: WireStatus = { code: GRPC.DEADLINE_EXCEEDED, message: "Deadline exceeded" };

export function interrupted(cause?: unknown): MicError {
  return new MicError("aborted", "interrupted", cause === undefined ? {} : { cause });
}
