/** Errors become a message, a hint, an exit code and a JSON document here, once, for every command. */
import { type ErrorCode, MicError } from "../core/base/errors.ts";

export const EXIT_OK = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
export const EXIT_CONFLICT = 3;
export const EXIT_NOT_ALLOWED = 4;
export const EXIT_UNREACHABLE = 5;
export const EXIT_INTERRUPTED = 130;

const EXIT_OF_CODE: Readonly<Partial<Record<ErrorCode, number>>> = {
  usage: EXIT_USAGE,
  conflict: EXIT_CONFLICT,
  unauthenticated: EXIT_NOT_ALLOWED,
  forbidden: EXIT_NOT_ALLOWED,
  unreachable: EXIT_UNREACHABLE,
  "rate-limited": EXIT_UNREACHABLE,
  "outcome-unknown": EXIT_UNREACHABLE,
  aborted: EXIT_INTERRUPTED,
};

/** The reader of stdout is gone (`mic log | head -1`): the command is over, and that is no failure. */
export class BrokenPipe extends Error {}

export function exitCodeOf(error: MicError): number {
  return EXIT_OF_CODE[error.code] ?? EXIT_FAILED;
}

export interface ErrorDocument {
  readonly error: { readonly code: ErrorCode; readonly message: string; readonly hint?: string };
}

export function errorDocument(error: MicError): ErrorDocument {
  const { code, message, hint, data } = error;
  const { code: _code, message: _message, hint: _hint, ...details } = data;
  return { error: { code, message, ...(hint === undefined ? {} : { hint }), ...details } };
}

export function usageError(message: string, hint?: string): MicError {
  return new MicError("usage", message, hint === undefined ? {} : { hint });
}

interface SystemProblem {
  readonly code: ErrorCode;
  readonly text: string;
  readonly hint: string;
}

const SYSTEM_PROBLEMS: Readonly<Record<string, SystemProblem>> = {
  ENOSPC: { code: "internal", text: "no space left on the device", hint: "free some space and run it again" },
  EDQUOT: { code: "internal", text: "the disk quota is used up", hint: "free some space and run it again" },
  EIO: { code: "internal", text: "the device failed to read or write", hint: "check the disk" },
  EROFS: {
    code: "internal",
    text: "the file system is read-only",
    hint: "make it writable, or work elsewhere",
  },
  EACCES: { code: "internal", text: "permission denied", hint: "check who owns the file" },
  EPERM: { code: "internal", text: "the system does not permit it", hint: "check who owns the file" },
  EMFILE: { code: "internal", text: "too many open files", hint: "raise the limit with `ulimit -n`" },
  ENOENT: { code: "not-found", text: "no such file or directory", hint: "check the path" },
  ENOTDIR: { code: "not-found", text: "a part of the path is not a directory", hint: "check the path" },
  ELOOP: { code: "not-found", text: "too many symbolic links", hint: "check where the links lead" },
  EISDIR: { code: "usage", text: "is a directory", hint: "name a file" },
  ENAMETOOLONG: { code: "too-large", text: "the name is too long for this file system", hint: "shorten it" },
};

/** Anything thrown, as a `MicError`. An error that nobody foresaw is a bug and says so. */
export function toMicError(thrown: unknown): MicError {
  if (thrown instanceof MicError) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  if (error.name === "AbortError") return new MicError("aborted", "interrupted", { cause: error });
  const { code, path } = error as NodeJS.ErrnoException;
  const problem = code === undefined ? undefined : SYSTEM_PROBLEMS[code];
  if (problem !== undefined) {
    const subject = path === undefined ? "" : `: ${path}`;
    return new MicError(problem.code, problem.text + subject, {
      hint: problem.hint,
      cause: error,
      data: { system: code, ...(path === undefined ? {} : { path }) },
    });
  }
  // The executable unpacks its native add-ons into the temporary directory and keeps them there.
  if (code === "ERR_DLOPEN_FAILED") {
    return new MicError("internal", `a native part of mic cannot be loaded: ${error.message}`, {
      hint: "set TMPDIR to a writable directory that is not mounted noexec; remove `.bun-*.node` files there if damaged",
      cause: error,
    });
  }
  if (code?.startsWith("SQLITE_") === true) return fromSqlite(error, code);
  return new MicError("internal", error.message === "" ? error.name : error.message, {
    hint: "run it again with --verbose to see where it comes from, and report it",
    cause: error,
  });
}

function fromSqlite(error: Error, code: string): MicError {
  const known: Readonly<Record<string, SystemProblem>> = {
    SQLITE_FULL: SYSTEM_PROBLEMS["ENOSPC"]!,
    SQLITE_IOERR: SYSTEM_PROBLEMS["EIO"]!,
    SQLITE_READONLY: SYSTEM_PROBLEMS["EROFS"]!,
    SQLITE_CORRUPT: { code: "corrupt", text: "a database file is damaged", hint: "run `mic fsck`" },
    SQLITE_NOTADB: { code: "corrupt", text: "a database file is damaged", hint: "run `mic fsck`" },
    SQLITE_CANTOPEN: SYSTEM_PROBLEMS["EACCES"]!,
    SQLITE_BUSY: { code: "pending", text: "another mic command keeps it busy", hint: "run it again" },
  };
  const name = Object.keys(known).find((prefix) => code.startsWith(prefix));
  const problem = name === undefined ? undefined : known[name];
  if (problem === undefined) return new MicError("internal", `${code}: ${error.message}`, { cause: error });
  return new MicError(problem.code, `${problem.text} (${error.message})`, {
    hint: problem.hint,
    cause: error,
    data: { system: code },
  });
}

/** Stack traces of an error and its causes, for `--verbose`. */
export function describeCauses(error: Error): string {
  const parts: string[] = [];
  for (let current: unknown = error; current instanceof Error; current = current.cause) {
    parts.push(current.stack ?? `${current.name}: ${current.message}`);
  }
  return parts.join("\ncaused by: ");
}
