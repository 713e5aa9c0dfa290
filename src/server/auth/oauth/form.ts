/** Parameters of the OAuth endpoints and of the pages' forms: each at most once, in strict percent-encoding. */
import type { IncomingMessage } from "node:http";
import { readBytes } from "../../rest/body.ts";
import { HttpError } from "../../rest/problem.ts";
import { OAuthError } from "./oauth-error.ts";

export const FORM_BYTES_MAX = 16 << 10;
const PARAMETERS_MAX = 50;
const FORM_TYPE = /^application\/x-www-form-urlencoded[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?$/i;

export type Form = ReadonlyMap<string, string>;

/** Errors: `invalid_request`, and those of `readBytes`. */
export async function readForm(request: IncomingMessage): Promise<Form> {
  if (!FORM_TYPE.test(request.headers["content-type"] ?? "")) {
    throw new HttpError(415, "usage", "the body must be application/x-www-form-urlencoded");
  }
  const bytes = await readBytes(request, FORM_BYTES_MAX);
  return parseForm(Buffer.from(bytes).toString("latin1"));
}

/** A parameter without a value is one that was not sent: RFC 6749, 3.1. Errors: `invalid_request`. */
export function parseForm(text: string): Form {
  const form = new Map<string, string>();
  if (text === "") return form;
  const pairs = text.split("&");
  if (pairs.length > PARAMETERS_MAX) throw new OAuthError("invalid_request", "too many parameters");
  const seen = new Set<string>();
  for (const pair of pairs) {
    if (pair === "") continue;
    const mark = pair.indexOf("=");
    const name = decode(mark === -1 ? pair : pair.slice(0, mark));
    const value = mark === -1 ? "" : decode(pair.slice(mark + 1));
    if (seen.has(name)) throw new OAuthError("invalid_request", "a parameter is given twice");
    seen.add(name);
    if (value !== "") form.set(name, value);
  }
  return form;
}

/** Errors: `invalid_request`. */
export function required(form: Form, name: string): string {
  const value = form.get(name);
  if (value === undefined) throw new OAuthError("invalid_request", `${name} is missing`);
  return value;
}

function decode(text: string): string {
  // What is not ASCII must come percent-encoded.
  if (/[^\x20-\x7e]/.test(text)) throw new OAuthError("invalid_request", "a parameter is not encoded");
  try {
    return decodeURIComponent(text.replaceAll("+", "%20"));
  } catch (cause) {
    throw new OAuthError("invalid_request", "a parameter is not percent-encoded UTF-8", { cause });
  }
}
