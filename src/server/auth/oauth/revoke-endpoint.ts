/** POST /oauth/revoke: RFC 7009. A token that is not there is as good as revoked. */
import { type AuthCall, jsonReply, type Reply, record, type SignInCall } from "./auth-call.ts";
import { type Form, readForm, required } from "./form.ts";
import { OAuthError } from "./oauth-error.ts";

export async function revokeToken(call: AuthCall): Promise<Reply> {
  await endSignIn(call, await readForm(call.request));
  return jsonReply(200, {});
}

/** Errors: those of OAuth. */
export async function endSignIn(call: SignInCall, form: Form): Promise<void> {
  const { services } = call;
  const revoked = services.pairs.revoke(required(form, "token"), form.get("client_id"));
  if (revoked === "other-client") {
    throw new OAuthError("unauthorized_client", "the token was given to another client");
  }
  if (revoked !== undefined) {
    record(call, revoked.user, "token.revoked", `token:${revoked.tokenId}`, { client: revoked.client });
  }
  // Also when it was revoked before: the answer of that may have been lost with what it waited for.
  await services.context.durability.flushed();
}
