/** Where everything is: RFC 8414 for clients, RFC 9728 for whoever was answered 401. */
import { type AuthCall, jsonReply, type Reply } from "./auth-call.ts";
import { GRANT_TYPES } from "./client-metadata.ts";
import { SCOPES } from "./scopes.ts";

/** A minute: a changed address is soon known. Anybody may read them, scripts of other sites included. */
const HEADERS = { "cache-control": "public, max-age=60", "access-control-allow-origin": "*" };

export function serverMetadata({ origin }: AuthCall): Reply {
  return jsonReply(
    200,
    {
      issuer: origin,
      authorization_endpoint: `${origin}/oauth/authorize`,
      token_endpoint: `${origin}/oauth/token`,
      device_authorization_endpoint: `${origin}/oauth/device`,
      registration_endpoint: `${origin}/oauth/register`,
      revocation_endpoint: `${origin}/oauth/revoke`,
      scopes_supported: SCOPES,
      response_types_supported: ["code"],
      response_modes_supported: ["query"],
      grant_types_supported: GRANT_TYPES,
      token_endpoint_auth_methods_supported: ["none"],
      revocation_endpoint_auth_methods_supported: ["none"],
      code_challenge_methods_supported: ["S256"],
      authorization_response_iss_parameter_supported: true,
      client_id_metadata_document_supported: true,
      service_documentation: `${origin}/SKILL.md`,
    },
    HEADERS,
  );
}

export function resourceMetadata({ origin }: AuthCall): Reply {
  return jsonReply(
    200,
    {
      resource: origin,
      authorization_servers: [origin],
      scopes_supported: SCOPES,
      bearer_methods_supported: ["header"],
      resource_name: "mic",
      resource_documentation: `${origin}/SKILL.md`,
    },
    HEADERS,
  );
}
