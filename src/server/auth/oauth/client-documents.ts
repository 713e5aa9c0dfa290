/**
 * Clients whose id is the https address of a document about them: draft-ietf-oauth-client-id-metadata-document.
 * Nothing is registered; the document is fetched through the guard against private addresses, and remembered.
 */
import type { Clock } from "../../../core/base/clock.ts";
import { addressBlock } from "../../network/client-address.ts";
import type { Outbound } from "../../network/outbound.ts";
import { type ClientMetadata, readClientMetadata } from "./client-metadata.ts";
import { OAuthError } from "./oauth-error.ts";

export const DOCUMENT_BYTES_MAX = 16 << 10;
const TIMEOUT_MS = 5_000;
const REMEMBERED_MS_DEFAULT = 600_000;
const REMEMBERED_MS_MAX = 24 * 3_600_000;
const REMEMBERED_MS_MIN = 60_000;
const REMEMBERED_MAX = 1_000;
/** One that was refused is not asked for again for so long. */
const REFUSED_MS = 30_000;
/** At a time; a document that is slow takes its place for TIMEOUT_MS. */
const FETCHING_MAX = 64;
const FETCHING_PER_ADDRESS_MAX = 4;
const URL_CHARACTERS_MAX = 1_024;

interface Remembered {
  readonly client: ClientMetadata;
  readonly untilMs: number;
}

export class ClientDocuments {
  readonly #outbound: Outbound;
  readonly #clock: Clock;
  readonly #remembered = new Map<string, Remembered>();
  readonly #refused = new Map<string, { readonly error: OAuthError; readonly untilMs: number }>();
  readonly #fetching = new Map<string, Promise<ClientMetadata>>();
  /** Of each address block that has any. */
  readonly #fetchingFor = new Map<string, number>();

  constructor(outbound: Outbound, clock: Clock) {
    this.#outbound = outbound;
    this.#clock = clock;
  }

  /** `address`: of who asks. Errors: `invalid_client`, `temporarily_unavailable`. */
  async find(id: string, address: string): Promise<ClientMetadata> {
    if (!isDocumentId(id)) throw new OAuthError("invalid_client", "the client is not known here");
    const known = this.#remembered.get(id);
    const nowMs = this.#clock.nowMs();
    if (known !== undefined && known.untilMs > nowMs) return known.client;
    const refused = this.#refused.get(id);
    if (refused !== undefined && refused.untilMs > nowMs) throw refused.error;
    const running = this.#fetching.get(id);
    if (running !== undefined) return await running;
    const block = addressBlock(address);
    const own = this.#fetchingFor.get(block) ?? 0;
    if (this.#fetching.size >= FETCHING_MAX || own >= FETCHING_PER_ADDRESS_MAX) {
      throw new OAuthError("temporarily_unavailable", "too many clients are being looked up", {
        retryAfter: 5,
      });
    }
    this.#fetchingFor.set(block, own + 1);
    const fetching = this.#fetch(id).finally(() => {
      this.#fetching.delete(id);
      const left = this.#fetchingFor.get(block)! - 1;
      if (left === 0) this.#fetchingFor.delete(block);
      else this.#fetchingFor.set(block, left);
    });
    this.#fetching.set(id, fetching);
    try {
      return await fetching;
    } catch (error) {
      if (error instanceof OAuthError) this.#rememberRefusal(id, error);
      throw error;
    }
  }

  #rememberRefusal(id: string, error: OAuthError): void {
    if (this.#refused.size >= REMEMBERED_MAX) this.#refused.clear();
    this.#refused.set(id, { error, untilMs: this.#clock.nowMs() + REFUSED_MS });
  }

  async #fetch(id: string): Promise<ClientMetadata> {
    let answer: Awaited<ReturnType<Outbound["fetch"]>>;
    try {
      // No redirects: whoever could make the host redirect could speak for it.
      answer = await this.#outbound.fetch(id, {
        headers: { accept: "application/json" },
        bytesMax: DOCUMENT_BYTES_MAX,
        timeoutMs: TIMEOUT_MS,
      });
    } catch (cause) {
      throw new OAuthError("invalid_client", "the document of the client cannot be fetched", { cause });
    }
    const type = answer.headers["content-type"] ?? "";
    if (answer.status !== 200 || !/^application\/(?:[a-z0-9.-]+\+)?json(?:[ ;]|$)/i.test(type)) {
      throw new OAuthError("invalid_client", "the document of the client is no JSON, or not there");
    }
    const client = readDocument(id, answer.body);
    if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
    const untilMs = this.#clock.nowMs() + lifetimeMs(answer.headers["cache-control"]);
    this.#remembered.set(id, { client, untilMs });
    return client;
  }
}

/** https, with a path, as it would be written again; without user, query and fragment. */
export function isDocumentId(text: string): boolean {
  if (text.length > URL_CHARACTERS_MAX || !text.startsWith("https://") || !URL.canParse(text)) return false;
  const url = new URL(text);
  return (
    url.href === text &&
    url.pathname !== "/" &&
    url.username === "" &&
    url.password === "" &&
    !/[?#]/.test(text)
  );
}

function readDocument(id: string, bytes: Uint8Array): ClientMetadata {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new OAuthError("invalid_client", "the document of the client is no JSON", { cause });
  }
  // Else one site could serve the document of another.
  if ((document as { client_id?: unknown } | null)?.client_id !== id) {
    throw new OAuthError("invalid_client", "the document is not that of this client_id");
  }
  try {
    return readClientMetadata(document);
  } catch (cause) {
    if (!(cause instanceof OAuthError)) throw cause;
    throw new OAuthError("invalid_client", `the document of the client: ${cause.message}`, { cause });
  }
}

function lifetimeMs(cacheControl: string | undefined): number {
  if (cacheControl === undefined) return REMEMBERED_MS_DEFAULT;
  if (/\bno-(?:store|cache)\b/i.test(cacheControl)) return REMEMBERED_MS_MIN;
  const seconds = Number(/\bmax-age=(\d{1,9})/i.exec(cacheControl)?.[1] ?? REMEMBERED_MS_DEFAULT / 1000);
  return Math.min(REMEMBERED_MS_MAX, Math.max(REMEMBERED_MS_MIN, seconds * 1000));
}
