/** POST /oauth/device: RFC 8628, 3.1 and 3.2. */
import { type AuthCall, jsonReply, type Reply } from "./auth-call.ts";
import { DEVICE_GRANT } from "./client-metadata.ts";
import { displayName } from "./clients.ts";
import { DEVICE_CODE_MS, POLL_INTERVAL_MS } from "./device-codes.ts";
import { readForm, required } from "./form.ts";
import { OAuthError } from "./oauth-error.ts";
import { parseScope } from "./scopes.ts";

export async function startDevice(call: AuthCall): Promise<Reply> {
  const { services, origin, address } = call;
  services.context.network.limits.attempt("device", address);
  const form = await readForm(call.request);
  const client = await services.clients.find(required(form, "client_id"));
  if (!client.grantTypes.includes(DEVICE_GRANT)) {
    throw new OAuthError("unauthorized_client", "the client has not registered for the device grant");
  }
  const scope = parseScope(form.get("scope"));
  const created = services.devices.create({
    client: client.id,
    clientName: displayName(client),
    scope,
    address,
  });
  const page = `${origin}/device`;
  return jsonReply(200, {
    device_code: created.deviceCode,
    user_code: created.userCode,
    verification_uri: page,
    verification_uri_complete: `${page}?user_code=${created.userCode}`,
    expires_in: DEVICE_CODE_MS / 1000,
    interval: POLL_INTERVAL_MS / 1000,
  });
}
