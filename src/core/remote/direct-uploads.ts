/**
 * Large packs put into the server's store directly, with a URL that the store signed for one upload. Whatever goes
 * wrong, the pack can still go through the server: nothing here fails a caller.
 */
import { bytesToHex } from "../base/bytes.ts";
import { throwIfAborted } from "../base/clock.ts";
import { isMicError } from "../base/errors.ts";
import { hashBytes } from "../base/hash.ts";
import type { PackId, ProjectId } from "../base/ids.ts";
import type { CallOptions } from "../forge/forge.ts";
import { hashFromWire, numberFromWire } from "../wire/common.ts";
import {
  FinishUploadRequest,
  PutPackResponse,
  StartUploadRequest,
  StartUploadResponse,
} from "../wire/gen/mic/v1/content.ts";
import type { Caller } from "./caller.ts";

/** A smaller one is with the server sooner than the store is found. */
const DIRECT_PACK_BYTES_MIN = 8 << 20;
const SERVICE = "/mic.v1.ContentService";
const HEADERS_MAX = 16;
/** What a store may want to be told about an object. Nothing that could be meant for somebody else. */
const HEADER = /^(?:content-(?:type|length)|x-(?:amz|goog)-[a-z0-9-]{1,60})$/;
const HEADER_VALUE = /^[\x20-\x7e]{0,1000}$/;
const HERE = /^(?:(?:.+\.)?localhost|127(?:\.\d+){3}|\[::1\])$/;
/** Addresses of private networks, of machines' own services, and of nobody. */
const PRIVATE =
  /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|169\.254\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|0\.|\[(?:f[cd]|fe[89ab]|::))/;

export type PutFetch = (
  url: string,
  init: {
    readonly method: "PUT";
    readonly headers: Record<string, string>;
    readonly body: Uint8Array;
    readonly redirect: "manual";
    readonly signal: AbortSignal;
  },
) => Promise<Response>;

// biome-ignore lint/style/noRestrictedGlobals: this is a place that reaches the network
const platformFetch = fetch as unknown as PutFetch;

interface Place {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly upload: string;
}

export class DirectUploads {
  readonly #caller: Caller;
  readonly #fetch: PutFetch;
  /** False once the server did not offer it, or it did not work: it is not tried again. */
  #isTried = true;

  constructor(caller: Caller, putFetch: PutFetch = platformFetch) {
    this.#caller = caller;
    this.#fetch = putFetch;
  }

  /** `undefined`: it has to go through the server. Errors: `aborted`. */
  async putPack(project: ProjectId, pack: Uint8Array, options: CallOptions): Promise<PackId | undefined> {
    if (pack.length < DIRECT_PACK_BYTES_MIN || !this.#isTried) return undefined;
    try {
      const place = await this.#start(project, pack.length, options);
      if (place !== undefined && (await this.#put(place, pack, options.signal))) {
        const id = await this.#finish(project, place.upload, options);
        if (id === bytesToHex(hashBytes(pack))) return id;
      }
    } catch (error) {
      if (isMicError(error, "aborted") || !isMicError(error)) throw error;
    }
    this.#isTried = false;
    return undefined;
  }

  async #start(project: ProjectId, size: number, options: CallOptions): Promise<Place | undefined> {
    return await this.#caller.unary(
      `${SERVICE}/StartUpload`,
      [StartUploadRequest, StartUploadResponse],
      { project, size: BigInt(size) },
      ({ url, headers, upload, expiresAtMs }) => {
        numberFromWire(expiresAtMs, "the end of an upload");
        const place = { url, headers, upload };
        return isPlace(place, this.#caller.origin, size) ? place : undefined;
      },
      options,
    );
  }

  /** Whether the store has it. */
  async #put({ url, headers }: Place, pack: Uint8Array, signal: AbortSignal | undefined): Promise<boolean> {
    const { clock, timeoutMs } = this.#caller;
    const ending = new AbortController();
    const end = (): void => ending.abort();
    signal?.addEventListener("abort", end, { once: true });
    const late = clock.sleep(timeoutMs, ending.signal).then(end, () => undefined);
    try {
      // The length is that of the body; some platforms refuse to be told.
      const { "content-length": _length, ...sent } = headers;
      const response = await this.#fetch(url, {
        method: "PUT",
        headers: sent,
        body: pack,
        redirect: "manual",
        signal: ending.signal,
      });
      await response.body?.cancel();
      return response.ok;
    } catch (_unreachable) {
      // From here; the server can reach it.
      throwIfAborted(signal);
      return false;
    } finally {
      signal?.removeEventListener("abort", end);
      end();
      await late;
    }
  }

  async #finish(project: ProjectId, upload: string, options: CallOptions): Promise<PackId> {
    return await this.#caller.unary(
      `${SERVICE}/FinishUpload`,
      [FinishUploadRequest, PutPackResponse],
      { project, upload },
      ({ pack }) => hashFromWire(pack, "a pack id") as unknown as PackId,
      options,
    );
  }
}

/**
 * A server must not make its clients send things to wherever it likes: neither less safely than to itself, nor into
 * the client's own network, unless the server is there too.
 */
export function isPlace(
  { url, headers }: Pick<Place, "url" | "headers">,
  origin: string,
  size: number,
): boolean {
  if (!URL.canParse(url)) return false;
  const to = new URL(url);
  const server = new URL(origin);
  if (to.username !== "" || to.password !== "") return false;
  if (to.protocol !== "https:" && !(to.protocol === "http:" && server.protocol === "http:")) return false;
  if (HERE.test(to.hostname) && !HERE.test(server.hostname)) return false;
  const isNear = HERE.test(server.hostname) || PRIVATE.test(server.hostname);
  if (PRIVATE.test(to.hostname) && !HERE.test(to.hostname) && !isNear) return false;
  const entries = Object.entries(headers);
  if (entries.length > HEADERS_MAX) return false;
  if (headers["content-length"] !== undefined && headers["content-length"] !== String(size)) return false;
  return entries.every(([name, value]) => HEADER.test(name) && HEADER_VALUE.test(value));
}
