/**
 * Requests to one server through the platform's own `fetch`. Redirects are answers like any other: a token goes to
 * the origin that it was given for and to no other.
 */
import { errnoOf, isUntrusted } from "./connection-failure.ts";

/** `localhost`, 127.0.0.0/8 and ::1, as a URL writes them. */
const LOOPBACK = /^(?:(?:.+\.)?localhost|127(?:\.\d+){3}|\[::1\])$/;

export type RequestBody = Uint8Array | AsyncIterable<Uint8Array>;

export interface ServerRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From `/` on. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** From the start for every attempt. */
  readonly body?: (() => RequestBody) | undefined;
  /** Over a connection of its own: one that was idle may be dead, and that shows only when the request is lost. */
  readonly isFresh?: boolean | undefined;
  readonly signal: AbortSignal;
}

/** The part of `fetch` that is used; `tls` and `proxy` are the runtime's own. */
type Fetch = (
  url: string,
  init: {
    readonly method: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: RequestBody;
    readonly redirect: "manual";
    readonly signal: AbortSignal;
    readonly duplex: "half";
    readonly keepalive?: false;
    readonly proxy?: false;
    readonly tls?: { readonly ca: readonly string[] };
  },
) => Promise<Response>;

// biome-ignore lint/style/noRestrictedGlobals: this is the place that reaches the network
const platformFetch = fetch as unknown as Fetch;

export class ServerFetch {
  readonly origin: string;
  readonly #given: string | undefined;
  /** The environment may name a proxy; a server on this machine is not behind it. */
  readonly #isHere: boolean;
  #ca: readonly string[] | undefined;

  /** `ca`: certificates in PEM form that are trusted beside the system's. */
  constructor(origin: string, ca: string | undefined) {
    this.origin = origin;
    this.#given = ca;
    this.#isHere = LOOPBACK.test(new URL(origin).hostname);
  }

  /** Rejects with what `fetch` rejects with. */
  async send(request: ServerRequest): Promise<Response> {
    try {
      return await this.#attempt(request);
    } catch (error) {
      if (!isUntrusted(errnoOf(error)) || this.#ca !== undefined) throw error;
      // The handshake failed, so nothing was sent. The runtime knows its own list of authorities only.
      this.#ca = await this.#certificates();
      return this.#attempt(request);
    }
  }

  #attempt({ method, path, headers, body, isFresh, signal }: ServerRequest): Promise<Response> {
    return platformFetch(this.origin + path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: body() }),
      redirect: "manual",
      signal,
      duplex: "half",
      ...(this.#isHere ? { proxy: false as const } : {}),
      ...(isFresh === true ? { keepalive: false as const } : {}),
      ...(this.#ca === undefined ? {} : { tls: { ca: this.#ca } }),
    });
  }

  async #certificates(): Promise<readonly string[]> {
    const tls = await import("node:tls");
    const given = this.#given === undefined ? [] : [this.#given];
    return [...tls.getCACertificates("default"), ...tls.getCACertificates("system"), ...given];
  }
}

/** The body, or undefined when it is longer. */
export async function readAtMost(response: Response, bytesMax: number): Promise<Buffer | undefined> {
  if (response.body === null) return Buffer.alloc(0);
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = response.body.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    parts.push(next.value);
    length += next.value.length;
    if (length > bytesMax) {
      await reader.cancel();
      return undefined;
    }
  }
  return Buffer.concat(parts);
}
