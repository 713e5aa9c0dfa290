/**
 * Typed errors. Every failure that leaves the core is a `MicError`; the CLI, gRPC and HTTP edges translate
 * it once. `code` is part of the public contract and is never renamed; `kind` tells the caller what to do.
 */

export type ErrorCode =
  | "usage"
  | "conflict"
  | "nothing-to-land"
  | "dirty"
  | "landed"
  | "pending"
  | "not-found"
  | "already-exists"
  | "not-a-workspace"
  | "unauthenticated"
  | "forbidden"
  | "unreachable"
  | "outcome-unknown"
  | "unsafe-path"
  | "too-large"
  | "out-of-range"
  | "corrupt"
  | "unsupported"
  | "history-changed"
  | "landing-id-reused"
  | "different-lineage"
  | "rate-limited"
  | "aborted"
  | "internal";

/**
 * What the caller should do next: `retry` the same call later, `rebase` on newer state first, fix the
 * `input`, or `stop` because repeating cannot help.
 */
export type ErrorKind = "retry" | "rebase" | "input" | "stop";

const KIND_OF_CODE: Readonly<Record<ErrorCode, ErrorKind>> = {
  usage: "input",
  conflict: "rebase",
  "nothing-to-land": "stop",
  dirty: "input",
  landed: "stop",
  pending: "retry",
  "not-found": "input",
  "already-exists": "input",
  "not-a-workspace": "input",
  unauthenticated: "input",
  forbidden: "stop",
  unreachable: "retry",
  "outcome-unknown": "retry",
  "unsafe-path": "input",
  "too-large": "input",
  "out-of-range": "input",
  corrupt: "stop",
  unsupported: "stop",
  "history-changed": "stop",
  "landing-id-reused": "stop",
  "different-lineage": "stop",
  "rate-limited": "retry",
  aborted: "stop",
  internal: "stop",
};

export interface MicErrorOptions {
  /** One sentence that says what to do next. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Machine-readable details, merged into the JSON error document (`paths`, `position`, …). */
  readonly data?: Readonly<Record<string, unknown>>;
  readonly kind?: ErrorKind;
}

export class MicError extends Error {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly hint: string | undefined;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: MicErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "MicError";
    this.code = code;
    this.kind = options.kind ?? KIND_OF_CODE[code];
    this.hint = options.hint;
    this.data = options.data ?? {};
  }
}

/** Stored bytes that do not follow their format. `offset` is the byte at which decoding stopped. */
export function corrupt(what: string, detail: string, offset?: number): MicError {
  const where = offset === undefined ? "" : ` at byte ${offset}`;
  return new MicError("corrupt", `${what} is corrupt: ${detail}${where}`, {
    hint: "run `mic fsck` to see what is affected",
    data: offset === undefined ? { format: what } : { format: what, offset },
  });
}

/** Throws `internal` when an invariant of the program itself does not hold: a bug, never bad input. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new MicError("internal", `bug: ${message}`, { hint: "please report this" });
}

export function isMicError(error: unknown, code?: ErrorCode): error is MicError {
  return error instanceof MicError && (code === undefined || error.code === code);
}

/** Whether another program's text is one of the codes. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === "string" && Object.hasOwn(KIND_OF_CODE, text);
}

/** Exhaustiveness check for unions switched on `kind`. */
export function unreachable(value: never): never {
  throw new MicError("internal", `bug: unexpected variant ${JSON.stringify(value)}`);
}
