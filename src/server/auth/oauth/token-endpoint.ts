/** POST /oauth/token: RFC 6749, 5 and 6, for public clients. */
import { type AuthCall, jsonReply, type Reply, record, type SignInCall } from "./auth-call.ts";
import { isDocumentId } from "./client-documents.ts";
import { DEVICE_GRANT } from "./client-metadata.ts";
import { type Form, readForm, required } from "./form.ts";
import { OAuthError } from "./oauth-error.ts";
import { isWithin, parseScope } from "./scopes.ts";
import { ACCESS_TOKEN_MS, type TokenPair } from "./token-pairs.ts";

export async function giveToken(call: AuthCall): Promise<Reply> {
  call.services.context.network.limits.attempt("token", call.address);
  const pair = await grantTokens(call, await readForm(call.request));
  return jsonReply(
    200,
    {
      access_token: pair.access,
      token_type: "Bearer",
      expires_in: ACCESS_TOKEN_MS / 1000,
      refresh_token: pair.refresh,
      scope: pair.scope,
    },
    { pragma: "no-cache" },
  );
}

/** Written down in the audit log. Errors: those of OAuth. */
export async function grantTokens(call: SignInCall, form: Form): Promise<TokenPair> {
  const grant = required(form, "grant_type");
  const client = required(form, "client_id");
  if (call.services.clients.findKnown(client) === undefined && !isDocumentId(client)) {
    throw new OAuthError("invalid_client", "the client is not known here");
  }
  switch (grant) {
    case DEVICE_GRANT:
      return written(call, grantDevice(call, form, client), "device");
    case "authorization_code":
      return written(call, await grantCode(call, form, client), "code");
    case "refresh_token":
      return written(call, await grantRefresh(call, form, client), "refresh");
    default:
      throw new OAuthError("unsupported_grant_type", "the grant type is not served");
  }
}

function grantDevice(call: SignInCall, form: Form, client: string): TokenPair {
  return call.services.devices.exchange(required(form, "device_code"), client);
}

async function grantCode(call: SignInCall, form: Form, client: string): Promise<TokenPair> {
  const { services } = call;
  const exchanged = services.codes.exchange({
    code: required(form, "code"),
    client,
    redirectUri: required(form, "redirect_uri"),
    verifier: required(form, "code_verifier"),
  });
  if (exchanged.kind === "exchanged") return exchanged.pair;
  if (exchanged.kind === "replayed") {
    record(call, exchanged.user, "token.revoked", `client:${client}`, { why: "its code was used twice" });
    await services.context.durability.flushed();
  }
  throw new OAuthError("invalid_grant", "the code is not valid here, has expired, or was used");
}

async function grantRefresh(call: SignInCall, form: Form, client: string): Promise<TokenPair> {
  const { services } = call;
  const asked = form.get("scope") === undefined ? undefined : parseScope(form.get("scope"));
  const refreshed = services.pairs.refresh(required(form, "refresh_token"), client, (granted) => {
    if (asked === undefined) return granted;
    return isWithin(asked, granted) ? asked : undefined;
  });
  switch (refreshed.kind) {
    case "refreshed":
      return refreshed.pair;
    case "scope":
      throw new OAuthError("invalid_scope", "the scope is more than what was granted");
    case "reused":
      record(call, refreshed.user, "token.revoked", `client:${client}`, {
        why: "its refresh token was used again after its successor",
      });
      await services.context.durability.flushed();
      throw new OAuthError("invalid_grant", "the refresh token was used before: sign in again");
    case "unknown":
      throw new OAuthError("invalid_grant", "the refresh token is not valid: sign in again");
  }
}

function written(call: SignInCall, pair: TokenPair, grant: string): TokenPair {
  record(
    call,
    pair.user,
    "token.issued",
    `token:${pair.accessId}`,
    { client: pair.client, scope: pair.scope, grant },
    pair.accessId,
  );
  return pair;
}
