/** What a client says about itself, when it registers (RFC 7591) or in its document: checked, and the rest ignored. */
import { OAuthError } from "./oauth-error.ts";

export const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";
export const GRANT_TYPES = ["authorization_code", "refresh_token", DEVICE_GRANT] as const;
export type GrantType = (typeof GRANT_TYPES)[number];

export interface ClientMetadata {
  readonly name: string;
  readonly redirectUris: readonly string[];
  readonly grantTypes: readonly GrantType[];
}

const NAME_CHARACTERS_MAX = 80;
const REDIRECT_URIS_MAX = 10;
const REDIRECT_URI_CHARACTERS_MAX = 1024;
const URI = /^[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]+$/;
const LOOPBACK = /^http:\/\/(127\.0\.0\.1|\[::1\]|localhost)(?::\d{1,5})?((?:\/[^#]*)?)$/;
/** In reverse domain order (RFC 8252, 7.1): none of the schemes that browsers do something with has a dot. */
const PRIVATE_USE = /^[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:/;

/** Errors: `invalid_client_metadata`, `invalid_redirect_uri`. */
export function readClientMetadata(document: unknown): ClientMetadata {
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw invalid("the body must be a JSON object");
  }
  const fields = document as Readonly<Record<string, unknown>>;
  const method = fields["token_endpoint_auth_method"] ?? "none";
  if (method !== "none" || fields["client_secret"] !== undefined) {
    throw invalid("only public clients are served: token_endpoint_auth_method must be none");
  }
  const grantTypes = readGrantTypes(fields["grant_types"]);
  const responseTypes = fields["response_types"] ?? ["code"];
  if (!Array.isArray(responseTypes) || responseTypes.some((type) => type !== "code")) {
    throw invalid("the only response type is code");
  }
  const redirectUris = readRedirectUris(fields["redirect_uris"] ?? []);
  if (redirectUris.length === 0 && grantTypes.includes("authorization_code")) {
    throw new OAuthError("invalid_redirect_uri", "redirect_uris is missing");
  }
  return { name: readName(fields["client_name"]), redirectUris, grantTypes };
}

/** Exactly a registered one; of a loopback address the port is the client's choice (RFC 8252, 7.3). */
export function matchesRedirect(registered: readonly string[], asked: string): boolean {
  if (registered.includes(asked)) return true;
  const loopback = LOOPBACK.exec(asked);
  if (loopback === null || !isRedirectUri(asked)) return false;
  return registered.some((uri) => {
    const match = LOOPBACK.exec(uri);
    return match !== null && match[1] === loopback[1] && match[2] === loopback[2];
  });
}

export function isRedirectUri(text: string): boolean {
  if (text.length > REDIRECT_URI_CHARACTERS_MAX || !URI.test(text) || text.includes("#")) return false;
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") return false;
  if (text.startsWith("https:")) return /^https:\/\/[^/]/.test(text);
  return LOOPBACK.test(text) || PRIVATE_USE.test(text);
}

function readRedirectUris(value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.length > REDIRECT_URIS_MAX) {
    throw new OAuthError(
      "invalid_redirect_uri",
      `redirect_uris must be at most ${REDIRECT_URIS_MAX} addresses`,
    );
  }
  for (const uri of value) {
    if (typeof uri !== "string" || !isRedirectUri(uri)) {
      throw new OAuthError(
        "invalid_redirect_uri",
        "a redirect address is https, http to this machine, or a scheme with a dot; without user and fragment",
      );
    }
  }
  return [...new Set(value as string[])];
}

function readGrantTypes(value: unknown): readonly GrantType[] {
  if (value === undefined) return ["authorization_code", "refresh_token"];
  const isList = Array.isArray(value) && value.length > 0 && value.length <= 20;
  if (!isList || value.some((type) => typeof type !== "string")) throw invalid("grant_types must be a list");
  const known = GRANT_TYPES.filter((type) => (value as string[]).includes(type));
  if (!known.some((type) => type !== "refresh_token")) {
    throw invalid("grant_types has none of authorization_code and device_code");
  }
  return known;
}

function readName(value: unknown): string {
  if (value === undefined) return "";
  // Names are shown beside what one is asked to approve: nothing in them may turn the line around or break it.
  if (typeof value !== "string" || value.length > NAME_CHARACTERS_MAX || /[\p{C}\p{Zl}\p{Zp}]/u.test(value)) {
    throw invalid(`client_name must be at most ${NAME_CHARACTERS_MAX} printable characters`);
  }
  return value.trim();
}

function invalid(message: string): OAuthError {
  return new OAuthError("invalid_client_metadata", message);
}
