/**
 * Errors on the wire: a gRPC status whose details hold a `google.rpc.Status` with one `mic.v1.ErrorDetail`. The
 * message is for people; programs read the detail.
 */
import { type ErrorCode, MicError } from "../base/errors.ts";
import { Status } from "./gen/google/rpc/status.ts";
import { ErrorDetail } from "./gen/mic/v1/common.ts";

/** gRPC's own numbers (grpc/doc/statuscodes.md). */
export const GRPC = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

const GRPC_OF_CODE: Readonly<Record<ErrorCode, number>> = {
  usage: GRPC.INVALID_ARGUMENT,
  conflict: GRPC.ABORTED,
  "nothing-to-land": GRPC.FAILED_PRECONDITION,
  dirty: GRPC.FAILED_PRECONDITION,
  landed: GRPC.FAILED_PRECONDITION,
  pending: GRPC.FAILED_PRECONDITION,
  "not-found": GRPC.NOT_FOUND,
  "already-exists": GRPC.ALREADY_EXISTS,
  "not-a-workspace": GRPC.FAILED_PRECONDITION,
  unauthenticated: GRPC.UNAUTHENTICATED,
  forbidden: GRPC.PERMISSION_DENIED,
  unreachable: GRPC.UNAVAILABLE,
  "outcome-unknown": GRPC.UNKNOWN,
  "unsafe-path": GRPC.INVALID_ARGUMENT,
  "too-large": GRPC.RESOURCE_EXHAUSTED,
  "out-of-range": GRPC.OUT_OF_RANGE,
  corrupt: GRPC.DATA_LOSS,
  unsupported: GRPC.UNIMPLEMENTED,
  "history-changed": GRPC.FAILED_PRECONDITION,
  "landing-id-reused": GRPC.ALREADY_EXISTS,
  "different-lineage": GRPC.FAILED_PRECONDITION,
  "rate-limited": GRPC.RESOURCE_EXHAUSTED,
  aborted: GRPC.CANCELLED,
  internal: GRPC.INTERNAL,
};

/** For a status without a detail of ours: from a proxy, or the gRPC library itself. */
const CODE_OF_GRPC: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [GRPC.CANCELLED, "aborted"],
  [GRPC.INVALID_ARGUMENT, "usage"],
  [GRPC.DEADLINE_EXCEEDED, "unreachable"],
  [GRPC.NOT_FOUND, "not-found"],
  [GRPC.ALREADY_EXISTS, "already-exists"],
  [GRPC.PERMISSION_DENIED, "forbidden"],
  [GRPC.RESOURCE_EXHAUSTED, "too-large"],
  [GRPC.OUT_OF_RANGE, "out-of-range"],
  [GRPC.UNIMPLEMENTED, "unsupported"],
  [GRPC.UNAVAILABLE, "unreachable"],
  [GRPC.DATA_LOSS, "corrupt"],
  [GRPC.UNAUTHENTICATED, "unauthenticated"],
]);

export const ERROR_DETAIL_TYPE = "type.googleapis.com/mic.v1.ErrorDetail";

/** What HTTP/2 trailers surely carry: the details travel there in base64, beside the message. */
export const TRAILER_DETAIL_BYTES_MAX = 4 << 10;
const MESSAGE_CHARS_MAX = 1024;

export interface WireStatus {
  readonly code: number;
  readonly message: string;
  /** An encoded `google.rpc.Status`; may be absent on receipt. */
  readonly details?: Uint8Array | undefined;
}

export function grpcStatusOf(code: ErrorCode): number {
  return GRPC_OF_CODE[code];
}

/**
 * An `internal` error tells nothing but `data.request`: what is behind it is for the log. Where the details would be
 * longer than `detailBytesMax`, paths are left out and `data.pathsOmitted` counts them.
 */
export function encodeStatus(
  error: MicError,
  detailBytesMax = Number.POSITIVE_INFINITY,
): { readonly code: number; readonly message: string; readonly details: Uint8Array } {
  const code = GRPC_OF_CODE[error.code];
  const message = shorten(error.code === "internal" ? "internal error" : error.message);
  const detail = detailOf(error);
  const details = encodeDetail(code, message, detail);
  if (details.length <= detailBytesMax) return { code, message, details };
  const without = encodeDetail(code, message, shrink(detail, 0)).length;
  return { code, message, details: encodeDetail(code, message, shrink(detail, detailBytesMax - without)) };
}

function shorten(text: string): string {
  return text.length <= MESSAGE_CHARS_MAX ? text : `${text.slice(0, MESSAGE_CHARS_MAX).toWellFormed()}…`;
}

function detailOf(error: MicError): ErrorDetail {
  if (error.code === "internal") {
    const { request } = error.data;
    const dataJson = typeof request === "string" ? JSON.stringify({ request }) : "";
    return { code: error.code, hint: "", paths: [], dataJson };
  }
  const { paths, ...rest } = error.data;
  const texts = Array.isArray(paths) ? paths.filter((path) => typeof path === "string") : [];
  const dataJson = Object.keys(rest).length === 0 ? "" : toJson(rest);
  return { code: error.code, hint: error.hint ?? "", paths: texts, dataJson };
}

function toJson(data: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(data, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
}

function encodeDetail(code: number, message: string, detail: ErrorDetail): Uint8Array {
  const value = ErrorDetail.encode(detail).finish();
  return Status.encode({ code, message, details: [{ typeUrl: ERROR_DETAIL_TYPE, value }] }).finish();
}

/** Tag and length. */
const PATH_OVERHEAD_BYTES = 4;
/** Lengths that are written before what they count grow with it. */
const NESTING_BYTES = 16;

/** Keeps the first paths that fit `bytes`. */
function shrink(detail: ErrorDetail, bytes: number): ErrorDetail {
  const kept: string[] = [];
  let rest = bytes - NESTING_BYTES;
  for (const path of detail.paths) {
    rest -= Buffer.byteLength(path) + PATH_OVERHEAD_BYTES;
    if (rest < 0) break;
    kept.push(path);
  }
  const pathsOmitted = detail.paths.length - kept.length;
  const known = detail.dataJson.length > MESSAGE_CHARS_MAX ? {} : parseData(detail.dataJson);
  const data = pathsOmitted === 0 ? known : { ...known, pathsOmitted };
  return { ...detail, hint: shorten(detail.hint), paths: kept, dataJson: JSON.stringify(data) };
}

/** The error that a failed call means. Never throws: a detail that cannot be read is left out. */
export function decodeStatus(status: WireStatus): MicError {
  const detail = status.details === undefined ? undefined : readDetail(status.details);
  if (detail === undefined || !isErrorCode(detail.code)) {
    const code = CODE_OF_GRPC.get(status.code) ?? "internal";
    return new MicError(code, status.message || `the server answered with gRPC status ${status.code}`);
  }
  const data = parseData(detail.dataJson);
  return new MicError(detail.code, status.message || detail.code, {
    ...(detail.hint === "" ? {} : { hint: detail.hint }),
    data: detail.paths.length === 0 ? data : { ...data, paths: detail.paths },
  });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(GRPC_OF_CODE, code);
}

function readDetail(details: Uint8Array): ErrorDetail | undefined {
  try {
    const any = Status.decode(details).details.find((item) => item.typeUrl === ERROR_DETAIL_TYPE);
    return any === undefined ? undefined : ErrorDetail.decode(any.value);
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError || error instanceof Error) return undefined;
    throw error;
  }
}

function parseData(json: string): Record<string, unknown> {
  if (json === "") return {};
  try {
    const data: unknown = JSON.parse(json);
    return typeof data === "object" && data !== null && !Array.isArray(data) ? { ...data } : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
