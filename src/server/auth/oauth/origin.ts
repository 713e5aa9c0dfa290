/** Where this server is, as the caller sees it: `https://forge.example.com`. The issuer of tokens. */
export type Origin = string;

/** What is said where it cannot be told. */
export const NO_ORIGIN =
  "this server does not know this address as its own: its operator gives it with --public-url";

export const RESOURCE_METADATA_PATH = "/.well-known/oauth-protected-resource";

/** The value of `www-authenticate` on a 401: where to learn how to sign in (RFC 9728, 5.1). */
export function bearerChallenge(origin: Origin | undefined): string {
  return origin === undefined
    ? 'Bearer realm="mic"'
    : `Bearer realm="mic", resource_metadata="${origin}${RESOURCE_METADATA_PATH}"`;
}
