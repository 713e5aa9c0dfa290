/** Signing in without HTTP: those methods of `mic.v1.AccountService` that anybody may call. */
import { MicError } from "../../core/base/errors.ts";
import { scopeToWire } from "../../core/wire/accounts.ts";
import type { AccountServiceDefinition, IssuedTokens } from "../../core/wire/gen/mic/v1/accounts.ts";
import type { SignInCall } from "../auth/oauth/auth-call.ts";
import { DEVICE_GRANT } from "../auth/oauth/client-metadata.ts";
import { DEVICE_CODE_MS, POLL_INTERVAL_MS } from "../auth/oauth/device-codes.ts";
import { createDevice } from "../auth/oauth/device-endpoint.ts";
import type { Form } from "../auth/oauth/form.ts";
import { OAuthError, toMicError } from "../auth/oauth/oauth-error.ts";
import { NO_ORIGIN } from "../auth/oauth/origin.ts";
import { endSignIn } from "../auth/oauth/revoke-endpoint.ts";
import { grantTokens } from "../auth/oauth/token-endpoint.ts";
import { ACCESS_TOKEN_MS, type TokenPair } from "../auth/oauth/token-pairs.ts";
import type { AttemptKind } from "../network/rate-limits.ts";
import type { ServiceHandlers } from "./define-method.ts";
import type { MethodCall } from "./method.ts";

export const SIGN_IN: Pick<
  ServiceHandlers<typeof AccountServiceDefinition>,
  "startDeviceFlow" | "pollDeviceFlow" | "refreshToken" | "revokeSignIn"
> = {
  startDeviceFlow: ({ clientId, scope }, call) =>
    signIn(call, "device", async (from) => {
      if (call.origin === undefined) throw new OAuthError("invalid_request", NO_ORIGIN);
      const device = await createDevice(from, call.origin, formOf({ client_id: clientId, scope }));
      return {
        deviceCode: device.deviceCode,
        userCode: device.userCode,
        verificationUri: device.page,
        verificationUriComplete: device.pageWithCode,
        expiresInSeconds: DEVICE_CODE_MS / 1000,
        intervalSeconds: POLL_INTERVAL_MS / 1000,
      };
    }),
  pollDeviceFlow: ({ clientId, deviceCode }, call) =>
    signIn(call, "token", async (from) => {
      const form = formOf({ grant_type: DEVICE_GRANT, client_id: clientId, device_code: deviceCode });
      try {
        return { state: { $case: "tokens", tokens: tokensToWire(await grantTokens(from, form)) } };
      } catch (error) {
        if (!(error instanceof OAuthError) || error.interval === undefined) throw error;
        return { state: { $case: "pending", pending: { intervalSeconds: error.interval } } };
      }
    }),
  refreshToken: ({ clientId, refreshToken, scope }, call) =>
    signIn(call, "token", async (from) => {
      const fields = { client_id: clientId, refresh_token: refreshToken, scope };
      return tokensToWire(await grantTokens(from, formOf({ grant_type: "refresh_token", ...fields })));
    }),
  revokeSignIn: ({ clientId, token }, call) =>
    signIn(call, undefined, async (from) => {
      await endSignIn(from, formOf({ client_id: clientId, token }));
      return {};
    }),
};

/** Errors: those of OAuth as `MicError`s. */
async function signIn<Result>(
  { context, address }: MethodCall,
  attempt: AttemptKind | undefined,
  run: (call: SignInCall) => Promise<Result>,
): Promise<Result> {
  const services = context.signIn;
  if (services === undefined) throw new MicError("unsupported", "nobody can sign in on this server");
  if (attempt !== undefined) context.network.limits.attempt(attempt, address);
  try {
    return await run({ services, address });
  } catch (error) {
    throw error instanceof OAuthError ? toMicError(error) : error;
  }
}

/** A field that is empty is one that was not sent. */
function formOf(fields: Readonly<Record<string, string>>): Form {
  return new Map(Object.entries(fields).filter(([, value]) => value !== ""));
}

function tokensToWire({ access, refresh, scope }: TokenPair): IssuedTokens {
  return {
    accessToken: access,
    refreshToken: refresh,
    expiresInSeconds: ACCESS_TOKEN_MS / 1000,
    scope: scopeToWire(scope),
  };
}
