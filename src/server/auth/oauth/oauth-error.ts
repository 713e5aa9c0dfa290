/** Failures of the OAuth endpoints: RFC 6749, 5.2, with the codes of RFC 8628, 7591, 7009 and 8707. */
import { type ErrorCode, MicError } from "../../../core/base/errors.ts";

export type OAuthCode =
  | "invalid_request"
  | "invalid_client"
  | "invalid_grant"
  | "unauthorized_client"
  | "unsupported_grant_type"
  | "unsupported_response_type"
  | "invalid_scope"
  | "invalid_target"
  | "access_denied"
  | "authorization_pending"
  | "slow_down"
  | "expired_token"
  | "invalid_redirect_uri"
  | "invalid_client_metadata"
  | "temporarily_unavailable"
  | "server_error";

const STATUS: Readonly<Partial<Record<OAuthCode, number>>> = {
  invalid_client: 401,
  temporarily_unavailable: 503,
  server_error: 500,
};

export interface OAuthErrorOptions {
  readonly cause?: unknown;
  readonly status?: number;
  /** Seconds after which to try again. */
  readonly retryAfter?: number;
  /** Seconds between polls, from now on. */
  readonly interval?: number;
}

export class OAuthError extends MicError {
  readonly oauth: OAuthCode;
  readonly status: number;
  readonly retryAfter: number | undefined;
  readonly interval: number | undefined;

  /** `message` is shown to people: printable ASCII without `"` and `\`, as RFC 6749 wants it. */
  constructor(
    oauth: OAuthCode,
    message: string,
    { cause, status, retryAfter, interval }: OAuthErrorOptions = {},
  ) {
    super("usage", message, cause === undefined ? {} : { cause });
    this.oauth = oauth;
    this.status = status ?? STATUS[oauth] ?? 400;
    this.retryAfter = retryAfter;
    this.interval = interval;
  }
}

const MIC_CODE: Readonly<Record<OAuthCode, ErrorCode>> = {
  invalid_request: "usage",
  invalid_client: "not-found",
  invalid_grant: "unauthenticated",
  unauthorized_client: "forbidden",
  unsupported_grant_type: "usage",
  unsupported_response_type: "usage",
  invalid_scope: "usage",
  invalid_target: "usage",
  access_denied: "forbidden",
  authorization_pending: "pending",
  slow_down: "pending",
  expired_token: "unauthenticated",
  invalid_redirect_uri: "usage",
  invalid_client_metadata: "usage",
  temporarily_unavailable: "unreachable",
  server_error: "internal",
};

/** For callers of the API: the code of OAuth is in `data.oauth`. */
export function toMicError(error: OAuthError): MicError {
  const { oauth, message, retryAfter } = error;
  const code = MIC_CODE[oauth];
  return new MicError(code, message, {
    cause: error,
    ...(code === "unauthenticated" ? { hint: "sign in again" } : {}),
    data: { oauth, ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter * 1000 }) },
  });
}
