/** Errors on their way from a worker thread: a class does not survive the crossing. */
import { type ErrorCode, isMicError, MicError } from "./errors.ts";

export interface ErrorDescription {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | undefined;
  readonly data: Readonly<Record<string, unknown>>;
  readonly stack: string | undefined;
}

export function describeError(error: unknown): ErrorDescription {
  if (isMicError(error)) {
    return {
      code: error.code,
      message: error.message,
      hint: error.hint,
      data: error.data,
      stack: error.stack,
    };
  }
  const known = error instanceof Error ? error : new Error(String(error));
  return { code: "internal", message: known.message, hint: undefined, data: {}, stack: known.stack };
}

export function restoreError(description: ErrorDescription): MicError {
  const { code, message, hint, data, stack } = description;
  return new MicError(code, message, {
    ...(hint === undefined ? {} : { hint }),
    data,
    cause: stack,
  });
}
