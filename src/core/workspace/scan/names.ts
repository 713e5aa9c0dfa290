/** What a scan makes of names on disk, and of the file system's errors about them. */
import { isMicError, MicError } from "../../base/errors.ts";
import { findComponentProblem, parseTreePath } from "../../base/path.ts";
import { IGNORE_FILE_NAMES } from "../index/scan-findings.ts";
import { errorCode } from "../layout.ts";

/** Bit i: IGNORE_FILE_NAMES[i] is one of `names`. */
export function ignoreFilesAmong(names: Iterable<string>): number {
  let bits = 0;
  for (const name of names) {
    const number = IGNORE_FILE_NAMES.indexOf(name as (typeof IGNORE_FILE_NAMES)[number]);
    if (number !== -1) bits |= 1 << number;
  }
  return bits;
}

/** The bits that are set, lowest first. */
export function numbersOf(bits: number): number[] {
  return IGNORE_FILE_NAMES.map((_, i) => i).filter((i) => (bits & (1 << i)) !== 0);
}

const NEEDS_FULL_CHECK = /[\\:\ufffd]/;

/** Why a name on disk cannot be a tree path; its directory's path has been checked. */
export function findProblem(path: string, name: string): string | undefined {
  const problem = findComponentProblem(name);
  if (problem !== undefined) return problem;
  if (path.length < 1024 && !NEEDS_FULL_CHECK.test(name)) return undefined;
  try {
    parseTreePath(path);
    return undefined;
  } catch (error) {
    if (isMicError(error)) return error.message.slice(error.message.lastIndexOf('" ') + 2);
    throw error;
  }
}

/** Readable ASCII, everything else as `\xNN`. */
export function showBytes(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    text +=
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return text;
}

/** Errors of the file system that say what to do; others as they are. */
export function asMicError(error: unknown, path: string): unknown {
  const code = errorCode(error);
  if (code === "EACCES" || code === "EPERM") {
    return new MicError("forbidden", `${path} cannot be read: permission denied`, {
      hint: "change its permissions, or exclude it with .micignore",
      cause: error,
      data: { paths: [path] },
    });
  }
  if (code === "ENAMETOOLONG") {
    return new MicError("too-large", `${path} is too long for the file system`, { cause: error });
  }
  return error;
}
