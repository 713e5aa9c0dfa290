/** Where this server is, as the caller sees it: the issuer of tokens, and what pages compare origins with. */
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";

const HOST = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;

/** `https://forge.example.com`, nothing after it. */
export type Origin = string;
export type OriginOf = (request: IncomingMessage) => Origin | undefined;

/**
 * `publicUrl` where it is given, else what the request was made to: whoever can choose the host of somebody's request
 * can already read its answer, and hosts that are not this server's were refused before. Undefined for a host that
 * makes no address.
 */
export function createOriginOf(publicUrl?: Origin): OriginOf {
  if (publicUrl !== undefined) return () => publicUrl;
  return (request) => {
    const { host } = request.headers;
    if (host === undefined || !HOST.test(host)) return undefined;
    const scheme = (request.socket as TLSSocket).encrypted === true ? "https" : "http";
    const text = `${scheme}://${host}`;
    return URL.canParse(text) ? new URL(text).origin : undefined;
  };
}

export const RESOURCE_METADATA_PATH = "/.well-known/oauth-protected-resource";

/** The value of `www-authenticate` on a 401: where to learn how to sign in (RFC 9728, 5.1). */
export function bearerChallenge(origin: Origin | undefined): string {
  return origin === undefined
    ? 'Bearer realm="mic"'
    : `Bearer realm="mic", resource_metadata="${origin}${RESOURCE_METADATA_PATH}"`;
}
