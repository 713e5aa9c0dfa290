/** POST /oauth/register: RFC 7591, open to everybody, for public clients. */
import type { IncomingMessage } from "node:http";
import { readBytes } from "../../rest/body.ts";
import { HttpError } from "../../rest/problem.ts";
import { type AuthCall, jsonReply, type Reply, record } from "./auth-call.ts";
import { readClientMetadata } from "./client-metadata.ts";
import { OAuthError } from "./oauth-error.ts";
import { SCOPES } from "./scopes.ts";

const BODY_BYTES_MAX = 16 << 10;

export async function registerClient(call: AuthCall): Promise<Reply> {
  call.services.context.network.limits.attempt("register", call.address);
  const metadata = readClientMetadata(await readDocument(call.request));
  const client = call.services.clients.register(metadata, call.address);
  record(call, undefined, "client.registered", `client:${client.id}`, { name: client.name });
  return jsonReply(201, {
    client_id: client.id,
    client_id_issued_at: Math.floor(call.services.context.clock.nowMs() / 1000),
    ...(client.name === "" ? {} : { client_name: client.name }),
    redirect_uris: client.redirectUris,
    grant_types: client.grantTypes,
    response_types: client.grantTypes.includes("authorization_code") ? ["code"] : [],
    token_endpoint_auth_method: "none",
    scope: SCOPES.join(" "),
  });
}

async function readDocument(request: IncomingMessage): Promise<unknown> {
  if (!/^application\/json[ \t]*(?:;|$)/i.test(request.headers["content-type"] ?? "")) {
    throw new HttpError(415, "usage", "the body must be application/json");
  }
  const bytes = await readBytes(request, BODY_BYTES_MAX);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as unknown;
  } catch (cause) {
    throw new OAuthError("invalid_client_metadata", "the body is not valid JSON", { cause });
  }
}
