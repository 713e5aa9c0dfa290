/**
 * URLs of servers. What a person sees must be what is reached: anything that two readers could take for different
 * hosts is refused, and everything after that compares origins (scheme, host and port, as WHATWG writes them).
 */
import { MicError } from "../core/base/errors.ts";
import { usageError } from "./errors.ts";

export interface ServerUrl {
  /** `https://forge.example.org`, `http://127.0.0.1:7420`: lower case, Punycode, no default port. */
  readonly origin: string;
  /** After the origin, without slashes at its ends; percent-encoding undone. */
  readonly path: string;
}

const SCHEME = /^https?:\/\//i;

export function isServerUrl(text: string): boolean {
  return SCHEME.test(text);
}

/** Errors: `usage`. */
export function parseServerUrl(text: string): ServerUrl {
  const shown = JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
  // URL() drops line breaks and tabs, and takes a backslash for a slash.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u0020\u007f\\]/.test(text)) {
    throw usageError(`${shown} contains spaces, backslashes or control characters`);
  }
  const authority = /^https?:\/\/([^/?#]*)/i.exec(text)?.[1];
  // URL() passes over further slashes, and finds a host behind them.
  if (authority === undefined || authority === "") throw usageError(`${shown} is not an http(s):// address`);
  if (authority.includes("@")) {
    throw usageError(
      `${shown} has a user before its host, which is ${JSON.stringify(authority.slice(authority.lastIndexOf("@") + 1))}`,
      "write the address without it; sign in with `mic auth login`",
    );
  }
  if (authority.includes("%"))
    throw usageError(`the host of ${shown} is percent-encoded`, "write it plainly");
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new MicError("usage", `${shown} is not a valid address`, {
      hint: "e.g. https://forge.example.org/org/project",
      cause,
    });
  }
  if (text.includes("?") || text.includes("#")) {
    throw usageError(`${shown} has a query or a fragment`, "write https://host/org/project");
  }
  return { origin: url.origin, path: decodePath(url.pathname, shown) };
}

function decodePath(pathname: string, shown: string): string {
  try {
    return decodeURIComponent(pathname).replace(/^\/+|\/+$/g, "");
  } catch (cause) {
    throw new MicError("usage", `the path of ${shown} is not valid percent-encoded UTF-8`, { cause });
  }
}

/** Whether what is sent to an origin stays on this machine or is encrypted. */
export function isPrivateOrigin(origin: string): boolean {
  if (origin.startsWith("https://")) return true;
  const { hostname } = new URL(origin);
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
