/** Errors of the file system, said in words. */
import { MicError } from "../../base/errors.ts";
import { errorCode } from "../layout.ts";

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left on the device",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EACCES: "permission was denied",
  EPERM: "the operation is not permitted",
  EIO: "the device reported an input/output error",
  EMFILE: "too many files are open",
  ENFILE: "too many files are open on this machine",
  ENAMETOOLONG: "the name is too long for this file system",
  ENOENT: "a part of the path is missing",
  ENOTDIR: "a part of the path is not a directory",
  ELOOP: "a symbolic link is in the way",
  EBUSY: "a file is in use",
  ETXTBSY: "a program that is running is in the way",
  EXDEV: "the workspace spans more than one file system",
};

/** A `MicError` for an error of the operating system; anything else is returned as it is. */
export function fileError(error: unknown, doing: string, hint: string): unknown {
  const code = errorCode(error);
  if (error instanceof MicError || code === undefined || !/^E[A-Z]+$/.test(code)) return error;
  const reason = REASONS[code] ?? `the system answered ${code}`;
  return new MicError("internal", `${doing}: ${reason}`, {
    hint,
    cause: error,
    kind: "retry",
    data: { system: code },
  });
}
