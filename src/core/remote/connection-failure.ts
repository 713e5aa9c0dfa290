/** What went wrong on the way to a server, in words, and whether the server can have seen the call. */
import { MicError } from "../base/errors.ts";
import { CallFailure } from "./channel.ts";

/** Failures before a connection stood. */
const NOT_SENT: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ConnectionRefused",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EAI_FAIL",
  "FailedToOpenSocket",
]);
const NO_HOST: ReadonlySet<string> = new Set(["ENOTFOUND", "EAI_AGAIN", "EAI_FAIL", "EAI_NODATA"]);
const CERTIFICATE =
  /^(?:CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_|UNKNOWN_CERTIFICATE|HOSTNAME_MISMATCH|INVALID_CA)/;
const UNTRUSTED: ReadonlySet<string> = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
]);

/** The error code of a failed `fetch` or socket; the empty string where it has none. */
export function errnoOf(error: unknown): string {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth++) {
    const { code } = at as { code?: unknown };
    if (typeof code === "string") return code;
  }
  return "";
}

/** The certificate's issuer is not known. */
export function isUntrusted(errno: string): boolean {
  return UNTRUSTED.has(errno);
}

/** `sent`: what to assume where the error does not tell. */
export function connectionFailure(origin: string, cause: unknown, sent: boolean): MicError {
  if (cause instanceof Error && cause.name === "AbortError") {
    return new MicError("aborted", "interrupted", { cause });
  }
  const errno = errnoOf(cause);
  const host = new URL(origin).host;
  if (CERTIFICATE.test(errno)) {
    return new CallFailure("unreachable", `the certificate of ${host} is not trusted: ${errno}`, {
      cause,
      sent: false,
      transient: false,
      hint: "check the address; for a private authority, name the file of its certificate in SSL_CERT_FILE",
    });
  }
  if (errno === "EPROTO" || errno === "ERR_SSL_WRONG_VERSION_NUMBER") {
    return new CallFailure("unreachable", `${host} does not speak TLS`, {
      cause,
      sent: false,
      transient: false,
      hint: `try http://${host}`,
    });
  }
  if (NO_HOST.has(errno)) {
    return new CallFailure("unreachable", `the host ${host} is not found`, {
      cause,
      sent: false,
      transient: errno === "EAI_AGAIN",
      hint: "check the address",
    });
  }
  if (NOT_SENT.has(errno)) {
    const message = errno.endsWith("UNREACH") ? `there is no way to ${host}` : `nothing listens at ${host}`;
    return new CallFailure("unreachable", message, {
      cause,
      sent: false,
      transient: true,
      hint: "check the address, and that the server runs",
    });
  }
  if (
    errno === "ResponseHeadersTooLarge" ||
    errno.startsWith("HPE_") ||
    errno === "Malformed_HTTP_Response"
  ) {
    return notAServer(host, cause);
  }
  return new CallFailure(
    "unreachable",
    `the connection to ${host} was lost${errno === "" ? "" : ` (${errno})`}`,
    {
      cause,
      sent,
      transient: true,
    },
  );
}

export function timedOut(origin: string, timeoutMs: number): CallFailure {
  const host = new URL(origin).host;
  return new CallFailure("unreachable", `${host} did not answer within ${timeoutMs / 1000} s`, {
    sent: true,
    transient: false,
    hint: "try again, or wait longer with --timeout",
  });
}

export function notAServer(host: string, cause?: unknown): CallFailure {
  return new CallFailure("corrupt", `what answers at ${host} is not a mic server`, {
    ...(cause === undefined ? {} : { cause }),
    sent: true,
    transient: false,
    hint: "check the address",
  });
}
