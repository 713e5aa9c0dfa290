/**
 * A server's OAuth endpoints, as mic's own client uses them: RFC 8628 (sign-in by a device), RFC 6749 §6 (refresh),
 * RFC 7009 (revocation). They are asked at the server's own origin whatever its metadata names, so that no answer
 * can send a token elsewhere.
 */
import { isMicError, MicError } from "../../core/base/errors.ts";
import { CallFailure } from "../../core/remote/channel.ts";
import { membersOf, type RestAnswer, type RestClient, wrongAnswer } from "../../core/remote/rest-client.ts";

export const CLIENT_ID = "mic-cli";
const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";
const METADATA = "/.well-known/oauth-authorization-server";
/** RFC 8628, 3.2. */
const INTERVAL_SECONDS_DEFAULT = 5;
const INTERVAL_SECONDS_MAX = 300;
const EXPIRES_SECONDS_MAX = 10 * 365 * 86_400;
const TOKEN = /^[\x21-\x7e]{1,4096}$/;
const TEXT_CHARACTERS_MAX = 2000;

export interface IssuedTokens {
  readonly token: string;
  readonly refreshToken: string | undefined;
  /** Of the token, from the answer on. */
  readonly expiresInSeconds: number | undefined;
  readonly scope: string | undefined;
}

export interface DeviceAuthorization {
  readonly deviceCode: string;
  readonly userCode: string;
  readonly verificationUri: string;
  readonly verificationUriComplete: string | undefined;
  readonly expiresInSeconds: number;
  readonly intervalSeconds: number;
}

/** What an endpoint refused, in the words of the RFCs: `invalid_grant`, `authorization_pending`, … */
export class TokenRefusal extends MicError {
  readonly reason: string;

  constructor(origin: string, reason: string, description: string | undefined) {
    super("unauthenticated", `${origin} refuses: ${description ?? reason}`);
    this.reason = reason;
  }
}

/**
 * Errors: `unsupported` where the server has no sign-in by device; `usage` where it calls itself by another address:
 * signing in would then show one address and trust another (RFC 8414, 3.3).
 */
export async function requireDeviceFlow(rest: RestClient, signal: AbortSignal): Promise<void> {
  const metadata = membersOf(rest.origin, await readMetadata(rest, signal));
  const { issuer } = metadata;
  if (typeof issuer !== "string" || !URL.canParse(issuer)) throw wrongAnswer(rest.origin, "it has no issuer");
  const { origin } = new URL(issuer);
  if (origin !== rest.origin) {
    throw new MicError("usage", `${rest.origin} says that its address is ${origin}`, {
      hint: `sign in there, if you trust it: mic auth login --server ${origin}`,
    });
  }
  if (typeof metadata["device_authorization_endpoint"] !== "string") {
    throw new MicError("unsupported", `${rest.origin} has no sign-in by code`, {
      hint: "use a token: mic auth login --server URL --token TOKEN",
    });
  }
}

async function readMetadata(rest: RestClient, signal: AbortSignal): Promise<unknown> {
  try {
    return await rest.call({ method: "GET", path: METADATA, signal });
  } catch (cause) {
    if (!isMicError(cause, "not-found")) throw cause;
    throw new MicError("unsupported", `${rest.origin} has no sign-in in a browser`, {
      hint: "use a token: mic auth login --server URL --token TOKEN",
      cause,
    });
  }
}

/** Errors: `TokenRefusal`. */
export async function authorizeDevice(
  rest: RestClient,
  scope: string,
  signal: AbortSignal,
): Promise<DeviceAuthorization> {
  const form = { client_id: CLIENT_ID, scope };
  const members = accepted(
    rest.origin,
    await rest.send({ method: "POST", path: "/oauth/device", form, signal }),
  );
  const uri = textOf(members, "verification_uri");
  const deviceCode = textOf(members, "device_code");
  const userCode = textOf(members, "user_code");
  if (deviceCode === undefined || userCode === undefined || uri === undefined || !isPage(uri)) {
    throw wrongAnswer(rest.origin, "it names no code or no page");
  }
  const complete = textOf(members, "verification_uri_complete");
  return {
    deviceCode,
    userCode,
    verificationUri: uri,
    verificationUriComplete: complete !== undefined && isPage(complete) ? complete : undefined,
    expiresInSeconds: secondsOf(members["expires_in"], EXPIRES_SECONDS_MAX) ?? 600,
    intervalSeconds: secondsOf(members["interval"], INTERVAL_SECONDS_MAX) ?? INTERVAL_SECONDS_DEFAULT,
  };
}

/** Errors: `TokenRefusal`, with `authorization_pending` and `slow_down` while nobody has decided. */
export async function exchangeDeviceCode(
  rest: RestClient,
  deviceCode: string,
  signal: AbortSignal,
): Promise<IssuedTokens> {
  const form = { grant_type: DEVICE_GRANT, device_code: deviceCode, client_id: CLIENT_ID };
  return issued(rest.origin, await rest.send({ method: "POST", path: "/oauth/token", form, signal }));
}

/** Errors: `TokenRefusal`: `invalid_grant` when one has to sign in again. */
export async function refreshTokens(
  rest: RestClient,
  refreshToken: string,
  signal: AbortSignal | undefined,
): Promise<IssuedTokens> {
  const form = { grant_type: "refresh_token", refresh_token: refreshToken, client_id: CLIENT_ID };
  return issued(rest.origin, await rest.send({ method: "POST", path: "/oauth/token", form, signal }));
}

/** The token, and all that came from the same sign-in. Errors: `TokenRefusal`. */
export async function revokeToken(rest: RestClient, token: string, signal: AbortSignal): Promise<void> {
  const form = { token, client_id: CLIENT_ID };
  const answer = await rest.send({ method: "POST", path: "/oauth/revoke", form, signal });
  if (answer.status !== 200) accepted(rest.origin, answer);
}

function issued(origin: string, answer: RestAnswer): IssuedTokens {
  const members = accepted(origin, answer);
  const token = members["access_token"];
  const refreshToken = members["refresh_token"];
  const type = members["token_type"];
  if (typeof token !== "string" || !TOKEN.test(token)) throw wrongAnswer(origin, "it has no access token");
  if (typeof type !== "string" || type.toLowerCase() !== "bearer") {
    throw wrongAnswer(origin, "its token is no bearer token");
  }
  if (refreshToken !== undefined && (typeof refreshToken !== "string" || !TOKEN.test(refreshToken))) {
    throw wrongAnswer(origin, "its refresh token cannot be sent");
  }
  return {
    token,
    refreshToken,
    expiresInSeconds: secondsOf(members["expires_in"], EXPIRES_SECONDS_MAX),
    scope: textOf(members, "scope"),
  };
}

function accepted(origin: string, answer: RestAnswer): Readonly<Record<string, unknown>> {
  const members = membersOf(origin, answer.document ?? {});
  if (answer.status === 200) return members;
  const reason = textOf(members, "error");
  const description = textOf(members, "error_description") ?? textOf(members, "detail");
  if (answer.status >= 500 || answer.status === 429 || reason === undefined) {
    throw new CallFailure("unreachable", `${origin}: ${description ?? `it answered ${answer.status}`}`, {
      sent: true,
      transient: answer.status >= 429,
    });
  }
  throw new TokenRefusal(origin, reason, description);
}

function textOf(members: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = members[name];
  return typeof value === "string" && value !== "" && value.length <= TEXT_CHARACTERS_MAX ? value : undefined;
}

function secondsOf(value: unknown, max: number): number | undefined {
  return typeof value === "number" && value > 0 ? Math.min(value, max) : undefined;
}

/** What a browser is sent to. */
function isPage(uri: string): boolean {
  return URL.canParse(uri) && /^https?:$/.test(new URL(uri).protocol);
}
