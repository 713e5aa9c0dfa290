/**
 * Whether a proxy stands before a store: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in either case, as other programs read
 * them. The runtime's `fetch` follows them by itself; what is never behind a proxy is said here for both transports.
 */
import { MicError } from "../../base/errors.ts";

export interface ProxySettings {
  /** For `http://` stores; empty: none. */
  readonly http: string;
  /** For `https://` stores, by a tunnel; empty: none. */
  readonly https: string;
  /** Hosts that are reached directly, with commas between. */
  readonly except: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Undefined where there is none. Errors: `usage` for what is no address. */
export function readProxySettings(env: Environment): ProxySettings | undefined {
  const http = readProxy(env, "http_proxy");
  // As `fetch` and curl: one does not stand in for the other.
  const https = readProxy(env, "https_proxy");
  if (http === "" && https === "") return undefined;
  return { http, https, except: either(env, "no_proxy")?.text ?? "" };
}

function readProxy(env: Environment, name: string): string {
  const found = either(env, name);
  if (found === undefined) return "";
  // `proxy:3128` is common, and would be read as a scheme.
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(found.text) ? found.text : `http://${found.text}`;
  if (/^https?:\/\/[^/]/i.test(text) && URL.canParse(text)) return text;
  throw new MicError("usage", `${found.name} is not the http(s):// address of a proxy`, {
    hint: `export ${found.name}=http://proxy.example.org:3128, or unset it`,
  });
}

function either(env: Environment, lower: string): { name: string; text: string } | undefined {
  for (const name of [lower, lower.toUpperCase()]) {
    const text = env[name];
    if (text !== undefined && text !== "") return { name, text };
  }
  return undefined;
}

const HERE = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;
/** The services that tell a machine who it is: whoever else is asked for it could say anything, and would be told. */
const LINK_LOCAL = /^(?:169\.254\.\d+\.\d+|\[fe80:.*\]|\[fd00:ec2::[0-9a-f]+\])$/;

/** This machine, and what is on its link. */
export function isNeverProxied(url: string): boolean {
  const { hostname } = new URL(url);
  return HERE.test(hostname) || LINK_LOCAL.test(hostname);
}
