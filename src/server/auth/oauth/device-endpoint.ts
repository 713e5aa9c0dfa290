/** POST /oauth/device: RFC 8628, 3.1 and 3.2. */
import { type AuthCall, jsonReply, type Reply, type SignInCall } from "./auth-call.ts";
import { DEVICE_GRANT } from "./client-metadata.ts";
import { displayName } from "./clients.ts";
import { DEVICE_CODE_MS, POLL_INTERVAL_MS } from "./device-codes.ts";
import { type Form, readForm, required } from "./form.ts";
import { OAuthError } from "./oauth-error.ts";
import type { Origin } from "./origin.ts";
import { parseScope } from "./scopes.ts";

export interface StartedDevice {
  readonly deviceCode: string;
  readonly userCode: string;
  readonly page: string;
  readonly pageWithCode: string;
}

export async function startDevice(call: AuthCall): Promise<Reply> {
  call.services.context.network.limits.attempt("device", call.address);
  const device = await createDevice(call, call.origin, await readForm(call.request));
  return jsonReply(200, {
    device_code: device.deviceCode,
    user_code: device.userCode,
    verification_uri: device.page,
    verification_uri_complete: device.pageWithCode,
    expires_in: DEVICE_CODE_MS / 1000,
    interval: POLL_INTERVAL_MS / 1000,
  });
}

/** Errors: those of OAuth. */
export async function createDevice(
  { services, address }: SignInCall,
  origin: Origin,
  form: Form,
): Promise<StartedDevice> {
  const client = await services.clients.find(required(form, "client_id"), address);
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
  return { ...created, page, pageWithCode: `${page}?user_code=${created.userCode}` };
}
