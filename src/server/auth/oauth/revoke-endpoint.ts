/** POST /oauth/revoke: RFC 7009. A token that is not there is as good as revoked. */
import { type AuthCall, jsonReply, type Reply, record } from "./auth-call.ts";
import { readForm, required } from "./form.ts";
import { OAuthError } from "./oauth-error.ts";

export async function revokeToken(call: AuthCall): Promise<Reply> {
  const { services } = call;
  const form = await readForm(call.request);
  const revoked = services.pairs.revoke(required(form, "token"), form.get("client_id"));
  if (revoked === "other-client") {
    throw new OAuthError("unauthorized_client", "the token was given to another client");
  }
  if (revoked !== undefined) {
    record(call, revoked.user, "token.revoked", `token:${revoked.tokenId}`, { client: revoked.client });
  }
  // Also when it was revoked before: the answer of that may have been lost with what it waited for.
  await services.context.durability.flushed();
  return jsonReply(200, {});
}
