/** One question to a CDN, over HTTP, with everything refused that is not plainly the answer to it. */

import type { Clock } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import type { ByteRange } from "../object-store.ts";

export type Fetch = (
  url: string,
  init: {
    readonly headers: Record<string, string>;
    readonly redirect: "manual";
    readonly signal: AbortSignal;
  },
) => Promise<Response>;

/** `refused`: an answer that is not one. `timeout`: none, or not all of it, in time. */
export type CdnFailure = "not-found" | "refused" | "timeout" | "unreachable";

export type CdnAnswer = { readonly bytes: Uint8Array } | { readonly failure: CdnFailure };

/** An object that is read whole is small; a range says how long it is. */
const WHOLE_BYTES_MAX = 64 << 20;
const REDIRECTS_MAX = 3;
const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/;

export interface CdnRequestOptions {
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** Without an answer, and between two pieces of one. */
  readonly timeoutMs: number;
}

/** `http(s)://host[/path]`, nothing else. Errors: `usage`. */
export function parseCdnBaseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain =
    url !== undefined &&
    (url.protocol === "https:" || url.protocol === "http:") &&
    url.username === "" &&
    url.password === "" &&
    url.search === "" &&
    url.hash === "";
  if (!isPlain) {
    throw new MicError("usage", `${JSON.stringify(text)} cannot be the base URL of a CDN`, {
      hint: "STORAGE_CDN_BASE_URL is like https://cdn.example.com/mic, without credentials or a query",
    });
  }
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

/** Never throws: what goes wrong is an answer. */
export async function askCdn(
  url: URL,
  range: ByteRange | undefined,
  options: CdnRequestOptions,
): Promise<CdnAnswer> {
  const watch = new Watch(options);
  try {
    const response = await follow(url, range, options.fetch, watch);
    if (response === undefined) return { failure: "refused" };
    const bytes = await readAnswer(response, range, watch);
    return bytes === undefined ? { failure: "refused" } : { bytes };
  } catch (error) {
    if (error instanceof NotFound) return { failure: "not-found" };
    return { failure: watch.isLate ? "timeout" : "unreachable" };
  }
}

class NotFound extends Error {}

/** Follows redirects within the origin and no others. */
async function follow(
  base: URL,
  range: ByteRange | undefined,
  fetch: Fetch,
  watch: Watch,
): Promise<Response | undefined> {
  let url = base;
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (range !== undefined) headers["range"] = `bytes=${range.offset}-${range.offset + range.length - 1}`;
  for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
    const response = await watch.within(
      fetch(url.href, { headers, redirect: "manual", signal: watch.signal }),
    );
    if (response.status < 300 || response.status >= 400) return response;
    await response.body?.cancel();
    const location = response.headers.get("location");
    if (location === null || !URL.canParse(location, url.href)) return undefined;
    const next = new URL(location, url);
    if (next.origin !== base.origin) return undefined;
    url = next;
  }
  return undefined;
}

/** `undefined` for what cannot be the answer. */
async function readAnswer(
  response: Response,
  range: ByteRange | undefined,
  watch: Watch,
): Promise<Uint8Array | undefined> {
  const expected = expectedLength(response, range);
  if (expected === undefined) {
    await response.body?.cancel();
    if (response.status === 404 || response.status === 403) throw new NotFound();
    return undefined;
  }
  const bytes = await readBody(response, expected, watch);
  if (bytes === undefined || range === undefined || response.status === 206) return bytes;
  // The whole object, which is no longer than what was asked for.
  return bytes.slice(Math.min(range.offset, bytes.length));
}

/** Bytes of the body: exactly, or at most where it is not said. `undefined`: not the answer. */
function expectedLength(
  { status, headers }: Response,
  range: ByteRange | undefined,
): { readonly most: number; readonly exactly: number | undefined } | undefined {
  const encoding = headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") return undefined;
  const isPage = headers.get("content-type")?.startsWith("text/html") === true;
  if (isPage) return undefined;
  const length = /^\d{1,15}$/.exec(headers.get("content-length") ?? "")?.[0];
  const said = length === undefined ? undefined : Number(length);
  if (status === 206 && range !== undefined) {
    const match = CONTENT_RANGE.exec(headers.get("content-range") ?? "");
    if (match === null) return undefined;
    const [from, to, total] = [Number(match[1]), Number(match[2]), Number(match[3])];
    const last = Math.min(range.offset + range.length, total) - 1;
    if (from !== range.offset || to !== last || (said !== undefined && said !== to - from + 1)) {
      return undefined;
    }
    return { most: to - from + 1, exactly: to - from + 1 };
  }
  if (status !== 200) return undefined;
  if (range === undefined) return { most: said ?? WHOLE_BYTES_MAX, exactly: said };
  // A cache may answer a range with everything. Where that is more than was asked for it is not read.
  if (said === undefined || said > range.offset + range.length) return undefined;
  return { most: said, exactly: said };
}

async function readBody(
  response: Response,
  { most, exactly }: { readonly most: number; readonly exactly: number | undefined },
  watch: Watch,
): Promise<Uint8Array | undefined> {
  if (most > WHOLE_BYTES_MAX) return undefined;
  const parts: Uint8Array[] = [];
  let length = 0;
  if (response.body !== null) {
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await watch.within(reader.read());
      if (done) break;
      length += value.length;
      if (length > most) {
        await reader.cancel();
        return undefined;
      }
      parts.push(value);
    }
  }
  if (exactly !== undefined && length !== exactly) return undefined;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Ends the request when nothing comes for a while. */
class Watch {
  readonly #abort = new AbortController();
  readonly #options: CdnRequestOptions;
  isLate = false;

  constructor(options: CdnRequestOptions) {
    this.#options = options;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  async within<T>(step: Promise<T>): Promise<T> {
    const stepEnded = new AbortController();
    const { clock, timeoutMs } = this.#options;
    const late = clock.sleep(timeoutMs, stepEnded.signal).then(() => {
      this.isLate = true;
      this.#abort.abort();
      throw new MicError("unreachable", "the CDN does not answer");
    });
    try {
      return await Promise.race([step, late]);
    } finally {
      late.catch(() => undefined);
      step.catch(() => undefined);
      stepEnded.abort();
    }
  }
}
