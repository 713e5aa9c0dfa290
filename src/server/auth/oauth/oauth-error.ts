/** Failures of the OAuth endpoints: RFC 6749, 5.2, with the codes of RFC 8628, 7591, 7009 and 8707. */
import { MicError } from "../../../core/base/errors.ts";

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
}

export class OAuthError extends MicError {
  readonly oauth: OAuthCode;
  readonly status: number;
  readonly retryAfter: number | undefined;

  /** `message` is shown to people: printable ASCII without `"` and `\`, as RFC 6749 wants it. */
  constructor(oauth: OAuthCode, message: string, { cause, status, retryAfter }: OAuthErrorOptions = {}) {
    super("usage", message, cause === undefined ? {} : { cause });
    this.oauth = oauth;
    this.status = status ?? STATUS[oauth] ?? 400;
    this.retryAfter = retryAfter;
  }
}
