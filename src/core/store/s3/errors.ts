/** What a store's refusal means, and which setting mends it. */
import { type ErrorCode, type ErrorKind, MicError } from "../../base/errors.ts";
import type { TransportAnswer, TransportError } from "./transport.ts";
import { childText, parseXml } from "./xml.ts";

/** What messages are about. */
export interface Place {
  readonly bucket: string;
  readonly region: string;
  /** Origin that was asked. */
  readonly origin: string;
}

/** An answer that is not what was asked for. */
export interface Refusal {
  readonly status: number;
  /** S3's own word (`NoSuchKey`); "" where the answer has none, as answers to HEAD. */
  readonly code: string;
  readonly message: string;
  /** The bucket's region, where the answer names one. */
  readonly region: string | undefined;
  readonly location: string | undefined;
  /** Unix milliseconds; what the store's clock said in a refusal for skew. */
  readonly serverTimeMs: number | undefined;
  /** Milliseconds that the store wants us to wait. */
  readonly retryAfterMs: number | undefined;
  /** To be quoted to whoever runs the store. */
  readonly requestId: string | undefined;
}

/** Never throws: the body may be anybody's. */
export function readRefusal(answer: TransportAnswer): Refusal {
  const fields = errorFields(answer.body);
  const serverTime = Date.parse(fields?.("ServerTime") ?? "");
  return {
    status: answer.status,
    code: fields?.("Code") ?? "",
    message: (fields?.("Message") ?? "").slice(0, 500),
    region: answer.header("x-amz-bucket-region") ?? fields?.("Region"),
    location: answer.header("location"),
    serverTimeMs: Number.isNaN(serverTime) ? undefined : serverTime,
    retryAfterMs: retryAfter(answer.header("retry-after")),
    requestId: answer.header("x-amz-request-id") ?? answer.header("x-guploader-uploadid"),
  };
}

/** The `<Error>` document of an answer, also of one whose status says 200. */
export function errorFields(body: Uint8Array): ((name: string) => string | undefined) | undefined {
  if (body.length === 0) return undefined;
  const text = new TextDecoder().decode(body);
  if (!text.includes("<Error")) return undefined;
  try {
    const root = parseXml(text.trim());
    return root.name === "Error" ? (name) => childText(root, name) : undefined;
  } catch (error) {
    if (error instanceof MicError) return undefined;
    throw error;
  }
}

const RETRY_AFTER_MAX_MS = 10_000;

function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined || !/^\d{1,6}$/.test(header)) return undefined;
  return Math.min(RETRY_AFTER_MAX_MS, Number(header) * 1000);
}

const RETRYABLE_CODES: ReadonlySet<string> = new Set([
  "BadDigest",
  "IncompleteBody",
  "InternalError",
  "OperationAborted",
  "RequestTimeout",
  "ServiceUnavailable",
  "SlowDown",
  "SlowDownRead",
  "SlowDownWrite",
  "TooManyRequests",
  "XAmzContentSHA256Mismatch",
]);

/** The same request may succeed later, and was not refused for what it is. */
export function isRetryable({ status, code }: Refusal): boolean {
  return (status >= 500 && status !== 501 && status !== 505 && status !== 507) ||
    status === 429 ||
    status === 408
    ? !FULL.has(code)
    : RETRYABLE_CODES.has(code);
}

const FULL: ReadonlySet<string> = new Set([
  "XMinioStorageFull",
  "QuotaExceeded",
  "XMinioAdminBucketQuotaExceeded",
]);

const UNKNOWN_KEY: ReadonlySet<string> = new Set([
  "InvalidAccessKeyId",
  "InvalidClientTokenId",
  "InvalidToken",
  "XAdminUserNotFound",
]);

export function isExpired({ code }: Refusal): boolean {
  return code === "ExpiredToken" || code === "ExpiredTokenException" || code === "TokenRefreshRequired";
}

export function isSkewed({ code }: Refusal): boolean {
  return code === "RequestTimeTooSkewed" || code === "RequestInTheFuture" || code === "RequestExpired";
}

const PERMISSIONS =
  "allow s3:GetObject, s3:PutObject and s3:DeleteObject on its objects and s3:ListBucket on the bucket (without s3:ListBucket a missing key is answered 403)";

interface Meaning {
  readonly error: ErrorCode;
  readonly kind?: ErrorKind;
  readonly says: string;
  readonly hint: string;
}

function meaningOf(refusal: Refusal, { bucket, region, origin }: Place): Meaning {
  const { status, code } = refusal;
  if (code === "NoSuchBucket") {
    return {
      error: "not-found",
      says: `there is no bucket ${bucket} at ${origin}`,
      hint: "create it, or set S3_BUCKET (and S3_ENDPOINT) to where it is",
    };
  }
  if (UNKNOWN_KEY.has(code)) {
    return {
      error: "unauthenticated",
      says: `${origin} does not know the access key`,
      hint: "check AWS_ACCESS_KEY_ID (and AWS_SESSION_TOKEN, which must belong to it)",
    };
  }
  if (code === "SignatureDoesNotMatch") {
    return {
      error: "unauthenticated",
      says: `${origin} finds the signature wrong`,
      hint: "check AWS_SECRET_ACCESS_KEY; a proxy that changes headers or paths has the same effect",
    };
  }
  if (isExpired(refusal)) {
    return {
      error: "unauthenticated",
      says: "the credentials have expired",
      hint: "sign in again where they come from (`aws sso login`, a new AWS_SESSION_TOKEN)",
    };
  }
  if (isSkewed(refusal)) {
    return {
      error: "unreachable",
      kind: "stop",
      says: `${origin} finds the request's time more than 15 minutes off`,
      hint: "set this machine's clock (timedatectl set-ntp true)",
    };
  }
  if (
    refusal.region !== undefined &&
    refusal.region !== region &&
    (status === 301 || status === 307 || status === 400)
  ) {
    return {
      error: "usage",
      says: `bucket ${bucket} is in region ${refusal.region}, not ${region}`,
      hint: `set S3_REGION=${refusal.region}`,
    };
  }
  if (status >= 300 && status < 400) {
    const where = refusal.location === undefined ? "elsewhere" : `to ${refusal.location.slice(0, 200)}`;
    return {
      error: "unreachable",
      kind: "stop",
      says: `${origin} redirects ${where}; signed requests are not sent there`,
      hint: "set S3_ENDPOINT and S3_REGION to where the bucket is",
    };
  }
  if (code === "InvalidObjectState") {
    return {
      error: "unsupported",
      says: `an object in ${bucket} is archived`,
      hint: "restore it, and end the lifecycle rule that archives the forge's objects",
    };
  }
  if (/^(?:KMS|Kms)/.test(code)) {
    return {
      error: "forbidden",
      says: "the encryption key cannot be used",
      hint: "allow kms:GenerateDataKey and kms:Decrypt on the key, in the key's region",
    };
  }
  if (status === 401) {
    return {
      error: "unauthenticated",
      says: `${origin} wants other credentials`,
      hint: "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    };
  }
  if (status === 403) {
    return {
      error: "forbidden",
      says: `${origin} does not allow this in bucket ${bucket}`,
      hint: PERMISSIONS,
    };
  }
  if (FULL.has(code) || status === 507) {
    return {
      error: "unreachable",
      says: `no space is left in bucket ${bucket}; nothing was written`,
      hint: "free some space or raise its quota, then try again",
    };
  }
  if (code === "EntityTooLarge") {
    return {
      error: "too-large",
      says: "the object is larger than the store takes",
      hint: "see the store's limits",
    };
  }
  if (code === "NotImplemented" || status === 501 || status === 405) {
    return {
      error: "unsupported",
      says: `${origin} does not have an operation that a forge needs`,
      hint: "run `mic storage probe` to see what the store lacks",
    };
  }
  if (code === "InvalidBucketName") {
    return {
      error: "usage",
      says: `${bucket} cannot be the name of a bucket`,
      hint: "set S3_BUCKET to the name alone",
    };
  }
  if (/^(?:SlowDown|TooManyRequests)/.test(code) || status === 429 || status === 503) {
    return {
      error: "unreachable",
      says: `${origin} asks for fewer requests`,
      hint: "try again later, or use fewer agents on this bucket at a time",
    };
  }
  if (status >= 500 || status === 408) {
    return { error: "unreachable", says: `${origin} failed`, hint: "try again later" };
  }
  if (status === 404 && code === "") {
    return {
      error: "unreachable",
      kind: "stop",
      says: `${origin} answers 404 as no S3 store does`,
      hint: "check S3_ENDPOINT: the bucket's name does not belong to it",
    };
  }
  return {
    error: "unreachable",
    kind: "stop",
    says: `${origin} refused a request`,
    hint: "check S3_ENDPOINT, S3_REGION and S3_BUCKET",
  };
}

export function refusalError(refusal: Refusal, place: Place, doing: string): MicError {
  const meaning = meaningOf(refusal, place);
  const said = [String(refusal.status), refusal.code, refusal.message]
    .filter((part) => part !== "")
    .join(" ");
  return new MicError(meaning.error, `${doing}: ${meaning.says} (${said})`, {
    hint: meaning.hint,
    ...(meaning.kind === undefined ? {} : { kind: meaning.kind }),
    data: {
      status: refusal.status,
      ...(refusal.code === "" ? {} : { s3Code: refusal.code }),
      ...(refusal.requestId === undefined ? {} : { requestId: refusal.requestId }),
    },
  });
}

export function transportMicError(error: TransportError, place: Place, doing: string): MicError {
  const { origin } = place;
  const code = error.code === undefined ? "" : ` (${error.code})`;
  switch (error.reason) {
    case "aborted":
      return new MicError("aborted", "interrupted", { cause: error });
    case "connect":
      return new MicError("unreachable", `${doing}: no connection to ${origin}${code}`, {
        hint: "check S3_ENDPOINT and S3_REGION, and that the network reaches it",
        cause: error,
      });
    case "tls":
      return new MicError("unreachable", `${doing}: no trust in ${origin}: ${error.message}`, {
        hint: "use the name that its certificate has, add its CA to the system's or name it in AWS_CA_BUNDLE, or set an http:// S3_ENDPOINT if it has no TLS",
        kind: "stop",
        cause: error,
      });
    case "timeout":
      return new MicError("unreachable", `${doing}: no answer from ${origin} in time`, {
        hint: "try again, or wait longer with --timeout; if it stays so, check S3_ENDPOINT",
        cause: error,
      });
    case "too-large":
      return new MicError("corrupt", `${doing}: ${error.message}, more than can be right`, {
        hint: "check S3_ENDPOINT: this may not be an S3 store",
        cause: error,
      });
    case "reset":
      return new MicError("unreachable", `${doing}: the connection to ${origin} was cut off${code}`, {
        hint: "try again",
        cause: error,
      });
  }
}
