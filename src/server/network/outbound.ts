/**
 * Requests to addresses that somebody else wrote: webhooks, documents of OAuth clients. None reaches what only this
 * machine or its network can reach.
 *
 * The name is resolved here, once; every address it has must be public; the connection goes to one of the addresses
 * that were checked, so that a name that changes its answer in between (DNS rebinding) gains nothing. TLS is still
 * verified for the name. Proxies named by the environment are not used: they would resolve the name again.
 */
import { lookup } from "node:dns/promises";
import { connect as connectPlain, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Clock } from "../../core/base/clock.ts";
import { isMicError, MicError } from "../../core/base/errors.ts";
import { AddressSet, isPublicAddress, parseRange } from "./addresses.ts";
import { isBadPort } from "./bad-ports.ts";

export interface OutboundOptions {
  readonly clock: Clock;
  /** What the operator opens beside public addresses: names, names with a port, addresses, ranges. */
  readonly allow?: readonly string[];
  /** Addresses of a name. Default: the system's resolver. */
  readonly resolve?: (hostname: string) => Promise<readonly string[]>;
  /** PEM, trusted instead of the runtime's. */
  readonly certificates?: readonly string[];
}

export interface OutboundRequest {
  /** Default: GET. */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly signal?: AbortSignal;
  /** Of the answer's body. Default: BYTES_MAX_DEFAULT. */
  readonly bytesMax?: number;
  /** What a longer body does. Default: `refuse`. */
  readonly overflow?: "refuse" | "cut";
  /** For everything, from the name to the last byte. Default: TIMEOUT_MS_DEFAULT. */
  readonly timeoutMs?: number;
  /** GET and HEAD only. Default: none is followed, and the answer is the 3xx itself. */
  readonly redirectsMax?: number;
}

export interface OutboundAnswer {
  readonly status: number;
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** There was more than `bytesMax`. */
  readonly isCut: boolean;
  /** Where it came from, after redirects. */
  readonly url: string;
}

export const BYTES_MAX_DEFAULT = 1 << 20;
export const TIMEOUT_MS_DEFAULT = 10_000;
const URL_LENGTH_MAX = 2_048;
const HEAD_BYTES_MAX = 16 << 10;
/** Addresses of one name that are tried in turn, and for how long each. */
const ATTEMPTS_MAX = 3;
const CONNECT_TIMEOUT_MS = 5_000;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Which of the caller's headers follow a redirect to another origin. */
const ORIGIN_FREE_HEADERS = new Set(["accept", "accept-language", "user-agent"]);

export interface Outbound {
  /**
   * Errors: `usage` for an address that can never be asked, `forbidden` for one that is not public, `too-large`,
   * `unreachable` (no such name, no connection, no or a broken answer, out of time), `aborted`.
   */
  fetch(url: string, request?: OutboundRequest): Promise<OutboundAnswer>;
  /** Whether it could be asked now. Errors: `usage`, `forbidden`, `unreachable` where the name has no address. */
  check(url: string, signal?: AbortSignal): Promise<void>;
}

export function createOutbound(options: OutboundOptions): Outbound {
  return new GuardedOutbound(options);
}

/** `http(s)://host[:port]/path?query`, nothing else. Errors: `usage`. */
export function parseOutboundUrl(text: string): URL {
  const url = text.length <= URL_LENGTH_MAX && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw badUrl("is not an http or https URL");
  }
  if (url.username !== "" || url.password !== "") throw badUrl("has a user or a password in it");
  if (url.hostname === "") throw badUrl("names no host");
  if (isBadPort(Number(url.port))) throw badUrl(`has the port ${url.port}, which is another protocol's`);
  url.hash = "";
  return url;
}

/** What an entry of the operator's list looks like. */
export function isAllowEntry(text: string): boolean {
  if (parseRange(text) !== undefined) return true;
  return /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?)(?::\d{1,5})?$/.test(text);
}

class GuardedOutbound implements Outbound {
  readonly #options: OutboundOptions;
  readonly #allowedNames = new Set<string>();
  readonly #allowedAddresses: AddressSet;

  constructor(options: OutboundOptions) {
    this.#options = options;
    const ranges: string[] = [];
    for (const entry of options.allow ?? []) {
      if (!isAllowEntry(entry))
        throw new MicError("usage", `${JSON.stringify(entry)} is not a host or range`);
      if (parseRange(entry) !== undefined) ranges.push(entry);
      else this.#allowedNames.add(entry.toLowerCase());
    }
    this.#allowedAddresses = new AddressSet(ranges);
  }

  async check(text: string, given?: AbortSignal): Promise<void> {
    const url = parseOutboundUrl(text);
    await this.#inTime(url, TIMEOUT_MS_DEFAULT, given, (signal) => this.#addressesOf(url, signal));
  }

  async fetch(text: string, request: OutboundRequest = {}): Promise<OutboundAnswer> {
    const url = parseOutboundUrl(text);
    return await this.#inTime(url, request.timeoutMs ?? TIMEOUT_MS_DEFAULT, request.signal, (signal) =>
      this.#follow(url, request, signal),
    );
  }

  /** Errors: `aborted` when `given` fires, `unreachable` when time is up and for whatever is no `MicError`. */
  async #inTime<T>(
    url: URL,
    timeoutMs: number,
    given: AbortSignal | undefined,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const ended = new AbortController();
    const late = new AbortController();
    const signals = [ended.signal, late.signal];
    if (given !== undefined) signals.push(given);
    const timer = this.#options.clock.sleep(timeoutMs, ended.signal).then(
      () => late.abort(),
      () => undefined,
    );
    try {
      return await run(AbortSignal.any(signals));
    } catch (error) {
      if (given?.aborted) throw new MicError("aborted", "interrupted", { cause: given.reason });
      if (late.signal.aborted) throw unreachable(url, `no whole answer within ${timeoutMs} ms`);
      if (isMicError(error)) throw error;
      throw unreachable(url, reasonOf(error), error);
    } finally {
      ended.abort();
      await timer;
    }
  }

  async #follow(first: URL, request: OutboundRequest, signal: AbortSignal): Promise<OutboundAnswer> {
    const method = request.method ?? "GET";
    const isRead = method === "GET" || method === "HEAD";
    const redirectsMax = isRead ? (request.redirectsMax ?? 0) : 0;
    let url = first;
    let headers = headersOf(request.headers);
    for (let redirects = 0; ; redirects++) {
      const answer = await this.#exchange(url, { ...request, method, headers }, signal);
      const location = answer.headers["location"];
      if (redirectsMax === 0 || location === undefined || !REDIRECTS.has(answer.status)) return answer;
      if (redirects >= redirectsMax) throw unreachable(url, "too many redirects");
      if (!URL.canParse(location, url.href)) throw unreachable(url, "a redirect to no URL");
      const next = parseOutboundUrl(new URL(location, url).href);
      if (url.protocol === "https:" && next.protocol !== "https:") {
        throw new MicError("forbidden", `${url.host} redirects from https to http`);
      }
      if (next.origin !== url.origin) headers = keepOriginFree(headers);
      url = next;
    }
  }

  async #exchange(
    url: URL,
    request: OutboundRequest & { readonly method: string },
    signal: AbortSignal,
  ): Promise<OutboundAnswer> {
    const addresses = await this.#addressesOf(url, signal);
    // Costs 20 ms to load. Bun replaces the bare name by a stub of its own.
    const { Client } = await import("undici/index.js");
    const client = new Client(url.origin, {
      connect: (_options, callback) => {
        this.#connect(url, addresses, signal).then(
          (socket) => callback(null, socket),
          (error) => callback(error as Error, null),
        );
      },
      maxHeaderSize: HEAD_BYTES_MAX,
      // The signal bounds both.
      headersTimeout: 0,
      bodyTimeout: 0,
      pipelining: 1,
    });
    try {
      const answer = await client.request({
        path: `${url.pathname}${url.search}`,
        method: request.method as "GET",
        headers: { ...request.headers },
        body: request.body ?? null,
        signal,
      });
      const { bytes, isCut } = await readBody(answer.body, request, url);
      return {
        status: answer.statusCode,
        headers: flatten(answer.headers),
        body: bytes,
        isCut,
        url: url.href,
      };
    } finally {
      await client.destroy().catch(() => undefined);
    }
  }

  /** Errors: `forbidden`, `unreachable`. */
  async #addressesOf(url: URL, signal: AbortSignal): Promise<readonly string[]> {
    const host = hostOf(url);
    const resolve = this.#options.resolve ?? resolveBySystem;
    const addresses = isIP(host) !== 0 ? [host] : await within(resolve(host), signal);
    if (addresses.length === 0) throw unreachable(url, "the name has no address");
    const name = isIP(host) === 6 ? `[${host}]` : host;
    const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : url.port;
    if (this.#allowedNames.has(name) || this.#allowedNames.has(`${name}:${port}`)) return addresses;
    // One that is not public condemns the name: its owner is not to be trusted with the others either.
    for (const address of addresses) {
      if (!isPublicAddress(address) && !this.#allowedAddresses.has(address)) {
        throw new MicError("forbidden", `${url.hostname} is not a public address`, {
          hint: "the operator of this server can allow it: mic serve --allow-outbound HOST",
        });
      }
    }
    return addresses;
  }

  async #connect(url: URL, addresses: readonly string[], signal: AbortSignal): Promise<Socket> {
    let failure: unknown;
    for (const address of addresses.slice(0, ATTEMPTS_MAX)) {
      try {
        return await this.#connectTo(url, address, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  #connectTo(url: URL, address: string, signal: AbortSignal): Promise<Socket> {
    const isTls = url.protocol === "https:";
    const port = url.port === "" ? (isTls ? 443 : 80) : Number(url.port);
    const { certificates } = this.#options;
    return new Promise((resolve, reject) => {
      const socket = isTls
        ? connectTls({
            host: address,
            port,
            // The URL's name, not the address; for an address there is none, and it is compared itself.
            servername: isIP(hostOf(url)) === 0 ? hostOf(url) : "",
            ALPNProtocols: ["http/1.1"],
            minVersion: "TLSv1.2",
            ...(certificates === undefined ? {} : { ca: [...certificates] }),
          })
        : connectPlain({ host: address, port });
      const settle = (): void => {
        socket.setTimeout(0);
        socket.off("timeout", onTimeout);
        socket.off("error", fail);
        signal.removeEventListener("abort", onAbort);
      };
      const fail = (error: Error): void => {
        settle();
        socket.on("error", () => undefined);
        socket.destroy();
        reject(error);
      };
      const onTimeout = (): void => fail(new Error("no connection in time"));
      const onAbort = (): void => fail(new Error("interrupted"));
      socket.setTimeout(CONNECT_TIMEOUT_MS, onTimeout);
      socket.once("error", fail);
      socket.once(isTls ? "secureConnect" : "connect", () => {
        settle();
        resolve(socket);
      });
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
  }
}

/** Without the brackets of IPv6 and the dot of a name's root. */
function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$|\.$/g, "");
}

async function resolveBySystem(hostname: string): Promise<readonly string[]> {
  const found = await lookup(hostname, { all: true, order: "verbatim" });
  return found.map(({ address }) => address);
}

/** A resolver cannot be interrupted: its answer is no longer waited for. */
function within<T>(step: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new Error("interrupted"));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    step.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** The host is the URL's, the length the body's, and a connection carries one request. Errors: `usage`. */
function headersOf(given: Readonly<Record<string, string>> = {}): Record<string, string> {
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  for (const [name, value] of Object.entries(given)) {
    const lower = name.toLowerCase();
    if (["host", "content-length", "connection", "transfer-encoding", "upgrade", "expect"].includes(lower)) {
      throw new MicError("usage", `the header ${lower} cannot be chosen`);
    }
    headers[lower] = value;
  }
  return headers;
}

function keepOriginFree(headers: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => ORIGIN_FREE_HEADERS.has(name));
  return { "accept-encoding": "identity", ...Object.fromEntries(kept) };
}

async function readBody(
  body: AsyncIterable<Uint8Array>,
  { bytesMax = BYTES_MAX_DEFAULT, overflow = "refuse" }: OutboundRequest,
  url: URL,
): Promise<{ readonly bytes: Uint8Array; readonly isCut: boolean }> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body) {
    if (length + part.length > bytesMax) {
      if (overflow === "refuse") {
        throw new MicError("too-large", `the answer of ${url.host} has more than ${bytesMax} bytes`);
      }
      parts.push(part.subarray(0, bytesMax - length));
      return { bytes: Buffer.concat(parts), isCut: true };
    }
    parts.push(part);
    length += part.length;
  }
  return { bytes: Buffer.concat(parts), isCut: false };
}

function flatten(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name] = typeof value === "string" ? value : value.join(", ");
  }
  return flat;
}

function badUrl(what: string): MicError {
  return new MicError("usage", `the address ${what}`, { hint: "give one like https://example.com/path" });
}

function unreachable(url: URL, reason: string, cause?: unknown): MicError {
  return new MicError("unreachable", `${url.host}: ${reason}`, cause === undefined ? {} : { cause });
}

/** Without addresses: what a name means inside is nobody's business outside. */
function reasonOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  switch (code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "EAI_NONAME":
    case "DNS_ENOTFOUND":
    case "ESERVFAIL":
    case "ENODATA":
      return "the name cannot be resolved";
    case "ECONNREFUSED":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ECONNRESET":
    case "EPIPE":
      return "no connection";
    default:
      return typeof code === "string" ? `the request failed (${code})` : "the request failed";
  }
}
